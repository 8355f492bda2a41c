//! The child process of a session: Claude Code, with our arguments and settings added, or another program with its own
//! arguments. Both get the same environment variables.

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
        process::{die_with_parent, record},
        spawn::{not_executable, not_started},
        ui, windows,
    },
    claude::{self, Routed, SessionPlan, Throwaway},
    keeper,
};

#[derive(Debug)]
pub(crate) enum Child {
    ClaudeCode(SessionPlan),
    Program(ChildProgram),
}

/// A program that uses the backend, or starts something that does.
#[derive(Debug)]
pub(crate) struct ChildProgram {
    pub path: PathBuf,
    /// The name as typed, passed to the program as `argv[0]`.
    name: OsString,
    pub arguments: Vec<OsString>,
    /// The home of every Claude Code that the program starts.
    throwaway: Option<Throwaway>,
}

impl ChildProgram {
    /// Finds a program by name or path.
    ///
    /// # Errors
    /// `NoClaude`, which is also the code for other programs, if it isn't found, isn't executable or is a Windows program.
    pub(crate) fn find(name: &OsStr, arguments: &[OsString], throwaway: Option<Throwaway>) -> Result<Self> {
        match which::which(name) {
            Ok(path) if windows::is_windows_program(&path) => {
                Err(Failure::new(Code::NoClaude, format!("{} is a Windows program", path.display()))
                    .cause("it gets no variables from WSL, so it would not use your backend")
                    .help("install the program inside WSL"))
            }
            Ok(path) => Ok(ChildProgram { path, name: name.to_owned(), arguments: arguments.to_vec(), throwaway }),
            Err(_) => Err(not_found(Path::new(name))),
        }
    }
}

fn not_found(name: &Path) -> Failure {
    let (shown, quoted) = (name.display(), ui::quote_path(name));
    if !name.as_os_str().as_encoded_bytes().contains(&b'/') {
        let failure = Failure::new(Code::NoClaude, format!("{shown} was not found"))
            .cause("it isn't on PATH; shell functions, aliases and builtins can't be run");
        return if name.exists() {
            failure.help(format!("lclaude local run -- {}", ui::quote_path(&Path::new(".").join(name))))
        } else {
            failure.help(format!("command -v {quoted}"))
        };
    }
    if name.is_dir() {
        return Failure::new(Code::NoClaude, format!("{shown} is not a program"))
            .cause("it is a directory")
            .help(format!("ls {quoted}"));
    }
    if name.exists() {
        let (why, help) = not_executable(name);
        return Failure::new(Code::NoClaude, format!("{shown} can't be run")).cause(format!("it {why}")).help(help);
    }
    Failure::new(Code::NoClaude, format!("{shown} was not found"))
        .cause("no such file")
        .help(format!("ls {}", ui::quote_path(name.parent().unwrap_or(Path::new("/")))))
}

impl Child {
    /// Returns the name to use in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Child::ClaudeCode(_) => "Claude Code".into(),
            Child::Program(program) => program.name.display().to_string(),
        }
    }

    /// Returns the plan of Claude Code, if the child is that.
    pub(crate) fn claude(&self) -> Option<&SessionPlan> {
        match self {
            Child::ClaudeCode(plan) => Some(plan),
            Child::Program(_) => None,
        }
    }

    /// Returns the command that continues the work of a child that had to be ended.
    pub(crate) fn resume_hint(&self) -> Option<&'static str> {
        matches!(self, Child::ClaudeCode(_)).then_some("lclaude -c  # continues the conversation")
    }

    /// Returns the throwaway home, if the child gets one.
    pub(crate) fn throwaway(&self) -> Option<&Throwaway> {
        match self {
            Child::ClaudeCode(plan) => plan.throwaway.as_ref(),
            Child::Program(program) => program.throwaway.as_ref(),
        }
    }

    /// Returns the child's variables, including those of a throwaway home and of tools that are left out.
    pub(crate) fn variables(&self, routed: &Routed, scratch: &Path) -> Routed {
        let routed = match self {
            Child::ClaudeCode(plan) => routed.clone().leaving_out(plan.left_out(routed.tools)),
            Child::Program(_) => routed.clone(),
        };
        match self.throwaway() {
            Some(throwaway) => routed.housed(throwaway, scratch),
            None => routed,
        }
    }

    /// Returns the command to start, and writes the files that it needs to `scratch`.
    pub(crate) fn command(&self, routed: &Routed, scratch: &Path) -> Result<Command> {
        if let Some(throwaway) = self.throwaway() {
            throwaway.make(scratch)?;
        }
        let routed = self.variables(routed, scratch);
        let mut command = match self {
            Child::ClaudeCode(plan) => plan.command(&routed, scratch)?,
            Child::Program(program) => {
                let mut command = Command::new(&program.path);
                command.arg0(&program.name).args(&program.arguments);
                command
            }
        };
        routed.apply(&mut command);
        // Whoever cleans up after this process finds the child there. Without it, the keeper is told soon after the start.
        let _ = record(&mut command, &keeper::child_file(scratch));
        // Without this, `kill -9` of lclaude would leave Claude Code retrying a dead port for minutes.
        die_with_parent(&mut command, Signal::HUP);
        Ok(command)
    }

    /// Starts the child in our process group with our standard streams.
    pub(crate) fn spawn(&self, routed: &Routed, scratch: &Path) -> Result<process::Child> {
        let command = self.command(routed, scratch)?;
        process::Command::from(command).spawn().map_err(|error| self.spawn_failure(error))
    }

    /// Returns the failure for a child that the system couldn't start.
    pub(crate) fn spawn_failure(&self, error: io::Error) -> Failure {
        match self {
            Child::ClaudeCode(plan) => claude::not_started(&plan.program, &error),
            Child::Program(ChildProgram { path, .. }) => not_started(Code::NoClaude, path, &error),
        }
    }
}
