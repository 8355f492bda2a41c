//! The choice of backend and models, and behavior that all backends share.

use std::process::Stdio;

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, finish, json, kill, lmstudio::lmstudio_port, machine::needs_no_ollama, messages,
    ollama::ollama_port, port,
};

/// A backend under test.
struct Backend {
    /// Its name in lclaude.
    kind: &'static str,
    /// Its name in the events of its fake.
    who: &'static str,
    /// The exact name of the model it serves as `tiny` or `small`.
    model: &'static str,
    stage: fn() -> Stage,
    port: fn(&Fake) -> u16,
    /// The variable that makes the fake load until told to continue, with its value.
    load: (&'static str, &'static str),
    /// The message that ends loading.
    finish_loading: &'static str,
    /// Whether it is a child of the keeper, so that it ends with the keeper and restarts on the same port.
    is_child: bool,
}

const BACKENDS: &[Backend] = &[
    Backend {
        kind: "llamacpp",
        who: "llama-server",
        model: "tiny",
        stage: || configured(Stage::new(), "backend = \"llamacpp\"\nmodel = \"PROJECT/tiny.gguf\"\n"),
        port,
        load: ("FAKE_LLAMA_LOAD", "controlled"),
        finish_loading: "ready",
        is_child: true,
    },
    Backend {
        kind: "command",
        who: "llama-server",
        model: "tiny",
        stage: || configured(Stage::new(), COMMAND),
        port,
        load: ("FAKE_LLAMA_LOAD", "controlled"),
        finish_loading: "ready",
        is_child: true,
    },
    Backend {
        kind: "ollama",
        who: "ollama",
        model: "small:latest",
        stage: || configured(Stage::ollama(), "backend = \"ollama\"\nmodel = \"small\"\n"),
        port: ollama_port,
        load: ("FAKE_OLLAMA_LOAD", "controlled"),
        finish_loading: "loaded",
        is_child: true,
    },
    Backend {
        kind: "lmstudio",
        who: "lmstudio",
        model: "lclaude/zai-org/glm-4.7-flash",
        stage: Stage::lmstudio,
        port: lmstudio_port,
        load: ("FAKE_LMS_LOAD", "controlled"),
        finish_loading: "loaded",
        is_child: false,
    },
];

const COMMAND: &str = r#"
backend = "command"
model = "tiny"
[command]
run = ["llama-server", "--model", "PROJECT/tiny.gguf", "--alias", "{model}", "--host", "{host}", "--port", "{port}", "-c", "{context}"]
"#;

fn configured(stage: Stage, text: &str) -> Stage {
    stage.config(&text.replace("PROJECT", &stage.project().display().to_string()));
    stage
}

fn start(stage: &Stage) -> Session {
    Session::start(stage.lclaude(&["-p", "hello"]).stdin(Stdio::null()))
}

impl Backend {
    fn running(&self, stage: &Stage) -> (Session, Fake, Fake) {
        let session = start(stage);
        let backend = stage.events.next(self.who);
        (session, stage.events.next("claude"), backend)
    }

    fn url(&self, backend: &Fake) -> String {
        format!("http://127.0.0.1:{}", (self.port)(backend))
    }

