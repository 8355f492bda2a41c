//! `/v1/messages`, with the checks in the order of the real program. Tokens and beta headers are ignored.

use lclaude_fakes::anthropic;
use lclaude_fakes::http::{Answer, Request};
use lclaude_fakes::steps::Client;
use serde_json::{Value, json};

use crate::server::Server;
use crate::{answers, models};

const TEXT: &str = "Hello from the fake Ollama.";

pub fn messages(request: &Request, client: &Client, server: &Server) -> Answer {
    if request.body.is_empty() {
        return error(400, "EOF");
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return error(400, "invalid character in the body");
    };
    let name = body["model"].as_str().unwrap_or_default();
    // This check comes first, and its error has a different format.
    if models::is_cloud(name) {
        return answers::cloud("remote model is unavailable");
    }
    if name.is_empty() {
        return error(400, "model is required");
    }
    if body["max_tokens"].as_i64().unwrap_or_default() <= 0 {
        return error(400, "max_tokens is required and must be positive");
    }
    if is_empty(&body["messages"]) {
        return error(400, "messages is required");
    }
    let Some(model) = server.store.find_installed(name) else {
        return error(404, &format!("model '{name}' not found"));
    };
    if !is_empty(&body["tools"]) && !model.can("tools") {
        return error(400, &format!("registry.ollama.ai/library/{} does not support tools", model.name));
    }
    if let Err(why) = server.scheduler.load(&model, None, client) {
        return error(500, &why);
    }
    let (content, stop_reason) = match anthropic::offered_tool(&body) {
        Some(name) => (anthropic::tool_use(name), "tool_use"),
        None => (json!({ "type": "text", "text": TEXT }), "end_turn"),
    };
    let message = json!({
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": name,
        "content": [content],
        "stop_reason": stop_reason,
        "usage": { "input_tokens": 10, "output_tokens": 6 },
    });
    if body["stream"] == true { Answer::Events(anthropic::events(message)) } else { Answer::json(200, &message) }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

fn error(status: u16, message: &str) -> Answer {
    let kind = match status {
        400 => "invalid_request_error",
        404 => "not_found_error",
        _ => "api_error",
    };
    let body = json!({
        "type": "error",
        "error": { "type": kind, "message": message },
        "request_id": "req_fake",
    });
    Answer::json(status, &body)
}
