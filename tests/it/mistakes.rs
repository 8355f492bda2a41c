//! Mistakes on the command line that are caught before anything starts, with the corrected command.

use std::{fs, path::PathBuf};

use support::{Stage, messages, terminal::Terminal, told::configured, write_program};

/// Runs a command line that must be refused before anything starts.
#[track_caller]
fn refused(stage: &Stage, arguments: &[&str]) {
    stage.output(arguments).expect_failure(64).expect_stdout("");
    stage.assert_nothing_started();
}

#[test]
fn lclaude_options_after_claude_arguments_are_refused_with_the_corrected_command() {
    messages!();
    let stage = configured();
    for arguments in [
        &["-p", "hi", "--dry-run"][..],
        &["fix it", "--backend", "ollama"],
        &["-c", "--throwaway"],
        &["-c", "--throwaway=false", "--backend=ollama", "--yes"],
        &["--model", "tiny.gguf", "-p", "a 'quoted' prompt", "--context", "64k", "--verbose", "--profile", "p"],
        &["-p", "hi", "--backend"],
        &["-p", "hi", "--context", "--verbose"],
        &["-c", "--profile", "update"],
        &["-c", "--dry-run", "--settings", r#"{"env": {"KEY": "sk-secret"}}"#],
    ] {
        refused(&stage, arguments);
    }
}

#[test]
fn json_after_claude_arguments_is_told_what_it_needs() {
    messages!();
    let stage = configured();
    for arguments in [
        &["-p", "hi", "--json"][..],
        &["-c", "--json", "--context", "64k"],
        &["-p", "hi", "--dry-run", "--json"],
        &["--dry-run", "-p", "hi", "--json"],
    ] {
        refused(&stage, arguments);
    }
}

#[test]
fn options_after_a_verb_without_local_are_told_the_verb() {
    messages!();
    let stage = configured();
    for arguments in [
        &["setup", "--dry-run"][..],
        &["--model", "x", "serve", "--context", "64k"],
        &["models", "--json"],
        &["config", "get", "model", "--project"],
        // `status` has no such option.
        &["status", "--dry-run"],
    ] {
        refused(&stage, arguments);
    }
}

#[test]
fn short_options_of_both_programs_are_separated() {
    messages!();
    let stage = configured();
    for arguments in [&["-qp", "hi"][..], &["--model", "x", "-c", "-pq", "hi"]] {
        refused(&stage, arguments);
    }
}

#[test]
fn flags_with_a_value_and_missing_options_get_the_corrected_command() {
    messages!();
    let stage = configured();
    for arguments in [
        &["--quiet=true", "-p", "hi"][..],
        &["--dry-run=false", "-c"],
        &["local", "models", "--json=yes"],
        &["--model", "x", "local", "run", "--json", "--", "x", "-y"],
    ] {
        refused(&stage, arguments);
    }
}

#[test]
fn helps_show_no_secrets_and_nothing_that_cannot_be_pasted() {
    messages!();
    let stage = configured();
    let json = r#"{"env": {"TOKEN": "sk-secret"}}"#;
    for arguments in [
        &["--mcp-config", json, "-p", "hi", "--dry-run"][..],
        &[&format!("--agents={json}"), "--dry-run"],
        &["-p", "hi", "--mcp-confg", json],
        &["-p", &"long ".repeat(50), "--dry-run"],
        &["-p", "two\nlines", "--verbos"],
    ] {
        let ended = stage.output(arguments).expect_failure(64);
        assert!(!ended.stderr.contains("secret"), "{ended:#?}");
    }
}

/// The Agent SDK and editors use options that are not in the help, and can't put `--` before them.
#[test]
fn options_of_programs_are_not_checked() {
    for format in ["--input-format", "--output-format"] {
        let stage = configured();
        let told = claude_with_help(&stage, "echo --print; touch helped");
        let typed = ["--profiles", "-p", format, "stream-json", "--verbos", "--zzzzzz"];
        stage.output(&typed).expect(0);
        let ran = fs::read_to_string(told).expect("Claude Code ran");
        assert!(ran.ends_with(&format!(" {} ", typed.join(" "))), "{ran}");
        assert!(!stage.project().join("helped").exists(), "the help was read");
    }
}

#[test]
fn options_that_neither_program_knows_are_refused_before_the_start() {
    messages!();
    let stage = configured();
    for arguments in [
        &["-p", "hi", "--verbos"][..],
        &["-p", "hi", "--modle=tiny.gguf"],
        &["-p", "hi", "--drirun"],
        &["-p", "hi", "--foo"],
        &["--zzzzzz", "1"],
        &["-p", "-x", "hi"],
        &["- fix this"],
        &["-p", "- fix this"],
    ] {
        refused(&stage, arguments);
    }
}

/// Installs a Claude Code that answers `--help` with a command's output, and returns where its arguments are written.
fn claude_with_help(stage: &Stage, help: &str) -> PathBuf {
    let (claude, told) = (stage.bin().join("claude"), stage.root().join("arguments"));
    fs::remove_file(&claude).expect("it is there");
    let run = format!("printf '%s ' \"$@\" >{}", told.display());
    write_program(&claude, format!("#!/bin/sh\ncase $1 in --help) {help} ;; *) {run} ;; esac\n"));
    told
}

/// Without a help there is no telling what Claude Code knows.
#[test]
fn unknown_options_pass_if_the_help_cannot_be_read() {
    for help in ["exit 1", "echo nothing useful", "kill -9 $$"] {
        let stage = configured();
        let told = claude_with_help(&stage, help);
        stage.output(&["-p", "hi", "--zzzzzz"]).expect(0);
        let arguments = fs::read_to_string(told).expect("Claude Code ran");
        assert!(arguments.ends_with(" -p hi --zzzzzz "), "{help}: {arguments}");
    }
}

#[test]
fn commands_without_a_model_and_text_are_not_checked() {
    for (typed, arguments) in [
        (&["mcp", "add", "x", "--zzzzzz", "--context", "5"][..], "mcp add x --zzzzzz --context 5 "),
        (&["plugin", "eval", "x", "--runs", "3", "--json"], " plugin eval x --runs 3 --json "),
        (&["auto-mode", "critique", "--zzzzzz"], " auto-mode critique --zzzzzz "),
        (&["--", "-p", "hi", "--zzzzzz", "--dry-run"], " -p hi --zzzzzz --dry-run "),
        (&["-p", "--", "--zzzzzz"], " -p -- --zzzzzz "),
        (&["-p", "--append-system-prompt", "--zzzzzz"], " -p --append-system-prompt --zzzzzz "),
    ] {
        let stage = configured();
        let told = claude_with_help(&stage, "echo --print; exit 0");
        stage.output(typed).expect(0);
        let ran = fs::read_to_string(told).expect("Claude Code ran");
        assert!(ran.ends_with(arguments), "{typed:?}: {ran}");
    }
}

#[test]
fn help_is_shown_beside_an_invalid_option() {
    let stage = Stage::new();
    for (arguments, text) in [
        (&["--backend", "bogus", "--help"][..], "Run Claude Code on a local model"),
        (&["local", "serve", "--context", "x", "--help"], "lclaude local serve"),
        (&["local", "serve", "--nonsense", "-h"], "lclaude local serve"),
    ] {
        let ended = stage.output(arguments).expect(0);
        assert!(ended.stdout.contains(text) && ended.stderr.is_empty(), "{ended:#?}");
    }
}

#[test]
fn hints_are_notes_and_claude_codes_own_commands_get_one_once() {
    let stage = configured();
    claude_with_help(&stage, "echo --print");
    let shown = |arguments: &[&str]| Terminal::start(stage.lclaude(arguments)).wait_to_the_end(0);
    for (arguments, is_hinted) in [
        (&["--quiet", "doctor"][..], false),
        (&["--quiet", "--dry-run", "setup"], false),
        (&["doctor"], true),
        (&["doctor"], false),
        (&["--dry-run", "setup"], true),
        (&["--dry-run", "setup"], true),
    ] {
        let shown = shown(arguments);
        assert_eq!(shown.contains("own command"), is_hinted, "{arguments:?}: {shown}");
    }
}

/// Returns what lclaude prints on a terminal for these arguments, up to the start of the fake Claude Code.
fn shown(stage: &Stage, arguments: &[&str]) -> String {
    let terminal = Terminal::start(stage.lclaude(&[&["--dry-run"], arguments].concat()));
    terminal.wait_to_the_end(0)
}

#[test]
fn words_that_name_a_command_get_a_hint_on_a_terminal() {
    let stage = configured();
    for (arguments, hint) in [
        (
            &["setup"][..],
            "\"setup\" is sent to the model as a prompt; lclaude's own command is: lclaude local setup\r\n",
        ),
        (&["help"], "lclaude's own command is: lclaude local --help\r\n"),
        (
            &["modles"],
            "\"modles\" is sent to the model as a prompt; lclaude's own command is: lclaude local models\r\n",
        ),
        (&["trust", "x y"], "lclaude's own command is: lclaude local trust 'x y'\r\n"),
        (&["doctor"], "`doctor` is Claude Code's own command; lclaude's is: lclaude local doctor\r\n"),
    ] {
        let shown = shown(&stage, arguments);
        assert!(shown.contains(hint), "{arguments:?}: {shown}");
    }
    for arguments in [&["fix"][..], &["explain setup"], &["-p", "setup"], &["--", "setup"], &["update"], &["text"]] {
        let shown = shown(&stage, arguments);
        assert!(!shown.contains("own command"), "{arguments:?}: {shown}");
    }
    // Without a terminal nobody reads it.
    assert_eq!(stage.output(&["--dry-run", "setup"]).expect(0).stderr, "");
}
