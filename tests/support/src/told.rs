//! What the programs of a session were told.

use std::collections::BTreeMap;

use super::{Fake, Stage, finish};

/// A stage whose configuration names backend and model, so that a test's command line is all about arguments.
pub fn configured() -> Stage {
    let stage = Stage::new();
    configure(&stage, "");
    stage
}

/// The same with `more` in the configuration.
pub fn configure(stage: &Stage, more: &str) {
    stage.config(&format!("backend = \"llamacpp\"\n{more}\n[llamacpp]\ngguf = \"{}\"\n", stage.model().display()));
}

/// A session's Claude Code and backend, as they were started; by now they have ended.
#[track_caller]
pub fn session(stage: &Stage, arguments: &[&str]) -> (Fake, Fake) {
    let (session, claude, backend) = stage.started(
        stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf"]).args(["-p", "hello"]).args(arguments),
    );
    finish(session, &claude);
    (claude, backend)
}

/// The variables in the overlay that Claude Code was given.
pub fn overlay_env(claude: &Fake) -> BTreeMap<String, String> {
    serde_json::from_value(claude.settings["env"].clone()).expect("names and strings")
}

/// The value that follows an option.
#[track_caller]
pub fn value<'a>(fake: &'a Fake, option: &str) -> &'a str {
    let at = fake.argv.iter().position(|argument| argument == option);
    let at = at.unwrap_or_else(|| panic!("no {option} in {:?}", fake.argv));
    &fake.argv[at + 1]
}
