//! On Ollama: a server of our own on the user's models, and an honest word where it cannot work.

use std::fs;

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, finish, has_ended, json, kill, messages,
    ollama::{Own, ollama_port, shared},
    terminal::Terminal,
    turn,
};

#[test]
fn a_private_server_gets_what_it_needs_and_nothing_of_the_users() {
    let mut stage = Stage::ollama();
    for name in ["LLAMA_API_KEY", "LLAMA_ARG_PORT", "OLLAMA_DEBUG", "ANTHROPIC_API_KEY", "CLAUDE_CODE_X"] {
        stage.set(name, "users");
    }
    let (session, claude, backend) = stage.up("small");
    assert_eq!(backend.argv[1..], ["serve"]);
    let given = |name: &str| backend.env.get(name).map(String::as_str);
    for (name, value) in [
        ("OLLAMA_CONTEXT_LENGTH", "65536"),
        ("OLLAMA_KEEP_ALIVE", "-1"),
        ("OLLAMA_NUM_PARALLEL", "1"),
        ("OLLAMA_MAX_LOADED_MODELS", "1"),
        ("OLLAMA_NOPRUNE", "1"),
        ("OLLAMA_NO_CLOUD", "1"),
    ] {
        assert_eq!(given(name), Some(value), "{name}");
    }
    for name in ["LLAMA_API_KEY", "LLAMA_ARG_PORT", "OLLAMA_DEBUG", "ANTHROPIC_API_KEY", "CLAUDE_CODE_X"] {
        assert_eq!(given(name), None, "{name}");
    }
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{}", ollama_port(&backend)));
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], "small:latest");
    turn(&claude);
    let runner = stage.events.next("runner");
    let ended = finish(session, &claude);
    assert!(has_ended(&backend) && has_ended(&runner));
    // Nothing to complain of, so nothing said but what was waited for.
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    stage.assert_nothing_left();
}

#[test]
fn the_model_is_in_memory_before_claude_code_starts() {
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_LISTEN", "controlled").set("FAKE_OLLAMA_LOAD", "controlled");
    let session = stage.on("small", &[]);
    let backend = stage.events.next("ollama");
    // It listens, and connections to it hang.
    backend.wait_event("listening");
    backend.send(json!({"do": "serve"}));
    backend.wait_event("loading");
    assert!(stage.events.rest().iter().all(|fake| fake.who == "runner"), "Claude Code is up before its model");
    backend.send(json!({"do": "loaded"}));
    finish(session, &stage.events.next("claude"));
}

#[test]
fn a_server_that_listens_and_never_serves_is_given_up() {
    messages!();
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_NEVER_SERVES", "1");
    stage.config("[lifetime]\nstartup_timeout = \"300ms\"\n");
    let session = stage.on("small", &[]);
    let backend = stage.events.next("ollama");
    session.wait().expect_failure(75);
    assert!(has_ended(&backend));
}

#[test]
fn names_are_found_whatever_their_case_and_without_their_tag() {
    let stage = Stage::ollama();
    for (typed, name) in [("SMALL", "small:latest"), ("big:30B", "Big:30b"), ("library/small", "small:latest")] {
        let (session, claude, _backend) = stage.up(typed);
        assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], name);
        turn(&claude);
        finish(session, &claude);
    }
}

#[test]
fn a_port_in_use_is_no_reason_to_give_up() {
    let mut stage = Stage::ollama();
    let count = stage.root().join("starts");
    stage.set("FAKE_OLLAMA_FAIL", "bind").set("FAKE_OLLAMA_FAIL_TIMES", 2).set("FAKE_OLLAMA_STATE", count.display());
    let session = stage.on("small", &[]);
    let claude = stage.events.next("claude");
    let backends: Vec<Fake> = (0..3).map(|_| stage.events.next("ollama")).collect();
    let alive = backends.iter().find(|backend| !has_ended(backend)).expect("the last one");
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{}", ollama_port(alive)));
    finish(session, &claude);
}

