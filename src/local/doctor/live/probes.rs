//! The live tests of the backend. Each sends a request as Claude Code would, and checks the response.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    requests::{ApiClient, Trouble},
    stream::assemble,
};
use crate::{
    backend::{self, BackendPlan, rate, registry},
    base::{
        check::{Area, Check},
        context::CLAUDE_CODE_PROMPT,
    },
    claude,
    keeper::Ready,
};

const AREA: Area = Area::Live;
/// To reject a request, a server only has to count its tokens.
const REFUSAL_LIMIT: Duration = Duration::from_secs(120);
/// What is found instead of a speed that would be chance.
const NOT_MEASURED: &str = "not measured: too few tokens, or in too short a time";
/// Seconds until the first token of a session, above which doctor warns.
const MAX_WAIT: f64 = 300.0;

/// The task for the tool call test and for the turn of Claude Code.
pub(crate) const TASK: &str = "Use the Bash tool once to run exactly this command, and nothing else: \
                        echo made-by-local-model > proof.txt";
pub(super) const OTHER_MODEL: &str = "lclaude --model NAME  # a model whose chat template supports tools";
const NEWER_SERVER: &str = "update the server";

fn user(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

/// The Bash tool as Claude Code describes it, shortened.
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

/// Returns the text of a response message, or an error that says what is wrong with it.
fn answer_text(message: &Value) -> Result<String, Trouble> {
    if message["type"] != "message" || message["role"] != "assistant" {
        return Err("the response is not an assistant message".into());
    }
    match text(message) {
        text if text.trim().is_empty() && message["stop_reason"] != "max_tokens" => {
            Err("the response contains no text".into())
        }
        text => Ok(text),
    }
}

fn failed(client: &ApiClient, name: &'static str, what: &str, trouble: Trouble) -> Check {
    Check::failure(AREA, name, what).cause(trouble).help(client.log_help())
}

/// Tests a plain message.
pub(crate) async fn message(client: &ApiClient) -> Check {
    let body = client.body(64, user("Say hello in one short sentence."));
    match client.message(&body).await.and_then(|message| answer_text(&message)) {
        Ok(text) => Check::ok(AREA, "message", format!("answered: {}", client.shortened(&text))),
        Err(trouble) => failed(client, "message", "a plain message failed", trouble),
    }
}

/// Tests a streamed message.
pub(crate) async fn streaming(client: &ApiClient) -> Check {
    let body = client.body(64, user("Say hello in one short sentence."));
    let read = client.stream(body).await.and_then(|parts| assemble(&parts.events));
    match read.and_then(|message| answer_text(&message)) {
        Ok(_) => Check::ok(AREA, "streaming", "the events are in the order that Claude Code expects"),
        Err(trouble) => failed(client, "streaming", "the stream of events is not what Claude Code expects", trouble)
            .help(NEWER_SERVER),
    }
}

/// Tests a tool call. Also returns the call, so that its result can be sent.
pub(crate) async fn tool_call(client: &ApiClient) -> (Check, Option<Value>) {
    let mut body = client.body(1024, user(TASK));
    body["tools"] = bash();
    let name = "tool call";
    let message = match client.stream(body).await.and_then(|parts| assemble(&parts.events)) {
        Ok(message) => message,
        Err(trouble) => return (failed(client, name, "a request with tools failed", trouble), None),
    };
    let mut calls = message["content"].as_array().into_iter().flatten().filter(|block| block["type"] == "tool_use");
    let model = &client.model;
    let Some(call) = calls.next() else {
        let text = text(&message);
        let is_text_call =
            ["<tool_call", "\"name\"", "<function", "[TOOL_CALLS]"].iter().any(|mark| text.contains(mark));
        let check = if is_text_call {
            Check::failure(AREA, name, format!("{model} cannot call tools: the call arrived as text")).cause(format!(
                "it answered {}; the server does not recognize this model's tool call format",
                client.shortened(&text)
            ))
        } else {
            Check::failure(AREA, name, format!("{model} cannot call tools: it answered with text only")).cause(format!(
                "it answered {}; without tools Claude Code can't read or write files",
                client.shortened(&text)
            ))
        };
        return (check.help(OTHER_MODEL), None);
    };
    let problem = if call["name"] != "Bash" {
        Some(format!("it called the unknown tool {}", call["name"]))
    } else if !call["input"]["command"].is_string() {
        Some("the call lacks the required input `command`".to_owned())
    } else if message["stop_reason"] != "tool_use" {
        Some(format!(
            "the stop reason is {}, not \"tool_use\", so Claude Code would not run the tool",
            message["stop_reason"]
        ))
    } else {
        None
    };
    match problem {
        Some(trouble) => {
            let check = Check::failure(AREA, name, format!("{model} cannot call tools correctly")).cause(trouble);
            (check.help(OTHER_MODEL), None)
        }
        None => (Check::ok(AREA, name, format!("{model} calls a tool when asked to")), Some(call.clone())),
    }
}

/// Tests that a tool result is accepted.
pub(crate) async fn tool_result(client: &ApiClient, call: Option<Value>) -> Check {
    // A made-up call tests the server even if the model made none.
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
            Check::ok(AREA, "tool result", "a tool result is accepted and answered")
        }
        Ok(_) => {
            failed(client, "tool result", "the response to a tool result is empty", "the message has no content".into())
        }
        Err(trouble) => failed(client, "tool result", "a tool result is rejected", trouble),
    }
}

