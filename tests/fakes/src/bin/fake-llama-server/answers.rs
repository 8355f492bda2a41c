//! The responses of all routes, in the formats that were observed in the real program.

use lclaude_fakes::http::{Answer, Request};
use serde_json::{Value, json};

use crate::messages;
use crate::server::Server;

/// The real program prints it on stderr.
pub const VERSION: &str = "version: 0.6.0-dev (build 11434, commit unknown)\n\
                           built with GNU 12.2.0 for Linux x86_64\n";
const BUILD: &str = "b11434-unknown";

pub fn loading() -> Answer {
    error(503, "unavailable_error", "Loading model")
}

pub fn unauthorized() -> Answer {
    error(401, "authentication_error", "Invalid API Key")
}

pub fn to(request: &Request, server: &Server) -> Answer {
    match (&*request.method, &*request.path) {
        ("GET", "/health" | "/v1/health") => ok(&json!({ "status": "ok" })),
        ("GET", "/props") => ok(&props(server)),
        ("GET", "/models" | "/v1/models") => ok(&models(server)),
        ("GET", "/slots") if !server.options.slots_endpoint => {
            error(501, "not_supported_error", "This server does not support slots endpoint. Start it with `--slots`")
        }
        ("GET", "/slots") => ok(&slots(server)),
        ("GET", "/metrics") if !server.options.metrics => error(
            501,
            "not_supported_error",
            "This server does not support metrics endpoint. Start it with `--metrics`",
        ),
        ("GET", "/metrics") => Answer::Text(200, metrics(server)),
        ("POST", "/v1/messages") => messages::answer(request, server),
        ("POST", "/v1/messages/count_tokens") => ok(&json!({ "input_tokens": 10 })),
        _ => error(404, "not_found_error", "File Not Found"),
    }
}

pub fn ok(body: &Value) -> Answer {
    Answer::json(200, body)
}

pub fn error(status: u16, kind: &str, message: &str) -> Answer {
    let body = json!({ "error": { "message": message, "type": kind, "code": status } });
    Answer::json(status, &body)
}

fn props(server: &Server) -> Value {
    let tools = server.knows_tools;
    json!({
        "default_generation_settings": {
            "params": { "temperature": 0.8, "max_tokens": -1, "stream": false },
            "n_ctx": server.context,
        },
        "total_slots": server.slots(),
        "model_alias": server.options.alias,
        "model_ftype": "all F32",
        "model_path": server.options.model,
        "modalities": { "vision": false, "video": false, "audio": false },
        "endpoint_slots": server.options.slots_endpoint,
        "endpoint_props": false,
        "endpoint_metrics": server.options.metrics,
        "chat_template": "",
        "chat_template_caps": {
            "supports_object_arguments": tools,
            "supports_parallel_tool_calls": tools,
            "supports_preserve_reasoning": false,
            "supports_reasoning_effort": false,
            "supports_string_content": true,
            "supports_system_role": true,
            "supports_tool_calls": tools,
            "supports_tools": tools,
            "supports_typed_content": false,
        },
        "bos_token": "<s>",
        "eos_token": "<|end|>",
        "build_info": BUILD,
        "is_sleeping": false,
    })
}

fn models(server: &Server) -> Value {
    let alias = &server.options.alias;
    json!({
        "models": [{ "name": alias, "model": alias, "type": "model", "capabilities": ["completion"] }],
        "object": "list",
        "data": [{
            "id": alias,
            "aliases": [alias],
            "tags": [],
            "object": "model",
            "created": 0,
            "owned_by": "llamacpp",
            "meta": {
                "vocab_type": 1,
                "n_vocab": 5395,
                "n_ctx": server.context,
                "n_ctx_train": server.trained,
                "n_embd": 64,
                "n_params": 705_088,
                "size": 2_820_352,
                "ftype": "all F32",
            },
        }],
    })
}

/// A slot that has answered keeps the conversation in its cache.
fn slots(server: &Server) -> Value {
    let mut slots: Vec<Value> = (0..server.slots())
        .map(|id| json!({ "id": id, "n_ctx": server.context, "speculative": false, "is_processing": false }))
        .collect();
    if server.answered() > 0 {
        slots[0]["id_task"] = json!(1);
        slots[0]["n_prompt_tokens"] = json!(15);
        slots[0]["n_prompt_tokens_processed"] = json!(0);
        slots[0]["n_prompt_tokens_cache"] = json!(0);
    }
    slots.into()
}

/// Reports a prompt speed of 100 tokens/s and an answer speed of 20 tokens/s.
fn metrics(server: &Server) -> String {
    let answered = f64::from(server.answered());
    let counters = [
        ("prompt_tokens_total", "Number of prompt tokens processed.", 100.0 * answered),
        ("prompt_seconds_total", "Prompt process time", 1.0 * answered),
        ("tokens_predicted_total", "Number of generation tokens processed.", 60.0 * answered),
        ("tokens_predicted_seconds_total", "Predict process time", 3.0 * answered),
    ];
    let shown = |(name, help, value): (&str, &str, f64)| {
        format!("# HELP llamacpp:{name} {help}\n# TYPE llamacpp:{name} counter\nllamacpp:{name} {value}\n")
    };
    counters.map(shown).concat()
}
