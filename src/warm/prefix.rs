//! What every conversation of the same kind starts with.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest prefix, in bytes as JSON. Claude Code's own has 90 kB; servers of tools add to it.
const MAX_PREFIX: usize = 512 * 1024;
/// How the parts of the first message start that come before the project's instructions (Claude Code 2.1.331): the
/// environment, with the path of the working directory, the model's name, and the lists of agents and skills, also of the
/// project's own. After them come `CLAUDE.md`, the state of Git, the date and the user's own text.
const GENERAL: [&str; 4] = [
    "<system-reminder>\n# Environment\n",
    "<system-reminder>\nYou are powered by ",
    "<system-reminder>\nAvailable agent types ",
    "<system-reminder>\nThe following skills ",
];
/// What precedes the working directory in the first of them.
const DIRECTORY: &str = "Primary working directory: ";

/// The part of a request to the Messages API that is the same in the next session: its tools, its system prompt, and the
/// first message up to what belongs to the project or to the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prefix {
    tools: Vec<Value>,
    system: Value,
    /// The texts that the first message starts with.
    texts: Vec<String>,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    system: Value,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
}

impl Prefix {
    /// Returns the prefix of a request, or `None` if it has no tools, as all main conversations have, or is too long.
    pub(crate) fn of(request: &[u8]) -> Option<Self> {
        let Request { tools, system, messages } = serde_json::from_slice(request).ok()?;
        let parts = messages.first()?.content.as_array().map(Vec::as_slice).unwrap_or_default();
        let texts = parts.iter().map_while(|part| {
            let text = part["text"].as_str()?;
            GENERAL.iter().any(|start| text.starts_with(start)).then(|| text.to_owned())
        });
        let prefix = Prefix { texts: texts.collect(), tools, system };
        (!prefix.tools.is_empty() && prefix.size() <= MAX_PREFIX).then_some(prefix)
    }

    /// Returns its length as JSON, in bytes.
    pub(crate) fn size(&self) -> usize {
        serde_json::to_vec(self).map_or(usize::MAX, |text| text.len())
    }

    pub(crate) fn tools(&self) -> &[Value] {
        &self.tools
    }

    /// Returns the system prompt: a text, or a list of texts.
    pub(crate) fn system(&self) -> &Value {
        &self.system
    }

    /// Returns the first message with `text` as what the user wrote.
    pub(crate) fn message(&self, text: &str) -> Value {
        let part = |text: &str| json!({"type": "text", "text": text});
        let parts: Vec<Value> = self.texts.iter().map(|text| part(text)).chain([part(text)]).collect();
        json!({"role": "user", "content": parts})
    }

    /// Returns a request to the Messages API that makes a server read the prefix and write as little as it can.
    pub(crate) fn request(&self, model: &str) -> Value {
        json!({
            "model": model,
            "max_tokens": 1,
            "tools": self.tools,
            "system": self.system,
            "messages": [self.message(".")],
        })
    }

    /// Returns the part that names no project: all but the texts.
    pub(crate) fn anywhere(self) -> Self {
        Prefix { texts: Vec::new(), ..self }
    }

    /// Returns the directory that it was recorded in.
    pub(crate) fn directory(&self) -> Option<&str> {
        let text = self.texts.iter().find(|text| text.starts_with(GENERAL[0]))?;
        text.split_once(DIRECTORY)?.1.lines().next().filter(|directory| directory.starts_with('/'))
    }

    /// Returns the prefix as it would be in another directory, of which only the difference matters: what both have in
    /// common at their start is the same in every project. `None` if it doesn't tell its directory.
    pub(crate) fn elsewhere(&self) -> Option<Self> {
        let directory = self.directory()?;
        // Claude Code names a project's memory after its directory.
        let dashed: String = directory.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let moved = |text: &str| text.replace(directory, "\u{1}").replace(&dashed, "\u{1}");
        let system = match &self.system {
            Value::Array(parts) => parts
                .iter()
                .map(|part| {
                    let mut part = part.clone();
                    if let Some(text) = part["text"].as_str().map(moved) {
                        part["text"] = text.into();
                    }
                    part
                })
                .collect(),
            Value::String(text) => moved(text).into(),
            other => other.clone(),
        };
        Some(Prefix { tools: self.tools.clone(), system, texts: self.texts.iter().map(|text| moved(text)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(directory: &str, question: &str) -> Vec<u8> {
        let part = |text: &str| json!({"type": "text", "text": text});
        let environment =
            format!("<system-reminder>\n# Environment\n - Primary working directory: {directory}\n - more");
        json!({
            "model": "m",
            "tools": [{"name": "Bash", "description": "Runs.", "input_schema": {"z": 1, "a": 2}}],
            "system": [part(&format!("memory is in ~/.claude/projects/{}/memory", directory.replace('/', "-")))],
            "messages": [
                {"role": "user", "content": [
                    part(&environment),
                    part("<system-reminder>\nAs you answer the user's questions, you can use the following context: secret"),
                    part("<system-reminder>\nThe following skills are after it"),
                    part(question),
                ]},
                {"role": "assistant", "content": "more"},
            ],
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn prefix_ends_before_the_project_and_the_user() {
        let prefix = Prefix::of(&request("/p", "hello")).expect("a prefix");
        assert_eq!(Prefix::of(&request("/p", "something else")), Some(prefix.clone()));
        let text = serde_json::to_string(&prefix).expect("plain data");
        assert!(text.contains(r#"{"z":1,"a":2}"#), "the order of keys decides what the model reads: {text}");
        for word in ["secret", "hello", "skills", "more\"}"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        assert_eq!(prefix.request("m")["messages"][0]["content"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn projects_have_in_common_what_does_not_name_their_directory() {
        let [one, other] = ["/a/b", "/c"].map(|directory| Prefix::of(&request(directory, "hello")).expect("a prefix"));
        assert_ne!(one, other);
        assert_eq!(one.directory(), Some("/a/b"));
        assert_eq!(one.elsewhere(), other.elsewhere());
        assert_ne!(one.elsewhere(), Some(one));
    }

    #[test]
    fn request_without_tools_or_of_any_length_has_no_prefix() {
        let none = |request: Value| assert_eq!(Prefix::of(request.to_string().as_bytes()), None);
        none(json!({"messages": [{"role": "user", "content": "title?"}]}));
        none(json!({"tools": [{"name": "x"}], "messages": []}));
        none(json!({"tools": [{"name": "x".repeat(MAX_PREFIX)}], "messages": [{"role": "user", "content": "x"}]}));
        assert_eq!(Prefix::of(b"{\"tools\": ["), None);
    }
}
