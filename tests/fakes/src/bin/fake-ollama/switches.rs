//! The environment variables that control the fake. They reach it because a backend inherits the
//! environment of lclaude.
//!
//! | variable | value | meaning |
//! |---|---|---|
//! | `FAKE_OLLAMA_MODELS` | a file, or JSON | the models, see [`crate::models::Model`]; else `fake-models.json` in the store |
//! | `FAKE_OLLAMA_VERSION` | a version | instead of 0.33.0 |
//! | `FAKE_OLLAMA_BIND` | `controlled` | binds its port once the test sends `bind` |
//! | `FAKE_OLLAMA_LISTEN` | `controlled` | listens, but serves only once the test sends `serve` |
//! | `FAKE_OLLAMA_NEVER_SERVES` | `1` | listens, but never serves |
//! | `FAKE_OLLAMA_LOAD` | `controlled` | loads until the test sends `loaded` or `load_fail` |
//! | `FAKE_OLLAMA_FAIL` | see [`Failure`] | fails in this way |
//! | `FAKE_OLLAMA_FAIL_TIMES` | a number | only this many starts or loads fail, counted in `FAKE_OLLAMA_STATE` |
//! | `FAKE_OLLAMA_STATE` | a file | holds the number of attempts |
//! | `FAKE_OLLAMA_PULL` | `controlled`, `offline` | a pull continues as the test says; has no network |
//! | `FAKE_OLLAMA_PS_CONTEXT` | a number | grants this context, whatever was requested |
//! | `FAKE_OLLAMA_MEMORY` | bytes | models that don't fit together evict each other |
//! | `FAKE_OLLAMA_IGNORE_TERM` | `1` | reports SIGTERM and SIGINT and keeps running |

use std::env::var;
use std::fs;

pub struct Switches {
    pub version: String,
    pub bind: Pace,
    pub listen: Pace,
    pub load: Pace,
    pub pull: Pull,
    pub failure: Option<Failure>,
    pub context: Option<u32>,
    pub memory: Option<u64>,
    pub ignores_term: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Pace {
    AtOnce,
    WhenTold,
    Never,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Pull {
    AtOnce,
    WhenTold,
    Offline,
}

/// Failures, by their names in `FAKE_OLLAMA_FAIL`.
#[derive(Clone, Copy, PartialEq)]
pub enum Failure {
    /// `bind`: the port is taken.
    Bind,
    /// `missing-lib`: the dynamic loader doesn't find a library; exit code 127.
    MissingLibrary,
    /// `oom`: a load has too little memory.
    NoMemory,
    /// `oom-killed`: the kernel kills the runner while it loads.
    Killed,
    /// `arch`: the model is newer than the program.
    Architecture,
    /// `sigill`: the runner was built for another processor.
    IllegalInstruction,
}

impl Failure {
    fn named(name: &str) -> Self {
        match name {
            "bind" => Self::Bind,
            "missing-lib" => Self::MissingLibrary,
            "oom" => Self::NoMemory,
            "oom-killed" => Self::Killed,
            "arch" => Self::Architecture,
            "sigill" => Self::IllegalInstruction,
            other => panic!("FAKE_OLLAMA_FAIL={other} is unknown"),
        }
    }

    /// Returns whether the start of the server fails, not a load.
    pub fn is_at_start(self) -> bool {
        matches!(self, Self::Bind | Self::MissingLibrary)
    }
}

impl Switches {
    pub fn from_environment() -> Self {
        Self {
            version: version(),
            bind: match var("FAKE_OLLAMA_BIND").as_deref() {
                Ok("controlled") => Pace::WhenTold,
                Ok(other) => panic!("FAKE_OLLAMA_BIND={other} is unknown"),
                Err(_) => Pace::AtOnce,
            },
            listen: match var("FAKE_OLLAMA_LISTEN").as_deref() {
                _ if is_on("FAKE_OLLAMA_NEVER_SERVES") => Pace::Never,
                Ok("controlled") => Pace::WhenTold,
                Ok(other) => panic!("FAKE_OLLAMA_LISTEN={other} is unknown"),
                Err(_) => Pace::AtOnce,
            },
            load: match var("FAKE_OLLAMA_LOAD").as_deref() {
                Ok("controlled") => Pace::WhenTold,
                Ok(other) => panic!("FAKE_OLLAMA_LOAD={other} is unknown"),
                Err(_) => Pace::AtOnce,
            },
            pull: match var("FAKE_OLLAMA_PULL").as_deref() {
                Ok("controlled") => Pull::WhenTold,
                Ok("offline") => Pull::Offline,
                Ok(other) => panic!("FAKE_OLLAMA_PULL={other} is unknown"),
                Err(_) => Pull::AtOnce,
            },
            failure: var("FAKE_OLLAMA_FAIL").ok().map(|name| Failure::named(&name)),
            context: number("FAKE_OLLAMA_PS_CONTEXT"),
            memory: number("FAKE_OLLAMA_MEMORY"),
            ignores_term: is_on("FAKE_OLLAMA_IGNORE_TERM"),
        }
    }
}

pub fn version() -> String {
    var("FAKE_OLLAMA_VERSION").unwrap_or_else(|_| "0.33.0".to_owned())
}

/// Returns whether this attempt fails. Counts the attempts if only some of them are to fail.
pub fn fails_this_time() -> bool {
    let Some(times) = number::<u32>("FAKE_OLLAMA_FAIL_TIMES") else {
        return true;
    };
    let file = var("FAKE_OLLAMA_STATE").expect("FAKE_OLLAMA_FAIL_TIMES counts in FAKE_OLLAMA_STATE");
    // The file doesn't exist before the first attempt.
    let so_far = fs::read_to_string(&file).map_or(0, |text| text.parse().expect("FAKE_OLLAMA_STATE holds a number"));
    fs::write(&file, format!("{}", so_far + 1)).expect("FAKE_OLLAMA_STATE can be written");
    so_far < times
}

fn is_on(name: &str) -> bool {
    var(name).is_ok_and(|value| value == "1")
}

fn number<N: std::str::FromStr>(name: &str) -> Option<N> {
    let text = var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
