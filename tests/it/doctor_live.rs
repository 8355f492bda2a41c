//! `lclaude local doctor --live`: tests of the backend with real requests, explanations of failures, and the warnings that
//! later sessions print.

use std::fs;

use lclaude_fakes::scripted_model::Script;
use rustix::process::Signal;
use support::{
    Session, Stage, Value,
    doctor::{assert_unique_checks, check_text, find_check, problems, server},
    json, messages,
    messages::record,
    real,
};

/// A Claude Code that succeeds and writes the file, as with a working model.
const CLAUDE: &str = r#"case "$1" in --version) echo '2.1.331 (Claude Code)'; exit;; esac
echo "$@" > "$ARGUMENTS"
env > "$ENVIRONMENT"
echo made-by-local-model > proof.txt
echo '{"type":"result","is_error":false,"duration_ms":1500,"result":"Done."}'"#;

/// Returns a healthy stage with this script as Claude Code.
fn stage(claude: &str) -> Stage {
    let mut stage = Stage::healthy();
    stage.script("claude", claude);
    let (arguments, environment) = (stage.root().join("arguments"), stage.root().join("environment"));
    stage.set("ARGUMENTS", arguments.display()).set("ENVIRONMENT", environment.display());
    stage
}

#[test]
fn healthy_backend_passes_every_check_and_home_is_unchanged() {
    let stage = stage(CLAUDE);
    let before = stage.home_files();
    let (ended, report) = stage.doctor("--live");
    assert_eq!(ended.code, Some(0), "{:#?}", problems(&report));
    assert_eq!(problems(&report), Vec::<&Value>::new());
    let names = [
        "backend",
        "message",
        "streaming",
        "tool call",
        "tool result",
        "system prompt",
        "wrong model",
        "over-long prompt",
        "prompt speed",
        "Claude Code's turn",
    ];
    names.iter().for_each(|name| assert_eq!(find_check(&report, "live", name)["state"], "ok"));
    assert_eq!(stage.home_files(), before);
    let arguments = fs::read_to_string(stage.root().join("arguments")).expect("Claude Code ran");
    assert!(arguments.contains("--no-session-persistence") && arguments.contains("--strict-mcp-config"), "{arguments}");
    let environment = fs::read_to_string(stage.root().join("environment")).expect("Claude Code ran");
    let own = format!("CLAUDE_CONFIG_DIR={}/session-", stage.runtime().display());
    assert!(environment.contains(&own), "{environment}");
    stage.assert_nothing_left();
}

#[test]
fn turn_has_its_own_home_even_with_throwaway_configured() {
    let stage = stage(CLAUDE);
    stage.config(&format!("throwaway = true\n{}", stage.expand_paths(support::doctor::HEALTHY)));
    let (ended, report) = stage.doctor("--live");
    assert_eq!((ended.code, problems(&report)), (Some(0), Vec::<&Value>::new()));
    assert_eq!(find_check(&report, "live", "Claude Code's turn")["state"], "ok");
}

#[test]
fn every_wrong_response_is_found_and_explained() {
    messages!();
    let faults = [
        ("mute", "message", "failure"),
        ("order", "streaming", "failure"),
        ("cut", "streaming", "failure"),
        ("text", "tool call", "failure"),
        ("talk", "tool call", "failure"),
        ("result", "tool result", "failure"),
        ("beta", "system prompt", "failure"),
        ("model", "wrong model", "warning"),
        ("wording", "over-long prompt", "warning"),
        ("silent", "over-long prompt", "warning"),
    ];
    for (fault, name, state) in faults {
        let mut stage = stage(CLAUDE);
        stage.set("FAKE_LLAMA_ILL", fault);
        let (ended, report) = stage.doctor("--live");
        let found = find_check(&report, "live", name);
        assert_eq!(found["state"], state, "{fault}: {found:#}");
        record(fault, check_text(found));
        assert!(found["help"].as_array().is_some_and(|helps| !helps.is_empty()), "{fault}: {found:#}");
        assert_eq!(ended.code, Some(i32::from(state == "failure")), "{fault}: {:#?}", problems(&report));
        // Unrelated checks still run.
        if fault != "mute" {
            assert_eq!(find_check(&report, "live", "Claude Code's turn")["state"], "ok", "{fault}");
        }
        stage.assert_nothing_left();
    }
}