/// Tests a system prompt in blocks together with the beta header.
pub(crate) async fn system_and_beta(client: &ApiClient) -> Check {
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
    match client.with_beta().message(&body).await.and_then(|message| answer_text(&message)) {
        Ok(_) => Check::ok(AREA, "system prompt", "a system prompt in blocks and a beta header are accepted"),
        Err(trouble) => {
            failed(client, "system prompt", "a system prompt in blocks or a beta header is rejected", trouble)
                .help(NEWER_SERVER)
        }
    }
}

/// Tests how a request for an unknown model is rejected.
pub(crate) async fn wrong_model(client: &ApiClient) -> Check {
    let mut body = client.body(8, user("Say hello."));
    body["model"] = json!("no-such-model");
    let name = "wrong model";
    match client.send(&body, REFUSAL_LIMIT).await {
        Ok(answer) if answer.status == 200 => {
            Check::ok(AREA, name, "the server accepts any model name; lclaude always sends a known one")
        }
        Ok(answer) if matches!(answer.status, 400 | 404 | 422) => {
            Check::ok(AREA, name, format!("rejected with status {}", answer.status))
        }
        Ok(answer) => Check::warning(AREA, name, format!("rejected with status {}", answer.status))
            .cause("Claude Code treats this status as temporary and retries for minutes")
            .help("in a session, choose only models that /model lists"),
        Err(trouble) => failed(client, name, "a request for an unknown model failed", trouble),
    }
}

/// Tests how an overlong prompt is rejected: the error message decides whether Claude Code compacts the conversation.
/// `context`: the largest context window, in tokens, that this model may have been granted. Claude Code only knows the
/// smallest of all models.
pub(crate) async fn overflow(client: &ApiClient, context: u32) -> Check {
    // A letter and a space are at least one token in every tokenizer.
    let letters = (0..context).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap_or(0)));
    let prompt: String = letters.flat_map(|letter| [letter, ' ']).collect();
    let mut body = client.body(1, user(&prompt));
    body["max_tokens"] = json!(1);
    let name = "over-long prompt";
    let help = "in a session, run /compact before /context shows that the context window is full";
    let not_rejected = |why: &str| {
        Check::warning(AREA, name, "an overlong prompt is not rejected, so its start may be lost silently")
            .cause(why)
            .help(help)
    };
    match client.send(&body, REFUSAL_LIMIT).await {
        Ok(answer) if answer.status == 200 && prompt_tokens(&answer.body["usage"]) >= u64::from(context) => {
            Check::ok(AREA, name, "read completely: the server's context window is larger than Claude Code will use")
        }
        Ok(answer) if answer.status == 200 => {
            not_rejected("it was answered, although it can't have fit in the context window")
        }
        Ok(answer) if claude::is_overflow(answer.status, &answer.text()) => {
            Check::ok(AREA, name, "rejected with an error on which Claude Code compacts")
        }
        Ok(answer) => Check::warning(AREA, name, "rejected with an error on which Claude Code does not compact")
            .cause(client.refusal(&answer))
            .help(help),
        Err(trouble) => not_rejected(&format!("no response within two minutes ({trouble})")),
    }
}

