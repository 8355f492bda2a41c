//! Messages in the shape that Claude Code reads, whole and as events.

use serde_json::{Value, json};

/// The first tool that a request offers, unless it brings a tool's result already.
pub fn offered_tool(request: &Value) -> Option<&str> {
    let has_result = request["messages"].to_string().contains("\"tool_result\"");
    request["tools"][0]["name"].as_str().filter(|_| !has_result)
}

/// A call of that tool, as a block of a message.
pub fn tool_use(name: &str) -> Value {
    let input = json!({ "command": "echo made-by-local-model > proof.txt", "description": "write proof" });
    json!({ "type": "tool_use", "id": "toolu_fake", "name": name, "input": input })
}

/// The server-sent events that carry `message`, which has one block, of text or a tool's call.
pub fn events(mut message: Value) -> Vec<String> {
    let mut block = message["content"][0].take();
    let delta = if block["type"] == "tool_use" {
        let input = std::mem::replace(&mut block["input"], json!({}));
        json!({ "type": "input_json_delta", "partial_json": input.to_string() })
    } else {
        let text = std::mem::replace(&mut block["text"], json!(""));
        json!({ "type": "text_delta", "text": text })
    };
    let output_tokens = message["usage"]["output_tokens"].take();
    let stop_reason = message["stop_reason"].take();
    message["content"] = json!([]);
    message["usage"]["output_tokens"] = json!(0);
    let events = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta",
                "delta": { "stop_reason": stop_reason, "stop_sequence": null },
                "usage": { "output_tokens": output_tokens } }),
        json!({ "type": "message_stop" }),
    ];
    events.iter().map(event).collect()
}

/// A server-sent event, named after the type of its data.
fn event(data: &Value) -> String {
    let name = data["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_message_says_comes_in_parts() {
        let message = json!({
            "type": "message",
            "content": [{ "type": "text", "text": "hi" }],
            "stop_reason": "end_turn",
            "usage": { "output_tokens": 3 },
        });
        let events = events(message);
        assert!(events[0].starts_with("event: message_start\ndata: {"), "{}", events[0]);
        assert!(events[2].contains(r#""text":"hi""#), "{}", events[2]);
        assert!(events[4].contains(r#""output_tokens":3"#), "{}", events[4]);
    }
}
