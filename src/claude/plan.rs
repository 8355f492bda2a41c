//! Claude Code: finding it, its command line, and what it gets so that it speaks to our backend and to nobody else.
//!
//! Everything it gets is data first (a `Routing` for its variables, which other programs can have too, and a `SessionPlan`
//! for its arguments and settings), so that `--dry-run` can show it.

use super::routing::Routed;
use super::throwaway::Throwaway;
use super::throwaway::config_dir;
use super::{arguments, find, routing, settings::overlay};
use crate::base::disk;
use crate::base::environment::Environment;
use crate::base::variables::DEPTH;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::arguments::{Request, Session};
use crate::{
    base::error::{Code, Failure, Result},
    config::Settings,
};

/// The tools of a lean session.
pub const LEAN_TOOLS: &str = "Bash,Edit,Glob,Grep,Read,Write";

/// One session of Claude Code, before anything is known of the port and key its backend will have.
#[derive(Debug)]
pub struct SessionPlan {
    pub program: PathBuf,
    /// `[claude] args`.
    pub own_arguments: Vec<OsString>,
    /// The command line's.
    pub arguments: Vec<OsString>,
    /// A home of its own, for a throwaway session.
    pub throwaway: Option<Throwaway>,
    user_settings: Option<Value>,
    restricts_models: bool,
    depth: u32,
}

impl SessionPlan {
    /// # Errors
    /// `NoClaude` when there is none to run, `Usage` for a `--settings` that cannot be read.
    pub fn new(settings: &Settings, session: Session, environment: &Environment) -> Result<Self> {
        let here = environment.working_dir()?;
        let Session { arguments: own, settings: own_settings, .. } = configured(settings)?;
        let written = session.settings.or(own_settings);
        let user_settings = written.map(|written| overlay::read(&written, here)).transpose()?;
        let throwaway = Throwaway::if_wanted(settings, environment)?;
        let config_dir = throwaway.is_none().then(|| config_dir(environment));
        let program = find(settings, environment)?;
        Ok(SessionPlan {
            depth: find::depth(&program, &environment.variables)?,
            program,
            own_arguments: own,
            arguments: session.arguments,
            user_settings,
            restricts_models: overlay::restricts_models(config_dir.as_deref(), here),
            throwaway,
        })
    }

    /// What makes a session small, where the user says nothing of the same. Most of a stock prompt is the description of
    /// tools.
    pub fn lean(&self) -> Vec<OsString> {
        let given = |names: &[&str]| {
            let all = self.own_arguments.iter().chain(&self.arguments).map(|argument| argument.to_string_lossy());
            all.take_while(|word| word != "--").any(|word| names.contains(&word.split('=').next().unwrap_or_default()))
        };
        let mut lean: Vec<OsString> = Vec::new();
        if !given(&["--tools"]) {
            lean.extend(["--tools".into(), LEAN_TOOLS.into()]);
        }
        // Only the servers of `--mcp-config`, if the user gives that.
        if !given(&["--strict-mcp-config"]) {
            lean.push("--strict-mcp-config".into());
        }
        if !given(&["--exclude-dynamic-system-prompt-sections", "--system-prompt", "--system-prompt-file"]) {
            lean.push("--exclude-dynamic-system-prompt-sections".into());
        }
        lean
    }

    /// The whole command; the overlay goes into `scratch`.
    ///
    /// # Errors
    /// `Config` when the overlay cannot be written.
    pub fn command(&self, routed: &Routed, scratch: &Path) -> Result<Command> {
        let overlay = scratch.join("settings.json");
        let models = routed.models();
        let mut settings = overlay::overlay(self.user_settings.clone(), &routed.table, &models, self.restricts_models);
        if let Some(throwaway) = &self.throwaway {
            overlay::merge(&mut settings, throwaway.settings());
        }
        disk::write_private(&overlay, &serde_json::to_vec(&settings).expect("plain data")).map_err(|error| {
            Failure::new(Code::Config, format!("{} cannot be written", overlay.display()))
                .why(error)
                .help(format!("df -h {}", scratch.display()))
        })?;
        let mut command = Command::new(&self.program);
        command.env(DEPTH, self.depth.to_string());
        // Ours in the middle: an option with many values among the configured ones would take the prompt for one more.
        command.args(&self.own_arguments);
        if routed.lean {
            command.args(self.lean());
        }
        command.arg("--settings").arg(overlay).args(&self.arguments);
        Ok(command)
    }
}

/// Whether `[claude] args` and `[claude] env` can be used.
///
/// # Errors
/// `Config`.
pub fn check_own(settings: &Settings) -> Result<()> {
    configured(settings)?;
    routing::allowed(settings).map(drop)
}

/// `[claude] args`, read as the command line is: a `--settings` among them would push ours aside.
fn configured(settings: &Settings) -> Result<Session> {
    let written: Vec<OsString> = settings.claude.args.iter().map(OsString::from).collect();
    let failed = |why: String| {
        Failure::new(Code::Config, "[claude] args cannot be used")
            .why(format!("{} sets them: {why}", settings.source("claude.args")))
            .help("keep to options for every session in [claude] args; a model is written as model = \"…\"")
    };
    if written.iter().any(|word| word == "--") {
        return Err(failed("after -- everything would be text, lclaude's own options too".into()));
    }
    match arguments::read(&written).map_err(|failure| failed(failure.what))? {
        Request::Session(session) if session.model.is_none() => Ok(session),
        Request::Session(_) => Err(failed("a local --model belongs elsewhere".into())),
        Request::Direct => Err(failed("they make no session".into())),
    }
}

/// A word on each settings file that a Claude Code which somebody else starts, without our overlay, will obey against our
/// variables.
///
/// `reads_own`: whether it reads the user's own settings too, as it does outside a throwaway home.
pub fn warnings_without_overlay(environment: &Environment, reads_own: bool) -> Result<Vec<String>> {
    let config_dir = reads_own.then(|| config_dir(environment));
    let found = overlay::not_overruled(config_dir.as_deref(), environment.working_dir()?).into_iter();
    let words = found.map(|(file, keys)| {
        format!(
            "warning: {} sets {}, which a claude that another program starts obeys\n  \
             help: --setting-sources '' (settingSources: [] in the Agent SDK) has it read no settings files",
            file.display(),
            keys.join(", ")
        )
    });
    Ok(words.collect())
}

/// Claude Code with the arguments as they came and nothing of ours, for what needs no backend.
pub fn direct(program: &Path, arguments: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Its own `--help` or `--version`, for ours to show beside; `None` if it cannot be had.
pub fn output(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
