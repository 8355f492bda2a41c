//! The llama.cpp backend: llama-server's options, and how Claude Code and the user learn the actual context.

use std::fs;

use support::{
    Fake, Stage, finish, messages,
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

/// Writes the main model's other files into the directory of the configuration, and returns that directory.
fn write_model_files(stage: &Stage) -> std::path::PathBuf {
    let directory = stage.home().join(".config/lclaude");
    fs::create_dir_all(&directory).expect("a directory");
    for (name, content) in [("mmproj.gguf", "GGUF"), ("draft.gguf", "GGUF"), ("chat.jinja", "{{ messages }}")] {
        fs::write(directory.join(name), content).expect("a file");
    }
    directory
}

#[test]
fn tuning_keys_reach_llama_server() {
    let stage = Stage::new();
    let directory = write_model_files(&stage);
    stage.config(
        "[llamacpp]\nn_cpu_moe = 20\ntensor_split = [3, 1.5]\nsplit_mode = 'row'\nmain_gpu = 1\n\
         flash_attention = true\nmmproj = 'mmproj.gguf'\ndraft_model = '~/.config/lclaude/draft.gguf'\n\
         chat_template_file = 'chat.jinja'\nargs = ['--threads', '2']\n\
         [llamacpp.sampling]\ntemperature = 1\ntop_k = 20\ntop_p = 0.8\nmin_p = 0.05\nrepeat_penalty = 1.05\n\
         presence_penalty = -0.5\nfrequency_penalty = 0.1\nseed = 7\n",
    );
    let (_, backend) = session(&stage, &[]);
    let path = |name: &str| directory.join(name).display().to_string();
    for (option, expected) in [
        ("--n-cpu-moe", "20"),
        ("--tensor-split", "3,1.5"),
        ("--split-mode", "row"),
        ("--main-gpu", "1"),
        ("--flash-attn", "on"),
        ("--mmproj", &path("mmproj.gguf")),
        ("--model-draft", &path("draft.gguf")),
        ("--chat-template-file", &path("chat.jinja")),
        ("--temperature", "1"),
        ("--top-k", "20"),
        ("--top-p", "0.8"),
        ("--min-p", "0.05"),
        ("--repeat-penalty", "1.05"),
        ("--presence-penalty", "-0.5"),
        ("--frequency-penalty", "0.1"),
        ("--seed", "7"),
    ] {
        assert_eq!(value(&backend, option), expected, "{option}");
    }
    for (setting, expected) in [("'3, 1'", "3,1"), ("[0.25, 0.75]", "0.25,0.75"), ("'0,1'", "0,1")] {
        stage.config(&format!("[llamacpp]\ntensor_split = {setting}\n"));
        assert_eq!(value(&session(&stage, &[]).1, "--tensor-split"), expected);
    }
    for (setting, expected) in [("'off'", "off"), ("'auto'", "auto"), ("false", "off"), ("'on'", "on")] {
        stage.config(&format!("[llamacpp]\nflash_attention = {setting}\n"));
        assert_eq!(value(&session(&stage, &[]).1, "--flash-attn"), expected);
    }
}

#[test]
fn args_override_keys() {
    let stage = Stage::new();
    stage.config("[llamacpp]\nflash_attention = 'on'\nargs = ['--flash-attn', 'off']\n");
    let (_, backend) = session(&stage, &[]);
    // llama-server takes the last one.
    let last = backend.argv.iter().rposition(|argument| argument == "--flash-attn").expect("the option");
    assert_eq!(backend.argv[last + 1], "off");
}

#[test]
fn invalid_tuning_keys_are_rejected_before_the_start() {
    messages!();
    let stage = Stage::new();
    write_model_files(&stage);
    for line in [
        "n_cpu_moe = -1",
        "tensor_split = [0, 0]",
        "tensor_split = '3;1'",
        "split_mode = 'rows'",
        "flash_attention = 'maybe'",
        "mmproj = 'missing.gguf'",
        "draft_model = 'chat.jinja'",
        "chat_template_file = '.'",
        "sampling.temperature = 11",
        "sampling.top_p = 1.5",
        "sampling.top_k = 0.5",
        "sampling.temprature = 1",
        "args_append = ['--port', '1']",
        "args_append = '--mlock'",
    ] {
        stage.config(&format!("[llamacpp]\n{line}\n"));
        stage.output(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]).expect_failure(65);
    }
    assert!(stage.events.rest().is_empty(), "something was started");
}