    /// Sends one request from Claude Code to the configured model and returns whether it succeeded.
    fn answers(&self, claude: &Fake) -> bool {
        let body = json!({"model": self.model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        claude.send(json!({"do": "request", "path": "/v1/messages", "body": body}));
        claude.wait_event("response")["status"] == 200
    }
}

#[test]
fn table_lists_every_backend_that_lclaude_starts() {
    let ended = Stage::new().output(&["--backend", "unknown"]).expect(64);
    let kinds = ended.stderr.lines().find_map(|line| line.trim().strip_prefix("cause: expected one of "));
    // An endpoint is a server that already runs: `endpoint.rs` tests it.
    let mut kinds: Vec<&str> = kinds.unwrap().split(", ").filter(|kind| *kind != "endpoint").collect();
    let mut tested: Vec<&str> = BACKENDS.iter().map(|backend| backend.kind).collect();
    kinds.sort_unstable();
    tested.sort_unstable();
    assert_eq!(tested, kinds);
}

#[test]
fn claude_code_gets_exact_model_name_actual_context_and_private_port() {
    for backend in BACKENDS {
        let stage = (backend.stage)();
        let (session, claude, server) = backend.running(&stage);
        let tiers =
            ["OPUS", "SONNET", "HAIKU", "FABLE"].map(|tier| &claude.env[&format!("ANTHROPIC_DEFAULT_{tier}_MODEL")]);
        assert_eq!(tiers, [backend.model; 4], "{}", backend.kind);
        assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "65536", "{}", backend.kind);
        assert_eq!(claude.env["ANTHROPIC_BASE_URL"], backend.url(&server), "{}", backend.kind);
        assert!(!claude.env["ANTHROPIC_AUTH_TOKEN"].is_empty());
        assert!(!server.env.keys().any(|name| name.starts_with("ANTHROPIC_") || name.starts_with("CLAUDE")));
        assert!(backend.answers(&claude), "{}", backend.kind);
        finish(session, &claude);
        assert!(server.is_gone());
        stage.assert_nothing_left();
    }
}

#[test]
fn claude_code_starts_after_the_model_is_ready() {
    for backend in BACKENDS {
        let mut stage = (backend.stage)();
        stage.set(backend.load.0, backend.load.1);
        let session = start(&stage);
        let server = stage.events.next(backend.who);
        assert!(stage.events.rest().iter().all(|fake| fake.who != "claude"), "{}", backend.kind);
        server.send(json!({"do": backend.finish_loading}));
        finish(session, &stage.events.next("claude"));
    }
}

#[test]
fn killed_launcher_leaves_nothing() {
    for backend in BACKENDS {
        let stage = (backend.stage)();
        let (session, claude, server) = backend.running(&stage);
        session.signal(Signal::KILL);
        claude.wait_gone();
        server.wait_gone();
        stage.wait_for_nothing_left();
    }
}

#[test]
fn interrupted_startup_leaves_nothing() {
    for backend in BACKENDS {
        let mut stage = (backend.stage)();
        stage.set(backend.load.0, backend.load.1);
        let session = start(&stage);
        let server = stage.events.next(backend.who);
        session.signal(Signal::INT);
        session.wait().expect(130);
        assert!(server.is_gone(), "{}", backend.kind);
        stage.assert_nothing_left();
    }
}

#[test]
fn killed_keeper_is_replaced_and_claude_code_continues() {
    for backend in BACKENDS.iter().filter(|backend| backend.is_child) {
        let stage = (backend.stage)();
        let (session, claude, server) = backend.running(&stage);
        kill(stage.keeper(), Signal::KILL);
        server.wait_gone();
        let second = stage.events.next(backend.who);
        assert_eq!(backend.url(&second), backend.url(&server), "{}", backend.kind);
        // Claude Code retries in the same way.
        while !backend.answers(&claude) {}
        finish(session, &claude);
        assert!(second.is_gone());
        stage.assert_nothing_left();
    }
}

#[test]
fn crashed_backend_restarts_on_the_same_port() {
    messages!();
    for backend in BACKENDS.iter().filter(|backend| backend.is_child) {
        let stage = (backend.stage)();
        let (session, claude, server) = backend.running(&stage);
        kill(server.pid, Signal::KILL);
        let second = stage.events.next(backend.who);
        assert_eq!(backend.url(&second), backend.url(&server), "{}", backend.kind);
        while !backend.answers(&claude) {}
        let ended = finish(session, &claude);
        assert_eq!(ended.stderr.lines().filter(|line| line.contains("restarted once")).count(), 1, "{}", ended.stderr);
        messages::note(backend.kind);
        ended.record();
        stage.assert_nothing_left();
    }
}

#[test]
fn sessions_with_the_same_plan_share_a_backend() {
    for backend in BACKENDS {
        let stage = (backend.stage)();
        let (first, claude, server) = backend.running(&stage);
        let second = start(&stage);
        let other = stage.events.next("claude");
        assert_eq!(other.env["ANTHROPIC_BASE_URL"], backend.url(&server));
        finish(first, &claude);
        assert!(!server.is_gone(), "{}", backend.kind);
        finish(second, &other);
        assert!(server.is_gone(), "{}", backend.kind);
    }
}

#[test]
fn too_small_context_is_rejected_before_anything_starts() {
    messages!();
    for backend in BACKENDS {
        let stage = (backend.stage)();
        messages::note(backend.kind);
        stage.output(&["--context", "8192", "-p", "x"]).expect_failure(64);
        stage.assert_nothing_started();
    }
}

/// Asserts that a dry run uses this backend, and returns the line with the reason.
#[track_caller]
fn assert_chosen(stage: &Stage, arguments: &[&str], backend: &str) -> String {
    let ended = stage.output(&[&["--dry-run"], arguments, &["-p", "x"]].concat()).expect(0);
    let using = format!("using {backend}");
    let line = ended.stdout.lines().find(|line| line.contains(&using)).unwrap_or_else(|| panic!("{ended:#?}")).trim();
    messages::record(&ended.command, line);
    line.to_owned()
}

#[test]
fn unconfigured_session_uses_and_names_the_backend_with_the_model() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let unset = |mut stage: Stage| {
        stage.set("LCLAUDE_BACKEND", "");
        stage
    };
    let stage = unset(Stage::ollama());
    let reason = assert_chosen(&stage, &["--model", "small"], "ollama");
    // A session prints the reason too.
    let session = Session::start(stage.lclaude(&["--model", "small", "-p", "x"]).stdin(Stdio::null()));
    let ended = finish(session, &stage.events.next("claude"));
    assert!(ended.stderr.contains(&reason), "{}", ended.stderr);

