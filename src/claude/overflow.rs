//! The error messages that mean to Claude Code that a prompt is too long. It compacts the conversation only then.
//!
//! All texts and statuses as in Claude Code 2.1.331, which compares them in lower case with the whole response.

/// Mean it with every status.
const ALWAYS: [&str; 2] = ["prompt is too long", "input is too long for requested model"];

/// Mean it with the statuses in [`STATUSES`]. Most are the messages of other servers than Anthropic's.
const PHRASES: [&str; 21] = [
    "maximum context length",
    "context_length_exceeded",
    "exceeds the context window",
    "contextwindowexceedederror",
    "longer than the maximum model length",
    "longer than the model's context length",
    "exceeds the available context size",
    "exceeds the maximum number of tokens allowed",
    "exceeded model token limit",
    "input token length too long",
    "input tokens exceed the configured limit",
    "maximum context limit",
    "maximum prompt length",
    "prompt exceeds max length",
    "tokens in request more than max tokens allowed",
    "range of input length should be",
    "context window exceeds limit",
    "but model only supports up to",
    "reduce the length of the messages",
    "`inputs` tokens + `max_new_tokens` must be",
    "context exceeds your deployment",
];
const STATUSES: [u16; 3] = [400, 413, 422];

/// Mean something else, even together with one of [`PHRASES`].
const OTHERS: [&str; 5] = [
    "policy_blocked",
    "dlp_request_denied",
    "string too long. expected a string with maximum length",
    "expected maxlength",
    // Claude Code then asks for fewer tokens instead.
    "input length and `max_tokens` exceed context limit",
];

/// Returns whether Claude Code compacts the conversation on this response.
pub(crate) fn is_overflow(status: u16, body: &str) -> bool {
    let body = body.to_lowercase();
    let contains = |phrase: &&str| body.contains(*phrase);
    ALWAYS.iter().any(contains)
        || STATUSES.contains(&status) && PHRASES.iter().any(contains) && !OTHERS.iter().any(contains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_known_servers_are_recognized() {
        // vLLM, llama-server and Ollama, LiteLLM, OpenAI, Anthropic.
        for body in [
            r#"{"error":{"message":"This model's maximum context length is 65536 tokens. However, you requested 70000"}}"#,
            r#"{"error":{"message":"the request exceeds the available context size, try increasing it"}}"#,
            r#"{"error":{"message":"litellm.ContextWindowExceededError: …"}}"#,
            r#"{"error":{"message":"too much","code":"context_length_exceeded"}}"#,
            r#"{"error":{"message":"The decoder prompt (length 9) is longer than the maximum model length of 8."}}"#,
        ] {
            assert!(is_overflow(400, body), "{body}");
            assert!(!is_overflow(500, body), "{body}");
        }
        assert!(is_overflow(500, "Prompt is too long"));
        assert!(!is_overflow(400, "context full"));
        assert!(!is_overflow(400, "policy_blocked: maximum context length"));
    }
}
