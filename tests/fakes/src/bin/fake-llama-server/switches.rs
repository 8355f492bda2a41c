//! The environment variables that control the fake. They reach it because a backend inherits the
//! environment of lclaude.
//!
//! | variable | value | meaning |
//! |---|---|---|
//! | `FAKE_LLAMA_BIND` | `controlled`, `strict` | binds once the test sends `bind`; doesn't set `SO_REUSEADDR` |
//! | `FAKE_LLAMA_LOAD` | `controlled` | loads until the test sends `ready` |
//! | `FAKE_LLAMA_NEVER_READY` | `1` | never finishes loading |
//! | `FAKE_LLAMA_DOWNLOAD` | `1`, `controlled` | with `-hf`: shows progress; then waits for `downloaded` |
//! | `FAKE_LLAMA_FAIL` | see [`Failure`] | fails to start in this way |
//! | `FAKE_LLAMA_FAIL_TIMES` | a number | only this many starts fail, counted in `FAKE_LLAMA_STATE` |
//! | `FAKE_LLAMA_STATE` | a file | holds the number of starts |
//! | `FAKE_LLAMA_IGNORE_TERM` | `1` | reports SIGTERM and SIGINT and keeps running |
//! | `FAKE_LLAMA_SPAWN_HELPER` | `1` | has a child in its process group that ignores SIGTERM |
//! | | `detached` | its helper is a daemon instead: an orphan in its own session, with the listening socket open |
//! | `FAKE_LLAMA_N_CTX` | a number | grants this context, whatever was requested |
//! | `FAKE_LLAMA_N_CTX_TRAIN` | a number | the model was trained for this context, and no more is granted |
//! | `FAKE_LLAMA_NO_TOOLS` | `1` | the model's template has no tools |
//! | `FAKE_LLAMA_ILL` | see [`Illness`] | answers messages wrongly in this way |

use std::env::var;
use std::fs;

/// Where the server's helper runs.
#[derive(Clone, Copy)]
pub enum Helper {
    InGroup,
    Detached,
}