#[test]
fn failed_backend_start_is_explained_with_its_log() {
    messages!();
    for failure in ["oom", "arch"] {
        let mut stage = stage(CLAUDE);
        stage.set("FAKE_LLAMA_FAIL", failure);
        let (ended, report) = stage.doctor("--live");
        let found = find_check(&report, "live", "backend");
        assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
        record(failure, check_text(found));
        assert!(found["log"].as_array().is_some_and(|log| !log.is_empty()), "{found:#}");
    }
}

#[test]
fn missing_tools_and_small_context_are_reported() {
    messages!();
    let mut stage = stage(CLAUDE);
    stage.set("FAKE_LLAMA_NO_TOOLS", 1);
    let (_, report) = stage.doctor("--live");
    let found = find_check(&report, "live", "fitness");
    record("no tools", check_text(found));
    let mut stage = self::stage(CLAUDE);
    stage.set("FAKE_LLAMA_N_CTX", 8000);
    let (ended, report) = stage.doctor("--live");
    let found = find_check(&report, "live", "fitness");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    record("a small context", check_text(found));
}

#[test]
fn every_check_is_unique_and_every_failure_has_help() {
    let faults: [&[(&str, &str)]; 4] = [
        &[("FAKE_LLAMA_ILL", "mute")],
        &[("FAKE_LLAMA_FAIL", "oom")],
        &[("FAKE_LLAMA_NO_TOOLS", "1"), ("FAKE_LLAMA_N_CTX", "30000")],
        &[("LCLAUDE_CONTEXT", "many")],
    ];
    for variables in faults {
        let mut stage = stage(CLAUDE);
        for (name, value) in variables {
            stage.set(name, value);
        }
        let (_, report) = stage.doctor("--live");
        assert_unique_checks(&report);
        assert_ne!(problems(&report), Vec::<&Value>::new());
        for check in problems(&report) {
            assert_ne!(check["help"], json!([]), "{variables:?}: {check:#}");
        }
    }
}

/// Starts a server like vLLM with two models, `a` with a context of `first` tokens and `b` with a smaller one. It rejects
/// messages that are too long for `a`.
fn two_models(first: usize) -> String {
    server(move |route, body| match route {
        "GET /v1/models" => {
            let models = [("a", first), ("b", 30_000)].map(|(id, limit)| json!({"id": id, "max_model_len": limit}));
            ("200 OK", json!({ "data": models }))
        }
        _ if body == "{}" => ("400 Bad Request", json!({})),
        _ if body.len() / 2 > first => ("400 Bad Request", json!({"error": {"message": "prompt is too long"}})),
        _ => {
            let usage = json!({"input_tokens": body.len() / 2, "output_tokens": 1});
            let content = json!([{"type": "text", "text": "Hello."}]);
            ("200 OK", json!({"type": "message", "role": "assistant", "content": content, "usage": usage}))
        }
    })
}

#[test]
fn overlong_prompt_is_sized_for_the_requested_model() {
    messages!();
    for first in [60_000, 200_000] {
        let stage = stage(CLAUDE);
        let url = two_models(first);
        let models = "model = \"a\"\n[models]\nhaiku = \"b\"\n";
        stage.config(&format!("backend = \"endpoint\"\n{models}[endpoint]\nurl = \"{url}\"\n"));
        let (_, report) = stage.doctor("--live");
        let found = find_check(&report, "live", "over-long prompt");
        assert_eq!(found["state"], "ok", "{first}: {found:#}");
        record(first, check_text(found));
        // lclaude has no log of this server, so the help suggests a request.
        let stream = find_check(&report, "live", "streaming");
        assert!(stream["help"][0].to_string().contains(&format!("curl -v {url}")), "{stream:#}");
        record(first, check_text(stream));
    }
}

