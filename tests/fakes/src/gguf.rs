//! Writes GGUF files: the header, the key-values, the tensor table, and the aligned tensor data.
//!
//! Supports only what the scripted model needs: version 3, little-endian, F32 tensors.

use std::io::{self, Write};

/// Tensor data starts, and each tensor in it, at a multiple of this (the format's default).
pub const ALIGNMENT: usize = 32;

const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;
const TENSOR_TYPE_F32: u32 = 0;

/// The format's numbers for the types of values.
mod kind {
    pub const U32: u32 = 4;
    pub const I32: u32 = 5;
    pub const F32: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const STRING: u32 = 8;
    pub const ARRAY: u32 = 9;
}

/// A value of the key-value section.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    U32(u32),
    F32(f32),
    Bool(bool),
    String(String),
    Strings(Vec<String>),
    F32s(Vec<f32>),
    I32s(Vec<i32>),
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::U32(value) => {
                put_u32(out, kind::U32);
                put_u32(out, *value);
            }
            Self::F32(value) => {
                put_u32(out, kind::F32);
                out.extend(value.to_le_bytes());
            }
            Self::Bool(value) => {
                put_u32(out, kind::BOOL);
                out.push(u8::from(*value));
            }
            Self::String(value) => {
                put_u32(out, kind::STRING);
                put_string(out, value);
            }
            Self::Strings(values) => {
                put_array_head(out, kind::STRING, values.len());
                values.iter().for_each(|value| put_string(out, value));
            }
            Self::F32s(values) => {
                put_array_head(out, kind::F32, values.len());
                values.iter().for_each(|v| out.extend(v.to_le_bytes()));
            }
            Self::I32s(values) => {
                put_array_head(out, kind::I32, values.len());
                values.iter().for_each(|v| out.extend(v.to_le_bytes()));
            }
        }
    }
}

/// A row-major F32 tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    name: String,
    /// The innermost dimension first, as GGUF lists them.
    dimensions: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor with these dimensions, the innermost first.
    pub fn new(name: &str, dimensions: &[usize], data: Vec<f32>) -> Self {
        assert_eq!(data.len(), dimensions.iter().product::<usize>(), "{name}: numbers for {dimensions:?}");
        Self { name: name.to_owned(), dimensions: dimensions.to_vec(), data }
    }

    pub fn vector(name: &str, data: Vec<f32>) -> Self {
        Self::new(name, &[data.len()], data)
    }

    /// Returns this matrix with zeros in some rows.
    pub fn with_zero_rows(mut self, rows: impl Iterator<Item = usize>) -> Self {
        let columns = self.dimensions[0];
        rows.for_each(|row| self.data[row * columns..][..columns].fill(0.0));
        self
    }

    fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}

/// A complete file in memory.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Gguf {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<Tensor>,
}

impl Gguf {
    pub fn set(&mut self, key: &str, value: Value) {
        self.metadata.push((key.to_owned(), value));
    }

    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut head = Vec::new();
        head.extend(MAGIC);
        put_u32(&mut head, VERSION);
        put_u64(&mut head, self.tensors.len());
        put_u64(&mut head, self.metadata.len());
        for (key, value) in &self.metadata {
            put_string(&mut head, key);
            value.write(&mut head);
        }

        // Offsets count from the start of the data section.
        let mut offset = 0;
        for tensor in &self.tensors {
            put_string(&mut head, &tensor.name);
            put_u32(&mut head, tensor.dimensions.len() as u32);
            for dimension in &tensor.dimensions {
                put_u64(&mut head, *dimension);
            }
            put_u32(&mut head, TENSOR_TYPE_F32);
            put_u64(&mut head, offset);
            offset += tensor.bytes().next_multiple_of(ALIGNMENT);
        }
        head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
        out.write_all(&head)?;

        for tensor in &self.tensors {
            let mut data = Vec::with_capacity(tensor.bytes() + ALIGNMENT);
            tensor.data.iter().for_each(|value| data.extend(value.to_le_bytes()));
            data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
            out.write_all(&data)?;
        }
        Ok(())
    }
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: usize) {
    out.extend((value as u64).to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, value: &str) {
    put_u64(out, value.len());
    out.extend(value.as_bytes());
}

fn put_array_head(out: &mut Vec<u8>, element: u32, length: usize) {
    put_u32(out, kind::ARRAY);
    put_u32(out, element);
    put_u64(out, length);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(gguf: &Gguf) -> Vec<u8> {
        let mut bytes = Vec::new();
        gguf.write(&mut bytes).expect("a Vec takes everything written to it");
        bytes
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    #[test]
    fn empty_file_is_a_padded_header() {
        let bytes = written(&Gguf::default());
        assert_eq!(bytes.len(), ALIGNMENT);
        assert_eq!(&bytes[..4], b"GGUF");
        assert_eq!(bytes[4..8], 3u32.to_le_bytes());
        assert_eq!((u64_at(&bytes, 8), u64_at(&bytes, 16)), (0, 0));
    }

    #[test]
    fn key_values_follow_the_header() {
        let mut gguf = Gguf::default();
        gguf.set("k", Value::Strings(vec!["ab".to_owned()]));
        let bytes = written(&gguf);
        assert_eq!(u64_at(&bytes, 16), 1);
        let mut expected = Vec::new();
        expected.extend(1u64.to_le_bytes());
        expected.extend(b"k");
        expected.extend(9u32.to_le_bytes()); // an array ...
        expected.extend(8u32.to_le_bytes()); // ... of strings
        expected.extend(1u64.to_le_bytes());
        expected.extend(2u64.to_le_bytes());
        expected.extend(b"ab");
        assert_eq!(bytes[24..24 + expected.len()], expected);
        assert!(bytes.len().is_multiple_of(ALIGNMENT));
    }

    #[test]
    fn tensors_are_aligned_and_innermost_dimension_comes_first() {
        let mut gguf = Gguf::default();
        gguf.tensors.push(Tensor::new("m", &[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        gguf.tensors.push(Tensor::vector("v", vec![7.0]));
        let bytes = written(&gguf);

        let m = 24;
        assert_eq!(bytes[m + 8], b'm');
        assert_eq!(bytes[m + 9..m + 13], 2u32.to_le_bytes());
        assert_eq!((u64_at(&bytes, m + 13), u64_at(&bytes, m + 21)), (3, 2));
        assert_eq!(u64_at(&bytes, m + 33), 0, "the first tensor's offset");

        let v = m + 41;
        assert_eq!(bytes[v + 9..v + 13], 1u32.to_le_bytes());
        assert_eq!(u64_at(&bytes, v + 13), 1);
        assert_eq!(u64_at(&bytes, v + 25), 32, "24 bytes of data, aligned");

        let data = (v + 33).next_multiple_of(ALIGNMENT);
        assert_eq!(bytes.len(), data + 2 * ALIGNMENT);
        assert_eq!(bytes[data..data + 4], 1f32.to_le_bytes());
        assert_eq!(bytes[data + 32..data + 36], 7f32.to_le_bytes());
    }

    #[test]
    #[should_panic(expected = "numbers for [2, 2]")]
    fn a_ragged_matrix_is_refused() {
        Tensor::new("m", &[2, 2], vec![0.0; 3]);
    }
}
