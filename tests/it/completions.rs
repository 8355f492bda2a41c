//! Completion with `lclaude local complete`, which the shell scripts call, and the manual page.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use support::{
    Stage, kill,
    machine::{needs_no_ollama, needs_program},
    messages,
};

/// Returns the candidates of one kind for these words. The last word is being typed.
fn candidates(stage: &Stage, kind: &str, words: &[&str]) -> Vec<String> {
    let ended = stage.output(&[&["local", "complete", "--"], words].concat()).expect(0);
    assert_eq!(ended.stderr, "", "{words:?}");
    let lines = ended.stdout.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    lines.filter(|parts| parts[0] == kind).map(|parts| parts[1].to_owned()).collect()
}

fn words(stage: &Stage, typed: &[&str]) -> Vec<String> {
    candidates(stage, "word", typed)
}

#[test]
fn completed_options_and_commands_match_the_help() {
    let stage = Stage::bare();
    let help = stage.output(&["--help"]).expect(0).stdout;
    let options = words(&stage, &["--"]);
    assert!(options.len() >= 11 && options.iter().all(|option| help.contains(option.as_str())), "{options:?}");
    for typed in [&[][..], &["--yes"], &["--backend", "ollama", "--context=9999"]] {
        assert_eq!(words(&stage, &[typed, &["--l"]].concat()), options, "{typed:?}");
        assert_eq!(words(&stage, &[typed, &[""]].concat()), ["local"], "{typed:?}");
    }

    let help = stage.output(&["local", "--help"]).expect(0).stdout;
    let commands = words(&stage, &["--yes", "local", ""]);
    assert!(commands.len() >= 14 && commands.iter().all(|name| help.contains(&format!("  {name}"))), "{commands:?}");
    for command in commands {
        let help = stage.output(&["local", &command, "--help"]).expect(0).stdout;
        for option in words(&stage, &["local", &command, "--"]) {
            assert!(help.contains(&option), "{command} has no {option}");
        }
    }
    assert_eq!(words(&stage, &["local", "completions", ""]), ["bash", "zsh", "fish"]);
    assert_eq!(words(&stage, &["local", "completions", "bash", ""]), ["--hook"]);
    assert_eq!(words(&stage, &["local", "nothing", ""]), [""; 0]);
}

