//! What a session runs on its backend: Claude Code, with arguments and settings of ours on top, or any other program,
//! whose arguments are its own. Both get the same variables.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use tokio::process;

use crate::{
    base::{
        error::{Code, Failure, Result},
        process::die_with_parent,
    },
    claude::{self, Routed, SessionPlan, Throwaway},
};

#[derive(Debug)]
pub enum Child {
    ClaudeCode(SessionPlan),
    Program(Program),
}

/// A program that speaks to Claude Code's backend, or starts something that does.
#[derive(Debug)]
pub struct Program {
    pub path: PathBuf,
    /// As it was typed, which is what it is told as its own name.
    name: OsString,
    pub arguments: Vec<OsString>,
    /// A home of its own for every Claude Code that it starts.
    throwaway: Option<Throwaway>,
}

impl Program {
    /// # Errors
    /// `NoClaude`, which stands for any program that cannot be started.
    pub fn find(name: &OsStr, arguments: &[OsString], throwaway: Option<Throwaway>) -> Result<Self> {
        match which::which(name) {
            Ok(path) => Ok(Program { path, name: name.to_owned(), arguments: arguments.to_vec(), throwaway }),
            Err(_) => Err(no_program(Path::new(name))),
        }
    }
}

fn no_program(name: &Path) -> Failure {
    let shown = name.display();
    if !name.as_os_str().as_encoded_bytes().contains(&b'/') {
        let failure = Failure::new(Code::NoClaude, format!("{shown} was not found")).why(
            "no program of this name is on PATH; what only a shell knows (functions, aliases, built-in words) is none",
        );
        return if name.exists() {
            failure.help(format!("./{shown} is the one in the working directory"))
        } else {
            failure.help(format!("command -v {shown} shows what your shell takes it for"))
        };
    }
    if name.is_dir() {
        return Failure::new(Code::NoClaude, format!("{shown} is no program"))
            .why("it is a directory")
            .help(format!("ls {shown} shows what is in it"));
    }
    if name.exists() {
        return Failure::new(Code::NoClaude, format!("{shown} cannot be run"))
            .why("it is not executable")
            .help(format!("chmod +x {shown}, or name its interpreter before it"));
    }
    Failure::new(Code::NoClaude, format!("{shown} was not found"))
        .why("there is no such file")
        .help(format!("ls {}", name.parent().unwrap_or(Path::new("/")).display()))
}

impl Child {
    /// What it is called in messages.
    pub fn name(&self) -> String {
        match self {
            Child::ClaudeCode(_) => "Claude Code".into(),
            Child::Program(program) => program.name.display().to_string(),
        }
    }

    /// What takes up again what it was at, when it had to be ended.
    pub fn goes_on(&self) -> Option<&'static str> {
        matches!(self, Child::ClaudeCode(_)).then_some("lclaude -c goes on with the conversation")
    }

    /// The empty home that it gets, if it is to have one.
    pub fn throwaway(&self) -> Option<&Throwaway> {
        match self {
            Child::ClaudeCode(plan) => plan.throwaway.as_ref(),
            Child::Program(program) => program.throwaway.as_ref(),
        }
    }

    /// The variables it gets, those of an empty home included.
    pub fn housed(&self, routed: &Routed, scratch: &Path) -> Routed {
        match self.throwaway() {
            Some(throwaway) => routed.clone().housed(throwaway, scratch),
            None => routed.clone(),
        }
    }

    /// The command as it is to be started; what it needs as files goes into `scratch`.
    pub fn command(&self, routed: &Routed, scratch: &Path) -> Result<Command> {
        if let Some(throwaway) = self.throwaway() {
            throwaway.make(scratch)?;
        }
        let routed = self.housed(routed, scratch);
        let mut command = match self {
            Child::ClaudeCode(plan) => plan.command(&routed, scratch)?,
            Child::Program(program) => {
                let mut command = Command::new(&program.path);
                command.arg0(&program.name).args(&program.arguments);
                command
            }
        };
        routed.apply(&mut command);
        // A launcher killed with -9 would leave Claude Code retrying a dead port for minutes.
        die_with_parent(&mut command, Signal::HUP);
        Ok(command)
    }

    /// Starts it in our process group, with our standard streams.
    pub fn spawn(&self, routed: &Routed, scratch: &Path) -> Result<process::Child> {
        let command = self.command(routed, scratch)?;
        process::Command::from(command).spawn().map_err(|error| self.not_started(error))
    }

    /// The failure for a program that the system does not start.
    pub fn not_started(&self, error: io::Error) -> Failure {
        match self {
            Child::ClaudeCode(plan) => {
                let program = plan.program.display();
                Failure::new(Code::NoClaude, format!("{program} could not be started"))
                    .why(error)
                    .help(format!("file {program}; {} installs it anew", claude::NPM))
            }
            Child::Program(Program { path, .. }) => {
                Failure::new(Code::NoClaude, format!("{} could not be started", path.display()))
                    .why(error)
                    .help(format!("file {}", path.display()))
            }
        }
    }
}
