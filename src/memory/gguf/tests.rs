//! Reads valid, truncated and corrupted headers.

use std::io::Cursor;

use super::*;

/// Builds a header key by key.
#[derive(Default)]
pub(crate) struct Written {
    count: u64,
    bytes: Vec<u8>,
}

impl Written {
    fn key(mut self, key: &str, kind: u32) -> Self {
        self.count += 1;
        self.bytes.extend((key.len() as u64).to_le_bytes());
        self.bytes.extend(key.as_bytes());
        self.bytes.extend(kind.to_le_bytes());
        self
    }

    pub(crate) fn number(self, key: &str, value: u32) -> Self {
        let mut written = self.key(key, 4);
        written.bytes.extend(value.to_le_bytes());
        written
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        let mut written = self.key(key, 8);
        written.bytes.extend((value.len() as u64).to_le_bytes());
        written.bytes.extend(value.as_bytes());
        written
    }

    pub(crate) fn list(self, key: &str, values: &[i32]) -> Self {
        let mut written = self.key(key, 9);
        written.bytes.extend(5u32.to_le_bytes());
        written.bytes.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| written.bytes.extend(value.to_le_bytes()));
        written
    }

    pub(crate) fn texts(self, key: &str, values: &[&str]) -> Self {
        let mut written = self.key(key, 9);
        written.bytes.extend(8u32.to_le_bytes());
        written.bytes.extend((values.len() as u64).to_le_bytes());
        for value in values {
            written.bytes.extend((value.len() as u64).to_le_bytes());
            written.bytes.extend(value.as_bytes());
        }
        written
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let head = [b"GGUF".as_slice(), &3u32.to_le_bytes(), &0u64.to_le_bytes(), &self.count.to_le_bytes()];
        [&head.concat()[..], &self.bytes].concat()
    }

    pub(crate) fn header(&self) -> Header {
        parse(&self.bytes()).expect("a good header")
    }
}

fn parse(bytes: &[u8]) -> io::Result<Header> {
    Header::parse(Cursor::new(bytes), bytes.len() as u64)
}

fn sample() -> Written {
    Written::default()
        .text("general.architecture", "llama")
        .number("llama.block_count", 2)
        .list("llama.attention.head_count_kv", &[8, 0])
        .texts("tokenizer.ggml.tokens", &["a", "bc", ""])
        .text("tokenizer.chat_template", "{{ tools }}")
}

#[test]
fn header_is_read_back() {
    let header = sample().header();
    assert_eq!(header.text("general.architecture"), Some("llama"));
    assert_eq!(header.number("llama.block_count"), Some(2));
    assert_eq!(header.list("llama.attention.head_count_kv"), Some(&[8, 0][..]));
    assert_eq!(header.text("tokenizer.chat_template"), Some("{{ tools }}"));
    assert_eq!(header.number("general.architecture"), None);
}

#[test]
fn truncated_header_is_an_error() {
    let whole = sample().bytes();
    for length in 0..whole.len() {
        assert!(parse(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    assert!(parse(&whole).is_ok());
}

#[test]
fn lengths_in_a_file_are_not_trusted() {
    let whole = sample().bytes();
    // Overwrite eight bytes at every offset, some of which hold lengths: no panic, endless loop or huge allocation.
    for at in 0..whole.len().saturating_sub(8) {
        for byte in [0xff, 0x7f, 0x0f] {
            let mut broken = whole.clone();
            broken[at..at + 8].fill(byte);
            let _ = parse(&broken);
        }
    }
    for (at, what) in [(4, "version"), (16, "number of keys"), (24, "length of a key")] {
        let mut broken = whole.clone();
        broken[at..at + 4].fill(0xff);
        assert!(parse(&broken).is_err(), "{what}");
    }
}

#[test]
fn deeply_nested_arrays_are_an_error() {
    let mut written = Written::default().key("deep", 9);
    for _ in 0..1000 {
        written.bytes.extend(9u32.to_le_bytes());
        written.bytes.extend(1u64.to_le_bytes());
    }
    assert!(parse(&written.bytes()).is_err());
}

#[test]
fn random_bytes_do_not_panic() {
    // xorshift64, with the same numbers in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..2000 {
        let mut bytes = sample().bytes();
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = 4 + state as usize % (bytes.len() - 4);
            bytes[at] = (state >> 32) as u8;
        }
        let _ = parse(&bytes);
    }
}

#[test]
fn size_of_a_split_model_is_the_sum_of_its_parts() {
    let root = tempfile::tempdir().expect("a directory");
    let first = root.path().join("x-00001-of-00002.gguf");
    std::fs::write(&first, "123").expect("a file");
    assert_eq!(size(&first), None, "one is missing");
    std::fs::write(root.path().join("x-00002-of-00002.gguf"), "4567").expect("a file");
    assert_eq!(size(&first), Some(7));
}

#[test]
fn parts_are_derived_from_the_file_name() {
    let names =
        |name: &str| -> Vec<String> { parts(Path::new(name)).iter().map(|part| part.display().to_string()).collect() };
    assert_eq!(names("/m/x-00001-of-00002.gguf"), ["/m/x-00001-of-00002.gguf", "/m/x-00002-of-00002.gguf"]);
    assert_eq!(names("/m/x-1-of-2.gguf"), ["/m/x-1-of-2.gguf"]);
    assert_eq!(names("/m/out-of-date.gguf"), ["/m/out-of-date.gguf"]);
}
