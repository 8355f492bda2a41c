//! What can be typed. lclaude's own options come first, freely mixed with Claude Code's `--model` and `--settings`; the
//! first other argument, or `--`, ends them, and all from there on is Claude Code's.

use std::ffi::OsString;

use clap::{CommandFactory, Parser, ValueHint};

use super::{
    choice::Choice,
    command::{Command, Session},
    local,
};
use crate::{
    base::error::{Code, Failure, Result},
    config::nearest,
    keeper,
};

/// What the shells' completions ask with; not for people either.
const COMPLETE_VERB: [&str; 3] = [local::NAME, "complete", "--"];

/// Run Claude Code on a model of your own.
///
/// Starts the chosen backend on a free port, waits until the model can answer, runs Claude Code with the routing in
/// that one process, and leaves nothing behind.
#[derive(Debug, Parser)]
#[command(
    name = "lclaude",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    override_usage = "lclaude [LCLAUDE OPTIONS] [CLAUDE ARGUMENTS...]",
    after_help = AFTER_HELP
)]
struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Six tools, a short prompt and no MCP servers but those of --mcp-config, for small machines
    #[arg(long)]
    lean: bool,
    /// An empty home for this session, gone at its end: your own history, settings, memory and login stay out of it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    throwaway: Option<bool>,
    /// Keep a throwaway session's home, and say where it is
    #[arg(long)]
    keep: bool,
    /// Start nothing; print what would be
    #[arg(long)]
    dry_run: bool,
    /// A model of the backend's, such as a .gguf file (Claude's own aliases are passed on)
    #[arg(long, value_name = "NAME")]
    model: Vec<OsString>,
    /// Claude Code's settings, merged with lclaude's
    #[arg(long, value_name = "FILE OR JSON", value_hint = ValueHint::FilePath)]
    settings: Option<OsString>,
    /// Show this help and Claude Code's
    #[arg(long, short)]
    help: bool,
    /// Show both programs' versions
    #[arg(long, short = 'v')]
    version: bool,
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    claude: Vec<OsString>,
}

const AFTER_HELP: &str = "\
Everything after these is Claude Code's: lclaude -p \"explain this\", lclaude -c, lclaude --resume.
All else is below one word, such as lclaude local setup, doctor, models and status: lclaude local --help.
Variables: LCLAUDE_BACKEND, LCLAUDE_MODEL, LCLAUDE_PROFILE, LCLAUDE_CONTEXT.
Exit codes: Claude Code's own, or 128+N if signal N ended it; lclaude's are 64 usage, 65 configuration,
69 backend missing, failed or lost, 70 a bug, 75 not ready in time, 77 refused, 127 no Claude Code found.";

/// # Errors
/// `Usage`.
pub fn parse(arguments: Vec<OsString>) -> Result<Command> {
    if arguments.iter().take(keeper::VERB.len()).eq(keeper::VERB) {
        return Ok(Command::Keeper);
    }
    if arguments.iter().take(COMPLETE_VERB.len()).eq(COMPLETE_VERB) {
        return Ok(Command::Complete(arguments[COMPLETE_VERB.len()..].to_vec()));
    }
    let name = OsString::from("lclaude");
    let parsed = Arguments::try_parse_from(std::iter::once(&name).chain(&arguments)).map_err(|error| {
        Failure::new(Code::Usage, local::in_words(&error))
            .why("the options before Claude Code's arguments are lclaude's, and it cannot use this one")
            .help("lclaude --help lists them; lclaude -- passes everything after it to Claude Code")
    })?;
    if parsed.help {
        return Ok(Command::Help);
    }
    if parsed.version {
        return Ok(Command::Version);
    }
    let dashes = arguments.len().checked_sub(parsed.claude.len() + 1).map(|before| &arguments[before]);
    let escaped = dashes.is_some_and(|argument| argument == "--");
    match parsed.claude.first() {
        Some(word) if word == local::NAME && !escaped => {
            let (before, after) = arguments.split_at(arguments.len() - parsed.claude.len());
            return local::parse(before, &after[1..]);
        }
        Some(word) if !escaped => misspelt(&word.to_string_lossy())?,
        _ => {}
    }
    // Back among Claude Code's, where those that come later are found too.
    let mut claude = Vec::new();
    for (option, values) in [("--model", parsed.model), ("--settings", parsed.settings.into_iter().collect())] {
        claude.extend(values.into_iter().flat_map(|value| [OsString::from(option), value]));
    }
    claude.extend(parsed.claude);
    let Arguments { choice, lean, throwaway, keep, dry_run, .. } = parsed;
    Ok(Command::Session(Session { choice, lean, throwaway, keep, dry_run, claude }))
}

/// Our options, for telling a misspelt one from one of Claude Code's.
const OWN: &[&str] =
    &["--backend", "--profile", "--context", "--lean", "--throwaway", "--keep", "--config", "--dry-run", "--yes"];

fn misspelt(word: &str) -> Result<()> {
    let name = word.split('=').next().unwrap_or(word);
    if !name.starts_with("--") || crate::claude::arguments::is_known(name) {
        return Ok(());
    }
    match nearest(name, OWN.iter().copied()).filter(|near| strsim::damerau_levenshtein(name, near) <= 3) {
        None => Ok(()),
        Some(near) => Err(Failure::new(Code::Usage, format!("unknown option {name}"))
            .why("neither lclaude nor Claude Code is known to have it")
            .help(format!("did you mean {near}? To pass it to Claude Code: lclaude -- {word}"))),
    }
}

/// The text of `--help`.
pub fn help() -> String {
    command().render_long_help().to_string()
}

/// All that stands before Claude Code's arguments, to be read by other programs' means.
pub fn command() -> clap::Command {
    Arguments::command()
}