#[test]
fn actions_and_keys_of_the_configuration_are_completed() {
    let stage = Stage::bare();
    assert_eq!(words(&stage, &["local", "config", ""]), ["list", "path", "get", "set", "unset", "edit"]);
    let keys = words(&stage, &["local", "config", "get", "llamacpp."]);
    assert!(keys.contains(&"model".to_owned()) && keys.contains(&"llamacpp.threads".to_owned()), "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains('*')), "{keys:?}");
    for typed in [&["local", "config", "set", ""][..], &["local", "config", "--project", "unset", ""]] {
        assert_eq!(words(&stage, typed), keys, "{typed:?}");
    }
    // Each of them is known.
    for key in keys {
        stage.output(&["local", "config", "get", &key]).expect(1);
    }
    assert!(words(&stage, &["local", "help", ""]).contains(&"config".to_owned()));
}

#[test]
fn backends_profiles_and_models_are_completed() {
    if !needs_no_ollama() {
        return;
    }
    let stage = Stage::ollama();
    stage.config("[models]\nhaiku = \"mine:1b\"\n[profiles.day]\n[profiles.night]\nbackend = \"endpoint\"\nmodel = \"night-model\"");
    let other = stage.root().join("other.toml");
    fs::write(&other, "[profiles.else]\n").expect("a file");
    let kinds = ["ollama", "lmstudio", "llamacpp", "command", "endpoint"];
    assert_eq!(words(&stage, &["--backend", ""]), kinds);
    assert_eq!(words(&stage, &["local", "stop", "--backend", ""]), kinds);
    assert_eq!(words(&stage, &["--backend=o"])[0], "--backend=ollama");
    assert_eq!(words(&stage, &["--profile", ""]), ["day", "night"]);
    assert_eq!(
        words(&stage, &["--profile", "da", "--profile", ""]),
        ["day", "night"],
        "an unknown profile before the last one"
    );
    assert_eq!(words(&stage, &["--config", &other.display().to_string(), "--profile", ""]), ["else"]);

    let models =
        ["Big:30b", "cramped:latest", "fixed:latest", "mine:1b", "quiet:latest", "small:latest", "talker:latest"];
    for before in [
        &["--model"][..],
        &["-p", "--model"],
        &["local", "run", "--model"],
        &["--backend", "ollama", "--model"],
        &["local", "use"],
    ] {
        assert_eq!(words(&stage, &[before, &[""]].concat()), models, "{before:?}");
        assert_eq!(candidates(&stage, "files", &[before, &[""]].concat()), [".gguf"], "{before:?}");
    }
    assert_eq!(words(&stage, &["--model=B"])[0], "--model=Big:30b");
    assert_eq!(words(&stage, &["-p", "--model=B"])[0], "--model=Big:30b");
    assert_eq!(words(&stage, &["--backend", "llamacpp", "--model", ""]), ["mine:1b"]);
    // The option overrides the stage's LCLAUDE_BACKEND, which selects Ollama.
    assert_eq!(words(&stage, &["--backend", "endpoint", "--profile", "night", "--model", ""]), ["night-model"]);
}

#[test]
fn cloud_and_untypeable_models_are_not_candidates() {
    let stage = Stage::ollama();
    let library = stage.home().join(".ollama/models/manifests/registry.ollama.ai/library");
    for (model, tag) in [("far", "cloud"), ("odd", "a\tb"), ("odd", "a\nb")] {
        fs::create_dir_all(library.join(model)).expect("a directory");
        fs::write(library.join(model).join(tag), "{}").expect("a file");
    }
    let models = words(&stage, &["--model", ""]);
    assert!(models.contains(&"small:latest".into()), "{models:?}");
    assert!(!models.iter().any(|model| model.starts_with("far") || model.starts_with("odd")), "{models:?}");
}

#[test]
fn lm_studio_is_queried_only_while_running() {
    if !needs_no_ollama() {
        return;
    }
    let mut stage = Stage::bare();
    let home = stage.home().join(".lmstudio");
    fs::create_dir_all(home.join("bin")).expect("a directory");
    stage.install("fake-lms", &home.join("bin/lms"));
    let model = r#"[{"modelKey": "me/studio-model", "type": "llm", "sizeBytes": 1, "trainedForToolUse": true, "maxContextLength": 9}]"#;
    fs::write(home.join("models.json"), model).expect("a file");
    stage.set("FAKE_LMS_STATE", home.display());
    assert_eq!(words(&stage, &["--backend", "lmstudio", "--model", ""]), [""; 0]);
    assert_eq!(
        fs::read_to_string(home.join("invocations.jsonl")).expect("a log"),
        "[\"daemon\",\"status\",\"--json\"]\n"
    );

    // The user's own LM Studio, with another HOME so that the stage doesn't count it as a leftover.
    let status = stage
        .command(home.join("bin/lms"))
        .args(["daemon", "up", "--json"])
        .stdout(Stdio::null())
        .env("HOME", "/nonexistent")
        .status();
    assert!(status.expect("lms runs").success());
    let daemon = stage.events.next("lmstudio");
    for typed in [&["--backend", "lmstudio", "--model", ""][..], &["--model", ""]] {
        assert_eq!(words(&stage, typed), ["me/studio-model"], "{typed:?}");
    }
    kill(daemon.pid, rustix::process::Signal::KILL);
    daemon.wait_gone();
}

#[test]
fn claude_code_arguments_are_left_to_its_own_completion() {
    let stage = Stage::bare();
    for (typed, from) in [
        (&["-p", ""][..], "0"),
        (&["--lean", "-p", "hello", ""], "1"),
        (&["--backend", "ollama", "fix", "it", "--"], "2"),
        (&["--", ""], "1"),
        (&["--lean", "--", "local", ""], "2"),
        (&["-c", "local", ""], "0"),
        (&["-p", "--", "--model", ""], "0"),
        (&["--yes", "--"], "1"),
    ] {
        assert_eq!(candidates(&stage, "claude-from", typed), [from], "{typed:?}");
    }
    let claude_options = candidates(&stage, "claude", &["-p", "-"]);
    for option in ["--continue", "--allowedTools", "--mcp-config"] {
        assert!(claude_options.contains(&option.into()), "{option}");
    }
    // Options that local sessions don't support, and undocumented ones.
    for option in ["--cloud", "--bg", "--sdk-url"] {
        assert!(!claude_options.contains(&option.into()), "{option}");
    }
    assert!(candidates(&stage, "claude", &[""]).contains(&"mcp".into()));
    // `run` takes the command line of another program.
    for (typed, from) in [
        (&["local", "run", ""][..], "2"),
        (&["local", "run", "--model", "x", "ls", "-"], "4"),
        (&["local", "run", "--", ""], "3"),
    ] {
        assert_eq!(candidates(&stage, "command-from", typed), [from], "{typed:?}");
    }
}

#[test]
fn completion_is_silent_and_changes_nothing_on_errors() {
    let mut stage = Stage::new();
    stage.config("backend = [what");
    stage.set("LCLAUDE_CONTEXT", "no number").set("LCLAUDE_BACKED", "x").set("LCLAUDE_LOG", "debug");
    let before = stage.home_files();
    for typed in
        [&[][..], &[""], &["--profile", ""], &["--model", ""], &["--model"], &["--backend", "what", "--model", ""]]
    {
        let ended = stage.output(&[&["local", "complete", "--"], typed].concat()).expect(0);
        assert_eq!(ended.stderr, "", "{typed:?}");
    }
    stage.set("HOME", "/nonexistent");
    assert_eq!(words(&stage, &["--model", ""]), [""; 0]);
    assert_eq!(stage.home_files(), before);
    assert!(!stage.runtime().exists() && !stage.home().join(".local").exists());
    stage.assert_nothing_started();
}

#[test]
fn unknown_shell_error_lists_supported_shells() {
    messages!();
    let stage = Stage::bare();
    stage.output(&["local", "completions", "tcsh"]).expect_failure(64).expect_stdout("");
    stage.output(&["local", "completions"]).expect_failure(64).expect_stdout("");
}

#[test]
fn manual_page_lists_every_option_and_command() {
    messages!();
    let stage = Stage::bare();
    let page = stage.output(&["local", "man"]).expect(0).record().stdout;
    let plain = page.replace("\\-", "-");
    for option in words(&stage, &["--"]) {
        assert!(plain.contains(&format!("\\fB{option}\\fR")), "{option}");
    }
    for command in words(&stage, &["local", ""]) {
        assert!(plain.contains(&format!("lclaude local {command}")), "{command}");
    }
    // An option with an optional value.
    assert!(plain.contains(r"\fB--throwaway\fR[=\fIBOOL\fR]"), "{plain}");
    for section in ["NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "ENVIRONMENT", "FILES", "EXIT STATUS"] {
        let quoted = if section.contains(' ') { format!(".SH \"{section}\"") } else { format!(".SH {section}") };
        assert!(page.lines().any(|line| line == quoted), "{section}");
    }

    if !needs_program("groff") {
        return;
    }
    let mut groff = Command::new("groff");
    groff.args(["-man", "-ww", "-Tutf8"]).stdin(Stdio::piped());
    let mut groff = groff.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("groff runs");
    groff.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("groff reads");
    let output = groff.wait_with_output().expect("groff ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // The footer starts with the program's version.
    let last = String::from_utf8_lossy(&output.stdout);
    let last = last.lines().rfind(|line| !line.trim().is_empty()).expect("a last line").to_owned();
    assert!(last.starts_with(concat!("lclaude ", env!("CARGO_PKG_VERSION"))), "{last}");
}
