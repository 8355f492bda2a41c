//! A running lclaude, and what came of it.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal};

use super::kill;

/// A running lclaude.
pub struct Session {
    child: Option<Child>,
    stdout: Option<BufReader<ChildStdout>>,
    read: String,
}

impl Session {
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn();
        Session { child: Some(child.expect("lclaude runs")), stdout: None, read: String::new() }
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
        let mut ended = Ended::from(child.wait_with_output().expect("lclaude can be waited for"));
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
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
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

    /// An error of lclaude's own: what, why and help, each with these words in it.
    #[track_caller]
    pub fn expect_failure(self, code: i32, words: &[&str]) -> Self {
        let ended = self.expect(code);
        assert!(ended.stderr.contains("lclaude: ") && ended.stderr.contains("help: "), "{ended:#?}");
        for word in words {
            assert!(ended.stderr.contains(word), "no {word:?} in {ended:#?}");
        }
        ended
    }
}
