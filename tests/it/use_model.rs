//! `lclaude local use` makes a model the default, with the backend that has it.

use std::fs;

use support::{Ended, Stage, json, messages, models::Head, server, terminal::Terminal, write_program};

fn config(stage: &Stage) -> String {
    fs::read_to_string(stage.home().join(".config/lclaude/config.toml")).unwrap_or_default()
}

/// A stage on which no variable selects the backend.
fn ollama() -> Stage {
    let mut stage = Stage::ollama();
    stage.unset("LCLAUDE_BACKEND");
    stage
}

#[track_caller]
fn use_model(stage: &Stage, arguments: &[&str]) -> Ended {
    stage.output(&[&["local", "use"], arguments].concat())
}

#[test]
fn backend_of_an_installed_model_is_found() {
    messages!();
    let stage = ollama();
    stage.config("# Mine.\ncontext = 50000 # enough\n");
    use_model(&stage, &["small"]).expect(0).record();
    assert_eq!(config(&stage), "# Mine.\ncontext = 50000 # enough\nbackend = \"ollama\"\nmodel = \"small:latest\"\n");
    use_model(&stage, &["small:latest"]).expect(0).record();
    // A session uses it.
    let plan = stage.output(&["--dry-run", "-p", "x"]).expect(0).stdout;
    assert!(plan.contains("backend ollama") && plan.contains("small:latest"), "{plan}");
    // A file belongs to llama.cpp; a relative path is written as an absolute one.
    stage.install("fake-llama-server", &stage.bin().join("llama-server"));
    use_model(&stage, &["tiny.gguf", "--context", "40000"]).expect(0).record();
    let path = stage.model();
    assert_eq!(
        config(&stage),
        format!("# Mine.\ncontext = 40000 # enough\nbackend = \"llamacpp\"\nmodel = \"{}\"\n", path.display())
    );
    use_model(&stage, &["missing.gguf"]).expect_failure(64);
    use_model(&stage, &["tiny.gguf", "--backend", "ollama"]).expect_failure(64);
    stage.assert_nothing_started();
}

#[test]
fn file_replaces_the_keys_that_would_override_it() {
    messages!();
    let stage = Stage::new();
    stage.config("backend = 'llamacpp'\n[llamacpp]\ngguf = '/other.gguf' # old\nthreads = 4\n");
    use_model(&stage, &["tiny.gguf"]).expect(0).record();
    let expected = format!("backend = 'llamacpp'\nmodel = \"{}\"\n[llamacpp]\nthreads = 4\n", stage.model().display());
    assert_eq!(config(&stage), expected);
    assert!(stage.output(&["--dry-run", "-p", "x"]).expect(0).stdout.contains("--alias tiny"));
}

#[test]
fn unknown_model_is_refused_with_the_nearest_name() {
    messages!();
    let stage = ollama();
    use_model(&stage, &["smal"]).expect_failure(69);
    use_model(&stage, &["nothing-like-it", "--backend", "ollama"]).expect_failure(69);
    assert_eq!(config(&stage), "");
    use_model(&stage, &["nothing-like-it", "--yes"]).expect(0).record();
    assert_eq!(config(&stage), "backend = \"ollama\"\nmodel = \"nothing-like-it\"\n");
    // Without any backend.
    let stage = Stage::bare();
    use_model(&stage, &["small"]).expect_failure(69);
    use_model(&stage, &["unsloth/Qwen3-GGUF:Q4_K_M"]).expect_failure(69);
    use_model(&stage, &["small", "--profile", "p"]).expect_failure(64);
    assert_eq!(config(&stage), "");
}

#[test]
fn repository_is_used_before_it_is_downloaded() {
    messages!();
    let stage = Stage::new();
    use_model(&stage, &["unsloth/Qwen3-GGUF:Q4_K_M"]).expect(0).record();
    assert_eq!(config(&stage), "backend = \"llamacpp\"\nmodel = \"unsloth/Qwen3-GGUF:Q4_K_M\"\n");
}

/// Answers like a server with the model `small:latest`.
fn endpoint() -> String {
    let list = json!({"data": [{"id": "small:latest"}, {"id": "other"}]}).to_string();
    server::start(move |request| match request.route().as_str() {
        "GET /v1/models" => ("200 OK", list.clone()),
        _ => ("404 Not Found", String::new()),
    })
}

#[test]
fn model_of_several_backends_needs_a_choice() {
    messages!();
    let stage = ollama();
    let url = endpoint();
    let endpoint = format!("[endpoint]\nurl = \"{url}\"\n");
    stage.config(&endpoint);
    use_model(&stage, &["small:latest"]).expect_failure(64);
    assert_eq!(config(&stage), endpoint);
    use_model(&stage, &["--backend", "endpoint", "small:latest"]).expect(0);
    assert!(config(&stage).contains("backend = \"endpoint\"\n"), "{}", config(&stage));
    // The configured backend stays.
    use_model(&stage, &["small:latest"]).expect(0).record();
    use_model(&stage, &["other"]).expect(0);
    assert!(config(&stage).contains("model = \"other\"\n"), "{}", config(&stage));
}

