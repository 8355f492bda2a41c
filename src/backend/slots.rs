//! llama-server's slot, which holds one conversation: reading the beginning of a prompt into it, saving it to a file, and
//! restoring it.
//!
//! As of b11434 a file is `magic, version, count`, `count` numbers and the cache, and the numbers are `-1, 1, tokens`, the IDs
//! of so many tokens, and the number of images (`server_tokens::serialize`). The server checks neither model nor
//! content: a file that is cut short aborts it, and a damaged one gives wrong answers, so the caller verifies files first.
//! Models with recurrent layers reuse a file only if it is an exact prefix of the prompt.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{http, plan::Endpoint};
use crate::{memory::PromptReuse, warm::Prefix};

/// The only slot, since lclaude starts the server with one.
const SLOT: u32 = 0;
/// How long the server may take to read a prompt. A processor can take many minutes.
const READ_TIMEOUT: Duration = Duration::from_secs(3600);
/// How long the server may take to read gigabytes from a file.
const FILE_TIMEOUT: Duration = Duration::from_secs(60);
/// The numbers of requests that wait and that are worked on, in `/metrics`.
const QUEUED: &[u8] = b"llamacpp:requests_deferred ";
const PROCESSED: &[u8] = b"llamacpp:requests_processing ";
/// How often [`Slots::wake_queue`] looks at first, and at most.
const QUEUE_CHECKS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// The server rounds a context up, by less than this many tokens.
const CONTEXT_PADDING: usize = 1024;
/// The longest answer with tokens, in bytes.
const TOKENS_BYTES: usize = 16 << 20;
/// How the list of tokens in a slot's file starts: a mark and the version of its format.
const TOKENS: [i32; 2] = [-1, 1];
/// The version of a slot's file (`LLAMA_STATE_SEQ_VERSION`).
const FILE_VERSION: u32 = 4;

/// What becomes of the beginning of a prompt that a server has read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PromptCache {
    /// Nothing is known, or it isn't ours to fill.
    Unknown,
    /// The server keeps it while it runs.
    Memory,
    /// A slot keeps it, which can be saved.
    Slot(SlotCache),
}

/// What a slot's file depends on, and how it can be used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SlotCache {
    /// The model's file.
    pub model: PathBuf,
    pub reuse: PromptReuse,
    /// Bytes for each thousand tokens, at most.
    pub bytes: u64,
}

/// The tokens of a prefix.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PrefixTokens {
    pub all: Vec<i32>,
    /// How many of them are the same in every project.
    pub shared: usize,
}

/// Why a slot wasn't restored.
#[derive(Debug, PartialEq)]
pub(crate) enum RestoreError {
    /// The server refused the file, and goes on without it.
    Refused(String),
    /// The server is gone.
    Lost,
}

/// The answer of `/v1/messages/count_tokens`.
#[derive(Deserialize)]
struct Count {
    input_tokens: usize,
}

/// The answer of `/apply-template`.
#[derive(Deserialize)]
struct Prompt {
    prompt: String,
}

/// The answer of `/tokenize`.
#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<i32>,
}

/// A server, and how to reach it.
#[derive(Clone, Copy)]
pub(crate) struct Slots<'a> {
    pub client: &'a Client,
    pub endpoint: &'a Endpoint,
}

