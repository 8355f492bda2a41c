//! Reads a response streamed as server-sent events and checks that they are in the order Claude Code expects.

use std::time::Instant;

use serde_json::{Value, json};

pub(crate) struct Event {
    pub data: Value,
    pub received: Instant,
}

impl Event {
    /// Returns the event of a `data:` line, or `None` for any other line. Claude Code uses the type in the data, not
    /// the `event:` line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let data = line.trim_end().strip_prefix("data:")?.trim();
        let data =
            if data == "[DONE]" { json!({"type": data}) } else { serde_json::from_str(data).unwrap_or_default() };
        Some(Event { data, received: Instant::now() })
    }

    fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap_or("an invalid event")
    }

    /// Returns whether the event carries model output.
    pub(crate) fn is_content(&self) -> bool {
        self.kind() == "content_block_delta"
    }
}

/// Returns the message that the events form, or an error that describes the first unexpected event.
pub(crate) fn assemble(events: &[Event]) -> Result<Value, String> {
    let mut message: Option<Value> = None;
    let mut open: Option<(u64, Value, String)> = None;
    let (mut content, mut stopped) = (Vec::new(), false);
    for event in events {
        let data = &event.data;
        let kind = event.kind();
        if stopped && kind != "[DONE]" {
            return Err(format!("{kind} after message_stop"));
        }
        if message.is_none() && !matches!(kind, "message_start" | "ping" | "error") {
            return Err(format!("{kind} before message_start"));
        }
        match kind {
            "ping" | "[DONE]" => {}
            "error" => {
                return Err(format!("error event: {}", data["error"]["message"].as_str().unwrap_or("no message")));
            }
            "message_start" if message.is_some() => return Err("second message_start".into()),
            "message_start" => message = Some(data["message"].clone()),
            "content_block_start" if open.is_some() => return Err("content_block_start inside another block".into()),
            "content_block_start" => {
                let index = data["index"].as_u64().ok_or("content_block_start without an index")?;
                open = Some((index, data["content_block"].clone(), String::new()));
            }
            "content_block_delta" => {
                let Some((index, _, text)) = &mut open else {
                    return Err("content_block_delta outside a block".into());
                };
                if data["index"].as_u64() != Some(*index) {
                    return Err("content_block_delta for another block than the open one".into());
                }
                let delta = &data["delta"];
                text.push_str(delta["text"].as_str().or(delta["partial_json"].as_str()).unwrap_or_default());
            }
            "content_block_stop" => {
                let Some((_, block, text)) = open.take() else {
                    return Err("content_block_stop without content_block_start".into());
                };
                content.push(finish_block(block, text)?);
            }
            "message_delta" if open.is_some() => return Err("message_delta inside a block".into()),
            "message_delta" => {
                if let Some(message) = &mut message {
                    message["stop_reason"] = data["delta"]["stop_reason"].clone();
                    message["usage"]["output_tokens"] = data["usage"]["output_tokens"].clone();
                }
            }
            "message_stop" if open.is_some() => return Err("message_stop inside a block".into()),
            "message_stop" => stopped = true,
            // Newer servers may send other events.
            _ => {}
        }
    }
    let mut message = message.ok_or("no message_start")?;
    if !stopped {
        return Err("no message_stop, so Claude Code treats the answer as cut off".into());
    }
    if !message["stop_reason"].is_string() {
        return Err("no message_delta with a stop_reason".into());
    }
    message["content"] = Value::Array(content);
    Ok(message)
}

/// Returns the content block with the text or tool input of its deltas.
fn finish_block(mut block: Value, text: String) -> Result<Value, String> {
    match block["type"].as_str() {
        Some("text") => block["text"] = json!(text),
        Some("tool_use") if !text.is_empty() => {
            block["input"] =
                serde_json::from_str(&text).map_err(|_| "a tool call's input is not valid JSON".to_owned())?;
        }
        _ => {}
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kinds: &[&str]) -> Result<Value, String> {
        let event = |kind: &&str| {
            let data = match *kind {
                "message_start" => json!({"type": kind, "message": {"usage": {}}}),
                "content_block_start" => json!({"type": kind, "index": 0, "content_block": {"type": "text"}}),
                "content_block_delta" => json!({"type": kind, "index": 0, "delta": {"text": "hi"}}),
                "message_delta" => {
                    json!({"type": kind, "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}})
                }
                _ => json!({"type": kind}),
            };
            Event::parse(&format!("data: {data}\n")).expect("an event")
        };
        assemble(&kinds.iter().map(event).collect::<Vec<_>>())
    }

    const WHOLE: [&str; 6] = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];

    #[test]
    fn complete_message_is_assembled() {
        let message = read(&[&["ping"], &WHOLE[..], &["[DONE]"]].concat()).expect("in order");
        assert_eq!((&message["content"][0]["text"], &message["stop_reason"]), (&json!("hi"), &json!("end_turn")));
    }

    #[test]
    fn missing_and_repeated_events_are_errors() {
        for (at, kind) in WHOLE.iter().enumerate() {
            let without: Vec<&str> =
                WHOLE.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, kind)| *kind).collect();
            // A block without a delta is empty, which is valid.
            assert_eq!(read(&without).is_ok(), at == 2, "without {kind}");
        }
        for at in [0, 1, 3, 5] {
            let mut twice = WHOLE.to_vec();
            twice.insert(at, WHOLE[at]);
            assert!(read(&twice).is_err(), "twice {}", WHOLE[at]);
        }
    }
}
