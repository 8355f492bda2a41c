//! `lclaude local doctor --live` proves what a session stands on, says what a failed proof means, and what it found warns a
//! later session.

use std::fs;

use lclaude_fakes::scripted_model::Script;
use rustix::process::Signal;
use support::{
    Session, Stage, Value,
    doctor::{assert_unique, complaints, line, server, told},
    json, messages,
    messages::record,
    real,
};

/// A Claude Code that carries out the tool call of a good model.
const CLAUDE: &str = r#"case "$1" in --version) echo '2.1.331 (Claude Code)'; exit;; esac
echo "$@" > "$ARGUMENTS"
env > "$ENVIRONMENT"
echo made-by-local-model > proof.txt
echo '{"type":"result","is_error":false,"duration_ms":1500,"result":"Done."}'"#;

/// Well, with a Claude Code of the test's own.
fn stage(claude: &str) -> Stage {
    let mut stage = Stage::well();
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
    assert_eq!(ended.code, Some(0), "{:#?}", complaints(&report));
    assert_eq!(complaints(&report), Vec::<&Value>::new());
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
    names.iter().for_each(|name| assert_eq!(line(&report, "live", name)["state"], "ok"));
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
    stage.config(&format!("throwaway = true\n{}", stage.filled(support::doctor::WELL)));
    let (ended, report) = stage.doctor("--live");
    assert_eq!((ended.code, complaints(&report)), (Some(0), Vec::<&Value>::new()));
    assert_eq!(line(&report, "live", "Claude Code's turn")["state"], "ok");
}

