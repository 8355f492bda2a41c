//! The arguments, variables and settings that a session's programs got.

use std::collections::BTreeMap;

use super::{Fake, Stage, finish};

/// A stage whose configuration sets backend and model, so that command lines need only the tested arguments.
pub fn configured() -> Stage {
    let stage = Stage::new();
    configure(&stage, "");
    stage
}

/// Writes that configuration with `more` added.
pub fn configure(stage: &Stage, more: &str) {
    stage.config(&format!("backend = \"llamacpp\"\n{more}\n[llamacpp]\ngguf = \"{}\"\n", stage.model().display()));
}

/// Runs a session to its end, and returns its Claude Code and backend as they were started.
#[track_caller]
pub fn session(stage: &Stage, arguments: &[&str]) -> (Fake, Fake) {
    let (session, claude, backend) = stage.started(
        stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf"]).args(["-p", "hello"]).args(arguments),
    );
    finish(session, &claude);
    (claude, backend)
}

/// The variables in Claude Code's settings overlay.
pub fn overlay_env(claude: &Fake) -> BTreeMap<String, String> {
    serde_json::from_value(claude.settings["env"].clone()).expect("names and strings")
}

/// The value of an option.
#[track_caller]
pub fn value<'a>(fake: &'a Fake, option: &str) -> &'a str {
    let at = fake.argv.iter().position(|argument| argument == option);
    let at = at.unwrap_or_else(|| panic!("no {option} in {:?}", fake.argv));
    &fake.argv[at + 1]
}
