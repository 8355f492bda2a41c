//! Stands for `lms`, the command line of LM Studio, and for LM Studio itself: a background process
//! in a session of its own (`who` is `lmstudio`) that the commands start when there is none, and that
//! holds the models and the HTTP server.
//!
//! Written after the source of the real `lms` and the documents of LM Studio; never compared with it
//! at work. [`home`] says where its state is. The environment variables that change what it does:
//!
//! | variable | value | meaning |
//! |---|---|---|
//! | `FAKE_LMS_STATE` | a directory | LM Studio's own, made if there is none |
//! | `FAKE_LMS_VERSION` | a version | of LM Studio, instead of 0.4.4+1 |
//! | `FAKE_LMS_APP` | `1` | it is the app, not the daemon: `daemon down` refuses |
//! | `FAKE_LMS_START` | `controlled` | it comes up when the test sends `started` |
//! | `FAKE_LMS_TOKEN` | a text | the HTTP API wants this token |
//! | `FAKE_LMS_CONTEXT` | a number | every load grants that context, whatever was asked |
//! | `FAKE_LMS_LOAD` | `controlled` | a load takes until the test sends `loaded` or `load_fail` |
//! | `FAKE_LMS_GET` | `controlled` | a download takes until the test sends `get_finish`; `get_progress` with `completed` |
//! | `FAKE_LMS_DEVICE` | an identifier | the machine that LM Link prefers for a load, where it has the model |
//! | `FAKE_LMS_FAIL` | `daemon`, `load`, `get` | LM Studio does not start; no memory for a load; no network |

mod client;
mod commands;
mod daemon;
mod home;
mod models;
mod options;
mod progress;
mod web;

use std::process::ExitCode;

use home::Home;

/// The hidden argument of the background process.
const DAEMON: &str = "--fake-daemon";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let home = Home::from_environment();
    if arguments.first().is_some_and(|first| first == DAEMON) {
        daemon::run(home);
    }
    home.log_invocation(&arguments);
    match commands::run(&home, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            if !message.is_empty() {
                eprintln!("{message}");
            }
            ExitCode::FAILURE
        }
    }
}

fn fails(what: &str) -> bool {
    std::env::var("FAKE_LMS_FAIL").is_ok_and(|value| value == what)
}