#[test]
fn profile_adds_arguments_to_those_of_the_file() {
    let stage = Stage::new();
    stage.config(
        "[llamacpp]\nargs = ['--threads', '2']\nargs_append = ['--props']\n\
         [profiles.more.llamacpp]\nargs_append = ['--swa-full']\n\
         [profiles.other.llamacpp]\nargs = ['--threads', '3']\n",
    );
    let ends_with = |backend: &Fake, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        assert!(backend.argv.ends_with(&expected), "{:?}", backend.argv);
    };
    let with = |profile: &str| {
        let arguments = ["--profile", profile, "--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"];
        let (session, claude, backend) = stage.started(&mut stage.lclaude(&arguments));
        finish(session, &claude);
        backend
    };
    ends_with(&session(&stage, &[]).1, &["--metrics", "--threads", "2", "--props"]);
    ends_with(&with("more"), &["--metrics", "--threads", "2", "--props", "--swa-full"]);
    ends_with(&with("other"), &["--metrics", "--threads", "3", "--props"]);
}

#[test]
fn changed_model_file_makes_another_plan() {
    let stage = Stage::new();
    let directory = write_model_files(&stage);
    stage.config("[llamacpp]\nchat_template_file = 'chat.jinja'\n");
    let id = || {
        let shown = stage.output(&["--dry-run", "--backend", "llamacpp", "--model", "tiny.gguf"]).expect(0).stdout;
        shown.lines().find_map(|line| line.strip_prefix("backend llamacpp ")).expect("its ID").to_owned()
    };
    let before = id();
    let template = fs::File::options().write(true).open(directory.join("chat.jinja")).expect("the template");
    template.set_modified(std::time::UNIX_EPOCH).expect("another time");
    assert_ne!(id(), before);
}

#[test]
fn project_file_needs_trust_to_set_tuning_keys() {
    let stage = Stage::new();
    fs::write(stage.project().join(".lclaude.toml"), "[llamacpp]\nchat_template_file = 'x.jinja'\nargs_append = []\n")
        .expect("a project file");
    let refused = stage.output(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]).expect(77).stderr;
    assert!(refused.contains("llamacpp.args_append, llamacpp.chat_template_file"), "{refused}");
}

#[test]
fn unified_program_serves_if_llama_server_is_missing() {
    let stage = Stage::with(&["fake-claude"]);
    stage.install("fake-llama-server", &stage.bin().join("llama"));
    let (claude, backend) = session(&stage, &[]);
    assert_eq!(backend.argv[1], "serve", "{:?}", backend.argv);
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{}", value(&backend, "--port")));
    let doctor = stage.output(&["local", "doctor", "--backend", "llamacpp", "--model", "tiny.gguf"]).stdout;
    for check in ["llamacpp program   ", "llamacpp version   0.6.0-dev"] {
        assert!(doctor.contains(&format!("ok       {check}")), "{doctor}");
    }

    // `llama-server` comes first, and the configuration can name either.
    stage.install("fake-llama-server", &stage.bin().join("llama-server"));
    assert_ne!(session(&stage, &[]).1.argv[1], "serve");
    stage.config(&format!("[llamacpp]\npath = '{}'\n", stage.bin().join("llama").display()));
    assert_eq!(session(&stage, &[]).1.argv[1], "serve");
}

#[test]
fn other_program_named_llama_is_not_used() {
    let stage = Stage::with(&["fake-claude"]);
    // A script is not even run, and a program that knows no `serve` isn't llama.cpp's.
    let mark = stage.project().join("ran");
    support::write_program(&stage.bin().join("llama"), format!("#!/bin/sh\ntouch '{}'\necho serve\n", mark.display()));
    let run = || stage.output(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]).expect(69).stderr;
    assert!(run().contains("llama-server was not found"));
    assert!(!mark.exists(), "the script was run");
    fs::remove_file(stage.bin().join("llama")).expect("the script");
    std::os::unix::fs::symlink("/bin/echo", stage.bin().join("llama")).expect("a link");
    assert!(run().contains("llama-server was not found"));
}

#[test]
fn unset_options_are_left_to_llama_server() {
    let stage = Stage::new();
    let (_, backend) = session(&stage, &[]);
    for option in [
        "--threads",
        "--batch-size",
        "--ubatch-size",
        "--gpu-layers",
        "--n-cpu-moe",
        "--tensor-split",
        "--split-mode",
        "--main-gpu",
        "--flash-attn",
        "--cache-type-k",
        "--cache-type-v",
        "--mmproj",
        "--model-draft",
        "--chat-template-file",
        "--temperature",
    ] {
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
