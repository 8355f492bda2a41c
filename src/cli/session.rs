//! Parses `lclaude [LCLAUDE OPTIONS] [CLAUDE ARGUMENTS...]`.
//!
//! lclaude's options come first, mixed with Claude Code's `--model` and `--settings`. The first other argument or `--`
//! ends them; the rest belongs to Claude Code.

use std::{
    ffi::{OsStr, OsString},
    iter,
    path::{Path, PathBuf},
};

use clap::Parser;

use super::{
    command::{Invocation, SessionArguments},
    local,
    options::{Arguments, short_help},
    unknown,
    verbs::{LineArguments, Verb},
};
use crate::{
    base::{
        error::{Code, Failure, Result},
        ui,
    },
    keeper,
};

/// The hidden verb that the shell completions call.
const COMPLETE_VERB: [&str; 3] = [local::NAME, "complete", "--"];

/// The verb that Claude Code runs for its status line.
const LINE_VERB: [&str; 2] = [local::NAME, "line"];

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
        unknown::check_own(before, &parsed.claude)?;
    }
    let own = before.to_vec();
    let Arguments { choice, lean, toolset, throwaway, keep, dry_run, json, model: models, settings, claude, .. } =
        parsed;
    if json && !dry_run {
        return Err(unknown::json_without_dry_run(&arguments));
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
