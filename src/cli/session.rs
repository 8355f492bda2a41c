//! Parses `lclaude [LCLAUDE OPTIONS] [CLAUDE ARGUMENTS...]`.
//!
//! lclaude's options come first, mixed with Claude Code's `--model` and `--settings`. The first other argument or `--`
//! ends them; the rest belongs to Claude Code.

use std::{
    ffi::{OsStr, OsString},
    iter,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser, ValueHint};

use super::{
    choice::{Choice, HEADING},
    command::{Invocation, SessionArguments},
    line, local, unknown,
    verbs::{LineArguments, Verb},
};
use crate::{
    base::{
        error::{Code, Failure, Result},
        ui,
    },
    config::ToolSet,
    keeper,
};

/// The hidden verb that the shell completions call.
const COMPLETE_VERB: [&str; 3] = [local::NAME, "complete", "--"];

/// The verb that Claude Code runs for its status line.
const LINE_VERB: [&str; 2] = [local::NAME, "line"];

/// Run Claude Code on a local model
///
/// lclaude starts your inference server on a free port, waits until it is ready, points this one Claude Code process
/// at it, and stops the server when you exit.
#[derive(Debug, Parser)]
#[command(
    name = "lclaude",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    override_usage = "lclaude [LCLAUDE OPTIONS] [CLAUDE ARGUMENTS...]\n       lclaude local COMMAND [OPTIONS]",
    after_help = AFTER_HELP
)]
struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Use six tools and a short prompt: --toolset lean
    #[arg(long, help_heading = SESSION)]
    lean: bool,
    /// Give Claude Code these tools: local, all or lean
    #[arg(long, value_name = "SET", help_heading = SESSION, value_parser = parse_tool_set, conflicts_with = "lean")]
    toolset: Option<ToolSet>,
    /// Use an empty home that is removed afterwards
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        hide_possible_values = true, help_heading = SESSION
    )]
    throwaway: Option<bool>,
    /// Keep a throwaway session's home, and print where it is
    #[arg(long, help_heading = SESSION)]
    keep: bool,
    /// Show what would run, without starting anything
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object, with --dry-run
    #[arg(long)]
    json: bool,
    /// Use this model: a name or a .gguf file
    #[arg(long, value_name = "NAME", help_heading = HEADING, display_order = 0)]
    model: Vec<OsString>,
    /// Merge these settings of Claude Code with lclaude's
    #[arg(long, value_name = "SETTINGS", value_hint = ValueHint::FilePath, help_heading = SESSION)]
    settings: Option<OsString>,
    /// Show a short help
    #[arg(short = 'h')]
    short_help: bool,
    /// Show all options, and Claude Code's
    #[arg(long)]
    help: bool,
    /// Show the versions of lclaude and Claude Code
    #[arg(long, short = 'v')]
    version: bool,
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    claude: Vec<OsString>,
}

const SESSION: &str = "Session";

const AFTER_HELP: &str = "\
All other arguments are passed to Claude Code.

Examples:
  lclaude                               # use the default backend and model
  lclaude --model qwen3-coder:30b       # use another model
  lclaude -c                            # continue the last conversation
  lclaude -p \"explain src/main.rs\"      # print an answer and exit
  lclaude --backend llamacpp --model ~/models/qwen3-coder.gguf
  lclaude --url http://localhost:8000   # use a server that is already running
  lclaude --dry-run                     # show what would run

Environment variables:
  LCLAUDE_BACKEND, LCLAUDE_MODEL, LCLAUDE_PROFILE, LCLAUDE_CONTEXT, LCLAUDE_URL,
  LCLAUDE_LOG

Exit codes:
  Claude Code's own, or 128+N if signal N ended it. lclaude's own:
  64   usage
  65   configuration
  69   backend missing, failed or lost
  70   bug in lclaude
  75   not ready in time
  77   refused
  127  Claude Code not found

Other commands: lclaude local --help";

/// The options that the short help shows.
const COMMON_OPTIONS: &[&str] =
    &["backend", "model", "url", "context", "throwaway", "dry_run", "yes", "help", "version"];

const AFTER_SHORT_HELP: &str = "\
Examples:
  lclaude --model qwen3-coder:30b       # use another model
  lclaude -c                            # continue the last conversation
  lclaude local setup                   # set up a backend and a model
  lclaude local doctor                  # find out why something doesn't work

All other arguments are passed to Claude Code. More: lclaude --help";

