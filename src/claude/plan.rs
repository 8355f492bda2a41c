//! The plan of one Claude Code session: the program, its arguments and its settings.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Serialize;
use serde_json::Value;

use super::{
    arguments::{self, EarlierOptions, Request, SessionRequest},
    find::{self, find},
    routing::{self, Routed},
    settings::overlay,
    throwaway::{Throwaway, config_dir},
};
use crate::{
    base::{
        disk,
        environment::Environment,
        error::{Code, Failure, Result},
        fingerprint::Fingerprint,
        ui,
        variables::DEPTH,
    },
    config::Settings,
};

/// The tools of a lean session, as `--tools` takes them.
pub(crate) const LEAN_TOOLS: &str = "Bash,Edit,Glob,Grep,Read,Write";

/// A Claude Code session, planned before the backend's port and key are known.
#[derive(Debug)]
pub(crate) struct SessionPlan {
    pub program: PathBuf,
    /// `[claude] args`.
    pub own_arguments: Vec<OsString>,
    /// From the command line.
    pub arguments: Vec<OsString>,
    /// The home of a throwaway session.
    pub throwaway: Option<Throwaway>,
    user_settings: Option<Value>,
    depth: u32,
}

impl SessionPlan {
    /// Plans a session.
    ///
    /// # Errors
    /// `NoClaude` if Claude Code is missing, `Usage` for an invalid `--settings`,
    /// `Config` for invalid `[claude] args`, or an error of [`Throwaway::plan`].
    pub(crate) fn new(settings: &Settings, session: SessionRequest, environment: &Environment) -> Result<Self> {
        let here = environment.working_dir()?;
        let SessionRequest { arguments: own_arguments, settings: own_settings, .. } = configured_session(settings)?;
        let written = session.settings.or(own_settings);
        let user_settings = written.map(|written| overlay::read(&written, here)).transpose()?;
        let throwaway = Throwaway::if_wanted(settings, environment)?;
        let program = find(settings, environment)?;
        Ok(SessionPlan {
            depth: find::depth(&program, &environment.variables)?,
            program,
            own_arguments,
            arguments: session.arguments,
            user_settings,
            throwaway,
        })
    }

    /// Returns the arguments of a lean session, without those that the user sets. Most of the default prompt describes
    /// tools.
    pub(crate) fn lean(&self) -> Vec<OsString> {
        let given = |names: &[&str]| {
            let all = self.own_arguments.iter().chain(&self.arguments).map(|argument| argument.to_string_lossy());
            all.take_while(|word| word != "--").any(|word| names.contains(&word.split('=').next().unwrap_or_default()))
        };
        let mut lean: Vec<OsString> = Vec::new();
        if !given(&["--tools"]) {
            lean.extend(["--tools".into(), LEAN_TOOLS.into()]);
        }
        // Limits MCP servers to those of `--mcp-config`.
        if !given(&["--strict-mcp-config"]) {
            lean.push("--strict-mcp-config".into());
        }
        if !given(&["--exclude-dynamic-system-prompt-sections", "--system-prompt", "--system-prompt-file"]) {
            lean.push("--exclude-dynamic-system-prompt-sections".into());
        }
        lean
    }

    /// Returns what decides how the session's prompt starts, apart from the project, or `None` if it starts with words of the
    /// user's own.
    pub(crate) fn prompt_shape(&self) -> Option<impl Serialize> {
        let [own, typed] = [&self.own_arguments, &self.arguments].map(|arguments| arguments::prompt_options(arguments));
        Some((Fingerprint::of(&self.program), own?, typed?, self.user_settings.clone()))
    }

    /// Returns the complete command, and writes the overlay to `scratch`.
    ///
    /// # Errors
    /// `Config` if the overlay can't be written.
    pub(crate) fn command(&self, routed: &Routed, scratch: &Path) -> Result<Command> {
        let overlay = scratch.join("settings.json");
        let mut settings = overlay::build(self.user_settings.clone(), &routed.table, routed.models());
        if let Some(throwaway) = &self.throwaway {
            overlay::merge(&mut settings, throwaway.settings());
        }
        disk::create_private(&overlay, &serde_json::to_vec(&settings).expect("plain data")).map_err(|error| {
            Failure::new(Code::Config, format!("cannot write {}", overlay.display()))
                .cause(error)
                .help(format!("df -h {}", scratch.display()))
        })?;
        let mut command = Command::new(&self.program);
        command.env(DEPTH, self.depth.to_string());
        // Ours come between, so that a configured option with many values doesn't take the prompt as another value.
        command.args(&self.own_arguments);
        if routed.lean {
            command.args(self.lean());
        }
        command.arg("--settings").arg(overlay).args(&self.arguments);
        Ok(command)
    }
}

/// Checks `[claude] args` and `[claude] env`.
///
/// # Errors
/// `Config` if one of them is invalid.
pub(crate) fn check_settings(settings: &Settings) -> Result<()> {
    configured_session(settings)?;
    routing::checked_env(settings).map(drop)
}

/// Parses `[claude] args` like the command line, because a `--settings` among them would replace ours.
fn configured_session(settings: &Settings) -> Result<SessionRequest> {
    let written: Vec<OsString> = settings.claude.args.iter().map(OsString::from).collect();
    let failed = |why: String| {
        Failure::new(Code::Config, "invalid [claude] args")
            .cause(format!("{}: {why}", settings.source("claude.args")))
            .help("keep only session options in [claude] args; set the model with model = \"NAME\"")
    };
    if written.iter().any(|word| word == "--") {
        return Err(failed("`--` would turn the options that lclaude adds into text".into()));
    }
    match arguments::parse(&EarlierOptions::default(), &written).map_err(|failure| failed(failure.what))? {
        Request::Session(session) if session.model.is_none() => Ok(session),
        Request::Session(_) => Err(failed("--model with a local model is not supported here".into())),
        Request::Direct => Err(failed("these arguments do not start a session".into())),
    }
}

/// Returns a warning for each settings file that overrides our variables in a Claude Code started by another program,
/// which doesn't get our overlay.
///
/// `reads_own`: whether it reads the user's own settings, as it does outside a throwaway home.
pub(crate) fn warnings_without_overlay(environment: &Environment, reads_own: bool) -> Result<Vec<String>> {
    let config_dir = reads_own.then(|| config_dir(environment));
    let found = overlay::keys_needing_overlay(config_dir.as_deref(), environment.working_dir()?).into_iter();
    let warnings = found.map(|(file, keys)| {
        format!(
            "warning: {} sets {}, which overrides lclaude if another program starts claude\n  \
             help: start it with --setting-sources '' (Agent SDK: settingSources: []) to skip settings files",
            ui::one_line(file.display()),
            ui::one_line(keys.join(", "))
        )
    });
    Ok(warnings.collect())
}

/// Returns Claude Code with unchanged arguments and environment, for commands that need no backend.
pub(crate) fn direct_command(program: &Path, arguments: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Returns the output of Claude Code's `--help` or `--version`, or `None` if it can't be started.
pub(crate) fn read_output(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
