//! The proofs: each a request of Claude Code's kind, what should come back, and what it means if it does not.

use crate::backend::registry;
use crate::base::context::CLAUDE_CODES_PROMPT;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    requests::{Client, Trouble},
    stream::assembled,
};
use crate::{
    backend::BackendPlan,
    base::check::{Area, Check},
    keeper::Ready,
};

/// A refusal costs the server no more than the counting of tokens.
const AREA: Area = Area::Live;
const REFUSAL_LIMIT: Duration = Duration::from_secs(120);
/// Seconds that people will wait for the first word.
const PATIENCE: f64 = 300.0;
/// What makes Claude Code compact a conversation that has become too long; no other words do (seen with 2.1.331).
const OVERFLOW_WORDS: [&str; 2] = ["exceeds the available context size", "prompt is too long"];

/// What the model is asked to do with a tool, here and in Claude Code itself.
pub const TASK: &str = "Use the Bash tool once to run exactly this command, and nothing else: \
                        echo made-by-local-model > proof.txt";
const OTHER_MODEL: &str = "lclaude --model NAME, with a model whose chat template has tools";

fn user(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

/// As Claude Code describes it, but for its length.
fn bash() -> Value {
    json!([{
        "name": "Bash",
        "description": "Executes a given bash command and returns its output.",
        "input_schema": {
            "type": "object",
            "properties": {
                "command": { "type": "string", "description": "The command to execute" },
                "description": { "type": "string", "description": "What this command does" },
            },
            "required": ["command"],
        },
    }])
}

fn text(message: &Value) -> String {
    let blocks = message["content"].as_array().into_iter().flatten();
    blocks.filter_map(|block| block["text"].as_str()).collect()
}

/// The answer's text, or what is wrong with it.
fn said(message: &Value) -> Result<String, Trouble> {
    if message["type"] != "message" || message["role"] != "assistant" {
        return Err("the answer is no message of an assistant's".into());
    }
    match text(message) {
        text if text.trim().is_empty() && message["stop_reason"] != "max_tokens" => {
            Err("the answer has no text in it".into())
        }
        text => Ok(text),
    }
}

fn failed(client: &Client, name: &'static str, what: &str, trouble: Trouble) -> Check {
    Check::failure(AREA, name, what).why(trouble).help(client.log())
}

pub async fn message(client: &Client) -> Check {
    let body = client.body(64, user("Say hello in one short sentence."));
    match client.message(&body).await.and_then(|message| said(&message)) {
        Ok(text) => Check::ok(AREA, "message", format!("answered: {}", client.shortened(&text))),
        Err(trouble) => failed(client, "message", "a plain message is not answered", trouble),
    }
}

pub async fn streaming(client: &Client) -> Check {
    let body = client.body(64, user("Say hello in one short sentence."));
    let read = client.stream(body).await.and_then(|parts| assembled(&parts.events));
    match read.and_then(|message| said(&message)) {
        Ok(_) => Check::ok(AREA, "streaming", "the events come in the order that Claude Code reads"),
        Err(trouble) => failed(client, "streaming", "its stream of events is not what Claude Code reads", trouble)
            .help("a newer release of the server may mend it"),
    }
}

/// Gives the call too, for its result to be sent.
pub async fn tool_call(client: &Client) -> (Check, Option<Value>) {
    let mut body = client.body(1024, user(TASK));
    body["tools"] = bash();
    let name = "tool call";
    let message = match client.stream(body).await.and_then(|parts| assembled(&parts.events)) {
        Ok(message) => message,
        Err(trouble) => return (failed(client, name, "a request with tools is not answered", trouble), None),
    };
    let mut calls = message["content"].as_array().into_iter().flatten().filter(|block| block["type"] == "tool_use");
    let model = &client.model;
    let Some(call) = calls.next() else {
        let text = text(&message);
        let as_text = ["<tool_call", "\"name\"", "<function", "[TOOL_CALLS]"].iter().any(|mark| text.contains(mark));
        let check = if as_text {
            Check::failure(AREA, name, format!("{model} cannot call tools: its call comes as text")).why(format!(
                "it says {}; the server does not know this model's way of calling",
                client.shortened(&text)
            ))
        } else {
            Check::failure(AREA, name, format!("{model} cannot call tools: asked to use one, it only talks"))
                .why(format!("it says {}; so Claude Code could neither read nor write files", client.shortened(&text)))
        };
        return (check.help(OTHER_MODEL), None);
    };
    let problem = if call["name"] != "Bash" {
        Some(format!("it calls {}, which it was not offered", call["name"]))
    } else if !call["input"]["command"].is_string() {
        Some("its call lacks what the tool requires".to_owned())
    } else if message["stop_reason"] != "tool_use" {
        Some(format!(
            "the answer ends with {}, not with tool_use, so Claude Code would not run it",
            message["stop_reason"]
        ))
    } else {
        None
    };
    match problem {
        Some(trouble) => {
            let check = Check::failure(AREA, name, format!("{model} cannot call tools as it should")).why(trouble);
            (check.help(OTHER_MODEL), None)
        }
        None => (Check::ok(AREA, name, format!("{model} calls a tool when asked to")), Some(call.clone())),
    }
}

pub async fn tool_result(client: &Client, call: Option<Value>) -> Check {
    // The conversation can be had without a model that calls.
    let made_up = || json!({"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "echo x"}});
    let call = call.unwrap_or_else(made_up);
    let result =
        json!({"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "done"}]});
    let messages = json!([
        { "role": "user", "content": [{ "type": "text", "text": TASK }] },
        { "role": "assistant", "content": [call] },
        { "role": "user", "content": [result] },
    ]);
    let mut body = client.body(256, messages);
    body["tools"] = bash();
    match client.message(&body).await {
        Ok(message) if message["content"].as_array().is_some_and(|content| !content.is_empty()) => {
            Check::ok(AREA, "tool result", "a tool's result is taken, and answered")
        }
        Ok(_) => failed(
            client,
            "tool result",
            "a tool's result is answered with nothing",
            "the message has no content".into(),
        ),
        Err(trouble) => failed(client, "tool result", "a tool's result is refused", trouble),
    }
}

pub async fn system_and_beta(client: &Client) -> Check {
    let mut body = client.body(
        32,
        json!([{ "role": "user", "content": [
        { "type": "text", "text": "Say hello.", "cache_control": { "type": "ephemeral" } }
    ] }]),
    );
    body["system"] = json!([
        { "type": "text", "text": "You are a helpful assistant." },
        { "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } },
    ]);
    body["metadata"] = json!({ "user_id": "doctor" });
    match client.with_beta().message(&body).await.and_then(|message| said(&message)) {
        Ok(_) => Check::ok(AREA, "system prompt", "a system prompt in blocks, with a beta header, is taken"),
        Err(trouble) => {
            failed(client, "system prompt", "a system prompt in blocks with a beta header is refused", trouble)
                .help("a newer release of the server may mend it")
        }
    }
}

pub async fn wrong_model(client: &Client) -> Check {
    let mut body = client.body(8, user("Say hello."));
    body["model"] = json!("no-such-model");
    let name = "wrong model";
    match client.ask(&body, REFUSAL_LIMIT).await {
        Ok(answer) if answer.status == 200 => {
            Check::ok(AREA, name, "any model's name is answered for; lclaude sends its own for every tier")
        }
        Ok(answer) if matches!(answer.status, 400 | 404 | 422) => {
            Check::ok(AREA, name, format!("is refused with {}", answer.status))
        }
        Ok(answer) => Check::warning(AREA, name, format!("is refused with {}", answer.status))
            .why("Claude Code takes that for a passing trouble, and tries for minutes before it says so")
            .help("/model in a session shows the names that lclaude gives"),
        Err(trouble) => failed(client, name, "a request for another model is not answered", trouble),
    }
}

/// Its words decide whether a conversation that has become too long is compacted, or at its end. `context`: as much as this
/// model may have been granted; of several Claude Code knows the smallest.
pub async fn overflow(client: &Client, context: u32) -> Check {
    // A letter and a space are a token at the least, to every tokenizer.
    let letters = (0..context).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap_or(0)));
    let prompt: String = letters.flat_map(|letter| [letter, ' ']).collect();
    let mut body = client.body(1, user(&prompt));
    body["max_tokens"] = json!(1);
    let name = "over-long prompt";
    let help = "/compact in good time, by hand; /context shows when";
    let silent = |why: &str| {
        Check::warning(AREA, name, "an over-long prompt is not refused, so its beginning is lost without a word")
            .why(why)
            .help(help)
    };
    match client.ask(&body, REFUSAL_LIMIT).await {
        Ok(answer) if answer.status == 200 && counted(&answer.body["usage"]) >= u64::from(context) => {
            Check::ok(AREA, name, "was read whole: the server has more context than Claude Code will use")
        }
        Ok(answer) if answer.status == 200 => silent("it was answered, though it cannot have fitted"),
        Ok(answer) if OVERFLOW_WORDS.iter().any(|words| answer.words().to_lowercase().contains(words)) => {
            Check::ok(AREA, name, "is refused in the words that make Claude Code compact")
        }
        Ok(answer) => Check::warning(AREA, name, "is refused in words from which Claude Code does not compact")
            .why(client.refusal(&answer))
            .help(help),
        Err(trouble) => silent(&format!("it neither answered nor refused within two minutes ({trouble})")),
    }
}

/// Tokens of a prompt that the model was given.
fn counted(usage: &Value) -> u64 {
    let kinds = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
    kinds.iter().filter_map(|kind| usage[*kind].as_u64()).sum()
}

/// The backend's own figures count where it has them.
pub async fn speed(client: &Client, plan: &BackendPlan, ready: &Ready) -> Vec<Check> {
    let context = ready.served.context;
    // Another beginning each time, or the server would have it in its cache.
    let nonce = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let letters = (0..1000.min(context / 8)).map(|at| char::from(b'a' + u8::try_from(at * 7 % 26).unwrap_or(0)));
    let filling: String = letters.flat_map(|letter| [letter, ' ']).collect();
    let prompt = format!("{nonce} {filling}\nForget the letters above. Count from 1 to 60, with commas in between.");
    let read = client.stream(client.body(96, user(&prompt))).await;
    let (parts, message) = match read.and_then(|parts| Ok((assembled(&parts.events)?, parts))) {
        Ok((message, parts)) => (parts, message),
        Err(trouble) => return vec![failed(client, "prompt speed", "its speed cannot be measured", trouble)],
    };
    let contents: Vec<_> = parts.events.iter().filter(|event| event.is_content()).map(|event| event.came).collect();
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let usage = &message["usage"];
    let (Some(first), Some(last)) = (contents.first(), contents.last()) else {
        return vec![Check::ok(AREA, "prompt speed", "not measured: it said nothing")];
    };
    let own = registry::figures(&plan.kind.to_string(), &ready.endpoint, &plan.models).await;
    let read = number(&usage["input_tokens"]) / (*first - parts.asked).as_secs_f64();
    let written = (number(&usage["output_tokens"]) - 1.0) / (*last - *first).as_secs_f64();
    let (reading, writing) = (own.read_rate.unwrap_or(read), own.write_rate.unwrap_or(written));
    let mut checks = vec![prompt_speed(reading)];
    if writing.is_finite() && writing > 0.0 {
        checks.push(Check::ok(AREA, "answer speed", format!("{writing:.1} tokens/s written")));
    }
    checks
}

fn prompt_speed(rate: f64) -> Check {
    let name = "prompt speed";
    let wait = f64::from(CLAUDE_CODES_PROMPT) / rate;
    if !rate.is_finite() || rate <= 0.0 {
        return Check::ok(AREA, name, "not measured: it does not count its tokens");
    }
    let found = format!("{rate:.0} tokens/s read: {} until the first word of a session", in_words(wait));
    if wait > PATIENCE {
        Check::warning(AREA, name, found)
            .why(format!("Claude Code's own prompt and tools take about {CLAUDE_CODES_PROMPT} tokens"))
            .help("lclaude --lean, which needs a third of that; or a smaller model")
    } else {
        Check::ok(AREA, name, found)
    }
}

fn in_words(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("about {} s", seconds.ceil())
    } else {
        format!("about {} min", (seconds / 60.0).ceil())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::check::State;

    #[test]
    fn a_slow_prompt_is_a_warning_with_the_wait() {
        let slow = prompt_speed(20.0);
        assert_eq!((slow.state, slow.found.contains("about 21 min")), (State::Warning, true), "{}", slow.found);
        assert_eq!(prompt_speed(1000.0).state, State::Ok);
        assert_eq!(prompt_speed(0.0).state, State::Ok);
    }
}
