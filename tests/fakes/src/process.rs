//! Processes and signals, for several fakes.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio, exit};

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::SIGKILL;
use signal_hook::low_level::emulate_default_handler;

use crate::control::Control;

/// Starts this program again with one hidden argument, and returns its PID.
pub fn start_self(argument: &str) -> u32 {
    let program = std::env::current_exe().expect("a running program has a path");
    Command::new(program).arg(argument).spawn().expect("a program that runs can be started again").id()
}

/// Does the same for a process that must outlive this one and inherits no open files.
pub fn start_self_apart(argument: &str) -> u32 {
    let program = std::env::current_exe().expect("a running program has a path");
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a program that runs can be started again").id()
}

/// Starts a program again that makes itself a daemon and exits, with `file` as its standard input.
pub fn detach_self(argument: &str, file: OwnedFd) {
    let program = std::env::current_exe().expect("a running program has a path");
    let status = Command::new(program).arg(argument).stdin(file).status();
    assert!(status.expect("a program that runs can be started again").success());
}

/// Ends this process by `signal` with its default action.
pub fn die_of(signal: i32) -> ! {
    if signal == SIGKILL {
        kill_process(getpid(), Signal::KILL).expect("a process may signal itself");
    }
    emulate_default_handler(signal).unwrap_or_else(|error| panic!("no such signal as {signal}: {error}"));
    unreachable!("signal {signal} does not end a process");
}

/// Runs until the test ends, like a child that a program leaves behind.
pub fn linger(control: &Control) -> ! {
    control.wait_closed();
    exit(0);
}
