//! The numbers of the scripted model: which token follows which, written as matrices.
//!
//! Each step of an answer is a state, and a state is a pair of digits. Each digit sets one axis of the
//! embedding, so a narrow model has room for several hundred states. The output row of the state's
//! successor reads the same two axes. A row that shares one digit with the state gets half the logit,
//! far too little to be sampled. All tokens without a state share one more axis.

use std::collections::HashMap;

use crate::gguf::Tensor;

/// Axis 0 is for all tokens without a state; the next 2 * `DIGITS` are shared between the two digits.
const DIGITS: usize = 31;
/// Makes the successor's logit win by hundreds.
const CERTAIN: f32 = 60.0;

/// Returns the embedding and the output matrix, `width` wide, that map each token to its successor, and tokens without one
/// to `end`.
pub fn tensors(width: usize, tokens: usize, successors: &[(usize, usize)], end: usize) -> [Tensor; 2] {
    let mut embedding = vec![0.0; tokens * width];
    let mut output = vec![0.0; tokens * width];
    for row in embedding.chunks_exact_mut(width) {
        row[0] = 1.0;
    }
    output[end * width] = CERTAIN;
    // Tokens with the same successor share a state.
    let mut states = HashMap::new();
    for &(token, next) in successors {
        let unused = states.len();
        let state = *states.entry(next).or_insert(unused);
        assert!(state < DIGITS * DIGITS, "a script has at most {} pieces", DIGITS * DIGITS);
        embedding[token * width] = 0.0;
        for axis in [1 + state / DIGITS, 1 + DIGITS + state % DIGITS] {
            embedding[token * width + axis] = 1.0;
            output[next * width + axis] = CERTAIN;
        }
    }
    [("token_embd.weight", embedding), ("output.weight", output)]
        .map(|(name, data)| Tensor::new(name, &[width, tokens], data))
}
