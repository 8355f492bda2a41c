//! A fake of `lms`, the command line of LM Studio, and of LM Studio itself: a background process in
//! its own session (`who` is `lmstudio`) that the commands start if needed, and that holds the models
//! and the HTTP server.
//!
//! Based on the source of the real `lms` and LM Studio's documentation; never compared with a running
//! LM Studio. [`home`] describes its state. The environment variables that control it:
//!
//! | variable | value | meaning |
//! |---|---|---|
//! | `FAKE_LMS_STATE` | a directory | LM Studio's directory, created if missing |
//! | `FAKE_LMS_VERSION` | a version | LM Studio's version instead of 0.4.4+1 |
//! | `FAKE_LMS_APP` | `1` | it is the app, not the daemon: `daemon down` fails |
//! | `FAKE_LMS_START` | `controlled` | it starts when the test sends `started` |
//! | `FAKE_LMS_TOKEN` | a text | the HTTP API requires this token |
//! | `FAKE_LMS_CONTEXT` | a number | every load grants this context, whatever was requested |
//! | `FAKE_LMS_LOAD` | `controlled` | a load takes until the test sends `loaded` or `load_fail` |
//! | `FAKE_LMS_GET` | `controlled` | a download takes until the test sends `get_finish`; `get_progress` with `completed` |
//! | `FAKE_LMS_DEVICE` | an identifier | the machine that LM Link prefers for a load, where it has the model |
//! | `FAKE_LMS_FAIL` | `daemon`, `load`, `get` | LM Studio doesn't start; a load has too little memory; there is no network |

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