/// Parses the arguments of `lclaude`.
///
/// # Errors
/// `Usage`.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Invocation> {
    if arguments.iter().take(keeper::SUBCOMMAND.len()).eq(keeper::SUBCOMMAND) {
        return Ok(Invocation::Keeper);
    }
    if arguments.iter().take(COMPLETE_VERB.len()).eq(COMPLETE_VERB) {
        return Ok(Invocation::Complete(arguments[COMPLETE_VERB.len()..].to_vec()));
    }
    if let [local, verb, file] = &arguments[..]
        && [local, verb].into_iter().eq(LINE_VERB)
        && !file.as_encoded_bytes().starts_with(b"-")
    {
        // Claude Code runs it every second, and clap takes longer than all the rest.
        return Ok(Invocation::Local(Verb::Line(LineArguments { file: file.into() })));
    }
    let name = OsString::from("lclaude");
    let parsed = match Arguments::try_parse_from(iter::once(&name).chain(&arguments)) {
        Ok(parsed) => parsed,
        Err(_) if local::has_help(&arguments) => return Ok(Invocation::Help),
        Err(error) => {
            let failure = local::invalid_value(&error, &arguments).unwrap_or_else(|| {
                Failure::new(Code::Usage, local::summarize(&error))
                    .cause("lclaude parses the options before Claude Code's arguments")
            });
            return Err(failure.help("lclaude --help"));
        }
    };
    if parsed.choice.quiet {
        ui::be_quiet();
    }
    if parsed.help {
        return Ok(Invocation::Help);
    }
    if parsed.short_help {
        return Ok(Invocation::Print(short_help()));
    }
    if parsed.version {
        return Ok(Invocation::Version);
    }
    let (before, _) = arguments.split_at(arguments.len() - parsed.claude.len());
    let is_escaped = before.last().is_some_and(|argument| argument == "--");
    let wrapped = wrapped_program(&parsed.claude).filter(|_| !is_escaped);
    let is_raw = is_escaped || wrapped.is_some();
    if !is_raw && let Some((word, after)) = parsed.claude.split_first() {
        if word == local::NAME {
            return local::parse(before, after);
        }
        unknown::check_own(before, &parsed.claude, command)?;
    }
    let own = before.to_vec();
    let Arguments { choice, lean, toolset, throwaway, keep, dry_run, json, model: models, settings, claude, .. } =
        parsed;
    if json && !dry_run {
        return Err(json_without_dry_run(&arguments));
    }
    let (program, claude) = match wrapped {
        Some((program, rest)) => (Some(program), rest),
        None => (None, claude),
    };
    let session = SessionArguments {
        own,
        is_raw,
        choice,
        lean,
        toolset,
        throwaway,
        keep,
        dry_run,
        json,
        models,
        settings,
        program,
        claude,
    };
    Ok(Invocation::Session(session))
}

/// Returns the failure for `--json` without `--dry-run`, in a session with these arguments.
fn json_without_dry_run(arguments: &[OsString]) -> Failure {
    let dry_run = [&["--dry-run".into()], arguments].concat();
    let failure = Failure::new(Code::Usage, "--json requires --dry-run")
        .cause("a session's output is Claude Code's own")
        .help(format!("{}  # shows what would run", line::of(&dry_run)));
    if !crate::claude::arguments::has_print(arguments) {
        return failure;
    }
    let others = arguments.iter().filter(|word| *word != "--json").cloned();
    let answer: Vec<OsString> = others.chain(["--output-format".into(), "json".into()]).collect();
    failure.help(format!("{}  # prints Claude Code's answer as JSON", line::of(&answer)))
}

/// Rejects options that neither lclaude nor the installed Claude Code knows. Without its help, nothing is rejected.
///
/// # Errors
/// `Usage`.
pub(crate) fn check_unknown(typed: &SessionArguments, program: &Path) -> Result<()> {
    unknown::check_unknown(typed, program, command)
}

/// Parses the name of a tool set, for clap.
fn parse_tool_set(name: &str) -> Result<ToolSet, String> {
    let found = ToolSet::ALL.into_iter().find(|(known, _)| *known == name);
    found
        .map(|(_, set)| set)
        .ok_or_else(|| format!("expected one of {}", ToolSet::ALL.map(|(known, _)| known).join(", ")))
}

/// Returns the Claude Code program at the start of the arguments, and the arguments after it. An editor's process
/// wrapper (`claudeCode.claudeProcessWrapper` of the VS Code extension) gets the command that the editor would run: the
/// absolute path of `claude`, or Node.js and the absolute path of `cli.js`.
fn wrapped_program(arguments: &[OsString]) -> Option<(PathBuf, Vec<OsString>)> {
    let is_named = |argument: &OsString, names: &[&str]| {
        Path::new(argument).file_name().and_then(OsStr::to_str).is_some_and(|name| names.contains(&name))
    };
    // A slash command or a prompt that begins with a path names no such file.
    let is_program = |argument: &OsString, names: &[&str]| {
        let path = Path::new(argument);
        is_named(argument, names) && path.is_absolute() && path.is_file() && which::which(path).is_ok()
    };
    match arguments {
        [claude, rest @ ..] if is_program(claude, &["claude", "claude.exe"]) => Some((claude.into(), rest.to_vec())),
        [runtime, script, rest @ ..] if is_named(runtime, &["node", "bun"]) && is_program(script, &["cli.js"]) => {
            Some((script.into(), rest.to_vec()))
        }
        _ => None,
    }
}

/// Returns the text of `--help`.
pub(crate) fn help() -> String {
    let command = command();
    // clap's own long help puts every option on two lines.
    let about = command.get_long_about().cloned().unwrap_or_default();
    command.about(about).render_help().to_string()
}

/// Returns the text of `-h`, which fits a screen of 24 lines and 80 columns.
fn short_help() -> String {
    let is_common = |option: &clap::Arg| COMMON_OPTIONS.contains(&option.get_id().as_str());
    let command = command().long_about(None).after_help(AFTER_SHORT_HELP);
    let command = command.mut_args(|option| match is_common(&option) {
        true => option.help_heading(None::<&str>),
        false => option.hide(true),
    });
    command.clone().render_help().to_string()
}

/// Returns lclaude's options, for completions and the manual page.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}
