//! A small GGUF file with hand-set weights: a real llama-server that loads it answers by script.
//!
//! The one transformer block is all zeros, so each token's embedding passes through unchanged, and
//! the output matrix maps it to the next token. So the last token of the prompt determines the
//! whole answer, and the chat template chooses that token: `<|act|>` when tools are offered,
//! `<|done|>` after a tool's result, `<|long|>` when the user says [`LONG_WORD`], and `<|assistant|>`
//! otherwise. It needs no download, is deterministic, and runs a whole agent loop in a second.

mod vocabulary;
mod weights;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::gguf::{Gguf, Value};
use vocabulary::Vocabulary;

/// This word in the last user message requests [`Script::long`]. The template contains it too.
pub const LONG_WORD: &str = "at-length";

const END: &str = "<|end|>";
const TEMPLATE: &str = include_str!("template.jinja");

/// The model's answers. Every answer is a list of pieces, one token each. No piece may occur twice
/// in a script, because the model sees only the last token.
#[derive(Debug, Clone)]
pub struct Script {
    /// The answer if tools are offered; usually a [`tool_call`].
    pub act: Vec<String>,
    /// The answer after a tool result.
    pub done: Vec<String>,
    /// The answer if no tools are offered.
    pub plain: Vec<String>,
    /// The answer to a message that contains [`LONG_WORD`].
    pub long: Vec<String>,
    /// Whether the long answer repeats until the request's token limit, so that a test can act in the
    /// middle of it on any machine.
    pub long_is_endless: bool,
    /// The chat template, which can be replaced by one without tool calling.
    pub template: String,
    /// The context that the model was trained for, in tokens.
    pub context: u32,
}

impl Default for Script {
    /// A script that writes `proof.txt` with the Bash tool and reports it.
    fn default() -> Self {
        Self {
            act: tool_call(
                "Bash",
                r#"{"command": "echo made-by-local-model > proof.txt", "description": "write proof"}"#,
            ),
            done: pieces(["The local model ", "wrote ", "proof.txt."]),
            plain: pieces(["Hello ", "from the ", "tiny local model."]),
            long: (1..=400).map(|n| format!("line {n:03} of a long answer\n")).collect(),
            long_is_endless: false,
            template: TEMPLATE.to_owned(),
            context: 131_072,
        }
    }
}

/// Returns the pieces of a call of the tool `name`. `arguments` is a JSON object in the order of the
/// tool's schema.
pub fn tool_call(name: &str, arguments: &str) -> Vec<String> {
    // llama-server detects a call at `<tool_call>`, which must be one token.
    let call = format!(r#"{{"name": "{name}", "arguments": {arguments}}}"#);
    vec!["<tool_call>".to_owned(), call, "</tool_call>".to_owned()]
}

/// Writes the model to `path`.
pub fn write(path: &Path, script: &Script) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    model(script).write(&mut out)?;
    out.flush()
}

fn pieces<const N: usize>(pieces: [&str; N]) -> Vec<String> {
    pieces.map(str::to_owned).into()
}

/// Returns the answers, each with the start token with which the template ends the prompt.
fn chains(script: &Script) -> [(&'static str, &[String]); 4] {
    [("<|assistant|>", &script.plain), ("<|act|>", &script.act), ("<|done|>", &script.done), ("<|long|>", &script.long)]
}

fn model(script: &Script) -> Gguf {
    let chains = chains(script);
    let vocabulary = Vocabulary::new(&chains);

    // The successor of each token. Tokens without one, such as the last ones, end the turn.
    let mut successors = Vec::new();
    for (start, answer) in chains {
        let tokens: Vec<usize> =
            std::iter::once(start).chain(answer.iter().map(String::as_str)).map(|text| vocabulary.id(text)).collect();
        successors.extend(tokens.windows(2).map(|pair| (pair[0], pair[1])));
        if script.long_is_endless && start == "<|long|>" {
            successors.push((tokens[tokens.len() - 1], tokens[1]));
        }
    }

    let mut gguf =
        Gguf { tensors: weights::tensors(vocabulary.len(), &successors, vocabulary.id(END)), ..Gguf::default() };
    gguf.set("general.architecture", Value::String("llama".to_owned()));
    gguf.set("general.name", Value::String("tiny-scripted".to_owned()));
    gguf.set("llama.context_length", Value::U32(script.context));
    weights::describe(&mut gguf);
    vocabulary.describe(&mut gguf);
    gguf.set("tokenizer.chat_template", Value::String(script.template.clone()));
    gguf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_contains_the_word_for_a_long_answer() {
        assert!(TEMPLATE.contains(&format!("'{LONG_WORD}'")));
    }

    #[test]
    fn template_contains_every_start_token() {
        for (start, _) in chains(&Script::default()) {
            assert!(TEMPLATE.contains(start), "{start}");
        }
    }

    #[test]
    fn model_is_a_gguf_file_of_a_few_megabytes() {
        let mut bytes = Vec::new();
        model(&Script::default()).write(&mut bytes).expect("a Vec takes everything written to it");
        assert_eq!(&bytes[..4], b"GGUF");
        assert!(bytes.len() < 8_000_000, "{} bytes", bytes.len());
    }

    #[test]
    #[should_panic(expected = "occurs twice")]
    fn a_piece_used_twice_is_refused() {
        let script = Script { plain: pieces(["again ", "again "]), ..Script::default() };
        model(&script);
    }
}
