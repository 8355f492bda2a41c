//! The answer of `/v1/models`, with the extra fields of several servers.

use std::{borrow::Cow, fmt};

use reqwest::{Client, RequestBuilder};
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{http, plan::Endpoint};

/// The most models of a list, since all are kept in memory. A gateway has a few thousand.
const MAX_MODELS: usize = 150_000;

/// A model that a server lists.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ModelEntry {
    pub id: String,
    /// Tokens of context.
    pub context: Option<u32>,
    /// The tokens that it was trained for.
    pub trained: Option<u32>,
    aliases: Vec<String>,
    /// From llama-server's router.
    pub status: Option<Status>,
}

/// The state of a model of llama-server's router.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Status {
    #[serde(default)]
    pub value: String,
    /// Set once its server has ended.
    #[serde(default)]
    pub exit_code: Option<i64>,
}

impl ModelEntry {
    /// Returns whether requests can use this name for it.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// The answer of `/v1/models`.
#[derive(Deserialize)]
pub(crate) struct ModelList {
    #[serde(deserialize_with = "read_entries")]
    pub data: Vec<ModelEntry>,
    /// Whether the server has more models, on other pages.
    #[serde(default)]
    pub has_more: bool,
}

/// An entry as the server sends it. Each field is read on its own, so that an invalid one doesn't affect the others.
#[derive(Deserialize)]
struct SentEntry<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    /// From vLLM and SGLang.
    #[serde(borrow, default)]
    max_model_len: Option<&'a RawValue>,
    /// From `OpenRouter`, llama-swap and others.
    #[serde(borrow, default)]
    context_length: Option<&'a RawValue>,
    /// From `LiteLLM` and Anthropic.
    #[serde(borrow, default)]
    max_input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    aliases: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct SentMeta<'a> {
    /// From llama.cpp.
    #[serde(borrow, default)]
    n_ctx: Option<&'a RawValue>,
    #[serde(borrow, default)]
    n_ctx_train: Option<&'a RawValue>,
    #[serde(borrow, default)]
    llamaswap: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct SentSwap<'a> {
    #[serde(borrow, default)]
    aliases: Option<&'a RawValue>,
}

impl From<SentEntry<'_>> for ModelEntry {
    fn from(sent: SentEntry<'_>) -> Self {
        let meta: SentMeta = read(sent.meta).unwrap_or_default();
        let swap: SentSwap = read(meta.llamaswap).unwrap_or_default();
        let contexts = [sent.max_model_len, meta.n_ctx, sent.context_length, sent.max_input_tokens];
        let aliases = [sent.aliases, swap.aliases].into_iter().filter_map(read::<Vec<String>>).flatten();
        ModelEntry {
            context: contexts.into_iter().find_map(tokens),
            trained: tokens(meta.n_ctx_train),
            aliases: aliases.collect(),
            status: read(sent.status),
            id: sent.id.into_owned(),
        }
    }
}

/// Returns a field's value, or `None` if it has another type.
fn read<'a, T: Deserialize<'a>>(field: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(field?.get()).ok()
}

/// Returns a number of tokens. 0 stands for unknown, and no model has more than fit in 32 bits.
fn tokens(field: Option<&RawValue>) -> Option<u32> {
    read(field).filter(|tokens| *tokens > 0)
}

fn read_entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ModelEntry>, D::Error> {
    struct Entries;

    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<ModelEntry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of models")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sent: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = sent.next_element::<SentEntry>()? {
                if entries.len() == MAX_MODELS {
                    return Err(A::Error::custom("too many models"));
                }
                entries.push(entry.into());
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_seq(Entries)
}

/// Returns the request for the server's models.
pub(crate) fn request(client: &Client, endpoint: &Endpoint) -> RequestBuilder {
    endpoint.authorize(client.get(format!("{}/v1/models", endpoint.url)))
}

/// Returns the models that a server lists, or `None` if it lists none.
pub(crate) async fn get(client: &Client, endpoint: &Endpoint) -> Option<Vec<ModelEntry>> {
    let answer = request(client, endpoint).timeout(http::ANSWER_TIMEOUT).send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    Some(read_list(answer).await.ok()?.data)
}

/// Reads the list of models in a response.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) async fn read_list(answer: reqwest::Response) -> Result<ModelList, String> {
    let body = http::read_body(answer, http::LIST_BYTES).await?;
    parse(&body)
}

/// Parses the body, which is borrowed while the entries are read.
fn parse(body: &[u8]) -> Result<ModelList, String> {
    serde_json::from_slice(body).map_err(|error| http::describe_json_error(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &str) -> ModelEntry {
        let list = parse(format!("{{\"data\": [{{\"id\": \"m\", {fields}}}]}}").as_bytes()).expect("a list");
        list.data.into_iter().next().expect("an entry")
    }

    #[test]
    fn context_is_read_from_the_fields_of_all_servers() {
        for fields in [
            "\"max_model_len\": 65536",
            "\"max_input_tokens\": 65536",
            "\"context_length\": 65536, \"max_input_tokens\": 70000",
            "\"meta\": {\"n_ctx\": 65536, \"n_ctx_train\": 131072}",
            "\"max_model_len\": null, \"context_length\": 65536",
            "\"max_model_len\": 0, \"context_length\": 65536",
            "\"max_model_len\": \"many\", \"context_length\": 65536",
            "\"max_model_len\": 99999999999999999999999, \"context_length\": 65536",
            "\"max_model_len\": -1, \"meta\": \"x\", \"context_length\": 65536",
        ] {
            assert_eq!(entry(fields).context, Some(65536), "{fields}");
        }
        assert_eq!(entry("\"meta\": {\"n_ctx_train\": 131072}").trained, Some(131_072));
    }

    #[test]
    fn model_is_known_by_its_aliases() {
        for fields in
            ["\"aliases\": [\"coder\"]", "\"meta\": {\"llamaswap\": {\"aliases\": [\"coder\", \"c\"], \"x\": 1}}"]
        {
            let entry = entry(fields);
            assert!(entry.is_called("m") && entry.is_called("coder") && !entry.is_called("x"), "{fields}");
        }
        assert!(!entry("\"aliases\": \"coder\"").is_called("coder"));
    }

    #[test]
    fn deep_or_endless_lists_are_errors_or_skipped() {
        let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        assert_eq!(entry(&format!("\"meta\": {}", deep("{\"a\":", "}"))).context, None);
        assert!(parse(deep("[", "]").as_bytes()).is_err());
        let many = vec!["{\"id\":\"m\"}"; MAX_MODELS + 1].join(",");
        assert!(parse(format!("{{\"data\":[{many}]}}").as_bytes()).is_err());
        assert!(parse(b"{\"data\":[{\"id\":\"m\xff\"}]}").is_err());
    }
}
