//! Sessions with the real Claude Code and the real llama-server.

use std::{fs, process::Command};

use lclaude_fakes::scripted_model::{self, LONG_WORD, Script};
use rustix::process::Signal;
use support::{Session, Stage, Value, json, kill, machine::needs_strace, real, terminal::Terminal};

const DONE: &str = "The local model wrote proof.txt.\n";

#[test]
fn local_model_writes_a_file_with_a_tool() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let before = stage.home_files();
    let ended = stage.run(stage.with_bash(&["-p", "create the proof"])).expect(0);
    // stdout contains only Claude Code's output.
    assert_eq!(ended.stdout, DONE);
    assert_eq!(stage.proof(), "made-by-local-model\n");
    stage.assert_nothing_left();
    // Claude Code writes its history and projects as usual, but lclaude adds no settings file.
    let settings = stage.home().join(".claude/settings.json");
    assert!(before.is_empty() && !settings.exists());
}

#[test]
fn claude_code_gets_the_context_of_the_server() {
    let Some(stage) = real::stage(&Script { context: 32_768, ..Script::default() }) else { return };
    // More than the model was trained for, so llama-server grants less.
    let command = stage.with_bash(&["--context", "65536", "-p", "create the proof", "--output-format", "json"]);
    let ended = stage.run(command).expect(0);
    let result: Value = serde_json::from_str(&ended.stdout).expect("JSON and nothing else on stdout");
    assert_eq!(result["modelUsage"]["tiny"]["contextWindow"], 32_768, "{result:#}");
    assert!(ended.stderr.contains("context of 32768 tokens granted, 65536 requested"), "{}", ended.stderr);
}

#[test]
fn continue_option_resumes_the_conversation() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    stage.run(stage.with_bash(&["-p", "create the proof"])).expect(0);
    fs::remove_file(stage.project().join("proof.txt")).expect("the first turn's file");
    let ended = stage.run(stage.with_bash(&["-c", "-p", "create the proof again"])).expect(0);
    assert_eq!((ended.stdout.as_str(), stage.proof().as_str()), (DONE, "made-by-local-model\n"));
}

/// The transcript is as Claude Code 2.1.331 writes it, with a signed thinking block that only Anthropic can read.
#[test]
fn conversation_started_in_the_cloud_can_be_continued() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let project = stage.project().display().to_string();
    let folder: String = project.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let id = "0b0e7c4e-8a53-4f0e-9d6c-2f6f0a1b2c3d";
    let common = |uuid: &str, parent: Value| {
        json!({
            "parentUuid": parent, "isSidechain": false, "userType": "external", "cwd": project, "sessionId": id,
            "version": "2.1.331", "gitBranch": "", "uuid": uuid, "timestamp": "2026-11-22T09:00:00.000Z",
        })
    };
    let mut asked = common("11111111-1111-4111-8111-111111111111", Value::Null);
    asked["type"] = "user".into();
    asked["message"] = json!({"role": "user", "content": "remember the word heron"});
    let mut answered = common("22222222-2222-4222-8222-222222222222", "11111111-1111-4111-8111-111111111111".into());
    answered["type"] = "assistant".into();
    answered["message"] = json!({
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-opus-4-7", "stop_reason": "end_turn",
        "content": [
            {"type": "thinking", "thinking": "A word to remember.", "signature": "EpwBCkgIBxABGAIqQJz"},
            {"type": "text", "text": "Heron it is."},
        ],
        "usage": {"input_tokens": 10, "output_tokens": 5},
    });
    let transcripts = stage.home().join(".claude/projects").join(folder);
    fs::create_dir_all(&transcripts).expect("a directory");
    fs::write(transcripts.join(format!("{id}.jsonl")), format!("{asked}\n{answered}\n")).expect("a file");

    let command = stage.with_bash(&["-c", "-p", "create the proof", "--output-format", "json"]);
    let ended = stage.run(command).expect(0);
    let result: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&result["session_id"], &result["result"]), (&json!(id), &json!(DONE.trim_end())), "{result:#}");
}

/// A session whose answer has started and runs until its token limit.
fn session_mid_answer() -> Option<(Stage, Session)> {
    let stage = real::stage(&Script { long_is_endless: true, ..Script::default() })?;
    stage.config("[claude]\nmax_output_tokens = 1500\n");
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", LONG_WORD, "--tools", ""]);
    command.args(["--output-format", "stream-json", "--include-partial-messages", "--verbose"]);
    let mut session = Session::start(&mut command);
    session.wait_for_line("content_block_delta");
    Some((stage, session))
}