impl Slots<'_> {
    /// Returns the tokens that a prompt with this prefix starts with, or `None` if the server counts another number than
    /// the prompt has.
    pub(crate) async fn tokens(&self, model: &str, prefix: &Prefix) -> Option<PrefixTokens> {
        let one = self.tokenize(prefix, ".").await?;
        let count: Count = self.post("v1/messages/count_tokens", &prefix.request(model)).await?;
        if count.input_tokens != one.len() {
            tracing::warn!(counted = count.input_tokens, built = one.len(), "the server builds another prompt");
            return None;
        }
        // As what follows starts in Claude Code.
        let other = self.tokenize(prefix, "<").await?;
        let all = common(&one, &other);
        let shared = match prefix.elsewhere() {
            Some(elsewhere) => common(&one[..all], &self.tokenize(&elsewhere, ".").await?),
            None => 0,
        };
        Some(PrefixTokens { all: one[..all].to_vec(), shared })
    }

    /// Returns the tokens of the prompt in which the user says `text`.
    async fn tokenize(&self, prefix: &Prefix, text: &str) -> Option<Vec<i32>> {
        let Prompt { prompt } = self.post("apply-template", &chat(prefix, text)).await?;
        // As the server itself tokenizes a prompt.
        let body = json!({"content": prompt, "add_special": true, "parse_special": true});
        let Tokens { tokens } = self.post("tokenize", &body).await?;
        Some(tokens)
    }

    async fn post<T: serde::de::DeserializeOwned>(&self, route: &str, body: &Value) -> Option<T> {
        let answer = self.send(route, body, READ_TIMEOUT).await.ok()?;
        http::read_json(answer.error_for_status().ok()?, TOKENS_BYTES).await.ok()
    }

    /// Makes the slot hold exactly these tokens. Calls `started` when the server starts with it, after the requests that came
    /// before. Returns whether it succeeded. When this is dropped, the server stops, and keeps what it has read.
    pub(crate) async fn read(&self, tokens: &[i32], started: impl FnOnce()) -> bool {
        let body = json!({
            "prompt": tokens, "n_predict": 0, "cache_prompt": true, "id_slot": SLOT, "stream": true, "return_progress": true,
        });
        let Ok(mut answer) = self.send("completion", &body, READ_TIMEOUT).await else {
            return false;
        };
        if !answer.status().is_success() {
            return false;
        }
        let mut started = Some(started);
        loop {
            match answer.chunk().await {
                Ok(Some(_)) => {
                    if let Some(started) = started.take() {
                        started();
                    }
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Returns whether a request waits until the slot is free.
    pub(crate) async fn has_queue(&self) -> bool {
        self.counts().await.is_some_and(|[queued, _]| queued)
    }

    /// Lets a request go on that waited while the slot was saved.
    ///
    /// When a request ends, llama-server b11434 takes only one of those that wait. If that is to save the slot, the others
    /// wait forever, until another request ends. So this sends one that the server refuses at once: its prompt is longer
    /// than `context`. It changes nothing in the slot.
    pub(crate) async fn wake_queue(&self, context: u32) {
        let [mut pause, longest] = QUEUE_CHECKS;
        while let Some([true, is_busy]) = self.counts().await {
            if !is_busy {
                let body =
                    json!({"prompt": vec![0; context as usize + CONTEXT_PADDING], "n_predict": 0, "id_slot": SLOT});
                // The answer is an error.
                let _ = self.send("completion", &body, READ_TIMEOUT).await;
            }
            sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    /// Returns whether requests wait, and whether one is worked on, or `None` if the server doesn't tell.
    async fn counts(&self) -> Option<[bool; 2]> {
        let request = self.client.get(format!("{}/metrics", self.endpoint.url));
        let answer = self.endpoint.authorize(request).timeout(READ_TIMEOUT).send().await.ok()?;
        let body = http::read_body(answer, http::ANSWER_BYTES).await.ok()?;
        let number = |name: &[u8]| {
            let mut lines = body.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(name));
            lines.next().map(|count| count.trim_ascii() != b"0")
        };
        Some([number(QUEUED)?, number(PROCESSED)?])
    }

    /// Saves the slot in the file of this name, in the directory that the server was started with, once the requests that came
    /// before are done. Returns whether it succeeded.
    pub(crate) async fn save(&self, name: &str) -> bool {
        self.act("save", name, READ_TIMEOUT).await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Restores the slot from the file of this name.
    ///
    /// # Errors
    /// If the server refuses the file, or is gone.
    pub(crate) async fn restore(&self, name: &str) -> Result<(), RestoreError> {
        let answer = self.act("restore", name, FILE_TIMEOUT).await.map_err(|_| RestoreError::Lost)?;
        if answer.status().is_success() {
            return Ok(());
        }
        let body = http::read_body(answer, http::ANSWER_BYTES).await.map_err(|_| RestoreError::Lost)?;
        Err(RestoreError::Refused(http::error_message(&body).unwrap_or_default()))
    }

    async fn act(&self, action: &str, name: &str, limit: Duration) -> Result<reqwest::Response, reqwest::Error> {
        self.send(&format!("slots/{SLOT}?action={action}"), &json!({"filename": name}), limit).await
    }

    async fn send(&self, route: &str, body: &Value, limit: Duration) -> Result<reqwest::Response, reqwest::Error> {
        let request = self.client.post(format!("{}/{route}", self.endpoint.url)).json(body);
        self.endpoint.authorize(request).timeout(limit).send().await
    }
}

/// Makes a server read the beginning of a prompt. When this is dropped, the server stops, and keeps what it has read.
pub(crate) async fn prime(client: &Client, endpoint: &Endpoint, request: &Value) {
    let request = client.post(format!("{}/v1/messages", endpoint.url)).json(request);
    let answer = endpoint.authorize(request).timeout(READ_TIMEOUT).send().await;
    tracing::info!(status = ?answer.map(|answer| answer.status()), "prompt read in advance");
}

/// Returns the request that llama-server makes of one to its Messages API (`server_chat_convert_anthropic_to_oai`).
fn chat(prefix: &Prefix, text: &str) -> Value {
    let tools: Vec<Value> = prefix.tools().iter().map(function).collect();
    let system = match prefix.system() {
        Value::Array(parts) => Value::String(parts.iter().filter_map(|part| part["text"].as_str()).collect()),
        other => other.clone(),
    };
    let mut messages = vec![prefix.message(text)];
    if !system.is_null() {
        messages.insert(0, json!({"role": "system", "content": system}));
    }
    json!({"messages": messages, "tools": tools})
}

fn function(tool: &Value) -> Value {
    let text = |name: &str| tool[name].as_str().unwrap_or_default();
    let parameters = tool.get("input_schema").cloned().unwrap_or_else(|| json!({}));
    json!({
        "type": "function",
        "function": {"name": text("name"), "description": text("description"), "parameters": parameters},
    })
}

/// Returns how many tokens both start with.
fn common(one: &[i32], other: &[i32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Returns whether a slot's file holds exactly these tokens.
///
/// # Errors
/// If it can't be read, or has another format.
pub(crate) fn holds(file: &Path, tokens: &[i32]) -> io::Result<bool> {
    let mut file = BufReader::new(File::open(file)?);
    let mut number = || {
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes).map(|()| i32::from_le_bytes(bytes))
    };
    let (_magic, version, count) = (number()?, number()?, number()?);
    if version.cast_unsigned() != FILE_VERSION || [number()?, number()?] != TOKENS {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "unknown format"));
    }
    let held = number()?;
    // One more number says that there are no images.
    if i32::try_from(tokens.len()).ok() != Some(held) || count != held.saturating_add(4) {
        return Ok(false);
    }
    for token in tokens.iter().chain([&0]) {
        if number()? != *token {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(numbers: &[i32]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(file.path(), bytes).expect("it can be written");
        file
    }

    #[test]
    fn file_is_only_used_with_exactly_its_tokens() {
        let good = [0x6767_7371, 4, 6, -1, 1, 2, 7, 8, 0, 99];
        let holds = |numbers: &[i32], tokens: &[i32]| holds(file(numbers).path(), tokens).ok();
        assert_eq!(holds(&good, &[7, 8]), Some(true));
        for other in [&[7][..], &[7, 9], &[7, 8, 99], &[]] {
            assert_eq!(holds(&good, other), Some(false), "{other:?}");
        }
        let another = |at: usize, number: i32| {
            let mut numbers = good;
            numbers[at] = number;
            numbers
        };
        assert_eq!(holds(&another(1, 5), &[7, 8]), None, "another version");
        assert_eq!(holds(&another(4, 2), &[7, 8]), None, "with images");
        assert_eq!(holds(&another(2, 9), &[7, 8]), Some(false), "more than the tokens");
        assert_eq!(holds(&another(8, 1), &[7, 8]), Some(false), "an image");
        assert_eq!(holds(&good[..7], &[7, 8]), None, "cut short");
    }

    #[test]
    fn chat_has_what_llama_server_makes_of_a_message() {
        let request = json!({
            "tools": [{"name": "Bash", "description": "Runs.", "input_schema": {"type": "object"}}],
            "system": [{"type": "text", "text": "You are "}, {"type": "text", "text": "an agent."}],
            "messages": [{"role": "user", "content": []}],
        });
        let prefix = Prefix::of(request.to_string().as_bytes()).expect("a prefix");
        let chat = chat(&prefix, "hello").to_string();
        assert_eq!(
            chat,
            json!({
                "messages": [
                    {"role": "system", "content": "You are an agent."},
                    {"role": "user", "content": [{"type": "text", "text": "hello"}]},
                ],
                "tools": [{"type": "function", "function": {
                    "name": "Bash", "description": "Runs.", "parameters": {"type": "object"},
                }}],
            })
            .to_string()
        );
    }
}
