//! The llama.cpp backend: llama-server's options, and how Claude Code and the user learn the actual context.

use support::{
    Stage, finish, messages,
    told::{overlay_env, session, value},
};

#[test]
fn server_starts_on_loopback_with_one_slot() {
    let stage = Stage::new();
    let (claude, backend) = session(&stage, &["--verbose"]);
    for (option, expected) in [
        ("--model", stage.model().display().to_string()),
        ("--alias", "tiny".into()),
        ("--host", "127.0.0.1".into()),
        ("-c", "65536".into()),
        ("-np", "1".into()),
    ] {
        assert_eq!(value(&backend, option), expected, "{option}");
    }
    assert!(backend.argv.contains(&"--reuse-port".into()), "{:?}", backend.argv);
    assert_ne!(value(&backend, "--port"), "8080");
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{}", value(&backend, "--port")));
    assert!(!backend.argv.contains(&"--verbose".into()), "a Claude Code option reached llama-server");
}

#[test]
fn configured_options_reach_llama_server() {
    let stage = Stage::new();
    stage.config(
        "[llamacpp]\nthreads = 3\nbatch_size = 512\nubatch_size = 256\ngpu_layers = 0\ncache_type_k = 'q8_0'\n\
         cache_type_v = 'q4_0'\nargs = ['--metrics', '--cache-ram', '512']\n\
         [llamacpp.env]\nGGML_X = 'y'\nLLAMA_API_KEY = 'overridden'\n",
    );
    let (claude, backend) = session(&stage, &[]);
    for (option, expected) in [
        ("--threads", "3"),
        ("--batch-size", "512"),
        ("--ubatch-size", "256"),
        ("--gpu-layers", "0"),
        ("--cache-type-k", "q8_0"),
        ("--cache-type-v", "q4_0"),
        ("--cache-ram", "512"),
    ] {
        assert_eq!(value(&backend, option), expected, "{option}");
    }
    assert!(backend.argv.ends_with(&["--metrics", "--cache-ram", "512"].map(String::from)), "{:?}", backend.argv);
    assert_eq!(backend.env["GGML_X"], "y");
    assert_eq!(backend.env["LLAMA_API_KEY"], claude.env["ANTHROPIC_AUTH_TOKEN"]);
    assert_eq!(claude.env.get("GGML_X"), None);

    stage.config("[llamacpp]\ngpu_layers = 'all'\n");
    assert_eq!(value(&session(&stage, &[]).1, "--gpu-layers"), "all");
}

#[test]
fn unset_options_are_left_to_llama_server() {
    let stage = Stage::new();
    let (_, backend) = session(&stage, &[]);
    for option in ["--threads", "--batch-size", "--ubatch-size", "--gpu-layers", "--cache-type-k", "--cache-type-v"] {
        assert!(!backend.argv.contains(&option.into()), "{:?}", backend.argv);
    }
}

#[test]
fn context_follows_source_precedence() {
    let mut stage = Stage::new();
    stage.config("context = 30000\n[profiles.big]\ncontext = 32000\n");
    assert_eq!(value(&session(&stage, &[]).1, "-c"), "30000");
    stage.set("LCLAUDE_PROFILE", "big");
    assert_eq!(value(&session(&stage, &[]).1, "-c"), "32000");
    stage.set("LCLAUDE_CONTEXT", 34_000);
    assert_eq!(value(&session(&stage, &[]).1, "-c"), "34000");
    let (session, claude, backend) =
        stage.started(&mut stage.lclaude(&["--backend", "llamacpp", "--context=36000", "--model", "tiny.gguf"]));
    finish(session, &claude);
    assert_eq!(value(&backend, "-c"), "36000");
}

#[test]
fn window_and_output_limit_follow_the_actual_context() {
    for (has, output) in
        [(24_000, "3000"), (8_192, "2048"), (100_000, "12500"), (131_072, "16384"), (1_000_000, "16384")]
    {
        let mut stage = Stage::new();
        stage.set("FAKE_LLAMA_N_CTX", has);
        stage.config("context_check = false\n");
        let (claude, backend) = session(&stage, &[]);
        assert_eq!(value(&backend, "-c"), "65536", "the requested context");
        assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], has.to_string());
        assert_eq!(claude.env["CLAUDE_CODE_MAX_OUTPUT_TOKENS"], output, "with a context of {has}");
        assert_eq!(overlay_env(&claude)["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], has.to_string());
    }
}

#[test]
fn output_limit_and_thinking_are_configurable() {
    let mut stage = Stage::new();
    stage.config("[claude]\nmax_output_tokens = 5000\nthinking = true\n");
    stage.set("CLAUDE_CODE_DISABLE_THINKING", 1);
    let (claude, _) = session(&stage, &[]);
    assert_eq!(claude.env["CLAUDE_CODE_MAX_OUTPUT_TOKENS"], "5000");
    assert_eq!(claude.env.get("CLAUDE_CODE_DISABLE_THINKING"), None);
    // The overlay also keeps settings files from turning thinking off.
    assert_eq!(overlay_env(&claude).get("CLAUDE_CODE_DISABLE_THINKING").map(String::as_str), Some(""));
}

/// Asserts that a session prints a warning with help.
#[track_caller]
fn assert_warns(stage: &Stage) {
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]);
    let (session, claude, _backend) = stage.started(&mut command);
    let stderr = finish(session, &claude).record().stderr;
    for word in ["lclaude: warning: ", "help: "] {
        assert!(stderr.contains(word), "no {word:?} in {stderr}");
    }
}

#[test]
fn model_without_tool_support_causes_a_warning() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_NO_TOOLS", 1);
    assert_warns(&stage);
}

#[test]
fn context_too_small_for_claude_code_is_rejected() {
    messages!();
    let run = ["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"];
    let stage = Stage::new();
    let small = [&["--context", "8192"][..], &run].concat();
    stage.output(&small).expect_failure(64);
    assert!(stage.events.rest().is_empty(), "something was started");
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_N_CTX", 4_096);
    stage.output(&run).expect_failure(69);
    stage.config("context_check = false\n");
    assert_warns(&stage);
}

#[test]
fn context_smaller_than_requested_causes_a_warning() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_N_CTX", 32_768);
    assert_warns(&stage);
}

#[test]
fn healthy_session_prints_no_warning() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    let stderr = finish(session, &claude).stderr;
    assert!(!stderr.contains("warning"), "{stderr}");
}