#[test]
fn turn_succeeds_after_the_server_is_killed_mid_answer() {
    let Some((stage, session)) = session_mid_answer() else { return };
    kill(stage.backend(), Signal::KILL);
    let ended = session.wait().expect(0);
    let last: Value = serde_json::from_str(ended.stdout.lines().last().expect("a last line")).expect("JSON");
    assert_eq!((&last["type"], &last["is_error"]), (&json!("result"), &json!(false)), "{last:#}");
    assert!(ended.stderr.contains("crashed and was restarted once"), "{}", ended.stderr);
}

#[test]
fn turn_succeeds_after_the_keeper_is_killed_mid_answer() {
    let Some((stage, session)) = session_mid_answer() else { return };
    kill(stage.keeper(), Signal::KILL);
    let ended = session.wait().expect(0);
    let last: Value = serde_json::from_str(ended.stdout.lines().last().expect("a last line")).expect("JSON");
    assert_eq!(last["is_error"], false, "{last:#}");
}

#[test]
fn unusable_models_are_explained() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let whole = fs::read(stage.model()).expect("the model");
    fs::write(stage.project().join("short.gguf"), &whole[..whole.len() / 2]).expect("a file");
    let mut other = whole.clone();
    let at = other.windows(5).position(|bytes| bytes == b"llama").expect("the architecture's name");
    other[at..at + 5].copy_from_slice(b"zebra");
    fs::write(stage.project().join("zebra.gguf"), other).expect("a file");
    // Not a snapshot, because the log of the real server depends on the machine.
    for (model, words) in [("short.gguf", "truncated"), ("zebra.gguf", "unknown model architecture")] {
        let ended = stage.output(&["--backend", "llamacpp", "--model", model, "-p", "x"]).expect(69);
        for word in [words, model, "help: "] {
            assert!(ended.stderr.contains(word), "no {word:?} in {ended:#?}");
        }
    }
}

