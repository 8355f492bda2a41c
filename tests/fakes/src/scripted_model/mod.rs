//! A small GGUF file with hand-set weights: a real llama-server that loads it answers by script.
//!
//! The layers fill the prompt cache, but add nothing: each token's embedding passes through unchanged, and
//! the output matrix maps it to the next token. So the last token of the prompt determines the
//! whole answer, and the chat template chooses that token: `<|act|>` when tools are offered,
//! `<|done|>` after a tool's result, `<|long|>` when the user says [`LONG_WORD`], and `<|assistant|>`
//! otherwise. It needs no download, is deterministic, and runs a whole agent loop in a second.
//!
//! Such an answer doesn't depend on the prompt cache. To find out whether a cache is right, use [`Weights::Random`].

mod network;
mod random;
mod vocabulary;
mod weights;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::gguf::{Gguf, Value};
pub use network::Shape;
use random::Random;
use vocabulary::Vocabulary;

/// This word in the last user message requests [`Script::long`]. The template contains it too.
pub const LONG_WORD: &str = "at-length";

const END: &str = "<|end|>";
const TEMPLATE: &str = include_str!("template.jinja");

/// What a model's answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// The script: only the last token of the prompt matters.
    Scripted,
    /// Random numbers from this seed: the answers are nonsense, and every token of the prompt matters.
    Random(u64),
}

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
    pub shape: Shape,
    pub weights: Weights,
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
            shape: Shape::Tiny,
            weights: Weights::Scripted,
        }
    }
}

impl Script {
    /// Replaces the template, in which the tools come first, by one that begins with the system prompt, as those of
    /// Qwen3-Coder and Gemma.
    pub fn system_first(mut self) -> Self {
        let changed = self.template.replacen("system_first = false", "system_first = true", 1);
        assert!(changed != self.template, "the template has no such switch");
        self.template = changed;
        self
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

    let mut gguf = Gguf::default();
    let (width, tokens) = (script.shape.width(), vocabulary.len());
    match script.weights {
        Weights::Scripted => {
            network::add(&mut gguf, script.shape, true, &mut Random::new(0));
            gguf.tensors.extend(weights::tensors(width, tokens, &successors, vocabulary.id(END)));
        }
        Weights::Random(seed) => {
            let mut random = Random::new(seed);
            network::add(&mut gguf, script.shape, false, &mut random);
            gguf.tensors.push(random.tensor("token_embd.weight", &[width, tokens]));
            // The answer doesn't end at once or begin with half a character, so that there is a first token to compare.
            let output = random.tensor("output.weight", &[width, tokens]);
            gguf.tensors.push(output.with_zero_rows(vocabulary.without_text()));
        }
    }
    gguf.set("general.name", Value::String("tiny-scripted".to_owned()));
    gguf.set(&format!("{}.context_length", script.shape.architecture()), Value::U32(script.context));
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
