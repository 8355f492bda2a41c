//! The ollama backend: a private server on the user's models, and clear errors where it can't work.

use std::fs;

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, finish, json, kill, messages,
    ollama::{Own, ollama_port, shared},
    terminal::Terminal,
    turn,
};

#[test]
fn private_server_gets_only_its_own_variables() {
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
    assert!(backend.is_gone() && runner.is_gone());
    // Without problems, only progress is printed.
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    stage.assert_nothing_left();
}

#[test]
fn model_is_loaded_before_claude_code_starts() {
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_LISTEN", "controlled").set("FAKE_OLLAMA_LOAD", "controlled");
    let session = stage.on("small", &[]);
    let backend = stage.events.next("ollama");
    // It accepts connections but doesn't answer yet.
    backend.wait_event("listening");
    backend.send(json!({"do": "serve"}));
    backend.wait_event("loading");
    assert!(
        stage.events.rest().iter().all(|fake| fake.who == "runner"),
        "Claude Code started before its model was loaded"
    );
    backend.send(json!({"do": "loaded"}));
    finish(session, &stage.events.next("claude"));
}

#[test]
fn server_that_never_responds_times_out() {
    messages!();
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_NEVER_SERVES", "1");
    stage.config("[lifetime]\nstartup_timeout = \"300ms\"\n");
    let session = stage.on("small", &[]);
    let backend = stage.events.next("ollama");
    session.wait().expect_failure(75);
    assert!(backend.is_gone());
}

#[test]
fn model_names_ignore_case_tag_and_library() {
    let stage = Stage::ollama();
    for (typed, name) in [("SMALL", "small:latest"), ("big:30B", "Big:30b"), ("library/small", "small:latest")] {
        let (session, claude, _backend) = stage.up(typed);
        assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], name);
        turn(&claude);
        finish(session, &claude);
    }
}

#[test]
fn port_in_use_is_retried_on_another_port() {
    let mut stage = Stage::ollama();
    let count = stage.root().join("starts");
    stage.set("FAKE_OLLAMA_FAIL", "bind").set("FAKE_OLLAMA_FAIL_TIMES", 2).set("FAKE_OLLAMA_STATE", count.display());
    let session = stage.on("small", &[]);
    let claude = stage.events.next("claude");
    let backends: Vec<Fake> = (0..3).map(|_| stage.events.next("ollama")).collect();
    let alive = backends.iter().find(|backend| !backend.is_gone()).expect("the last one");
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{}", ollama_port(alive)));
    finish(session, &claude);
}

#[test]
fn missing_model_error_says_how_to_get_it() {
    messages!();
    let stage = Stage::ollama();
    stage.on("far:1b", &[]).wait().expect_failure(69);
    stage.on("smal", &[]).wait().expect_failure(69);
    let file = stage.output(&["--model", "/tmp/x.gguf", "-p", "x"]);
    file.expect_failure(64);
    stage.assert_nothing_started();
}