#[test]
fn a_missing_model_is_an_error_that_says_how_to_get_it() {
    messages!();
    let stage = Stage::ollama();
    stage.on("far:1b", &[]).wait().expect_failure(69);
    stage.on("smal", &[]).wait().expect_failure(69);
    let file = stage.output(&["--model", "/tmp/x.gguf", "-p", "x"]);
    file.expect_failure(64);
    stage.assert_nothing_started();
}

#[test]
fn with_yes_it_is_pulled() {
    messages!();
    let stage = Stage::ollama();
    let session = stage.on("far:1b", &["--yes"]);
    let backend = stage.events.next("ollama");
    backend.wait_event("pulled");
    let claude = stage.events.next("claude");
    turn(&claude);
    finish(session, &claude).record();
}

#[test]
fn what_goes_wrong_in_a_pull_is_said() {
    messages!();
    let mut stage = Stage::ollama();
    stage.on("nothing:1b", &["--yes"]).wait().expect_failure(69);
    stage.set("FAKE_OLLAMA_PULL", "offline");
    stage.on("far:1b", &["--yes"]).wait().expect_failure(69);
    stage.set("FAKE_OLLAMA_PULL", "controlled");
    // The answer's status has long said that all is well.
    let session = stage.on("far:1b", &["--yes"]);
    stage.events.rest();
    let backend = stage.events.next("ollama");
    backend.wait_event("pull");
    backend.send(json!({"do": "pull_progress", "completed": 1000}));
    backend.send(json!({"do": "pull_error", "error": "max retries exceeded: EOF"}));
    session.wait().expect_failure(69);
}

#[test]
fn on_a_terminal_it_asks_and_shows_how_far_it_is_and_ctrl_c_keeps_what_came() {
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_PULL", "controlled");
    let mut terminal = Terminal::start(stage.lclaude(&["--model", "far:1b"]));
    terminal.wait_for("far:1b is not installed. Pull it now?");
    terminal.type_in("y\n");
    let backend = stage.events.next("ollama");
    assert_eq!(backend.wait_event("pull")["completed"], 0);
    backend.send(json!({"do": "pull_progress", "completed": 400_000_000}));
    let shown = |lines: &[&str]| lines.iter().any(|line| line.contains("40%") && line.contains("400 MB of 1.0 GB"));
    terminal.wait_for_screen(|lines| shown(&lines.iter().map(AsRef::as_ref).collect::<Vec<&str>>()));
    terminal.type_in("\x03");
    terminal.wait_to_the_end(130);
    assert!(has_ended(&backend));

    let session = stage.on("far:1b", &["--yes"]);
    let backend = stage.events.next("ollama");
    assert_eq!(backend.wait_event("pull")["completed"], 400_000_000);
    backend.send(json!({"do": "pull_finish"}));
    finish(session, &stage.events.next("claude"));
}

#[test]
fn on_a_terminal_no_is_no() {
    let stage = Stage::ollama();
    let mut terminal = Terminal::start(stage.lclaude(&["--model", "far:1b"]));
    terminal.wait_for("Pull it now?");
    terminal.type_in("n\n");
    let shown = terminal.wait_to_the_end(69);
    assert!(shown.contains("help: ollama pull far:1b"), "{shown}");
    stage.assert_nothing_started();
}

#[test]
fn a_model_without_tools_is_refused_with_those_that_have_them() {
    messages!();
    let stage = Stage::ollama();
    let ended = stage.on("talker", &[]).wait().expect_failure(69);
    // What is asked is not the list, which leaves some out and has others wrong.
    let proposed = ended.stderr.lines().filter(|line| line.trim_start().starts_with("help: "));
    assert!(proposed.clone().all(|line| !line.contains("talker")) && proposed.count() > 0, "{}", ended.stderr);
    let (session, claude, _backend) = {
        stage.events.rest();
        stage.up("quiet")
    };
    finish(session, &claude);
}

