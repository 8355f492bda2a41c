//! A fake of Claude Code: reports to the test how it was started, and then obeys the test.
//!
//! Like the real program, it prints its version and help, and exits with 0 on SIGINT, 143 on SIGTERM
//! and 129 on SIGHUP. Without a test it prints its arguments, one per line.

mod request;
mod settings;
mod signals;

use std::io::Write;
use std::process::{ExitCode, exit};
use std::thread;

use lclaude_fakes::control::{Command, Control};
use lclaude_fakes::process::{die_of, linger, start_self};
use rustix::process::{Signal, kill_current_process_group, setsid};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;
use signals::OnlyReport;

const VERSION: &str = "2.1.331 (Claude Code)";
const HELP: &str = "\
Usage: claude [options] [command] [prompt]

Claude Code - starts an interactive session by default, use -p/--print for non-interactive output

Options:
  -c, --continue                        Continue the most recent conversation in
                                        the current directory
  --option-of-tomorrow [value]          An option that lclaude has never heard of
  -p, --print                           Print response and exit (useful for
                                        pipes).
";
/// The hidden argument of the process that `spawn_sleeper` leaves behind.
const SLEEPER: &str = "--fake-sleeper";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|argument| argument.to_str()) {
        Some("--version" | "-v") => println!("{VERSION}"),
        Some("--help" | "-h") => print!("{HELP}"),
        Some(SLEEPER) => sleep_apart(),
        _ if std::env::var_os(lclaude_fakes::control::ADDRESS_VARIABLE).is_none() => {
            for argument in arguments {
                println!("{}", argument.display());
            }
        }
        _ => serve(),
    }
    ExitCode::SUCCESS
}

/// Obeys the test until it ends.
fn serve() {
    // Signals are handled before the hello, so that a test can send one as soon as it receives the hello.
    let caught = signals::catch();
    let control = Control::connect("claude", settings::describe(std::env::args_os()));
    let only_report = signals::report(caught, control.clone());
    for command in control.commands() {
        obey(&command, &control, &only_report);
    }
}

fn obey(command: &Command, control: &Control, only_report: &OnlyReport) {
    let done = || control.event("done", json!({ "do": command.name() }));
    match command.name() {
        "exit" => exit(command.number("code")),
        "signal" => die_of(command.number("number")),
        "print" => {
            let mut stdout = std::io::stdout().lock();
            stdout
                .write_all(command.text("text").as_bytes())
                .and_then(|()| stdout.flush())
                .expect("someone reads stdout");
            done();
        }
        "read_line" => {
            // In a thread, so that other commands can be handled meanwhile.
            let control = control.clone();
            thread::spawn(move || {
                let mut line = String::new();
                let bytes = std::io::stdin().read_line(&mut line);
                let end = !matches!(bytes, Ok(1..));
                control.event("line", json!({ "text": line, "end": end }));
            });
        }
        "request" => {
            let (control, path) = (control.clone(), command.text("path").to_owned());
            let body = command.value("body").clone();
            thread::spawn(move || control.event("response", request::send(&path, &body)));
        }
        "request_forever" => {
            let (path, body) = (command.text("path").to_owned(), command.value("body").clone());
            thread::spawn(move || request::send_forever(&path, &body));
            done();
        }
        "spawn_sleeper" => {
            let pid = start_self(SLEEPER);
            control.event("done", json!({ "do": command.name(), "pid": pid }));
        }
        "raw_mode" => {
            enter_raw_mode();
            done();
        }
        "ignore_signals" => {
            only_report.turn_on();
            done();
        }
        "suspend" => {
            // On Ctrl-Z Claude Code stops its whole process group, the launcher included.
            done();
            kill_current_process_group(Signal::TSTP).expect("a process may stop its own group");
            control.event("resumed", json!({}));
        }
        other => panic!("fake-claude does not know how to {other:?}"),
    }
}

/// Sets the terminal to the state in which a killed full-screen program leaves it.
fn enter_raw_mode() {
    let stdin = std::io::stdin();
    let mut mode = tcgetattr(&stdin).expect("raw mode needs a terminal on stdin");
    mode.make_raw();
    tcsetattr(&stdin, OptionalActions::Now, &mode).expect("the terminal is ours");
    print!("\x1b[?1049h");
    std::io::stdout().flush().expect("someone reads stdout");
}

/// Starts a process that outlives Claude Code in its own session and keeps its stdout open.
fn sleep_apart() -> ! {
    setsid().expect("a fresh child leads no group");
    linger(&Control::connect("sleeper", json!({})))
}