#[test]
fn server_at_a_url_becomes_the_default() {
    messages!();
    let stage = Stage::with(&["fake-claude"]);
    let url = server::start(|request| match request.route().as_str() {
        "GET /v1/models" => ("200 OK", json!({"data": [{"id": "org/model"}]}).to_string()),
        _ => ("404 Not Found", String::new()),
    });
    use_model(&stage, &["--url", &format!("{url}/v1")]).expect(0).record();
    assert_eq!(
        config(&stage),
        format!("backend = \"endpoint\"\nmodel = \"org/model\"\n\n[endpoint]\nurl = \"{url}\"\n")
    );
    use_model(&stage, &["--url", "gpu-box:80", "m"]).expect_failure(64);
    // The token for another server must not be sent to this one.
    let gateway = "[endpoint]\nurl = \"https://gw.invalid\"\ntoken_env = \"GW_TOKEN\"\n";
    stage.config(gateway);
    use_model(&stage, &["--url", &url]).expect_failure(64);
    for verb in [&["setup", "--dry-run"][..], &["init", "--yes", "--model", "m"]] {
        stage.output(&[&["local"], verb, &["--url", &url]].concat()).expect_failure(64);
    }
    assert_eq!(config(&stage), gateway);
    stage.output(&["local", "config", "set", "endpoint.url", &url]).expect(0).record();
    stage.config("");
    use_model(&stage, &["--url", "http://127.0.0.1:1", "m"]).expect_failure(69);
    use_model(&stage, &["--url", "http://127.0.0.1:1", "m", "--yes"]).expect(0).record();
}

#[test]
fn what_overrides_the_default_here_is_named() {
    messages!();
    let mut stage = ollama();
    stage.config("profile = 'p'\n[models]\nhaiku = 'Big:30b'\n[profiles.p]\nbackend = 'llamacpp'\n");
    fs::write(stage.project().join(".lclaude.toml"), "model = 'other'\n").expect("a file");
    stage.set("LCLAUDE_CONTEXT", "40000");
    use_model(&stage, &["--backend", "ollama", "small", "--context", "50000"]).expect(0).record();
    use_model(&stage, &["--backend", "ollama", "small"]).expect(0).record();
    stage.set("LCLAUDE_MODEL", "third");
    use_model(&stage, &["--backend", "ollama", "small"]).expect(0).record();
    stage.config("[models]\nhaiku = 'Big:30b'\n");
    stage.unset("LCLAUDE_MODEL");
    fs::remove_file(stage.project().join(".lclaude.toml")).expect("it exists");
    use_model(&stage, &["small"]).expect(0).record();
    fs::write(stage.project().join(".lclaude.toml"), "[llamacpp]\nthreads = 1\n").expect("a file");
    use_model(&stage, &["--backend", "ollama", "small"]).expect(0).record();
}

#[test]
fn model_is_chosen_from_the_installed_ones() {
    messages!();
    let stage = ollama();
    stage.fill_sized("small:latest", &Head::small(), 2_000_000, "{{ .Tools }}", "{}");
    stage.fill_sized("quiet:latest", &Head::small(), 1_000_000, "{{ .Tools }}", "{}");
    use_model(&stage, &[]).expect_failure(64);
    for (answer, code) in [("q\n", 64), ("\x04", 64), ("\x03", 130), ("7\n1\n", 0)] {
        let mut terminal = Terminal::start(stage.lclaude(&["local", "use"]));
        terminal.wait_for("lclaude: installed models that can call tools:\r\n  1  ");
        // As a session shows them, the best first.
        terminal.wait_for("2 MB  context ");
        terminal.wait_for("\r\n  2  quiet:latest");
        terminal.wait_for("Which one? [1-2, Enter for 1, q to quit] ");
        assert_eq!(config(&stage), "", "{answer:?}");
        terminal.type_in(answer);
        assert_eq!(terminal.wait(), Some(code), "{answer:?}");
    }
    let written = config(&stage);
    assert!(written.starts_with("backend = \"ollama\"\n"), "{written}");
    assert!(written.contains("model = \"small:latest\""), "{written}");
    use_model(&Stage::bare(), &[]).expect_failure(69);
}

#[test]
fn invalid_configuration_is_not_changed() {
    messages!();
    let stage = ollama();
    stage.config("model = 'x'\nunknown = 1\n");
    use_model(&stage, &["small"]).expect_failure(65);
    assert_eq!(config(&stage), "model = 'x'\nunknown = 1\n");
    // A backend that can't be used is reported as a session would.
    let stage = Stage::bare();
    write_program(&stage.bin().join("something"), "#!/bin/sh\n");
    use_model(&stage, &["--backend", "command", "small"]).expect_failure(65);
    stage.config("[command]\nrun = ['something', '{port}']\n");
    use_model(&stage, &["--backend", "command", "small"]).expect(0);
    assert!(config(&stage).contains("backend = \"command\"\nmodel = \"small\"\n"), "{}", config(&stage));
}

#[test]
fn model_that_a_session_cannot_use_is_refused() {
    messages!();
    let stage = ollama();
    stage.fill("talker:latest", &Head::huge(), "{{ .Tools }}", "{}");
    use_model(&stage, &["talker"]).expect_failure(69);
    assert_eq!(config(&stage), "");
    use_model(&stage, &["talker", "--yes"]).expect(0).record();
    assert!(config(&stage).contains("talker:latest"));
}

#[test]
fn file_in_the_home_directory_is_written_with_a_tilde() {
    let stage = Stage::new();
    let file = stage.home().join("models/tiny.gguf");
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    fs::copy(stage.model(), &file).expect("a copy");
    use_model(&stage, &[&file.display().to_string()]).expect(0);
    assert!(config(&stage).contains("model = \"~/models/tiny.gguf\""), "{}", config(&stage));
    assert!(stage.output(&["--dry-run", "-p", "x"]).expect(0).stdout.contains("--alias tiny"));
}