#[test]
fn yes_option_downloads_a_missing_model() {
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
fn download_errors_are_reported() {
    messages!();
    let mut stage = Stage::ollama();
    stage.on("nothing:1b", &["--yes"]).wait().expect_failure(69);
    stage.set("FAKE_OLLAMA_PULL", "offline");
    stage.on("far:1b", &["--yes"]).wait().expect_failure(69);
    stage.set("FAKE_OLLAMA_PULL", "controlled");
    // The response already has status 200 when the download fails.
    let session = stage.on("far:1b", &["--yes"]);
    stage.events.rest();
    let backend = stage.events.next("ollama");
    backend.wait_event("pull");
    backend.send(json!({"do": "pull_progress", "completed": 1000}));
    backend.send(json!({"do": "pull_error", "error": "max retries exceeded: EOF"}));
    session.wait().expect_failure(69);
}

#[test]
fn download_on_a_terminal_asks_shows_progress_and_can_be_resumed() {
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_PULL", "controlled");
    let mut terminal = Terminal::start(stage.lclaude(&["--model", "far:1b"]));
    terminal.wait_for("far:1b is not installed. Download it now?");
    terminal.type_in("y\n");
    let backend = stage.events.next("ollama");
    assert_eq!(backend.wait_event("pull")["completed"], 0);
    backend.send(json!({"do": "pull_progress", "completed": 400_000_000}));
    let shown = |lines: &[&str]| lines.iter().any(|line| line.contains("40%") && line.contains("400 MB of 1.0 GB"));
    terminal.wait_for_screen(|lines| shown(&lines.iter().map(AsRef::as_ref).collect::<Vec<&str>>()));
    terminal.type_in("\x03");
    terminal.wait_to_the_end(130);
    assert!(backend.is_gone());

    let session = stage.on("far:1b", &["--yes"]);
    let backend = stage.events.next("ollama");
    assert_eq!(backend.wait_event("pull")["completed"], 400_000_000);
    backend.send(json!({"do": "pull_finish"}));
    finish(session, &stage.events.next("claude"));
}

#[test]
fn declined_download_is_an_error() {
    let stage = Stage::ollama();
    let mut terminal = Terminal::start(stage.lclaude(&["--model", "far:1b"]));
    terminal.wait_for("Download it now?");
    terminal.type_in("n\n");
    let shown = terminal.wait_to_the_end(69);
    assert!(shown.contains("-- ollama pull far:1b"), "{shown}");
    stage.assert_nothing_started();
}

#[test]
fn model_without_tools_is_rejected_with_alternatives() {
    messages!();
    let stage = Stage::ollama();
    let ended = stage.on("talker", &[]).wait().expect_failure(69);
    // Capabilities come from /api/show, because /api/tags is incomplete and partly wrong.
    let proposed = ended.stderr.lines().filter(|line| line.trim_start().starts_with("help: "));
    assert!(proposed.clone().all(|line| !line.contains("talker")) && proposed.count() > 0, "{}", ended.stderr);
    let (session, claude, _backend) = {
        stage.events.rest();
        stage.up("quiet")
    };
    finish(session, &claude);
}

#[test]
fn cloud_model_requires_the_user_configuration() {
    messages!();
    let stage = Stage::ollama();
    for model in ["glm-4.7:cloud", "gpt-oss:120b-cloud", "glm-4.7:Cloud"] {
        stage.on(model, &[]).wait().expect_failure(77);
    }
    // The configuration must name this very model.
    stage.config("model = \"small\"\n[models]\nhaiku = \"other:cloud\"\n");
    stage.on("glm-4.7:cloud", &[]).wait().expect_failure(77);
    stage.assert_nothing_started();
    stage.config("model = \"glm-4.7:cloud\"\n");
    let plan = stage.output(&["--dry-run", "-p", "x"]).expect(0).record().stdout;
    assert!(plan.contains("glm-4.7:cloud") && !plan.contains("OLLAMA_NO_CLOUD"), "{plan}");
}

#[test]
fn old_ollama_version_is_rejected() {
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
fn claude_code_gets_the_granted_context() {
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
fn context_fixed_by_the_modelfile_is_explained() {
    messages!();
    let stage = Stage::ollama();
    let (session, claude, _backend) = stage.up("fixed");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "30000");
    finish(session, &claude).record();
    stage.on("cramped", &[]).wait().expect_failure(69);
}

#[test]
fn truncated_model_is_reported_as_damaged() {
    messages!();
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_MODELS", r#"[{"name": "small:latest", "damaged": true}]"#);
    stage.on("small", &["--yes"]).wait().expect_failure(69);
}

#[test]
fn local_alias_of_a_cloud_model_is_rejected() {
    messages!();
    let models = ("FAKE_OLLAMA_MODELS", r#"[{"name": "small:latest", "remote": "gpt-oss:120b"}]"#);
    let mut stage = Stage::ollama();
    stage.set(models.0, models.1);
    stage.on("small", &[]).wait().expect_failure(77);
    let (stage, _own) = shared(&[models]);
    stage.on("small", &[]).wait().expect_failure(77);
}

#[test]
fn load_failures_are_explained() {
    messages!();
    for failure in ["oom", "oom-killed", "arch", "sigill", "missing-lib"] {
        messages::note(failure);
        let mut stage = Stage::ollama();
        stage.set("FAKE_OLLAMA_FAIL", failure);
        stage.on("small", &[]).wait().expect_failure(69);
    }
}

#[test]
fn each_tier_can_have_its_own_loaded_model() {
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
        [stage.events.next("runner"), stage.events.next("runner")].iter().filter(|one| one.is_gone()).count(),
        0
    );
    finish(session, &claude);
}

#[test]
fn smallest_context_of_several_models_counts() {
    messages!();
    let stage = Stage::ollama();
    stage.config("model = \"small\"\n[models]\nhaiku = \"fixed\"\n");
    let session = Session::start(stage.lclaude(&["-p", "hello"]).stdin(std::process::Stdio::null()));
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "30000");
    finish(session, &claude).record();
}

#[test]
fn models_that_do_not_fit_together_cause_a_warning() {
    messages!();
    let mut stage = Stage::ollama();
    stage.set("FAKE_OLLAMA_MEMORY", 3_000_000_000_u64);
    stage.config("model = \"small\"\n[models]\nhaiku = \"Big:30b\"\n");
    let session = Session::start(stage.lclaude(&["-p", "hello"]).stdin(std::process::Stdio::null()));
    let (backend, claude) = (stage.events.next("ollama"), stage.events.next("claude"));
    // The main model stays loaded.
    assert_eq!(backend.wait_event("unloaded")["model"], "big:30b");
    finish(session, &claude).record();
}

#[test]
fn model_option_applies_to_every_tier() {
    let stage = Stage::ollama();
    stage.config("[models]\nopus = \"Big:30b\"\nsonnet = \"Big:30b\"\n");
    let (session, claude, backend) = stage.up("small");
    assert_eq!(backend.env["OLLAMA_MAX_LOADED_MODELS"], "1");
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], "small:latest");
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_OPUS_MODEL"], "small:latest");
    finish(session, &claude);
}