#[test]
fn a_model_in_ollamas_cloud_has_to_be_in_the_users_own_file() {
    messages!();
    let stage = Stage::ollama();
    for model in ["glm-4.7:cloud", "gpt-oss:120b-cloud", "glm-4.7:Cloud"] {
        stage.on(model, &[]).wait().expect_failure(77);
    }
    // Naming another one there is not enough.
    stage.config("model = \"small\"\n[models]\nhaiku = \"other:cloud\"\n");
    stage.on("glm-4.7:cloud", &[]).wait().expect_failure(77);
    stage.assert_nothing_started();
    stage.config("model = \"glm-4.7:cloud\"\n");
    let plan = stage.output(&["--dry-run", "-p", "x"]).expect(0).record().stdout;
    assert!(plan.contains("glm-4.7:cloud") && !plan.contains("OLLAMA_NO_CLOUD"), "{plan}");
}

#[test]
fn one_that_is_too_old_is_not_used() {
    messages!();
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_VERSION", "0.13.5");
    stage.on("small", &[]).wait().expect_failure(69);
    for version in ["0.14.0-rc1", "0.0.0", "1.0.0"] {
        stage.events.rest();
        stage.set("FAKE_OLLAMA_VERSION", version);
        let (session, claude, _backend) = stage.up("small");
        finish(session, &claude);
    }
}

#[test]
fn claude_code_knows_the_context_that_was_really_granted() {
    messages!();
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_PS_CONTEXT", 50_000);
    let (session, claude, _backend) = stage.up("small");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "50000");
    finish(session, &claude).record();
    stage.set("FAKE_OLLAMA_PS_CONTEXT", 8192);
    stage.events.rest();
    stage.on("small", &[]).wait().expect_failure(69);
}

#[test]
fn a_context_that_the_modelfile_fixes_comes_with_what_mends_it() {
    messages!();
    let stage = Stage::ollama();
    let (session, claude, _backend) = stage.up("fixed");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "30000");
    finish(session, &claude).record();
    stage.on("cramped", &[]).wait().expect_failure(69);
}

#[test]
fn a_model_whose_file_is_cut_short_is_not_called_missing() {
    messages!();
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_MODELS", r#"[{"name": "small:latest", "damaged": true}]"#);
    stage.on("small", &["--yes"]).wait().expect_failure(69);
}

#[test]
fn a_name_for_a_model_in_the_cloud_is_refused_by_whichever_server_has_it() {
    messages!();
    let models = ("FAKE_OLLAMA_MODELS", r#"[{"name": "small:latest", "remote": "gpt-oss:120b"}]"#);
    let mut stage = Stage::ollama();
    stage.set(models.0, models.1);
    stage.on("small", &[]).wait().expect_failure(77);
    let (stage, _own) = shared(&[models]);
    stage.on("small", &[]).wait().expect_failure(77);
}

#[test]
fn a_load_that_fails_is_explained_in_words() {
    messages!();
    for failure in ["oom", "oom-killed", "arch", "sigill", "missing-lib"] {
        messages::note(failure);
        let mut stage = Stage::ollama();
        stage.set("FAKE_OLLAMA_FAIL", failure);
        stage.on("small", &[]).wait().expect_failure(69);
    }
}

#[test]
fn each_tier_can_have_a_model_and_all_are_in_memory() {
    let stage = Stage::ollama();
    stage.config("model = \"small\"\n[models]\nhaiku = \"big:30b\"\nopus = \"SMALL:latest\"\n");
    let session = Session::start(stage.lclaude(&["-p", "hello"]).stdin(std::process::Stdio::null()));
    let (backend, claude) = (stage.events.next("ollama"), stage.events.next("claude"));
    assert_eq!(backend.env["OLLAMA_MAX_LOADED_MODELS"], "2");
    let tier = |name: &str| claude.env[&format!("ANTHROPIC_DEFAULT_{name}_MODEL")].as_str();
    assert_eq!(
        [tier("OPUS"), tier("SONNET"), tier("HAIKU"), tier("FABLE")],
        ["small:latest", "small:latest", "Big:30b", "small:latest"]
    );
    assert_eq!(
        [stage.events.next("runner"), stage.events.next("runner")].iter().filter(|one| has_ended(one)).count(),
        0
    );
    finish(session, &claude);
}

#[test]
fn of_several_models_the_one_with_the_least_context_is_named() {
    messages!();
    let stage = Stage::ollama();
    stage.config("model = \"small\"\n[models]\nhaiku = \"fixed\"\n");
    let session = Session::start(stage.lclaude(&["-p", "hello"]).stdin(std::process::Stdio::null()));
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "30000");
    finish(session, &claude).record();
}

