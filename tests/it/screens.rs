//! How lclaude looks on a terminal: everything fits its width, and colors are used where they can be seen.

use std::process::Command;

use support::{Stage, json, messages, messages::record, models::Head, terminal::Terminal};

/// Widths of terminals, in columns.
const WIDTHS: [u16; 2] = [80, 120];

/// The environment of a terminal without colors and without a pager.
const PLAIN: [(&str, &str); 3] = [("TERM", "xterm"), ("NO_COLOR", "1"), ("PAGER", "cat")];

/// Returns lclaude with these variables.
fn command(stage: &Stage, typed: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = stage.lclaude(typed);
    command.env_remove("NO_COLOR").envs(variables.iter().copied());
    command
}

/// Runs a command on a terminal, and returns what it shows.
fn shown(stage: &Stage, typed: &[&str], code: i32, width: u16) -> String {
    let terminal = Terminal::start_with_columns(command(stage, typed, &PLAIN), width);
    terminal.wait_to_the_end(code).replace("\r\n", "\n")
}

/// Records a screen, all lines of which must fit.
fn record_fitting(stage: &Stage, typed: &[&str], code: i32) {
    for width in WIDTHS {
        let text = shown(stage, typed, code, width);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(widest <= width.into(), "{typed:?} needs {widest} columns:\n{text}");
        record(format_args!("lclaude {}, {width} columns", typed.join(" ")), text);
    }
}

#[test]
fn short_help_fits_a_screen_of_24_lines() {
    messages!();
    let stage = Stage::bare();
    record_fitting(&stage, &["-h"], 0);
    let lines = shown(&stage, &["-h"], 0, 80).lines().count();
    assert!(lines < 24, "{lines} lines and the next prompt");
}

#[test]
fn every_help_fits_the_terminal() {
    messages!();
    let stage = Stage::bare();
    record_fitting(&stage, &["--help"], 0);
    record_fitting(&stage, &["local", "--help"], 0);
    let commands = stage.output(&["local", "complete", "--", "local", ""]).expect(0).stdout;
    let commands: Vec<&str> =
        commands.lines().filter_map(|line| line.strip_prefix("word\t")?.split('\t').next()).collect();
    assert!(commands.contains(&"status"), "{commands:?}");
    for command in commands {
        record_fitting(&stage, &["local", command, "--help"], 0);
    }
}

#[test]
fn tables_leave_out_columns_that_do_not_fit() {
    messages!();
    let stage = Stage::ollama();
    stage.fill("qwen3-coder-next-instruct-with-a-long-name:30b-a3b-q4_K_M", &Head::small(), "{{ .Tools }}", "{}");
    record_fitting(&stage, &["local", "models", "--backend", "ollama"], 0);
}

#[test]
fn failures_and_help_are_colored_on_a_terminal_only() {
    let stage = Stage::bare();
    let typed = ["--context", "x", "-p", "y"];
    let on_terminal =
        |variables: &[(&str, &str)]| Terminal::start(command(&stage, &typed, variables)).wait_to_the_end(64);
    let colored = on_terminal(&[("TERM", "xterm")]);
    for label in ["\x1b[31m\x1b[1mlclaude: error:\x1b[0m", "\x1b[36mhelp:\x1b[0m"] {
        assert!(colored.contains(label), "{colored:?}");
    }
    for variables in [&[("TERM", "xterm"), ("NO_COLOR", "1")][..], &[("TERM", "dumb")]] {
        let plain = on_terminal(variables);
        assert!(plain.starts_with("lclaude: error:") && !plain.contains('\x1b'), "{plain:?}");
    }
    let ended = stage.ended(&mut command(&stage, &typed, &[("TERM", "xterm")])).expect(64);
    assert!(!ended.stderr.contains('\x1b'), "{ended:#?}");
}

#[test]
fn headings_of_help_are_bold_on_a_terminal() {
    let stage = Stage::bare();
    let terminal = Terminal::start(command(&stage, &["local", "stop", "--help"], &[("TERM", "xterm")]));
    let shown = terminal.wait_to_the_end(0);
    for label in ["\x1b[1mUsage:\x1b[0m lclaude local stop", "\x1b[1mOptions:\x1b[0m", "\x1b[1mExamples:\x1b[0m"] {
        assert!(shown.contains(label), "{shown:?}");
    }
}

#[test]
fn terminal_that_cannot_redraw_gets_one_line_for_each_stage() {
    let stage = Stage::new();
    let model = stage.model().display().to_string();
    let typed = ["--backend", "llamacpp", "--model", &model, "-p", "x"];
    let terminal = Terminal::start(command(&stage, &typed, &[("TERM", "dumb")]));
    stage.events.next("claude").send(json!({"do": "exit", "code": 0}));
    let shown = terminal.wait_to_the_end(0).replace("\r\n", "\n");
    assert!(shown.contains("lclaude: starting llamacpp") && !shown.contains(['\x1b', '\r']), "{shown:?}");
}

#[test]
fn long_help_goes_through_the_pager_on_a_terminal_only() {
    let stage = Stage::new();
    let paged = [("TERM", "xterm"), ("NO_COLOR", "1"), ("PAGER", "sed 's/^/paged: /'")];
    let shown = Terminal::start(command(&stage, &["--help"], &paged)).wait_to_the_end(0);
    assert!(shown.starts_with("paged: Run Claude Code on a local model\r\n"), "{shown}");
    // A pager that doesn't exist ends like a command that doesn't exist, as with git; without one the text is printed.
    for variables in [[("TERM", "xterm"), ("PAGER", "")], [("TERM", "dumb"), ("PAGER", "sed 's/^/paged: /'")]] {
        let shown = Terminal::start(command(&stage, &["--help"], &variables)).wait_to_the_end(0);
        assert!(shown.contains("Run Claude Code on a local model\r\n") && !shown.contains("paged"), "{shown}");
    }
    let ended = stage.ended(&mut command(&stage, &["--help"], &paged)).expect(0);
    assert!(ended.stdout.starts_with("Run Claude Code"), "{ended:#?}");
}
