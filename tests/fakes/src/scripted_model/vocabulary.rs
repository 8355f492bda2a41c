//! The tokens of the scripted model: specials, bytes, common words, and the pieces of the answers.

use std::collections::HashMap;

use crate::gguf::{Gguf, Value};

/// Common words of Claude Code's prompt. With these and [`PIECES`], 77 kB of it are 18,000 tokens, as with the tokenizers
/// of real models. As bytes alone, it would be 77,000.
const WORDS: &str = include_str!("words.txt");

/// Frequent parts of the prompt other than words, each beginning where the tokenizer's previous token ends.
const PIECES: &[&str] = &[
    "\": \"",
    "\", \"",
    "\": {\"",
    "\"}, \"",
    "\": false",
    "\": true",
    "},\n{\"",
    "\"type\": \"string\"",
    "\"type\": \"object\"",
    "\"type\": \"boolean\"",
    "\"type\": \"function\", \"function\": {\"name\": \"",
    "\"description\": \"",
    "\"additionalProperties\": false",
    "\"properties\": {\"",
    "\"required\": [\"",
    "\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"",
    "\\u2014",
    "\\n- ",
    "\\n\\n",
    " `",
    " (",
    " —",
    " /",
    " |",
    " =",
    " \"",
    " '",
    " *",
    " →",
    " <",
    " --",
    " \\\"",
    "**",
    "..",
    "://",
    "##",
    "``",
    "  ",
    "00",
    "20",
    "30",
    ").",
    ");",
    "`,",
    "`.",
    "'s",
    "'t",
    ".\n",
    "\n\n",
    "\n- ",
    ". The",
    ". If",
    ". Use",
    ", or",
    ", and",
    ", not",
    ", so",
    "s, ",
    " of the",
    " in the",
    " to the",
    " the user",
    " for the",
    " for a",
    " with the",
    " from the",
    " when the",
    " in a",
    " as a",
    " it is",
    ".md",
    ".json",
    ".claude",
    "e.g.",
    "ing",
    ".\\n\\n",
    ".\\n- ",
    "\\n  ",
    ", \\\"",
    "\\\", \\\"",
    "description\": \"",
    "type\": \"string\", \"",
    "\": {\"description\": \"",
    "string\"}, \"",
    ".\", \"type\": \"string\"}, \"",
    "\", \"properties",
    ".\", \"parameters\": {\"",
    "object\", \"properties\": {\"",
    "required\": [\"",
    "\"], \"additionalProperties\": false",
    "\": false}}}\n{\"type\": \"function\", \"function\": {\"name\": \"",
    "\", \"description\": \"",
    "$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\", \"properties\": {\"",
    ": true",
    "}, \"",
    "\": [\"",
];

/// llama.cpp's `llama_token_type`.
#[derive(Clone, Copy)]
enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    /// Matched before all other tokens, and printed as it is.
    UserDefined = 4,
    Byte = 6,
}

/// The positions of the first special tokens, which the metadata contains.
const UNKNOWN: u32 = 0;
const BEGIN: u32 = 1;
const END: u32 = 2;
const FIRST_SPECIALS: [(&str, Kind); 3] =
    [("<unk>", Kind::Unknown), ("<s>", Kind::Control), (super::END, Kind::Control)];
/// The special tokens that the template writes around messages. The start tokens of the answers are added to them.
const ROLES: [&str; 3] = ["<|user|>", "<|tool|>", "<|system|>"];

pub struct Vocabulary {
    tokens: Vec<(String, Kind)>,
    ids: HashMap<String, usize>,
}

impl Vocabulary {
    /// Returns the vocabulary for answers (start token, pieces). No piece may occur twice.
    pub fn new(chains: &[(&str, &[String])]) -> Self {
        let mut vocabulary = Self { tokens: Vec::new(), ids: HashMap::new() };
        for (text, kind) in FIRST_SPECIALS {
            vocabulary.add(text, kind);
        }
        for byte in 0..=u8::MAX {
            vocabulary.add(&format!("<0x{byte:02X}>"), Kind::Byte);
        }
        for text in ROLES.into_iter().chain(chains.iter().map(|chain| chain.0)) {
            vocabulary.add(text, Kind::Control);
        }
        for piece in chains.iter().flat_map(|chain| chain.1) {
            let new = vocabulary.add(piece, Kind::UserDefined);
            assert!(new, "the script's piece {piece:?} occurs twice");
        }
        for word in WORDS.lines() {
            vocabulary.add_with_prefixes(word);
            vocabulary.add_with_prefixes(&format!(" {word}"));
        }
        for piece in PIECES {
            vocabulary.add_with_prefixes(piece);
        }
        vocabulary
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns the id of an existing token.
    pub fn id(&self, text: &str) -> usize {
        self.ids[text]
    }

    /// Returns the ids of tokens that aren't text by themselves: control tokens and bytes.
    pub fn without_text(&self) -> impl Iterator<Item = usize> {
        let has_text = |kind| matches!(kind, Kind::Normal | Kind::UserDefined);
        self.tokens.iter().enumerate().filter(move |(_, token)| !has_text(token.1)).map(|(id, _)| id)
    }

    /// Adds the tokenizer's part of the metadata.
    pub fn describe(&self, gguf: &mut Gguf) {
        let texts = self.tokens.iter().map(|token| token.0.clone()).collect();
        let kinds = self.tokens.iter().map(|token| token.1 as i32).collect();
        gguf.set("tokenizer.ggml.model", Value::String("llama".to_owned()));
        gguf.set("tokenizer.ggml.tokens", Value::Strings(texts));
        // With equal scores, the tokenizer merges from left to right, each word as far as possible.
        gguf.set("tokenizer.ggml.scores", Value::F32s(vec![0.0; self.tokens.len()]));
        gguf.set("tokenizer.ggml.token_type", Value::I32s(kinds));
        gguf.set("tokenizer.ggml.unknown_token_id", Value::U32(UNKNOWN));
        gguf.set("tokenizer.ggml.bos_token_id", Value::U32(BEGIN));
        gguf.set("tokenizer.ggml.eos_token_id", Value::U32(END));
        gguf.set("tokenizer.ggml.add_bos_token", Value::Bool(false));
        gguf.set("tokenizer.ggml.add_space_prefix", Value::Bool(false));
    }

    /// Adds a word and all its prefixes, because the tokenizer merges only two neighbors at a time.
    fn add_with_prefixes(&mut self, word: &str) {
        // This kind of tokenizer writes a space as U+2581.
        let word = word.replace(' ', "\u{2581}");
        for (end, _) in word.char_indices().skip(2) {
            self.add(&word[..end], Kind::Normal);
        }
        self.add(&word, Kind::Normal);
    }

    /// Returns whether the token is new.
    fn add(&mut self, text: &str, kind: Kind) -> bool {
        if self.ids.contains_key(text) {
            return false;
        }
        self.ids.insert(text.to_owned(), self.tokens.len());
        self.tokens.push((text.to_owned(), kind));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_are_where_the_metadata_says() {
        let vocabulary = Vocabulary::new(&[]);
        assert_eq!(vocabulary.id("<unk>"), UNKNOWN as usize);
        assert_eq!(vocabulary.id("<s>"), BEGIN as usize);
        assert_eq!(vocabulary.id(super::super::END), END as usize);
    }

    #[test]
    fn words_are_reachable_from_their_prefixes() {
        let vocabulary = Vocabulary::new(&[]);
        for prefix in ["\u{2581}t", "\u{2581}th", "\u{2581}the", "th", "the"] {
            assert!(vocabulary.ids.contains_key(prefix), "{prefix}");
        }
    }
}
