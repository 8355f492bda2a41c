//! The command line: which arguments and which standard streams belong to lclaude, and which to Claude Code.

use std::{ffi::OsStr, fs, io::Write, os::unix::ffi::OsStrExt, process::Stdio};

use support::{
    Fake, Stage, Value, finish, json, lclaude, messages,
    told::{configure, configured},
    write_program,
};

/// Returns Claude Code's arguments without the overlay, which comes first.
fn user_arguments(claude: &Fake) -> &[String] {
    assert_eq!(claude.argv[1], "--settings", "{:?}", claude.argv);
    assert_eq!(claude.argv.get(2), claude.settings_path.as_ref(), "the overlay comes first: {:?}", claude.argv);
    &claude.argv[3..]
}

/// Runs a session with these arguments and returns Claude Code and the backend.
#[track_caller]
fn session(stage: &Stage, arguments: &[&str]) -> (Fake, Fake) {
    let (session, claude, backend) = stage.started(&mut stage.lclaude(arguments));
    finish(session, &claude);
    (claude, backend)
}

#[test]
fn arguments_reach_claude_code_unchanged_and_in_order() {
    let stage = configured();
    for arguments in [
        &[][..],
        &["explain this"],
        &["-p", "hello", "--verbose", "--output-format", "json"],
        &["-c"],
        &["--resume", "-p", "again", "-p"],
        &["-p", "", " ", "two\nlines", "*", "$HOME"],
        &["--allowedTools", "Bash", "Edit", "-p", "x", "--", "mcp", "--model", "y"],
        &["-p", "x", "--append-system-prompt", "--dry-run", "--", "--backend", "y"],
        &["hello", "local", "mcp"],
        &["-n", "mcp", "--append-system-prompt", "doctor"],
        // Not in the table, but in the help of the installed Claude Code.
        &["--option-of-tomorrow", "-p"],
        &["-p", "x", "--option-of-tomorrow=x"],
    ] {
        let (claude, _) = session(&stage, arguments);
        assert_eq!(user_arguments(&claude), arguments, "lclaude {arguments:?}");
    }
}

#[test]
fn non_utf8_arguments_are_passed_through_as_bytes() {
    let stage = configured();
    fs::remove_file(stage.bin().join("claude")).expect("the fake existed");
    let out = stage.root().join("arguments");
    let script = format!("#!/bin/sh\nprintf '%s\\0' \"$@\" >{}\n", out.display());
    write_program(&stage.bin().join("claude"), script);
    let non_utf8 = OsStr::from_bytes(b"caf\xe9 \xff");
    let mut command = stage.lclaude(&["-p"]);
    stage.ended(command.arg(non_utf8).arg("--append-system-prompt").arg(non_utf8)).expect(0);
    let written = fs::read(out).expect("Claude Code ran");
    let arguments: Vec<&[u8]> = written.split(|&byte| byte == 0).collect();
    let non_utf8 = non_utf8.as_bytes();
    assert_eq!(arguments[2..], [b"-p", non_utf8, b"--append-system-prompt", non_utf8, b""]);
}

#[test]
fn double_dash_ends_lclaude_options() {
    let stage = configured();
    for (typed, arguments) in [
        (&["--context", "49152", "--", "-p", "x"][..], &["-p", "x"][..]),
        (&["--", "--backend", "x"], &["--backend", "x"]),
        (&["--", "--bakend"], &["--bakend"]),
        (&["--", "--", "x"], &["--", "x"]),
        (&["-p", "--", "x"], &["-p", "--", "x"]),
    ] {
        let (claude, _) = session(&stage, typed);
        assert_eq!(user_arguments(&claude), arguments, "lclaude {typed:?}");
    }
}

#[test]
fn local_is_reserved_unless_escaped() {
    messages!();
    let stage = configured();
    let ended = stage.output(&["local", "no-such-verb"]).expect_failure(64);
    ended.expect_stdout("");
    stage.assert_nothing_started();
    for (typed, arguments) in [(&["--", "local"][..], &["local"][..]), (&["-p", "local"], &["-p", "local"])] {
        let (claude, _) = session(&stage, typed);
        assert_eq!(user_arguments(&claude), arguments, "lclaude {typed:?}");
    }
}

#[test]
fn claude_model_aliases_are_passed_through() {
    let stage = configured();
    for alias in ["sonnet", "opus", "haiku", "fable", "default", "best", "opusplan", "sonnet[1m]", "opus[1m]"] {
        let (claude, backend) = session(&stage, &["--model", alias, "-p", "x"]);
        assert_eq!(user_arguments(&claude), ["--model", alias, "-p", "x"]);
        assert_eq!(value(&backend, "--alias"), "tiny");
    }
}

