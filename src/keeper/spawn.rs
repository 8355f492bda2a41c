//! Starts the program of a backend, in a process group of its own.

use std::{fs, io, os::unix::process::CommandExt, path::Path, process::Stdio, rc::Rc};

use rustix::process::Signal;
use tokio::{
    process::{Child, Command},
    task::JoinSet,
};

use super::{
    log::{LogLines, LogReader},
    log_file::LogFile,
    progress::ActivityTracker,
};
use crate::{
    backend::{Endpoint, Program},
    base::{
        error::{Code, Result},
        paths::runtime_unusable,
        process::{Ending, Group, Identity, adopt_orphans, die_with_parent, end_all, open_output, reap_adopted},
        spawn::not_started,
    },
};

/// One run of the program.
pub(crate) struct BackendRun {
    pub child: Child,
    pub group: Group,
    pub log: LogReader,
    /// Reaps what the program leaves to the keeper.
    _reaper: JoinSet<()>,
}

impl BackendRun {
    /// Starts the program at `endpoint`, with its private file at `file`. Returns a channel of its log lines too, which
    /// `tracker` also reads.
    pub(crate) fn start(
        program: &Program,
        endpoint: &Endpoint,
        file: &Path,
        log: LogFile,
        tracker: Rc<ActivityTracker>,
    ) -> Result<(Self, LogLines)> {
        let failed = |error: io::Error| not_started(Code::Unavailable, &program.path, &error);
        let (read, write) = open_output(program.terminal).map_err(failed)?;
        let (log, lines) = LogReader::start(read, log, endpoint.clone(), tracker).map_err(failed)?;
        if let Some(content) = &program.file {
            fs::write(file, content).map_err(|error| runtime_unusable(file.parent().unwrap_or(file), error))?;
        }
        let mut command = program.command(endpoint, file);
        let stdout = write.try_clone().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(write).process_group(0);
        // TERM lets a server stop its children: a killed Ollama leaves its runners behind.
        let death_signal = if program.ending == Ending::Kill { Signal::KILL } else { Signal::TERM };
        die_with_parent(&mut command, death_signal);
        adopt_orphans();
        let child = Command::from(command).spawn().map_err(failed)?;
        let leader = child.id().and_then(Identity::of);
        let leader = leader.unwrap_or(Identity { pid: child.id().map_or(0, u32::cast_signed), start: 0 });
        let mut reaper = JoinSet::new();
        reaper.spawn_local(reap_adopted(leader));
        Ok((BackendRun { child, group: Group::led_by(leader), log, _reaper: reaper }, lines))
    }

    /// Ends the program and everything it has started, also what has left its process group.
    pub(crate) async fn end(&mut self, how: Ending) {
        end_all(&mut self.child, self.group, how).await;
    }
}
