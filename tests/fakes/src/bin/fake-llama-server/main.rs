//! A fake of llama.cpp's llama-server (release b11434). It is as strict as the real program about its options
//! and files, with the same messages, responses and order of steps: parse, download, bind, load.
//!
//! Under the name `llama` it is the program with subcommands, of which only `serve` runs.
//!
//! The texts were recorded from the real program. A "model" is any file that starts with `GGUF`; one
//! that starts with `GGUFtruncated` stands for an incomplete download. [`switches`] lists the environment
//! variables that make it slow, memory-hungry or broken. It has no router mode: a model is required.

mod answers;
mod failures;
mod log;
mod messages;
mod model;
mod options;
mod server;
mod switches;
mod unified;

use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use lclaude_fakes::control::Control;
use lclaude_fakes::process::{detach_self, die_of, linger, start_self};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use options::{Asked, Options};
use server::Server;
use switches::{Bind, Helper, Load, Switches};

/// The hidden argument of the child that `FAKE_LLAMA_SPAWN_HELPER` starts.
const HELPER: &str = "--fake-helper";
/// The hidden argument of the child that starts the same helper as a daemon.
const DETACH: &str = "--fake-detach";

fn main() -> ExitCode {
    log::start();
    if std::env::args_os().nth(1).is_some_and(|first| first == HELPER) {
        help_stubbornly();
    }
    if std::env::args_os().nth(1).is_some_and(|first| first == DETACH) {
        rustix::process::setsid().expect("a child leads no group");
        start_self(HELPER);
        return ExitCode::SUCCESS;
    }
    let skipped = match unified::command() {
        Ok(skipped) => skipped,
        Err(code) => return code,
    };
    let switches = Switches::from_environment();
    failures::before_main(&switches);
    match options::parse(std::env::args().skip(skipped), |name| std::env::var(name).ok()) {
        Ok(Asked::Run(options)) => run(options, switches),
        Ok(Asked::Version) => eprint!("{}", answers::VERSION),
        Ok(Asked::Help) => print!("{}", options::HELP),
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(options: Options, switches: Switches) {
    // Signals are handled before the hello, so that a test can send one as soon as it receives the hello.
    let caught = Signals::new([SIGINT, SIGTERM]).expect("these signals can be caught");
    let control = Control::connect("llama-server", json!({}));
    let server = Arc::new(Server::new(options, &switches, control.clone()));
    end_on_signals(caught, Arc::clone(&server), switches.ignores_term);
    let (go, gone_on) = channel();
    obey_test(control.clone(), Arc::clone(&server), go);

    log::info("srv  llama_server: initializing ...");
    if server.options.is_download() {
        model::download(&server.options, &switches, || wait(&gone_on, "downloaded"));
    }
    log::info("cmn  common_param: common_params_print_info: verbosity = 3 (adjust with the `-lv N` CLI arg)");
    if server.options.api_keys.is_empty() {
        log::warning(
            "srv  llama_server: security: no API key is set and CORS allows all origins \
             (see https://github.com/ggml-org/llama.cpp/pull/25655)",
        );
    }
    failures::before_bind(&switches, &server.options);
    if switches.bind == Bind::WhenTold {
        wait(&gone_on, "bind");
    }
    let socket = server.listen(switches.bind != Bind::Strictly).unwrap_or_else(|_| {
        failures::could_not_bind(&server.options);
    });
    let address = socket.local_addr().expect("it is bound");
    control.event("listening", json!({ "port": address.port() }));
    match switches.helper {
        Some(Helper::InGroup) => drop(start_self(HELPER)),
        Some(Helper::Detached) => detach_self(DETACH, socket.into()),
        None => {}
    }

    let path = &server.options.model;
    log::info(&format!("srv    load_model: loading model '{path}'"));
    if !server.options.is_download() {
        model::check(path);
    }
    failures::while_loading(&switches, path);
    match switches.load {
        Load::AtOnce => {}
        Load::WhenTold => wait(&gone_on, "ready"),
        Load::Never => loop {
            thread::park();
        },
    }
    log::info(&format!(
        "srv    load_model: initializing, n_slots = {}, n_ctx_slot = {}, kv_unified = 'false'",
        server.slots(),
        server.context
    ));
    log::info("srv  llama_server: model loaded");
    server.become_ready();
    log::info(&format!("srv  llama_server: listening on http://{address}"));
    control.event("ready", json!({}));
    loop {
        thread::park();
    }
}

/// Waits for this command of the test.
fn wait(gone_on: &Receiver<String>, what: &str) {
    while gone_on.recv().unwrap_or_else(|_| panic!("FAKE_EVENTS is not set, so no test can say {what:?}")) != what {}
}

fn obey_test(control: Control, server: Arc<Server>, go: Sender<String>) {
    if !control.is_connected() {
        return;
    }
    thread::spawn(move || {
        for command in control.commands() {
            match command.name() {
                // They may arrive before the wait for them begins.
                name @ ("bind" | "ready" | "downloaded") => {
                    let _ = go.send(name.to_owned());
                }
                "log" => eprintln!("{}", command.text("text")),
                "exit" => exit(command.number("code")),
                "signal" => die_of(command.number("number")),
                "hang" => {
                    server.hang();
                    control.event("done", json!({ "do": "hang" }));
                }
                other => panic!("fake-llama-server does not know how to {other:?}"),
            }
        }
        // The test is over.
        exit(1);
    });
}

/// The real program installs handlers once the model is loaded; before that, a signal kills it.
fn end_on_signals(mut caught: Signals, server: Arc<Server>, ignores_term: bool) {
    thread::spawn(move || {
        for signal in caught.forever() {
            server.control.event("signal", json!({ "number": signal }));
            if ignores_term {
                continue;
            }
            if !server.is_ready() {
                die_of(signal);
            }
            log::info("srv    operator(): operator(): cleaning up before exit...");
            exit(0);
        }
    });
}

/// Starts a child in the server's process group that ignores SIGTERM, like Ollama's runners.
fn help_stubbornly() -> ! {
    let _caught = Signals::new([SIGTERM]).expect("the signal can be caught");
    linger(&Control::connect("helper", json!({})))
}
