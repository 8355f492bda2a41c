//! A fake of Ollama (0.33.0): `ollama serve` with the models that the test describes. It is as strict as the
//! real program, with the same messages, responses and order of steps: listen, then serve. Every loaded model
//! has a runner process, which ends with the server on TERM and survives KILL.
//!
//! The texts were recorded from the real program. [`switches`] lists the environment variables that
//! make it slow, memory-hungry or broken.

mod answers;
mod client;
mod keep_alive;
mod log;
mod messages;
mod models;
mod pull;
mod scheduler;
mod server;
mod start;
mod switches;

use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::thread;

use lclaude_fakes::control::Control;
use lclaude_fakes::process::{die_of, linger};
use lclaude_fakes::steps::{Client, Steps};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use models::Store;
use server::Server;
use switches::{Failure, Pace, Switches, fails_this_time};

/// The hidden argument of a runner, followed by the options of the real runner.
const RUNNER: &str = "--fake-runner";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Some(code) = client::run(&arguments) {
        return code;
    }
    match arguments[..] {
        [RUNNER, ..] => linger(&Control::connect("runner", json!({}))),
        ["serve" | "start"] => serve(),
        ["--version" | "-v"] => start::say_version(),
        ["serve" | "start", option, ..] | [option, ..] if option.starts_with('-') => {
            return complain(&format!("unknown flag: {option}"));
        }
        ["serve" | "start", other, ..] => {
            return complain(&format!("unknown command {other:?} for \"ollama serve\""));
        }
        [other, ..] => return complain(&format!("unknown command {other:?} for \"ollama\"")),
        [] => println!("Usage:\n  ollama [flags]\n  ollama [command]"),
    }
    ExitCode::SUCCESS
}

fn complain(what: &str) -> ExitCode {
    eprintln!("Error: {what}");
    ExitCode::FAILURE
}

fn serve() -> ! {
    let switches = Arc::new(Switches::from_environment());
    let start_failure = switches.failure.filter(|failure| failure.is_at_start() && fails_this_time());
    if start_failure == Some(Failure::MissingLibrary) {
        start::miss_library();
    }
    // Signals are handled before the hello, so that a test can send one as soon as it receives the hello.
    let caught = Signals::new([SIGINT, SIGTERM]).expect("these signals can be caught");
    let control = Control::connect("ollama", json!({}));
    let home = start::home();
    if switches.bind == Pace::WhenTold {
        let command = control.commands().next().expect("the test says when to bind");
        assert_eq!(command.name(), "bind");
    }
    let listener = start::bind(start_failure == Some(Failure::Bind));
    let address = listener.local_addr().expect("a bound socket has an address");
    start::show_configuration();
    let store = Arc::new(Store::open(&home).unwrap_or_else(|error| start::give_up(&error.to_string())));
    let steps = Arc::<Steps>::default();
    let server = Arc::new(Server::new(switches, store, control.clone(), Arc::clone(&steps)));
    log::info("routes.go:2008", &format!("Listening on {address} (version {})", server.switches.version));
    end_on_signals(caught, Arc::clone(&server));
    obey_test(Arc::clone(&server));
    control.event("listening", json!({ "port": address.port() }));
    log::info("runner.go:60", "discovering available GPUs...");
    match server.switches.listen {
        Pace::AtOnce => {}
        Pace::WhenTold => drop(steps.wait(&["serve"], &Client::default())),
        Pace::Never => loop {
            thread::park();
        },
    }
    control.event("serving", json!({}));
    server.serve(listener)
}

fn obey_test(server: Arc<Server>) {
    let control = server.control.clone();
    if !control.is_connected() {
        return;
    }
    thread::spawn(move || {
        for command in control.commands() {
            let done = || control.event("done", json!({ "do": command.name() }));
            match command.name() {
                "serve" | "loaded" | "load_fail" | "pull_progress" | "pull_line" | "pull_error" | "pull_finish" => {
                    server.steps.say(command);
                }
                "evict" => {
                    server.scheduler.unload(&models::full_name(command.text("model")));
                    done();
                }
                "hang" | "answer" => {
                    server.hang(command.name() == "hang");
                    done();
                }
                "log" => eprintln!("{}", command.text("text")),
                "exit" => exit(command.number("code")),
                "signal" => die_of(command.number("number")),
                other => panic!("fake-ollama does not know how to {other:?}"),
            }
        }
        // The test is over.
        server.scheduler.end_all();
        exit(1);
    });
}

fn end_on_signals(mut caught: Signals, server: Arc<Server>) {
    thread::spawn(move || {
        for signal in caught.forever() {
            server.control.event("signal", json!({ "number": signal }));
            if !server.switches.ignores_term {
                server.scheduler.end_all();
                exit(0);
            }
        }
    });
}
