//! `/v1/messages`: answers with a sentence or a call of the first offered tool, correctly or wrongly.

use lclaude_fakes::anthropic;
use lclaude_fakes::http::{Answer, Request};
use serde_json::{Value, json};

use crate::answers::{error, ok};
use crate::server::Server;
use crate::switches::Illness;

const TEXT: &str = "Hello from the fake llama-server.";

pub fn answer(request: &Request, server: &Server) -> Answer {
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return error(400, "invalid_request_error", "[json.exception.parse_error.101] parse error");
    };
    if body["messages"].is_null() {
        return error(500, "server_error", "'messages' is required");
    }
    let is = |illness: Illness| server.illness == Some(illness);
    let invalid = |message: &str| error(400, "invalid_request_error", message);
    if is(Illness::Mute) {
        return error(500, "server_error", "the model says nothing today");
    }
    if is(Illness::Beta) && request.header("anthropic-beta").is_some() {
        return invalid("unknown header anthropic-beta");
    }
    if is(Illness::Model) && body["model"] != *server.options.alias {
        return error(503, "overloaded_error", "no such model just now");
    }
    let has_result = body["messages"].to_string().contains("\"tool_result\"");
    if is(Illness::Result) && has_result {
        return invalid("unsupported content block type: tool_result");
    }
    // A letter and a space are about one token.
    let tokens = body["messages"].to_string().len() / 2;
    if tokens >= server.context as usize && !is(Illness::Silent) {
        let context = server.context;
        return match is(Illness::Wording) {
            true => error(413, "invalid_request_error", "that is more than anybody would read"),
            false => error(
                400,
                "exceed_context_size_error",
                &format!(
                    "request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing it"
                ),
            ),
        };
    }
    let (content, stop_reason) = match anthropic::offered_tool(&body) {
        Some(name) if is(Illness::Text) => {
            let arguments = &anthropic::tool_use(name)["input"];
            let text = format!("<tool_call>{}</tool_call>", json!({ "name": name, "arguments": arguments }));
            (json!({ "type": "text", "text": text }), "end_turn")
        }
        Some(name) if !is(Illness::Talk) => (anthropic::tool_use(name), "tool_use"),
        _ => (json!({ "type": "text", "text": TEXT }), "end_turn"),
    };
    server.count_answer();
    // The truncated part of a prompt is not counted either.
    let tokens = tokens.min(server.context as usize - 1);
    let message = json!({
        "id": "chatcmpl-fake",
        "type": "message",
        "role": "assistant",
        "content": [content],
        "model": server.options.alias,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": { "cache_read_input_tokens": 0, "input_tokens": tokens, "output_tokens": 6 },
    });
    if body["stream"] != true {
        return ok(&message);
    }
    let mut events = anthropic::events(message);
    if is(Illness::Order) {
        events.swap(1, 2);
    }
    if is(Illness::Cut) {
        events.pop();
    }
    Answer::Events(events)
}