#[test]
fn other_model_names_select_a_local_model() {
    let stage = configured();
    fs::copy(stage.model(), stage.project().join("other.gguf")).expect("a copy");
    let absolute = stage.project().join("other.gguf").display().to_string();
    let inline = format!("--model={absolute}");
    for (typed, arguments) in [
        (&["--model", "other.gguf"][..], &[][..]),
        (&["--model=./other.gguf", "-p", "x"], &["-p", "x"]),
        (&["-p", "x", "--model", &absolute], &["-p", "x"]),
        (&["-p", &inline, "x"], &["-p", "x"]),
        // The last --model wins, as in Claude Code.
        (&["--model", "opus", "--model", "other.gguf", "-p"], &["-p"]),
        (&["--model", "nope.gguf", "-p", "--model", "other.gguf"], &["-p"]),
    ] {
        let (claude, backend) = session(&stage, typed);
        assert_eq!(user_arguments(&claude), arguments, "lclaude {typed:?}");
        assert_eq!(value(&backend, "--model"), absolute, "lclaude {typed:?}");
        assert_eq!(claude.env["ANTHROPIC_DEFAULT_OPUS_MODEL"], "other");
    }
}

#[test]
fn llama_server_downloads_hugging_face_models() {
    let stage = configured();
    let (_, backend) = session(&stage, &["--model", "someone/a-model-GGUF:Q4_K_M", "-p", "x"]);
    assert_eq!(value(&backend, "-hf"), "someone/a-model-GGUF:Q4_K_M");
    assert!(!backend.argv.contains(&"--model".into()), "{:?}", backend.argv);
}

#[test]
fn model_option_after_double_dash_is_prompt_text() {
    let stage = configured();
    let text = ["-p", "--", "--model", "other.gguf"];
    let (claude, backend) = session(&stage, &text);
    assert_eq!(user_arguments(&claude), text);
    assert_eq!(value(&backend, "--alias"), "tiny");
}

/// Returns the value that follows an option.
#[track_caller]
fn value<'a>(fake: &'a Fake, option: &str) -> &'a str {
    let at = fake.argv.iter().position(|argument| argument == option);
    let at = at.unwrap_or_else(|| panic!("no {option} in {:?}", fake.argv));
    &fake.argv[at + 1]
}

const USER_SETTINGS: &str = r#"{"env": {"MINE": "1", "ANTHROPIC_BASE_URL": "http://elsewhere"}, "apiKeyHelper": "cat secret",
    "permissions": {"allow": ["Edit"], "deny": ["Bash"]}, "outputStyle": "terse"}"#;

#[track_caller]
fn assert_merged(claude: &Fake) {
    let settings = &claude.settings;
    assert_eq!(settings["env"]["MINE"], "1");
    assert_eq!(settings["env"]["ANTHROPIC_BASE_URL"], claude.env["ANTHROPIC_BASE_URL"].as_str());
    assert_eq!(settings["permissions"]["allow"], json!(["Edit"]));
    let denied = settings["permissions"]["deny"].as_array().expect("a list");
    assert!(denied.starts_with(&[json!("Bash"), json!("WebSearch")]), "{denied:?}");
    assert_eq!(settings["outputStyle"], "terse");
    assert_eq!(settings["apiKeyHelper"], Value::Null);
}