#[test]
fn overlong_prompt_error_of_vllm_and_others_is_known() {
    let errors = [
        // vLLM 0.32, OpenAI, LiteLLM, SGLang.
        (
            "400 Bad Request",
            json!({"message": "This model's maximum context length is 30000 tokens. However, you requested 30001"}),
            "ok",
        ),
        ("400 Bad Request", json!({"message": "too long", "code": "context_length_exceeded"}), "ok"),
        ("413 Too Large", json!({"message": "litellm.ContextWindowExceededError: no"}), "ok"),
        (
            "400 Bad Request",
            json!({"message": "The input (9 tokens) is longer than the model's context length (8 tokens)."}),
            "ok",
        ),
        ("400 Bad Request", json!({"message": "no room"}), "warning"),
        ("500 No", json!({"message": "maximum context length"}), "warning"),
    ];
    for (status, error, state) in errors {
        let url = server({
            let error = error.clone();
            move |route, body| match route {
                "GET /v1/models" => ("200 OK", json!({"data": [{"id": "m", "max_model_len": 30_000}]})),
                _ if body == "{}" => ("400 Bad Request", json!({})),
                _ if body.len() > 50_000 => (status, json!({"type": "error", "error": error})),
                _ => {
                    let usage = json!({"input_tokens": 10, "output_tokens": 1});
                    let content = json!([{"type": "text", "text": "Hello."}]);
                    ("200 OK", json!({"type": "message", "role": "assistant", "content": content, "usage": usage}))
                }
            }
        });
        let stage = stage(CLAUDE);
        stage.config(&format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{url}\"\n"));
        let (_, report) = stage.doctor("--live");
        let found = find_check(&report, "live", "over-long prompt");
        assert_eq!(found["state"], state, "{status} {error}: {found:#}");
    }
}

#[test]
fn failed_claude_code_turn_shows_its_output() {
    messages!();
    let version = "case \"$1\" in --version) echo 2.1.331; exit;; esac\n";
    for claude in [
        "echo '{\"is_error\": true, \"result\": \"API Error: 400\"}'; echo trouble >&2; exit 1",
        "echo '{\"is_error\": false, \"result\": \"I would rather talk.\"}'",
    ] {
        let stage = stage(&format!("{version}{claude}"));
        let (ended, report) = stage.doctor("--live");
        let found = find_check(&report, "live", "Claude Code's turn");
        assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
        record(claude, check_text(found));
    }
}

/// An endpoint may quote a key that it rejects, and Claude Code prints the response.
#[test]
fn report_never_contains_the_key() {
    let start = "case \"$1\" in --version) echo 2.1.331; exit;; esac\nenv > \"$ENVIRONMENT\"\n";
    let says = "{\\\"result\\\": \\\"this is the key: $ANTHROPIC_AUTH_TOKEN\\\"}";
    for end in ["echo \"key $ANTHROPIC_AUTH_TOKEN\" >&2; exit 1", "exit 0", "echo made > proof.txt"] {
        let stage = stage(&format!("{start}echo \"{says}\"\n{end}"));
        let (ended, report) = stage.doctor("--live");
        let environment = fs::read_to_string(stage.root().join("environment")).expect("Claude Code ran");
        let key = environment.lines().find_map(|line| line.strip_prefix("ANTHROPIC_AUTH_TOKEN=")).expect("a key");
        let found = find_check(&report, "live", "Claude Code's turn");
        assert!(found.to_string().contains("this is the key: ••••••••"), "{found:#}");
        let verdicts = fs::read_to_string(stage.home().join(".local/state/lclaude/verdicts.json")).expect("a verdict");
        assert!(![ended.stdout, ended.stderr, verdicts].concat().contains(key), "{end}: {found:#}");
    }
}

/// Runs a session with the stage's configuration and returns its stderr.
fn session(stage: &Stage) -> String {
    stage.ended(stage.lclaude(&["-p", "hello"]).env_remove("FAKE_LLAMA_ILL")).expect(0).stderr
}

#[test]
fn failed_check_warns_later_sessions_until_it_passes() {
    messages!();
    let mut stage = stage(CLAUDE);
    assert!(!session(&stage).contains("doctor"));
    stage.set("FAKE_LLAMA_ILL", "talk");
    let (ended, _) = stage.doctor("--live");
    assert_eq!(ended.code, Some(1));
    let said = session(&stage);
    assert_eq!(said.lines().filter(|line| line.contains("warning: doctor")).count(), 1, "{said}");
    record("a later session", said);
    // Doctor without --live reports the last result.
    let (ended, report) = stage.doctor("");
    let last = find_check(&report, "live", "last proof");
    assert_eq!((ended.code, &last["state"]), (Some(0), &json!("warning")), "{last:#}");
    record("a later doctor", check_text(last));
    // The result doesn't apply to another model.
    fs::copy(stage.model(), stage.project().join("other.gguf")).expect("a copy");
    let other = stage.lclaude(&["--model", "other.gguf", "-p", "x"]).output().expect("lclaude runs");
    assert!(!String::from_utf8_lossy(&other.stderr).contains("doctor"), "{other:?}");

    // It doesn't apply to another file with the same name or another context either.
    let deep = stage.project().join("deep");
    fs::create_dir(&deep).and_then(|()| fs::copy(stage.model(), deep.join("tiny.gguf"))).expect("a copy");
    for other in [["--model", "deep/tiny.gguf"], ["--context", "50000"]] {
        let other = stage.lclaude(&[&other[..], &["-p", "x"]].concat()).output().expect("lclaude runs");
        assert!(!String::from_utf8_lossy(&other.stderr).contains("doctor"), "{other:?}");
    }

    stage.set("FAKE_LLAMA_ILL", "wording");
    assert_eq!(stage.doctor("--live").0.code, Some(0));
    assert!(!session(&stage).contains("doctor"));
}

