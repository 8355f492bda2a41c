//! The plan of one Claude Code session: the program, its arguments and its settings.

use std::{
    env,
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
    settings::{
        managed::are_managed,
        models, overlay,
        status_line::{self, StatusLineFile},
    },
    throwaway::{Throwaway, config_dir},
    tools::{LEAN_TOOLS, LeftOut, Named},
    version::{Version, find_version},
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
    config::{Settings, ToolSet},
};

const MOVE_SECTIONS: &str = "--exclude-dynamic-system-prompt-sections";
/// The version in which `--managed-settings`, which is not in the help, was seen to set prices.
const HAS_PRICES: Version = (2, 1, 331);

/// Claude Code's own output styles (2.1.331).
const STYLES: [&str; 3] = ["default", "Explanatory", "Learning"];

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
    /// If the place of the program tells it.
    version: Option<Version>,
    user_settings: Option<Value>,
    status_line: StatusLine,
    named_tools: Named,
    /// Whether the system prompt has a style of the user's.
    has_own_style: bool,
    depth: u32,
}

/// The status line of a session.
#[derive(Debug)]
enum StatusLine {
    /// The user turned ours off, or nothing shows it.
    Off,
    /// Ours, below the user's own `statusLine`.
    On(Option<Value>),
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
        let config_dir = throwaway.is_none().then(|| config_dir(environment));
        let named_tools = Named::new(
            own_arguments.iter().chain(&session.arguments),
            user_settings.as_ref(),
            overlay::files(config_dir.as_deref(), here),
        );
        let has_own_style = styles(user_settings.as_ref(), overlay::files(config_dir.as_deref(), here))
            .any(|style| !STYLES.contains(&&*style));
        let mut plan = SessionPlan {
            named_tools,
            has_own_style,
            version: find_version(&program),
            depth: find::depth(&program, &environment.variables)?,
            program,
            own_arguments,
            arguments: session.arguments,
            user_settings,
            throwaway,
            status_line: StatusLine::Off,
        };
        // Without a terminal interface nothing shows it.
        if settings.claude.status_line.unwrap_or(true) && !plan.is_print() {
            plan.status_line = StatusLine::On(plan.own_status_line(config_dir.as_deref(), here));
        }
        Ok(plan)
    }

    /// Returns whether Claude Code prints an answer and exits.
    pub(crate) fn is_print(&self) -> bool {
        [&self.own_arguments, &self.arguments].into_iter().any(|arguments| arguments::has_print(arguments))
    }

    /// Returns the last value of an option of Claude Code's, among `[claude] args` and the command line.
    pub(crate) fn option(&self, name: &str) -> Option<String> {
        let words: Vec<_> =
            self.own_arguments.iter().chain(&self.arguments).map(|word| word.to_string_lossy()).collect();
        let before = words.iter().take_while(|word| *word != "--").count();
        let value = |at: usize| {
            let (given, value) =
                words[at].split_once('=').map_or((&*words[at], None), |(given, value)| (given, Some(value)));
            (given == name).then(|| value.or(words.get(at + 1).map(|word| &**word)).unwrap_or_default().to_owned())
        };
        (0..before).rev().find_map(value)
    }

    /// Returns the user's own `statusLine`, unless they turned their customizations off.
    fn own_status_line(&self, config_dir: Option<&Path>, project: &Path) -> Option<Value> {
        if self.has_option(&["--bare", "--safe-mode", "--restricted"]) {
            return None;
        }
        let sources = self.option("--setting-sources");
        status_line::find(config_dir, project, sources.as_deref(), self.user_settings.as_ref())
    }

    /// Returns what a session with these tools leaves out.
    pub(crate) fn left_out(&self, set: ToolSet) -> LeftOut {
        self.named_tools.left_out(set)
    }

    /// Returns the arguments that lclaude adds, without those that the user sets.
    pub(crate) fn added(&self, routed: &Routed) -> Vec<OsString> {
        let is_lean = routed.tools == ToolSet::Lean;
        let knows = |least: Version| self.version.is_some_and(|version| version >= least);
        let mut added: Vec<OsString> = Vec::new();
        // Most of the default prompt describes tools.
        if is_lean && !self.named_tools.lists_all() {
            added.extend(["--tools".into(), LEAN_TOOLS.into()]);
        }
        // Limits MCP servers to those of `--mcp-config`.
        if is_lean && !self.has_option(&["--strict-mcp-config"]) {
            added.push("--strict-mcp-config".into());
        }
        // Moves what differs between projects from the system prompt to the first message. Not in other sessions: the memory
        // would then follow what is kept for the next session, and 600 tokens more would have to be read each time. In a
        // terminal it has no effect (seen).
        if is_lean && !self.has_option(&[MOVE_SECTIONS, "--system-prompt", "--system-prompt-file"]) {
            added.push(MOVE_SECTIONS.into());
        }
        // An administrator's settings override these, and the user's replace them.
        if knows(HAS_PRICES) && !self.has_option(&["--managed-settings"]) && !are_managed() {
            added.extend([
                "--managed-settings".into(),
                models::prices(routed.tiers(), routed.others()).to_string().into(),
            ]);
        }
        added
    }

    fn has_option(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.option(name).is_some())
    }

    /// Returns what decides how the session's prompt starts, apart from the project, or `None` if it starts with words of the
    /// user's own.
    pub(crate) fn prompt_shape(&self) -> Option<impl Serialize> {
        if self.has_own_style {
            return None;
        }
        let [own, typed] = [&self.own_arguments, &self.arguments].map(|arguments| arguments::prompt_options(arguments));
        Some((Fingerprint::of(&self.program), own?, typed?, self.user_settings.clone()))
    }

    /// Returns the complete command, and writes the overlay to `scratch`.
    ///
    /// # Errors
    /// `Config` if the overlay can't be written.
    pub(crate) fn command(&self, routed: &Routed, scratch: &Path) -> Result<Command> {
        let overlay = scratch.join("settings.json");
        let mut settings = overlay::build(self.user_settings.clone(), &routed.table, routed.models(), &routed.left_out);
        if let Some(throwaway) = &self.throwaway {
            overlay::merge(&mut settings, throwaway.settings());
        }
        let write = |path: &Path, content: Vec<u8>| {
            disk::create_private(path, &content).map_err(|error| {
                Failure::new(Code::Config, format!("cannot write {}", path.display()))
                    .cause(error)
                    .help(format!("df -h {}", scratch.display()))
            })
        };
        let line = scratch.join("line.json");
        // A shell has to find both. The program is gone if lclaude was reinstalled just now.
        let program = env::current_exe().ok().filter(|program| program.exists());
        if let (StatusLine::On(own), Some(program), Some(file)) =
            (&self.status_line, program.as_deref().and_then(Path::to_str), line.to_str())
        {
            let content = StatusLineFile::new(own.as_ref(), routed.keeper.as_deref());
            write(&line, serde_json::to_vec(&content).expect("plain data"))?;
            settings["statusLine"] = status_line::overlay(own.as_ref(), program, file);
        }
        write(&overlay, serde_json::to_vec(&settings).expect("plain data"))?;
        let mut command = Command::new(&self.program);
        command.env(DEPTH, self.depth.to_string());
        // Ours come between, so that a configured option with many values doesn't take the prompt as another value.
        command.args(&self.own_arguments);
        command.args(self.added(routed));
        command.arg("--settings").arg(overlay).args(&self.arguments);
        Ok(command)
    }
}

/// Returns the output styles that settings name, whichever of them counts.
fn styles(given: Option<&Value>, files: impl Iterator<Item = PathBuf>) -> impl Iterator<Item = String> {
    let read = |file: PathBuf| serde_json::from_slice::<Value>(&disk::read(&file).ok()?).ok();
    files
        .filter_map(read)
        .chain(given.cloned())
        .filter_map(|settings| Some(settings["outputStyle"].as_str()?.to_owned()))
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
