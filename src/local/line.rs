//! `lclaude local line`: the status line of a session, which Claude Code runs every second.
//!
//! It must not cost anything: it reads one small file and what Claude Code says on stdin, and asks the keeper, never the
//! server. Whatever goes wrong, it prints what it knows.

use std::{
    env,
    io::{self, Read},
    path::Path,
};

use console::truncate_str;
use serde_json::Value;

use super::own_line;
use crate::{
    base::{
        disk,
        error::{Code, Failure, Result},
        ui,
    },
    claude::StatusLineFile,
    cli::LineArguments,
    keeper::{self, Activity, Glance, Phase, State},
};

/// The most bytes that are read from Claude Code.
const MAX_INPUT: u64 = 256 * 1024;
/// The longest name of a model, in characters.
const MAX_NAME: usize = 48;
/// Columns that Claude Code keeps for itself.
const MARGIN: usize = 4;

/// Prints the user's own line, and ours below it.
///
/// # Errors
/// `Usage` if the file isn't one of lclaude's.
pub(crate) fn run(arguments: LineArguments) -> Result<u8> {
    let file = read(&arguments.file)?;
    let mut input = Vec::new();
    let _ = io::stdin().take(MAX_INPUT).read_to_end(&mut input);
    let said = Said::parse(&input);
    let own = own_line::output(&file, &input, &arguments.file);
    let glance = file.keeper.as_ref().and_then(|socket| keeper::glance(Path::new(socket)));
    let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse::<usize>().ok());
    let ours = text(&said, glance.as_ref());
    let ours = match columns {
        Some(columns) => truncate_str(&ours, columns.saturating_sub(MARGIN).max(1), "…").into_owned(),
        None => ours,
    };
    let own = own.filter(|own| !own.is_empty()).map(|own| own + "\n").unwrap_or_default();
    let _ = ui::write_stdout(format!("{own}{ours}\n").as_bytes());
    Ok(0)
}

/// Reads the file that the session wrote.
fn read(path: &Path) -> Result<StatusLineFile> {
    let file = disk::read(path).ok().and_then(|content| serde_json::from_slice(&content).ok());
    file.ok_or_else(|| {
        Failure::new(Code::Usage, format!("{} is not a session's status line", path.display()))
            .cause("Claude Code runs this command in sessions that lclaude starts")
            .help("lclaude local status")
    })
}

/// What Claude Code says about the session (2.1.331).
#[derive(Debug, Default, PartialEq)]
struct Said {
    model: Option<String>,
    /// Tokens in the context, 0 until the first answer.
    used: u64,
    context: Option<u64>,
}

impl Said {
    fn parse(input: &[u8]) -> Self {
        let said: Value = serde_json::from_slice(input).unwrap_or_default();
        let window = &said["context_window"];
        Said {
            model: said["model"]["display_name"].as_str().map(|name| ui::shorten(&ui::one_line(name), MAX_NAME)),
            used: window["total_input_tokens"].as_u64().unwrap_or(0),
            context: window["context_window_size"].as_u64(),
        }
    }
}

/// Returns the line.
fn text(said: &Said, glance: Option<&Glance>) -> String {
    let mut parts = vec!["local".to_owned()];
    parts.extend(said.model.clone());
    match glance {
        Some(Glance { state: State::Restarting { .. }, .. }) => parts.push("restarting the backend".into()),
        Some(Glance { state: State::Starting | State::Progress(_), .. }) => parts.push("starting the backend".into()),
        Some(Glance { activity: Some(activity), .. }) if matches!(activity.phase, Phase::Reading | Phase::Writing) => {
            parts.extend(activity.describe());
        }
        _ => {
            let activity = glance.and_then(|glance| glance.activity.as_ref());
            let context = glance.and_then(|glance| glance.context).map(u64::from).or(said.context);
            // What the server keeps is of the last request, which may be another session's.
            let used = Some(said.used).filter(|used| *used > 0).or(activity.and_then(|activity| activity.used));
            match (used, context) {
                (Some(used), Some(context)) => parts.push(format!("{}/{}", thousands(used), thousands(context))),
                (None, Some(context)) => parts.push(format!("{} context", thousands(context))),
                _ => {}
            }
            parts.extend(activity.and_then(Activity::describe_cache));
        }
    }
    parts.join(" · ")
}

/// Returns a number of tokens in short: 21k.
fn thousands(tokens: u64) -> String {
    if tokens < 1000 { tokens.to_string() } else { format!("{}k", tokens / 1000) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(model: &str, used: u64) -> Said {
        let said = json!({
            "model": {"display_name": model},
            "context_window": {"total_input_tokens": used, "context_window_size": 65_536},
        });
        Said::parse(said.to_string().as_bytes())
    }

    #[test]
    fn line_says_what_is_known() {
        assert_eq!(text(&Said::parse(b"no JSON"), None), "local");
        assert_eq!(text(&said("m", 999), None), "local · m · 999/65k");
        let glance = |state, activity| Glance { state, activity, context: Some(32_768) };
        let activity = Activity { used: Some(4_000), ..Activity::idle() };
        assert_eq!(text(&said("m", 0), Some(&glance(State::Ready, Some(activity)))), "local · m · 4k/32k");
        let restarting = glance(State::Restarting { reason: "it crashed".into() }, None);
        assert_eq!(text(&said("m", 0), Some(&restarting)), "local · m · restarting the backend");
        assert_eq!(text(&said("m", 0), Some(&glance(State::Starting, None))), "local · m · starting the backend");
    }

    #[test]
    fn model_name_cannot_control_the_terminal() {
        let line = text(&said(&format!("\u{1b}]0;x\u{7}\n{}", "m".repeat(100)), 0), None);
        assert!(!line.chars().any(ui::is_unsafe), "{line:?}");
        assert!(line.chars().count() < 80, "{line}");
    }
}