#[test]
fn user_settings_are_merged_with_the_overlay() {
    let stage = configured();
    let file = stage.project().join("mine.json");
    fs::write(&file, USER_SETTINGS).expect("a file");
    let absolute = format!("--settings={}", file.display());
    let inline = format!("--settings={USER_SETTINGS}");
    for typed in [
        &["--settings", USER_SETTINGS, "-p", "x"][..],
        &["-p", "x", "--settings", USER_SETTINGS],
        &["-p", &inline, "x"],
        &[&inline, "-p", "x"],
        &["--settings", "mine.json", "-p", "x"],
        &["-p", "x", &absolute],
        // The last --settings wins, as in Claude Code.
        &["--settings", r#"{"outputStyle": "wordy"}"#, "--settings", USER_SETTINGS, "-p", "x"],
        &["--settings", r#"{"outputStyle": "wordy"}"#, "-p", "x", "--settings", "mine.json"],
    ] {
        let (claude, _) = session(&stage, typed);
        assert_eq!(user_arguments(&claude), ["-p", "x"], "lclaude {typed:?}");
        assert_merged(&claude);
    }
    assert_eq!(fs::read_to_string(file).expect("still there"), USER_SETTINGS);
}

#[test]
fn configured_settings_are_merged_with_the_overlay() {
    let stage = Stage::new();
    fs::write(stage.project().join("mine.json"), USER_SETTINGS).expect("a file");
    let args = format!("[claude]\nargs = [\"--settings\", {USER_SETTINGS:?}, \"--verbose\"]");
    configure(&stage, &args);
    let (claude, _) = session(&stage, &["-p", "x"]);
    // The overlay comes after the configured arguments, since a list option among those would swallow the prompt.
    let overlay = claude.settings_path.as_deref().expect("a file");
    assert_eq!(claude.argv[1..], ["--verbose", "--settings", overlay, "-p", "x"]);
    assert_merged(&claude);
}

#[test]
fn settings_file_with_non_utf8_name_is_merged_with_the_overlay() {
    let stage = configured();
    let name = OsStr::from_bytes(b"caf\xe9.json");
    fs::write(stage.project().join(name), USER_SETTINGS).expect("a file");
    let mut inline = OsStr::new("--settings=").to_owned();
    inline.push(name);
    let (session, claude, _backend) = stage.started(stage.lclaude(&["-p", "x"]).arg(inline));
    finish(session, &claude);
    assert_eq!(user_arguments(&claude), ["-p", "x"]);
    assert_merged(&claude);
}

#[test]
fn commands_without_a_model_run_immediately() {
    let mut stage = Stage::new();
    // A session would remove this variable, but these commands get the unchanged environment.
    stage.set("ANTHROPIC_API_KEY", "user-key");
    for (typed, arguments) in [
        (&["mcp", "add", "x", "--model", "y", "--", "z", "--help"][..], None),
        (&["doctor"], None),
        (&["update"], None),
        (&["install", "stable"], None),
        (&["auth", "login"], None),
        (&["plugin", "list"], None),
        (&["plugins"], None),
        (&["logs"], None),
        (&["setup-token"], None),
        (&["agents", "--json"], None),
        (&["agents", "--help"], None),
        (&["-p", "--help"], None),
        (&["--debug-file", "f", "mcp", "list"], None),
        (&["--backend", "llamacpp", "mcp", "list"], Some(&["mcp", "list"][..])),
        (&["--", "mcp", "list"], Some(&["mcp", "list"])),
    ] {
        let session = support::Session::start(&mut stage.lclaude(typed));
        let claude = stage.events.next("claude");
        assert_eq!(claude.argv[1..], *arguments.unwrap_or(typed), "lclaude {typed:?}");
        assert_eq!(claude.env["ANTHROPIC_API_KEY"], "user-key");
        assert_eq!(claude.env.get("ANTHROPIC_BASE_URL"), None);
        // lclaude replaces itself with Claude Code.
        assert_eq!(claude.pid, session.pid());
        claude.send(json!({"do": "exit", "code": 4}));
        session.wait().expect(4).expect_stdout("");
        stage.assert_nothing_started();
        assert!(!stage.runtime().exists());
    }
}

#[test]
fn unsupported_options_and_commands_are_rejected() {
    messages!();
    let stage = configured();
    for typed in [
        &["--cloud"][..],
        &["--teleport"],
        &["--teleport=x"],
        &["--remote"],
        &["-p", "--remote-control", "x"],
        &["--rc"],
        &["--environment", "x"],
        &["--desktop"],
        &["--bg", "do it"],
        &["-p", "x", "--background"],
        &["--tmux"],
        &["--tmux=classic"],
        &["agents"],
        &["attach", "1"],
        &["respawn", "1"],
        &["rc"],
        &["remote-control"],
        &["ultrareview"],
        &["--", "ultrareview"],
    ] {
        let ended = stage.ended(&mut stage.lclaude(typed));
        ended.expect_failure(64).expect_stdout("");
        stage.assert_nothing_started();
    }
}

#[test]
fn misspelled_lclaude_options_are_errors() {
    messages!();
    let stage = configured();
    for typed in ["--bakend", "--backend-=llamacpp", "--profil=x", "--contxt", "--confg", "--dryrun"] {
        for before in [&[][..], &["--model", "opus"]] {
            let mut command = stage.lclaude(before);
            let ended = stage.ended(command.args([typed, "x"]));
            ended.expect_failure(64).expect_stdout("");
            stage.assert_nothing_started();
        }
    }
}

#[test]
fn help_and_version_show_both_programs() {
    messages!();
    let stage = Stage::new();
    for typed in ["--version", "-v", "--help", "-h"] {
        let ended = stage.ended(&mut stage.lclaude(&[typed])).expect(0).record();
        assert_eq!(ended.stderr, "");
    }
    stage.assert_nothing_started();
}

#[test]
fn help_and_version_work_without_claude_code() {
    messages!();
    let stage = Stage::bare();
    for typed in ["--version", "--help"] {
        stage.ended(&mut stage.lclaude(&[typed])).expect(0).record();
    }
}

#[test]
fn closed_stdout_is_not_reported_as_a_bug() {
    let stage = configured();
    for typed in ["--help", "--version", "--dry-run"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut child = stage.lclaude(&[typed]).stdout(writer).stderr(Stdio::piped()).spawn().expect("lclaude runs");
        let code = child.wait().expect("it can be waited for").code();
        let stderr = std::io::read_to_string(child.stderr.take().expect("a pipe")).expect("text");
        assert!(code != Some(70) && stderr.is_empty(), "{typed}: {code:?} {stderr}");
    }
}

#[test]
fn dry_run_shows_the_plan_and_starts_nothing() {
    messages!();
    let mut stage = Stage::new();
    stage
        .set("LCLAUDE_CONTEXT", 40_000)
        .set("ANTHROPIC_API_KEY", "sk-inherited")
        .set("CLAUDE_CODE_USE_BEDROCK", "1")
        .set("LLAMA_ARG_THREADS", "sk-not-ours");
    stage.config(
        "model = 'general.gguf'\n[claude]\nenv = { MY_KEY = 'sk-mine' }\n\
         [llamacpp]\nthreads = 2\nenv = { HF_TOKEN = 'sk-hf' }\n[profiles.fast.llamacpp]\nbatch_size = 64\n",
    );
    let home = stage.home_files();
    let ended = stage
        .ended(&mut stage.lclaude(&[
            "--dry-run",
            "--backend",
            "llamacpp",
            "--profile=fast",
            "--model",
            "tiny.gguf",
            "--settings",
            r#"{"env": {"X": "sk-settings"}}"#,
            "-p",
            "hello world",
        ]))
        .expect(0)
        .record();

    stage.assert_nothing_started();
    assert!(!stage.runtime().exists(), "the runtime directory was created");
    assert_eq!(stage.home_files(), home);
    assert_eq!(ended.stderr, "");
    assert!(!ended.stdout.contains("sk-"), "{}", ended.stdout);
}

#[test]
fn dry_run_of_a_command_without_a_model_starts_nothing() {
    messages!();
    let stage = Stage::new();
    stage.ended(&mut stage.lclaude(&["--dry-run", "mcp", "list"])).expect(0).record();
    stage.assert_nothing_started();
}

#[test]
fn stdout_contains_only_claude_code_output() {
    messages!();
    let mut stage = configured();
    // Make lclaude print progress, warnings and a crash.
    stage.set("FAKE_LLAMA_N_CTX", 30_000).set("FAKE_LLAMA_NO_TOOLS", 1).set("LCLAUDE_NONSENSE", 1);
    let (session, claude, backend) = stage.started(&mut stage.lclaude(&["-p", "x", "--output-format", "json"]));
    backend.send(json!({"do": "exit", "code": 7}));
    let restarted = stage.events.next("llama-server");
    restarted.wait_event("ready");
    claude.send(json!({"do": "print", "text": "{\"result\": \"4\"}\n"}));
    claude.wait_event("done");
    finish(session, &claude).expect_stdout("{\"result\": \"4\"}\n").record();
}

#[test]
fn pipeline_reads_only_the_answer() {
    let stage = configured();
    let script = format!("{} -p x | sed 's/^/read: /'", lclaude().display());
    let mut pipeline = stage.command("/bin/sh");
    let session = support::Session::start(pipeline.args(["-c", &script]).stdin(Stdio::null()));
    let claude = stage.events.next("claude");
    claude.send(json!({"do": "print", "text": "{}\n[]\n"}));
    claude.wait_event("done");
    finish(session, &claude).expect_stdout("read: {}\nread: []\n");
}

#[test]
fn stdin_belongs_to_claude_code() {
    let stage = configured();
    let mut child = stage
        .command(lclaude())
        .args(["-p", "x"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("lclaude runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // Written before Claude Code starts, and must not be lost.
    stdin.write_all(b"first\nsecond\n").expect("the pipe has a reader");
    let claude = stage.events.next("claude");
    for expected in [json!({"text": "first\n", "end": false}), json!({"text": "second\n", "end": false})] {
        claude.send(json!({"do": "read_line"}));
        let line = claude.wait_event("line");
        assert_eq!((&line["text"], &line["end"]), (&expected["text"], &expected["end"]));
    }
    drop(stdin);
    claude.send(json!({"do": "read_line"}));
    assert_eq!(claude.wait_event("line")["end"], true);
    claude.send(json!({"do": "exit", "code": 0}));
    assert!(child.wait().expect("it can be waited for").success());
}