#[test]
fn models_that_do_not_fit_together_are_said_to() {
    messages!();
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_MEMORY", 3_000_000_000_u64);
    stage.config("model = \"small\"\n[models]\nhaiku = \"Big:30b\"\n");
    let session = Session::start(stage.lclaude(&["-p", "hello"]).stdin(std::process::Stdio::null()));
    let (backend, claude) = (stage.events.next("ollama"), stage.events.next("claude"));
    // The one that most is asked of stays.
    assert_eq!(backend.wait_event("unloaded")["model"], "big:30b");
    finish(session, &claude).record();
}

#[test]
fn a_model_that_was_typed_is_every_tiers() {
    let stage = Stage::ollama();
    stage.config("[models]\nopus = \"Big:30b\"\nsonnet = \"Big:30b\"\n");
    let (session, claude, backend) = stage.up("small");
    assert_eq!(backend.env["OLLAMA_MAX_LOADED_MODELS"], "1");
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], "small:latest");
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_OPUS_MODEL"], "small:latest");
    finish(session, &claude);
}

#[test]
fn a_backend_that_is_killed_takes_its_runner_along_and_comes_back() {
    messages!();
    let stage = Stage::ollama();
    let (session, claude, backend) = stage.up("small");
    let runner = stage.events.next("runner");
    kill(backend.pid, Signal::KILL);
    let second = stage.events.next("ollama");
    assert_eq!(ollama_port(&second), ollama_port(&backend));
    assert!(has_ended(&runner), "two models would be in memory");
    second.wait_event("loaded");
    turn(&claude);
    finish(session, &claude).record();
}

#[test]
fn variables_that_lclaude_gives_itself_are_not_the_users_to_set() {
    messages!();
    let stage = Stage::ollama();
    stage.config("[ollama.env]\nOLLAMA_HOST = \"0.0.0.0:11434\"\n");
    stage.on("small", &[]).wait().expect_failure(65);
    stage.assert_nothing_started();
    stage.config("[ollama]\nkv_cache_type = \"q8_0\"\n[ollama.env]\nOLLAMA_DEBUG = \"1\"\n");
    let (session, claude, backend) = stage.up("small");
    let given = |name: &str| backend.env[name].as_str();
    assert_eq!(
        [given("OLLAMA_KV_CACHE_TYPE"), given("OLLAMA_FLASH_ATTENTION"), given("OLLAMA_DEBUG")],
        ["q8_0", "1", "1"]
    );
    finish(session, &claude);
}

#[test]
fn another_store_is_used_where_the_user_has_one() {
    let stage = Stage::ollama();
    let store = stage.root().join("store");
    fs::rename(stage.home().join(".ollama/models"), &store).expect("moved");
    stage.config("[ollama]\nmodels_dir = \"~/../store\"\n");
    let (session, claude, backend) = stage.up("small");
    assert_eq!(fs::canonicalize(&backend.env["OLLAMA_MODELS"]).expect("it is there"), store);
    finish(session, &claude);
}

#[test]
fn a_model_in_the_users_own_server_is_said_to_need_memory_too() {
    messages!();
    let mut stage = Stage::ollama();
    let own = Own::start(&stage, &[]);
    let _runner = own.load(&stage.events, "Big:30b");
    stage.set("OLLAMA_HOST", &own.url);
    let (session, claude, _backend) = stage.up("small");
    finish(session, &claude).record();
    assert_eq!(own.loaded(), ["big:30b"]);
}

#[test]
fn a_missing_ollama_is_an_error_that_says_how_to_get_it() {
    messages!();
    let stage = Stage::ollama();
    stage.config("[ollama]\npath = \"/nonexistent/ollama\"\n");
    stage.on("small", &[]).wait().expect_failure(69);
    stage.assert_nothing_started();
}