    assert_chosen(&stage, &["--model", "another"], "ollama");
    let stage = Stage::with(&["fake-claude", "fake-ollama", "fake-llama-server"]);
    assert_chosen(&stage, &["--model", "tiny.gguf"], "llamacpp");
    assert_chosen(&stage, &["--model", "unsloth/Qwen3-GGUF:Q4_K_M"], "llamacpp");
    assert_chosen(&stage, &[], "ollama");
    stage.config("[llamacpp]\ngguf = \"../../../project/tiny.gguf\"\n");
    assert_chosen(&stage, &[], "llamacpp");
    let stage = Stage::new();
    assert_chosen(&stage, &["--model", "someone/tiny:Q4"], "llamacpp");
}

#[test]
fn backend_with_the_requested_model_is_preferred() {
    messages!();
    let mut stage = Stage::ollama();
    stage.set("LCLAUDE_BACKEND", "");
    for fake in ["fake-lms", "fake-llama-server"] {
        stage.install(fake, &stage.bin().join(fake.trim_start_matches("fake-")));
    }
    assert_chosen(&stage, &[], "ollama");
    let cache = stage.root().join("hub/models--unsloth--GLM-4.7-Flash-GGUF/snapshots/1");
    std::fs::create_dir_all(cache).expect("a directory");
    stage.set("HF_HUB_CACHE", stage.root().join("hub").display());
    assert_chosen(&stage, &[], "llamacpp");
    let repository = stage.home().join(".lmstudio/models/lmstudio-community/GLM-4.7-Flash-GGUF");
    std::fs::create_dir_all(repository).expect("a directory");
    assert_chosen(&stage, &[], "lmstudio");
    assert_chosen(&stage, &["--model", "small"], "ollama");
}

#[test]
fn missing_backends_error_says_what_to_install() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::with(&["fake-claude"]);
    stage.output(&["-p", "x"]).expect_failure(69);
    stage.assert_nothing_started();
}

#[test]
fn default_model_is_small_and_supports_tools() {
    messages!();
    let stage = Stage::ollama();
    stage.ample_memory();
    stage.output(&["--dry-run", "-p", "x"]).expect(0).record();
    stage.output(&["-p", "x"]).expect_failure(69);
    stage.assert_nothing_started();
}

#[test]
fn subagent_model_is_passed_to_claude_code() {
    let stage = Stage::ollama();
    stage.config("model = \"small\"\n[models]\nsubagent = \"Big:30b\"\n");
    let session = Session::start(stage.lclaude(&["-p", "x"]).stdin(Stdio::null()));
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["CLAUDE_CODE_SUBAGENT_MODEL"], "Big:30b");
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_HAIKU_MODEL"], "small:latest");
    finish(session, &claude);
}

#[test]
fn missing_tier_model_is_an_error_before_anything_starts() {
    messages!();
    let stage = Stage::ollama();
    stage.config("model = \"small\"\n[models]\nhaiku = \"bigg:30b\"\n");
    stage.output(&["-p", "x"]).expect_failure(69);
    stage.assert_nothing_started();
}

#[test]
fn llamacpp_default_model_is_downloaded_only_with_consent() {
    messages!();
    let mut stage = Stage::new();
    stage.ample_memory();
    let run = ["--backend", "llamacpp", "-p", "x"];
    let ended = stage.output(&run);
    ended.expect_failure(65);
    assert!(stage.events.rest().is_empty(), "something was started");
    let assert_downloads = |stage: &Stage, arguments: &[&str]| {
        let (session, claude, backend) = stage.started(&mut stage.lclaude(arguments));
        finish(session, &claude);
        assert!(backend.argv.contains(&"unsloth/GLM-4.7-Flash-GGUF:Q4_K_M".to_owned()), "{:?}", backend.argv);
    };
    assert_downloads(&stage, &["--backend", "llamacpp", "--yes", "-p", "x"]);
    // The model was downloaded before, so no consent is needed.
    let cache = stage.root().join("hub");
    std::fs::create_dir_all(cache.join("models--unsloth--GLM-4.7-Flash-GGUF/snapshots/1")).expect("a directory");
    stage.set("HF_HUB_CACHE", cache.display());
    assert_downloads(&stage, &run);
}