#[test]
fn changed_claude_code_drops_the_warning() {
    let mut stage = stage(CLAUDE);
    stage.set("FAKE_LLAMA_ILL", "talk");
    stage.doctor("--live");
    assert!(session(&stage).contains("doctor"));
    let claude = stage.bin().join("claude");
    let touched = stage.command("touch").args(["-d", "2030-01-01"]).arg(claude).status();
    assert!(touched.expect("touch runs").success());
    assert!(!session(&stage).contains("doctor"));
}

#[test]
fn changed_model_file_drops_the_warning() {
    let mut stage = stage(CLAUDE);
    stage.set("FAKE_LLAMA_ILL", "talk");
    stage.doctor("--live");
    assert!(session(&stage).contains("doctor"));
    let touched = stage.command("touch").args(["-d", "2030-01-01"]).arg(stage.model()).status();
    assert!(touched.expect("touch runs").success());
    assert!(!session(&stage).contains("doctor"));
}

#[test]
fn unreadable_verdict_is_ignored() {
    let stage = stage(CLAUDE);
    let file = stage.home().join(".local/state/lclaude/verdicts.json");
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    fs::write(file, "[{\"nonsense\": 1}]").expect("a file");
    assert!(!session(&stage).contains("doctor"));
}

#[test]
fn interrupted_check_leaves_nothing() {
    messages!();
    let mut stage = stage(CLAUDE);
    stage.set("FAKE_LLAMA_LOAD", "controlled");
    let session = Session::start(&mut stage.lclaude(&["local", "doctor", "--live"]));
    let _backend = stage.events.next("llama-server");
    session.signal(Signal::INT);
    session.wait().expect(130).record();
    stage.assert_nothing_left();
}

#[test]
fn missing_model_is_not_downloaded() {
    messages!();
    let stage = stage(CLAUDE);
    stage.config("backend = \"llamacpp\"\n");
    let (ended, report) = stage.doctor("--live");
    assert_eq!(ended.code, Some(1));
    let found = find_check(&report, "live", "backend");
    record("doctor --live", check_text(found));
    stage.assert_nothing_started();
}

#[test]
fn real_programs_pass_every_check() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let before = stage.home_files();
    let (ended, report) = stage.doctor("--live --backend llamacpp --model tiny.gguf --context 32768");
    assert_eq!(ended.code, Some(0), "{:#?}", problems(&report));
    let turn = &find_check(&report, "live", "Claude Code's turn")["found"];
    assert!(turn.to_string().contains("The local model wrote proof.txt."), "{turn}");
    assert!(find_check(&report, "live", "prompt speed")["found"].to_string().contains("tokens/s: about"));
    // The scripted model's answers are short.
    let answer = find_check(&report, "live", "answer speed")["found"].to_string();
    assert!(answer.contains("tokens/s") || answer.contains("not measured"), "{answer}");
    assert_eq!(stage.home_files(), before);
    stage.assert_nothing_left();
}

#[test]
fn real_server_model_without_tool_support_is_reported() {
    // A chat template without tools.
    let template = "{%- for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>{%- endfor %}\
                    {%- if add_generation_prompt %}<|assistant|>{%- endif %}";
    let script = Script { template: template.into(), ..Script::default() };
    let Some(stage) = real::stage(&script) else { return };
    let (ended, report) = stage.doctor("--live --backend llamacpp --model tiny.gguf --context 32768");
    assert_eq!(ended.code, Some(1));
    let found = &find_check(&report, "live", "tool call")["found"];
    assert!(found.to_string().contains("tiny cannot call tools"), "{found}");
    assert_eq!(find_check(&report, "live", "Claude Code's turn")["state"], "failure");
}
