//! An answer that comes as server-sent events: whether they are in the order that Claude Code reads, and what they say.

use std::time::Instant;

use serde_json::{Value, json};

pub struct Event {
    pub data: Value,
    pub came: Instant,
}

impl Event {
    /// The event of a `data:` line. Claude Code looks at the type in the data, not at the line before.
    pub fn of_line(line: &str) -> Option<Self> {
        let data = line.trim_end().strip_prefix("data:")?.trim();
        let data =
            if data == "[DONE]" { json!({"type": data}) } else { serde_json::from_str(data).unwrap_or_default() };
        Some(Event { data, came: Instant::now() })
    }

    fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap_or("what is no JSON")
    }

    /// Whether the model says something in it.
    pub fn is_content(&self) -> bool {
        self.kind() == "content_block_delta"
    }
}

/// The message that the events carry, or what is wrong with their order.
pub fn assembled(events: &[Event]) -> Result<Value, String> {
    let mut message: Option<Value> = None;
    let mut open: Option<(u64, Value, String)> = None;
    let (mut content, mut stopped) = (Vec::new(), false);
    for event in events {
        let data = &event.data;
        let kind = event.kind();
        if stopped && kind != "[DONE]" {
            return Err(format!("{kind} comes after message_stop"));
        }
        if message.is_none() && !matches!(kind, "message_start" | "ping" | "error") {
            return Err(format!("{kind} comes before message_start"));
        }
        match kind {
            "ping" | "[DONE]" => {}
            "error" => {
                return Err(format!("an error: {}", data["error"]["message"].as_str().unwrap_or("without words")));
            }
            "message_start" if message.is_some() => return Err("message_start comes twice".into()),
            "message_start" => message = Some(data["message"].clone()),
            "content_block_start" if open.is_some() => return Err("a block starts inside another one".into()),
            "content_block_start" => {
                let index = data["index"].as_u64().ok_or("a block has no index")?;
                open = Some((index, data["content_block"].clone(), String::new()));
            }
            "content_block_delta" => {
                let Some((index, _, text)) = &mut open else {
                    return Err("content_block_delta comes outside a block".into());
                };
                if data["index"].as_u64() != Some(*index) {
                    return Err("content_block_delta is of another block than the open one".into());
                }
                let delta = &data["delta"];
                text.push_str(delta["text"].as_str().or(delta["partial_json"].as_str()).unwrap_or_default());
            }
            "content_block_stop" => {
                let Some((_, block, text)) = open.take() else {
                    return Err("content_block_stop comes without its start".into());
                };
                content.push(closed(block, text)?);
            }
            "message_delta" if open.is_some() => return Err("message_delta comes inside a block".into()),
            "message_delta" => {
                if let Some(message) = &mut message {
                    message["stop_reason"] = data["delta"]["stop_reason"].clone();
                    message["usage"]["output_tokens"] = data["usage"]["output_tokens"].clone();
                }
            }
            "message_stop" if open.is_some() => return Err("message_stop comes inside a block".into()),
            "message_stop" => stopped = true,
            // New ones may come.
            _ => {}
        }
    }
    let mut message = message.ok_or("no message_start comes")?;
    if !stopped {
        return Err("no message_stop comes, so Claude Code takes the answer for cut off".into());
    }
    if !message["stop_reason"].is_string() {
        return Err("no message_delta says why it stopped".into());
    }
    message["content"] = Value::Array(content);
    Ok(message)
}

fn closed(mut block: Value, text: String) -> Result<Value, String> {
    match block["type"].as_str() {
        Some("text") => block["text"] = json!(text),
        Some("tool_use") if !text.is_empty() => {
            block["input"] = serde_json::from_str(&text).map_err(|_| "a tool call's input is no JSON".to_owned())?;
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
            Event::of_line(&format!("data: {data}\n")).expect("an event")
        };
        assembled(&kinds.iter().map(event).collect::<Vec<_>>())
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
    fn a_whole_message_is_put_together() {
        let message = read(&[&["ping"], &WHOLE[..], &["[DONE]"]].concat()).expect("in order");
        assert_eq!((&message["content"][0]["text"], &message["stop_reason"]), (&json!("hi"), &json!("end_turn")));
    }

    #[test]
    fn every_event_that_is_missing_or_twice_is_noticed() {
        for (at, kind) in WHOLE.iter().enumerate() {
            let without: Vec<&str> =
                WHOLE.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, kind)| *kind).collect();
            // A block without a word in it is none that is out of order.
            assert_eq!(read(&without).is_ok(), at == 2, "without {kind}");
        }
        for at in [0, 1, 3, 5] {
            let mut twice = WHOLE.to_vec();
            twice.insert(at, WHOLE[at]);
            assert!(read(&twice).is_err(), "twice {}", WHOLE[at]);
        }
    }
}