#[test]
fn every_wrong_response_is_found_and_explained() {
    messages!();
    let symptoms = [
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
    for (illness, name, state) in symptoms {
        let mut stage = stage(CLAUDE);
        stage.set("FAKE_LLAMA_ILL", illness);
        let (ended, report) = stage.doctor("--live");
        let found = line(&report, "live", name);
        assert_eq!(found["state"], state, "{illness}: {found:#}");
        record(illness, told(found));
        assert!(found["help"].as_array().is_some_and(|helps| !helps.is_empty()), "{illness}: {found:#}");
        assert_eq!(ended.code, Some(i32::from(state == "failure")), "{illness}: {:#?}", complaints(&report));
        // What the illness has nothing to do with is proven all the same.
        if illness != "mute" {
            assert_eq!(line(&report, "live", "Claude Code's turn")["state"], "ok", "{illness}");
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
        let found = line(&report, "live", "backend");
        assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
        record(failure, told(found));
        assert!(found["log"].as_array().is_some_and(|log| !log.is_empty()), "{found:#}");
    }
}

#[test]
fn missing_tools_and_small_context_are_reported() {
    messages!();
    let mut stage = stage(CLAUDE);
    stage.set("FAKE_LLAMA_NO_TOOLS", 1);
    let (_, report) = stage.doctor("--live");
    let found = line(&report, "live", "fitness");
    record("no tools", told(found));
    let mut stage = self::stage(CLAUDE);
    stage.set("FAKE_LLAMA_N_CTX", 8000);
    let (ended, report) = stage.doctor("--live");
    let found = line(&report, "live", "fitness");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    record("a small context", told(found));
}

#[test]
fn every_check_is_unique_and_every_failure_has_help() {
    let ill: [&[(&str, &str)]; 4] = [
        &[("FAKE_LLAMA_ILL", "mute")],
        &[("FAKE_LLAMA_FAIL", "oom")],
        &[("FAKE_LLAMA_NO_TOOLS", "1"), ("FAKE_LLAMA_N_CTX", "30000")],
        &[("LCLAUDE_CONTEXT", "many")],
    ];
    for switches in ill {
        let mut stage = stage(CLAUDE);
        for (name, value) in switches {
            stage.set(name, value);
        }
        let (_, report) = stage.doctor("--live");
        assert_unique(&report);
        assert_ne!(complaints(&report), Vec::<&Value>::new());
        for check in complaints(&report) {
            assert_ne!(check["help"], json!([]), "{switches:?}: {check:#}");
        }
    }
}

/// As vLLM with two models, of which the first has more than the other; it answers no message but by its length.
fn two_models(first: usize) -> String {
    server(move |route, body| match route {
        "GET /v1/models" => {
            let models = [("a", first), ("b", 30_000)].map(|(id, most)| json!({"id": id, "max_model_len": most}));
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
        let found = line(&report, "live", "over-long prompt");
        assert_eq!(found["state"], "ok", "{first}: {found:#}");
        record(first, told(found));
        // It has no log of ours.
        let stream = line(&report, "live", "streaming");
        assert!(stream["help"][0].to_string().contains(&format!("curl -v {url}")), "{stream:#}");
        record(first, told(stream));
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
        let found = line(&report, "live", "Claude Code's turn");
        assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
        record(claude, told(found));
    }
}

/// An endpoint may name the key that it refuses, and Claude Code shows what it says.
#[test]
fn report_never_contains_the_key() {
    let start = "case \"$1\" in --version) echo 2.1.331; exit;; esac\nenv > \"$ENVIRONMENT\"\n";
    let says = "{\\\"result\\\": \\\"this is the key: $ANTHROPIC_AUTH_TOKEN\\\"}";
    for end in ["echo \"key $ANTHROPIC_AUTH_TOKEN\" >&2; exit 1", "exit 0", "echo made > proof.txt"] {
        let stage = stage(&format!("{start}echo \"{says}\"\n{end}"));
        let (ended, report) = stage.doctor("--live");
        let environment = fs::read_to_string(stage.root().join("environment")).expect("Claude Code ran");
        let key = environment.lines().find_map(|line| line.strip_prefix("ANTHROPIC_AUTH_TOKEN=")).expect("a key");
        let found = line(&report, "live", "Claude Code's turn");
        assert!(found.to_string().contains("this is the key: ••••••••"), "{found:#}");
        let verdicts = fs::read_to_string(stage.home().join(".local/state/lclaude/verdicts.json")).expect("a verdict");
        assert!(![ended.stdout, ended.stderr, verdicts].concat().contains(key), "{end}: {found:#}");
    }
}

/// A session on the stage's own configuration, to its end.
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
    let warning: Vec<&str> = said.lines().filter(|line| line.contains("doctor")).collect();
    let [warning] = warning[..] else { panic!("{said}") };
    record("a later session", warning);
    // Without a proof of its own it is told too.
    let (ended, report) = stage.doctor("");
    let last = line(&report, "live", "last proof");
    assert_eq!((ended.code, &last["state"]), (Some(0), &json!("warning")), "{last:#}");
    record("a later doctor", told(last));
    // The same programs with another model are not what was proven.
    fs::copy(stage.model(), stage.project().join("other.gguf")).expect("a copy");
    let other = stage.lclaude(&["--model", "other.gguf", "-p", "x"]).output().expect("it runs");
    assert!(!String::from_utf8_lossy(&other.stderr).contains("doctor"), "{other:?}");

    // Nor are another file of that name and another context.
    let deep = stage.project().join("deep");
    fs::create_dir(&deep).and_then(|()| fs::copy(stage.model(), deep.join("tiny.gguf"))).expect("a copy");
    for other in [["--model", "deep/tiny.gguf"], ["--context", "50000"]] {
        let other = stage.lclaude(&[&other[..], &["-p", "x"]].concat()).output().expect("it runs");
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
    assert!(touched.expect("touch is everywhere").success());
    assert!(!session(&stage).contains("doctor"));
}

#[test]
fn changed_model_file_drops_the_warning() {
    let mut stage = stage(CLAUDE);
    stage.set("FAKE_LLAMA_ILL", "talk");
    stage.doctor("--live");
    assert!(session(&stage).contains("doctor"));
    let touched = stage.command("touch").args(["-d", "2030-01-01"]).arg(stage.model()).status();
    assert!(touched.expect("touch is everywhere").success());
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
    let found = line(&report, "live", "backend");
    record("doctor --live", told(found));
    stage.assert_nothing_started();
}

#[test]
fn real_programs_pass_every_check() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let before = stage.home_files();
    let (ended, report) = stage.doctor("--live --backend llamacpp --model tiny.gguf --context 32768");
    assert_eq!(ended.code, Some(0), "{:#?}", complaints(&report));
    let turn = &line(&report, "live", "Claude Code's turn")["found"];
    assert!(turn.to_string().contains("The local model wrote proof.txt."), "{turn}");
    assert!(line(&report, "live", "prompt speed")["found"].to_string().contains("tokens/s read"));
    assert!(line(&report, "live", "answer speed")["found"].to_string().contains("tokens/s written"));
    assert_eq!(stage.home_files(), before);
    stage.assert_nothing_left();
}

#[test]
fn real_server_model_without_tool_support_is_reported() {
    // A template that never mentions tools.
    let template = "{%- for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>{%- endfor %}\
                    {%- if add_generation_prompt %}<|assistant|>{%- endif %}";
    let script = Script { template: template.into(), ..Script::default() };
    let Some(stage) = real::stage(&script) else { return };
    let (ended, report) = stage.doctor("--live --backend llamacpp --model tiny.gguf --context 32768");
    assert_eq!(ended.code, Some(1));
    let found = &line(&report, "live", "tool call")["found"];
    assert!(found.to_string().contains("tiny cannot call tools"), "{found}");
    assert_eq!(line(&report, "live", "Claude Code's turn")["state"], "failure");
}