/// Returns the number of prompt tokens that the model received.
fn prompt_tokens(usage: &Value) -> u64 {
    let kinds = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
    kinds.iter().filter_map(|kind| usage[*kind].as_u64()).fold(0, u64::saturating_add)
}

/// Measures the prompt and answer speed. The backend's own figures take precedence where it reports them.
pub(crate) async fn speed(client: &ApiClient, plan: &BackendPlan, ready: &Ready) -> Vec<Check> {
    let context = ready.served.context;
    let figures_client = backend::figures_client(&ready.endpoint.url);
    let mut checks = Vec::new();
    // A fast server reads the short prompt in too short a time. A letter and a space are at most two tokens.
    for letters in [1000.min(context / 8), context / 4] {
        let (read, write) = match measure(client, letters).await {
            Ok(measured) => measured,
            Err(check) if checks.is_empty() => return vec![check],
            Err(_) => break,
        };
        let kind = plan.kind.to_string();
        let reported = registry::figures(&kind, &figures_client, &ready.endpoint, &plan.models).await;
        let read = reported.read_rate.or(read);
        let write = reported.write_rate.or(write).map(|rate| format!("{rate:.1} tokens/s"));
        let write = Check::ok(AREA, "answer speed", write.unwrap_or_else(|| NOT_MEASURED.into()));
        checks = vec![prompt_speed(read), write];
        if read.is_some() {
            break;
        }
    }
    checks
}

/// Returns the prompt and answer speed for a prompt of so many letters, as far as they can be computed.
async fn measure(client: &ApiClient, letters: u32) -> Result<(Option<f64>, Option<f64>), Check> {
    // A different start each time, so that no part of the prompt is in the server's cache.
    let nonce = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let letters = (0..letters).map(|at| char::from(b'a' + u8::try_from(at * 7 % 26).unwrap_or(0)));
    let filling: String = letters.flat_map(|letter| [letter, ' ']).collect();
    let prompt = format!("{nonce} {filling}\nForget the letters above. Count from 1 to 60, with commas in between.");
    let read = client.stream(client.body(96, user(&prompt))).await;
    let (parts, message) = match read.and_then(|parts| Ok((assemble(&parts.events)?, parts))) {
        Ok((message, parts)) => (parts, message),
        Err(trouble) => return Err(failed(client, "prompt speed", "the speed cannot be measured", trouble)),
    };
    let contents: Vec<_> = parts.events.iter().filter(|event| event.is_content()).map(|event| event.received).collect();
    let (Some(first), Some(last)) = (contents.first(), contents.last()) else {
        return Err(Check::ok(AREA, "prompt speed", "not measured: the response was empty"));
    };
    let number = |name: &str| message["usage"][name].as_f64().unwrap_or(0.0);
    Ok((
        rate(number("input_tokens"), (*first - parts.sent).as_secs_f64()),
        rate(number("output_tokens") - 1.0, (*last - *first).as_secs_f64()),
    ))
}

fn prompt_speed(rate: Option<f64>) -> Check {
    let name = "prompt speed";
    let Some(rate) = rate else {
        return Check::ok(AREA, name, NOT_MEASURED);
    };
    let wait = f64::from(CLAUDE_CODE_PROMPT) / rate;
    let found = format!("{rate:.0} tokens/s: {} until the first token of a session", format_wait(wait));
    if wait > MAX_WAIT {
        Check::warning(AREA, name, found)
            .cause(format!("Claude Code's system prompt and tools take about {CLAUDE_CODE_PROMPT} tokens"))
            .help("lclaude --lean  # needs a third of that; or use a smaller model")
    } else {
        Check::ok(AREA, name, found)
    }
}

fn format_wait(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("about {} s", seconds.ceil())
    } else {
        format!("about {} min", (seconds / 60.0).ceil())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::check::Severity;

    #[test]
    fn slow_prompt_warns_with_expected_wait() {
        let slow = prompt_speed(Some(20.0));
        assert_eq!((slow.state, slow.found.contains("about 18 min")), (Severity::Warning, true), "{}", slow.found);
        assert_eq!(prompt_speed(Some(1000.0)).state, Severity::Ok);
        assert_eq!(prompt_speed(None).state, Severity::Ok);
    }
}