#[test]
fn killed_backend_restarts_after_its_runner_is_gone() {
    messages!();
    let stage = Stage::ollama();
    let (session, claude, backend) = stage.up("small");
    let runner = stage.events.next("runner");
    kill(backend.pid, Signal::KILL);
    let second = stage.events.next("ollama");
    assert_eq!(ollama_port(&second), ollama_port(&backend));
    assert!(runner.is_gone(), "two models would be in memory");
    second.wait_event("loaded");
    turn(&claude);
    finish(session, &claude).record();
}

#[test]
fn variables_set_by_lclaude_are_rejected() {
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
fn configured_model_store_is_used() {
    let stage = Stage::ollama();
    let store = stage.root().join("store");
    fs::rename(stage.home().join(".ollama/models"), &store).expect("moved");
    stage.config("[ollama]\nmodels_dir = \"~/../store\"\n");
    let (session, claude, backend) = stage.up("small");
    assert_eq!(fs::canonicalize(&backend.env["OLLAMA_MODELS"]).expect("it is there"), store);
    finish(session, &claude);
}

/// A relative path starts at the working directory, and quotes around it are ignored, as in `ollama serve`.
#[test]
fn model_store_of_the_environment_is_read_like_ollama_does() {
    messages!();
    let mut stage = Stage::ollama();
    fs::rename(stage.home().join(".ollama/models"), stage.project().join("store")).expect("moved");
    for value in ["store", " \"./store\" ", "'store/../store'"] {
        stage.set("OLLAMA_MODELS", value);
        let (session, claude, backend) = stage.up("small");
        let given = std::path::Path::new(&backend.env["OLLAMA_MODELS"]);
        assert!(given.is_absolute(), "{}", given.display());
        assert_eq!(given.canonicalize().expect("it is there"), stage.project().join("store"));
        finish(session, &claude);
        stage.events.rest();
    }
    // Ollama doesn't expand ~ either.
    stage.set("OLLAMA_MODELS", "~/store");
    stage.on("small", &[]).wait().expect_failure(69);
    // Nothing between the quotes means the default store.
    fs::rename(stage.project().join("store"), stage.home().join(".ollama/models")).expect("moved back");
    stage.set("OLLAMA_MODELS", "\"\"");
    let (session, claude, backend) = stage.up("small");
    assert_eq!(backend.env.get("OLLAMA_MODELS"), None);
    finish(session, &claude);
}

#[test]
fn model_loaded_in_the_users_own_server_is_mentioned() {
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
fn missing_ollama_error_says_how_to_install_it() {
    messages!();
    let stage = Stage::ollama();
    stage.config("[ollama]\npath = \"/nonexistent/ollama\"\n");
    stage.on("small", &[]).wait().expect_failure(69);
    stage.assert_nothing_started();
}