/// All known ways in which a user's environment can redirect requests, at once.
#[test]
fn hostile_home_sends_nothing_elsewhere() {
    let Some(mut stage) = real::stage(&Script::default()) else { return };
    let settings = json!({
        "env": {
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "ANTHROPIC_AUTH_TOKEN": "elsewhere", "ANTHROPIC_BETAS": "x-2026",
            "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "CLAUDE_CODE_USE_VERTEX": "1",
            "CLAUDE_CODE_ENABLE_TELEMETRY": "1", "OTEL_LOGS_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_LOG_USER_PROMPTS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:7", "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "999999",
        },
        "model": "claude-opus-4-1",
        "apiKeyHelper": format!("touch {}; echo key", stage.root().join("helper-ran").display()),
        "availableModels": ["claude-opus-4-1"],
        "enforceAvailableModels": true,
    });
    let credentials = json!({"claudeAiOauth": {
        "accessToken": "sk-ant-oat01-REAL", "refreshToken": "sk-ant-ort01-REAL", "expiresAt": 4_102_444_800_000_u64,
        "scopes": ["user:inference"], "subscriptionType": "max",
    }});
    let own = stage.home().join(".claude");
    fs::create_dir(&own).expect("a directory");
    fs::write(own.join("settings.json"), settings.to_string()).expect("a file");
    fs::write(own.join(".credentials.json"), credentials.to_string()).expect("a file");
    fs::create_dir(stage.project().join(".claude")).expect("a directory");
    let project = json!({"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}, "model": "opus"});
    fs::write(stage.project().join(".claude/settings.json"), project.to_string()).expect("a file");
    for (name, value) in [
        ("ANTHROPIC_API_KEY", "sk-ant-api03-REAL"),
        ("ANTHROPIC_CUSTOM_HEADERS", "x-leak: 1"),
        ("CLAUDE_CODE_USE_BEDROCK", "1"),
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("HTTPS_PROXY", "http://127.0.0.1:9"),
        ("ALL_PROXY", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:7"),
        ("CLAUDE_CODE_ENABLE_TELEMETRY", "1"),
    ] {
        stage.set(name, value);
    }

    let trace = stage.root().join("trace");
    let session = stage.with_bash(&["-p", "create the proof"]);
    let is_traced = needs_strace();
    let ended = stage.run(if is_traced { traced(&session, &stage, &trace) } else { session }).expect(0);
    assert_eq!((ended.stdout.as_str(), stage.proof().as_str()), (DONE, "made-by-local-model\n"), "{ended:#?}");
    assert_eq!(fs::read_to_string(own.join("settings.json")).expect("still there"), settings.to_string());
    assert_eq!(fs::read_to_string(own.join(".credentials.json")).expect("still there"), credentials.to_string());
    assert!(!stage.root().join("helper-ran").exists());
    if is_traced {
        let mut ports = addresses(&fs::read_to_string(trace).expect("a trace"));
        ports.dedup();
        assert!(matches!(&ports[..], [port] if port.ends_with("127.0.0.1")), "{ports:#?}");
    }
}

/// Wraps the command in strace.
fn traced(command: &Command, stage: &Stage, trace: &std::path::Path) -> Command {
    let mut traced = stage.command("strace");
    traced
        .args(["-f", "-e", "trace=connect,sendto", "-o"])
        .arg(trace)
        .arg(command.get_program())
        .args(command.get_args());
    traced
}

/// The targets of IPv4 and IPv6 connections and datagrams in a trace, as `port address`, sorted.
fn addresses(trace: &str) -> Vec<String> {
    let field = |line: &str, name: &str| {
        let rest = line.split_once(name)?.1;
        Some(rest.split([')', ',', '}']).next()?.trim_matches(['"', '(']).to_owned())
    };
    let mut found: Vec<String> = trace
        .lines()
        // A question to the kernel about listening sockets names addresses too.
        .filter(|line| line.contains("AF_INET") && !line.contains("nlmsg_type"))
        .map(|line| {
            let port = field(line, "port=htons(").unwrap_or_default();
            let address = field(line, "inet_addr(").or_else(|| field(line, "inet_pton(AF_INET6, ")).unwrap_or_default();
            format!("{port} {address}")
        })
        .collect();
    found.sort();
    found
}

#[test]
fn interactive_session_works_like_claude_code() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let project = stage.project().display().to_string();
    let answers = json!({"hasCompletedOnboarding": true, "projects": {&project: {"hasTrustDialogAccepted": true}}});
    fs::write(stage.home().join(".claude.json"), answers.to_string()).expect("a file");
    let shown = real::create_proof_and_quit(Terminal::start(stage.with_bash(&[])));
    assert_eq!(stage.proof(), "made-by-local-model\n");
    assert!(shown.contains("lclaude --resume "), "{shown}");
    // The line below the header and the word in the footer. Spaces may be drawn as movements of the cursor.
    let shown = shown.replace(' ', "");
    assert!(shown.contains("◆local") && shown.contains("context"), "{shown}");
    // Prices of an unknown model would be invented.
    let state = fs::read_to_string(stage.home().join(".claude.json")).expect("a file");
    let state: Value = serde_json::from_str(&state).expect("JSON");
    assert_eq!(state["projects"][&project]["lastCost"], 0, "{state:#}");
    assert_eq!(state["projects"][&project]["lastModelUsage"]["tiny"]["costUSD"], 0, "{state:#}");
}

#[test]
fn two_tiers_use_two_models_on_one_server() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let small = Script { plain: vec!["The small ".into(), "one.".into()], context: 32_768, ..Script::default() };
    scripted_model::write(&stage.project().join("small.gguf"), &small).expect("the model is written");
    stage.config(&format!(
        "backend = \"llamacpp\"\nmodel = {:?}\n[models]\nhaiku = {:?}\n",
        stage.model(),
        stage.project().join("small.gguf")
    ));
    let plain =
        |tier: &str| stage.run(stage.lclaude(&["--model", tier, "-p", "hello", "--tools", ""])).expect(0).stdout;
    assert_eq!(plain("haiku"), "The small one.\n");
    assert_eq!(plain("opus"), "Hello from the tiny local model.\n");
    let ended = stage.run(stage.with_bash(&["-p", "create the proof"])).expect(0);
    assert_eq!((ended.stdout.as_str(), stage.proof().as_str()), (DONE, "made-by-local-model\n"));
    stage.assert_nothing_left();
}
