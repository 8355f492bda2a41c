//! Messages in the format that Claude Code reads, complete and as events.

use serde_json::{Value, json};

/// Returns the first tool of a request, unless the request already contains a tool result.
pub fn offered_tool(request: &Value) -> Option<&str> {
    let has_result = request["messages"].to_string().contains("\"tool_result\"");
    request["tools"][0]["name"].as_str().filter(|_| !has_result)
}

/// Returns a call of that tool as a content block.
pub fn tool_use(name: &str) -> Value {
    let input = json!({ "command": "echo made-by-local-model > proof.txt", "description": "write proof" });
    json!({ "type": "tool_use", "id": "toolu_fake", "name": name, "input": input })
}

/// Returns the server-sent events for `message`, which has one content block (text or a tool call).
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

/// Returns a server-sent event that is named after the type of its data.
fn event(data: &Value) -> String {
    let name = data["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_events_split_the_content() {
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