pub struct Switches {
    pub bind: Bind,
    pub load: Load,
    pub download: Option<Download>,
    pub failure: Option<Failure>,
    pub ignores_term: bool,
    pub helper: Option<Helper>,
    pub context: Option<u32>,
    pub trained: Option<u32>,
    pub knows_tools: bool,
    pub illness: Option<Illness>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Bind {
    AtOnce,
    WhenTold,
    /// Without the option that lets it bind a port that another socket holds.
    Strictly,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Load {
    AtOnce,
    WhenTold,
    Never,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Download {
    AtOnce,
    WhenTold,
}

/// Start failures, by their names in `FAKE_LLAMA_FAIL`.
#[derive(Clone, Copy, PartialEq)]
pub enum Failure {
    /// `missing-lib`: the dynamic loader doesn't find a library; exit code 127.
    MissingLibrary,
    /// `bind`: the port is taken.
    Bind,
    /// `arch`: the model is newer than the program.
    Architecture,
    /// `oom`: there is not enough memory for the context.
    NoMemory,
    /// `oom-killed`: the kernel's out-of-memory killer ends it without a message.
    Killed,
    /// `sigill`: built for another processor.
    IllegalInstruction,
    /// `crash`: a failed assertion, while it loads.
    Crash,
}

impl Failure {
    fn named(name: &str) -> Self {
        match name {
            "missing-lib" => Self::MissingLibrary,
            "bind" => Self::Bind,
            "arch" => Self::Architecture,
            "oom" => Self::NoMemory,
            "oom-killed" => Self::Killed,
            "sigill" => Self::IllegalInstruction,
            "crash" => Self::Crash,
            other => panic!("FAKE_LLAMA_FAIL={other} is unknown"),
        }
    }
}

/// Wrong responses to a message, by their names in `FAKE_LLAMA_ILL`.
#[derive(Clone, Copy, PartialEq)]
pub enum Illness {
    /// `mute`: every message gets an error.
    Mute,
    /// `order`: the events of a stream are out of order.
    Order,
    /// `cut`: a stream lacks its last event.
    Cut,
    /// `text`: a tool call arrives as text.
    Text,
    /// `talk`: no tool is called.
    Talk,
    /// `result`: a tool result is rejected.
    Result,
    /// `beta`: a beta header is rejected.
    Beta,
    /// `model`: another model is rejected with a temporary error.
    Model,
    /// `wording`: a too long prompt is rejected with an unknown message.
    Wording,
    /// `silent`: a too long prompt is answered.
    Silent,
}

impl Illness {
    fn named(name: &str) -> Self {
        match name {
            "mute" => Self::Mute,
            "order" => Self::Order,
            "cut" => Self::Cut,
            "text" => Self::Text,
            "talk" => Self::Talk,
            "result" => Self::Result,
            "beta" => Self::Beta,
            "model" => Self::Model,
            "wording" => Self::Wording,
            "silent" => Self::Silent,
            other => panic!("FAKE_LLAMA_ILL={other} is unknown"),
        }
    }
}

impl Switches {
    pub fn from_environment() -> Self {
        let is_on = |name| var(name).is_ok_and(|value| value == "1");
        let number = |name| var(name).ok().map(|number| number.parse().unwrap_or_else(|_| panic!("{name}={number}")));
        Self {
            bind: match var("FAKE_LLAMA_BIND").as_deref() {
                Ok("controlled") => Bind::WhenTold,
                Ok("strict") => Bind::Strictly,
                Ok(other) => panic!("FAKE_LLAMA_BIND={other} is unknown"),
                Err(_) => Bind::AtOnce,
            },
            load: match var("FAKE_LLAMA_LOAD").as_deref() {
                _ if is_on("FAKE_LLAMA_NEVER_READY") => Load::Never,
                Ok("controlled") => Load::WhenTold,
                Ok(other) => panic!("FAKE_LLAMA_LOAD={other} is unknown"),
                Err(_) => Load::AtOnce,
            },
            download: match var("FAKE_LLAMA_DOWNLOAD").as_deref() {
                Ok("1") => Some(Download::AtOnce),
                Ok("controlled") => Some(Download::WhenTold),
                Ok(other) => panic!("FAKE_LLAMA_DOWNLOAD={other} is unknown"),
                Err(_) => None,
            },
            failure: var("FAKE_LLAMA_FAIL").ok().map(|name| Failure::named(&name)).filter(|_| fails_this_time()),
            ignores_term: is_on("FAKE_LLAMA_IGNORE_TERM"),
            helper: match var("FAKE_LLAMA_SPAWN_HELPER").as_deref() {
                Ok("detached") => Some(Helper::Detached),
                _ => is_on("FAKE_LLAMA_SPAWN_HELPER").then_some(Helper::InGroup),
            },
            context: number("FAKE_LLAMA_N_CTX"),
            trained: number("FAKE_LLAMA_N_CTX_TRAIN"),
            knows_tools: !is_on("FAKE_LLAMA_NO_TOOLS"),
            illness: var("FAKE_LLAMA_ILL").ok().map(|name| Illness::named(&name)),
        }
    }
}

/// Returns whether this start fails. Counts the starts if only some of them are to fail.
fn fails_this_time() -> bool {
    let Ok(times) = var("FAKE_LLAMA_FAIL_TIMES") else {
        return true;
    };
    let times: u32 = times.parse().expect("FAKE_LLAMA_FAIL_TIMES is a number");
    let file = var("FAKE_LLAMA_STATE").expect("FAKE_LLAMA_FAIL_TIMES counts in FAKE_LLAMA_STATE");
    // The file does not exist before the first start.
    let starts = fs::read_to_string(&file).map_or(0, |text| text.parse().expect("FAKE_LLAMA_STATE holds a number"));
    fs::write(&file, format!("{}", starts + 1)).expect("FAKE_LLAMA_STATE can be written");
    starts < times
}
