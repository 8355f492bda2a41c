//! Random matrices that are the same in every run.

use crate::gguf::Tensor;

/// A generator of random numbers (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.wrapping_mul(2).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Returns a tensor that keeps the length of a vector: its numbers have a variance of 1 / `dimensions[0]`.
    pub fn tensor(&mut self, name: &str, dimensions: &[usize]) -> Tensor {
        let count = dimensions.iter().product();
        let scale = (3.0 / dimensions[0] as f32).sqrt();
        Tensor::new(name, dimensions, (0..count).map(|_| self.number() * scale).collect())
    }

    /// Returns a number from -1 to 1, with a variance of 1/3.
    fn number(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        bits as f32 / (1u64 << 23) as f32 - 1.0
    }
}
