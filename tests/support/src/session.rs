//! A running lclaude, and what came of it.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal};

use super::{
    kill,
    messages::{self, typed},
};

/// A running lclaude.
pub struct Session {
    command: String,
    child: Option<Child>,
    stdout: Option<BufReader<ChildStdout>>,
    read: String,
}

impl Session {
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn();
        let command = typed(command);
        Session { command, child: Some(child.expect("lclaude runs")), stdout: None, read: String::new() }
    }

    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("not waited for yet").id().try_into().expect("a process number")
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// Sends a signal to its whole process group, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        let group = Pid::from_raw(self.pid()).expect("a process number");
        rustix::process::kill_process_group(group, signal).expect("the group is there");
    }

    /// Waits until it has ended.
    pub fn wait(mut self) -> Ended {
        let child = self.child.take().expect("not waited for yet");
        if let Some(stdout) = &mut self.stdout {
            stdout.read_to_string(&mut self.read).expect("text");
        }
        let output = child.wait_with_output().expect("lclaude can be waited for");
        let mut ended = Ended::from_output(std::mem::take(&mut self.command), output);
        ended.stdout.insert_str(0, &self.read);
        ended
    }

    /// Reads standard output up to a line with `word` in it; what was read is part of the output all the same.
    pub fn wait_for_line(&mut self, word: &str) {
        let child = self.child.as_mut().expect("not waited for yet");
        let stdout = self.stdout.get_or_insert_with(|| BufReader::new(child.stdout.take().expect("a pipe")));
        loop {
            let start = self.read.len();
            let read = stdout.read_line(&mut self.read).expect("text");
            assert!(read > 0, "it ended before {word:?}: {}", self.read);
            if self.read[start..].contains(word) {
                return;
            }
        }
    }

    pub fn is_running(&mut self) -> bool {
        let child = self.child.as_mut().expect("not waited for yet");
        child.try_wait().expect("lclaude can be waited for").is_none()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A test that failed leaves it running; its keeper follows by itself.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What came of a command.
#[derive(Debug)]
pub struct Ended {
    /// The command line, as it is typed.
    pub command: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("it runs");
        Self::new(command, output)
    }

    pub fn new(command: &Command, output: Output) -> Self {
        Self::from_output(typed(command), output)
    }

    fn from_output(command: String, output: Output) -> Self {
        Ended {
            command,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Nothing of lclaude's own may be on Claude Code's standard output.
    #[track_caller]
    pub fn expect_stdout(self, stdout: &str) -> Self {
        assert_eq!(self.stdout, stdout, "{self:#?}");
        self
    }

    /// An error of lclaude's own, which says what helps. All that was said is recorded.
    #[track_caller]
    pub fn expect_failure(self, code: i32) -> Self {
        let ended = self.expect(code);
        assert!(ended.stderr.contains("lclaude: ") && ended.stderr.contains("help: "), "{ended:#?}");
        ended.record()
    }

    /// Puts the command and all that was said into the test's snapshot.
    #[track_caller]
    pub fn record(self) -> Self {
        messages::record_ended(&self);
        self
    }
}
