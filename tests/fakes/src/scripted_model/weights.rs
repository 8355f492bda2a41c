//! The numbers of the scripted model: which token follows which, written as matrices.
//!
//! Each step of an answer is a state, and a state is a pair of digits. Each digit sets one axis of the
//! embedding, so a narrow model has room for several hundred states. The output row of the state's
//! successor reads the same two axes. A row that shares one digit with the state gets half the logit,
//! far too little to be sampled. All tokens without a state share one more axis.

use std::collections::HashMap;

use crate::gguf::{Gguf, Tensor, Value};

/// The embedding's width.
const WIDTH: usize = 64;
/// Axis 0 is for all tokens without a state; the others are shared between the two digits.
const DIGITS: usize = (WIDTH - 1) / 2;
/// As narrow as possible, because attention makes long prompts slow and its result is unused. A
/// quantized cache needs blocks of 32.
const HEAD: usize = 32;
const FEED_FORWARD: usize = 32;
/// Makes the successor's logit win by hundreds.
const CERTAIN: f32 = 60.0;

/// Adds the shape of the network to the metadata.
pub fn describe(gguf: &mut Gguf) {
    for (key, value) in [
        ("llama.embedding_length", WIDTH),
        ("llama.block_count", 1),
        ("llama.feed_forward_length", FEED_FORWARD),
        ("llama.attention.head_count", 1),
        ("llama.attention.head_count_kv", 1),
        ("llama.attention.key_length", HEAD),
        ("llama.attention.value_length", HEAD),
        ("llama.rope.dimension_count", HEAD),
        ("general.file_type", 0), // all F32
    ] {
        gguf.set(key, Value::U32(value as u32));
    }
    gguf.set("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-6));
}

/// Returns the tensors that map each token to its successor, and tokens without one to `end`.
pub fn tensors(tokens: usize, successors: &[(usize, usize)], end: usize) -> Vec<Tensor> {
    let mut embedding = vec![0.0; tokens * WIDTH];
    let mut output = vec![0.0; tokens * WIDTH];
    for row in embedding.chunks_exact_mut(WIDTH) {
        row[0] = 1.0;
    }
    output[end * WIDTH] = CERTAIN;
    // Tokens with the same successor share a state.
    let mut states = HashMap::new();
    for &(token, next) in successors {
        let unused = states.len();
        let state = *states.entry(next).or_insert(unused);
        assert!(state < DIGITS * DIGITS, "a script has at most {} pieces", DIGITS * DIGITS);
        embedding[token * WIDTH] = 0.0;
        for axis in [1 + state / DIGITS, 1 + DIGITS + state % DIGITS] {
            embedding[token * WIDTH + axis] = 1.0;
            output[next * WIDTH + axis] = CERTAIN;
        }
    }

    let block = |name: &str, columns: usize, rows: usize| {
        Tensor::matrix(&format!("blk.0.{name}.weight"), columns, vec![0.0; columns * rows])
    };
    let norm = |name: &str| Tensor::vector(&format!("{name}.weight"), vec![1.0; WIDTH]);
    vec![
        Tensor::matrix("token_embd.weight", WIDTH, embedding),
        norm("output_norm"),
        Tensor::matrix("output.weight", WIDTH, output),
        norm("blk.0.attn_norm"),
        norm("blk.0.ffn_norm"),
        block("attn_q", WIDTH, HEAD),
        block("attn_k", WIDTH, HEAD),
        block("attn_v", WIDTH, HEAD),
        block("attn_output", HEAD, WIDTH),
        block("ffn_gate", WIDTH, FEED_FORWARD),
        block("ffn_up", WIDTH, FEED_FORWARD),
        block("ffn_down", FEED_FORWARD, WIDTH),
    ]
}
