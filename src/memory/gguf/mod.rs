//! The metadata of a GGUF file (version 2 and 3, little-endian) that estimates and model lists need.
//!
//! Files come from anywhere, so no length in them is trusted: what is kept is bounded, what is skipped must lie within
//! the file, and a truncated or invalid header is an error. The crates for this format (`gguf`, `gguf-rs`) want the
//! whole file in memory or allocate what it asks for, hence our own reader. Tensors are not read.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use crate::base::disk;

/// The specification's limit.
const MAX_KEY: u64 = 65_535;
/// Chat templates are the longest strings.
const MAX_TEXT: u64 = 1024 * 1024;
/// Longer arrays are skipped; those we need have one value per layer.
const MAX_LIST: u64 = 4096;
/// Known models have about fifty keys.
const MAX_KEYS: u64 = 65_536;
/// A vocabulary of a million long words is smaller.
const MAX_HEADER: u64 = 256 * 1024 * 1024;
/// Nested arrays are allowed, but no known model has any.
const MAX_DEPTH: u32 = 4;

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Number(u64),
    Text(String),
    List(Vec<u64>),
}

/// The metadata of a model file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Header {
    values: BTreeMap<String, Value>,
}

impl Header {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// `InvalidData` for an invalid header, `UnexpectedEof` for a truncated one.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let file = disk::open(path)?;
        let size = file.metadata()?.len();
        Self::parse(BufReader::new(file), size)
    }

    fn parse(from: impl Read + Seek, size: u64) -> io::Result<Self> {
        let mut reader = HeaderReader { from, left: size.min(MAX_HEADER) };
        if reader.bytes::<4>()? != *b"GGUF" {
            return Err(invalid("it does not start with the letters GGUF"));
        }
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            return Err(invalid("its GGUF version is not 2 or 3"));
        }
        let _tensors = reader.u64()?;
        let keys = reader.u64()?;
        if keys > MAX_KEYS {
            return Err(invalid("its number of metadata keys is out of range"));
        }
        let mut header = Header::default();
        for _ in 0..keys {
            let key = reader.text(MAX_KEY)?;
            let kind = reader.u32()?;
            if let Some(value) = reader.value(kind, 0)? {
                header.values.insert(key, value);
            }
        }
        Ok(header)
    }

    /// Returns the quantization of most weights, by llama.cpp's names (`enum llama_ftype`).
    pub(crate) fn quantization(&self) -> Option<&'static str> {
        Some(match self.number("general.file_type")? {
            0 => "F32",
            1 => "F16",
            2 => "Q4_0",
            3 => "Q4_1",
            7 => "Q8_0",
            8 => "Q5_0",
            9 => "Q5_1",
            10 => "Q2_K",
            11 => "Q3_K_S",
            12 => "Q3_K_M",
            13 => "Q3_K_L",
            14 => "Q4_K_S",
            15 => "Q4_K_M",
            16 => "Q5_K_S",
            17 => "Q5_K_M",
            18 => "Q6_K",
            19 => "IQ2_XXS",
            20 => "IQ2_XS",
            21 => "Q2_K_S",
            22 => "IQ3_XS",
            23 => "IQ3_XXS",
            24 => "IQ1_S",
            25 => "IQ4_NL",
            26 => "IQ3_S",
            27 => "IQ3_M",
            28 => "IQ2_S",
            29 => "IQ2_M",
            30 => "IQ4_XS",
            31 => "IQ1_M",
            32 => "BF16",
            36 => "TQ1_0",
            37 => "TQ2_0",
            38 => "MXFP4",
            39 => "NVFP4",
            _ => return None,
        })
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        match self.values.get(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns an array of integers, as files have for values that differ per layer.
    pub(crate) fn list(&self, key: &str) -> Option<&[u64]> {
        match self.values.get(key)? {
            Value::List(list) => Some(list),
            _ => None,
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

struct HeaderReader<R> {
    from: R,
    /// Bytes left in the file or up to the limit of a header.
    left: u64,
}

impl<R: Read + Seek> HeaderReader<R> {
    fn take(&mut self, count: u64) -> io::Result<()> {
        self.left = self.left.checked_sub(count).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.take(N as u64)?;
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.take(count)?;
        // It lies within the file, so it fits.
        self.from.seek_relative(i64::try_from(count).map_err(|_| io::ErrorKind::UnexpectedEof)?)
    }

    fn text(&mut self, limit: u64) -> io::Result<String> {
        let length = self.u64()?;
        if length > limit {
            return Err(invalid("the length of a string is out of range"));
        }
        self.take(length)?;
        let mut bytes = Vec::new();
        let read = self.from.by_ref().take(length).read_to_end(&mut bytes)?;
        if (read as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads a value. `None` for kinds that are skipped.
    fn value(&mut self, kind: u32, depth: u32) -> io::Result<Option<Value>> {
        Ok(match kind {
            8 => Some(Value::Text(self.text(MAX_TEXT)?)),
            9 => self.array(depth)?,
            _ => self.number(kind)?.map(Value::Number),
        })
    }

    /// Reads a number. `None` if it is negative or a float.
    fn number(&mut self, kind: u32) -> io::Result<Option<u64>> {
        Ok(match kind {
            0 | 7 => Some(u64::from(self.bytes::<1>()?[0])),
            1 => u64::try_from(i8::from_le_bytes(self.bytes()?)).ok(),
            2 => Some(u64::from(u16::from_le_bytes(self.bytes()?))),
            3 => u64::try_from(i16::from_le_bytes(self.bytes()?)).ok(),
            4 => Some(u64::from(self.u32()?)),
            5 => u64::try_from(i32::from_le_bytes(self.bytes()?)).ok(),
            6 => self.skip(4).map(|()| None)?,
            10 => Some(self.u64()?),
            11 => u64::try_from(i64::from_le_bytes(self.bytes()?)).ok(),
            12 => self.skip(8).map(|()| None)?,
            _ => return Err(invalid("it has a value of unknown type")),
        })
    }

    fn array(&mut self, depth: u32) -> io::Result<Option<Value>> {
        let kind = self.u32()?;
        let length = self.u64()?;
        match width(kind) {
            Some(width) if length <= MAX_LIST && !matches!(kind, 6 | 12) => {
                self.left.checked_sub(length * width).ok_or(io::ErrorKind::UnexpectedEof)?;
                let numbers = (0..length).map(|_| Ok(self.number(kind)?.unwrap_or(0)));
                Ok(Some(Value::List(numbers.collect::<io::Result<_>>()?)))
            }
            Some(width) => {
                self.skip(length.checked_mul(width).ok_or(io::ErrorKind::UnexpectedEof)?)?;
                Ok(None)
            }
            // Each element takes at least eight bytes, so these loops end with the file.
            None if kind == 8 => {
                for _ in 0..length {
                    let text = self.u64()?;
                    self.skip(text)?;
                }
                Ok(None)
            }
            None if kind == 9 && depth < MAX_DEPTH => {
                for _ in 0..length {
                    self.array(depth + 1)?;
                }
                Ok(None)
            }
            None => Err(invalid("it has an array of unknown type")),
        }
    }
}

/// Returns the size in bytes of a number, or `None` for other types.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Returns all files of a split model (`…-00001-of-0000N.gguf`), or the file itself for any other model.
pub(crate) fn parts(first: &Path) -> Vec<PathBuf> {
    let parts = || {
        let name = first.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = name.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(number) || !digits(count) {
            return None;
        }
        let count: u32 = count.parse().ok().filter(|count| *count > 0)?;
        Some((1..=count).map(|part| first.with_file_name(format!("{stem}-{part:05}-of-{count:05}.gguf"))).collect())
    };
    parts().unwrap_or_else(|| vec![first.to_owned()])
}

/// Returns the size of all files of a model in bytes, or `None` if one is missing.
pub(crate) fn size(first: &Path) -> Option<u64> {
    parts(first).iter().try_fold(0, |sum: u64, part| Some(sum.saturating_add(part.metadata().ok()?.len())))
}

#[cfg(test)]
pub(crate) mod tests;
