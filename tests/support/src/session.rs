//! A running lclaude, and its result.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio},
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
    stderr: Option<BufReader<ChildStderr>>,
    read_messages: String,
}

impl Session {
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn();
        let command = typed(command);
        Session {
            command,
            child: Some(child.expect("lclaude runs")),
            stdout: None,
            read: String::new(),
            stderr: None,
            read_messages: String::new(),
        }
    }

    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("not waited for yet").id().try_into().expect("a process number")
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// Sends a signal to the whole process group, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        let group = Pid::from_raw(self.pid()).expect("a process number");
        rustix::process::kill_process_group(group, signal).expect("the group is there");
    }

    /// Waits until it has exited.
    pub fn wait(mut self) -> Ended {
        let child = self.child.take().expect("not waited for yet");
        if let Some(stdout) = &mut self.stdout {
            stdout.read_to_string(&mut self.read).expect("text");
        }
        if let Some(stderr) = &mut self.stderr {
            stderr.read_to_string(&mut self.read_messages).expect("text");
        }
        let output = child.wait_with_output().expect("lclaude can be waited for");
        let mut ended = Ended::from_output(std::mem::take(&mut self.command), output);
        ended.stdout.insert_str(0, &self.read);
        ended.stderr.insert_str(0, &self.read_messages);
        ended
    }

    /// Reads stdout up to a line that contains `word`. The lines read are still part of the output.
    pub fn wait_for_line(&mut self, word: &str) {
        let child = self.child.as_mut().expect("not waited for yet");
        let stdout = self.stdout.get_or_insert_with(|| BufReader::new(child.stdout.take().expect("a pipe")));
        read_to(word, stdout, &mut self.read);
    }

    /// Reads stderr up to a line that contains `word`. The lines read are still part of the output.
    pub fn wait_for_message(&mut self, word: &str) {
        let child = self.child.as_mut().expect("not waited for yet");
        let stderr = self.stderr.get_or_insert_with(|| BufReader::new(child.stderr.take().expect("a pipe")));
        read_to(word, stderr, &mut self.read_messages);
    }

    pub fn is_running(&mut self) -> bool {
        let child = self.child.as_mut().expect("not waited for yet");
        child.try_wait().expect("lclaude can be waited for").is_none()
    }
}

/// Adds lines to `text` up to one that contains `word`.
fn read_to(word: &str, from: &mut impl BufRead, text: &mut String) {
    loop {
        let start = text.len();
        let read = from.read_line(text).expect("text");
        assert!(read > 0, "it exited before {word:?}: {text}");
        if text[start..].contains(word) {
            return;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A failed test leaves it running. Its keeper then exits too.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the exit code that a shell reports: 128+N if signal N ended the program.
pub fn shell_code(status: ExitStatus) -> Option<i32> {
    assert!(!status.core_dumped(), "{status}");
    status.code().or(status.signal().map(|signal| 128 + signal))
}

/// The result of a command.
#[derive(Debug)]
pub struct Ended {
    /// The command line as a user would type it.
    pub command: String,
    /// As a shell reports it: 128+N if signal N ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Runs a command and waits for it.
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
            code: shell_code(output.status),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Checks that the signal ended it.
    #[track_caller]
    pub fn expect_signal(self, signal: Signal) -> Self {
        assert_eq!(self.signal, Some(signal.as_raw()), "{self:#?}");
        self
    }

    /// Checks stdout, to which lclaude must not add anything.
    #[track_caller]
    pub fn expect_stdout(self, stdout: &str) -> Self {
        assert_eq!(self.stdout, stdout, "{self:#?}");
        self
    }

    /// Checks that lclaude failed with a help line, and records its output.
    #[track_caller]
    pub fn expect_failure(self, code: i32) -> Self {
        let ended = self.expect(code);
        assert!(ended.stderr.contains("lclaude: ") && ended.stderr.contains("help: "), "{ended:#?}");
        ended.record()
    }

    /// Records the command and its output in the test's snapshot.
    #[track_caller]
    pub fn record(self) -> Self {
        messages::record_ended(&self);
        self
    }
}
