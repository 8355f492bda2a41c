//! The leftovers of a keeper and sessions that were killed together. On Linux the kernel ends the backend with its keeper,
//! so a test simulates them with a running program and a record that names it.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command},
};

use super::{Stage, Value, finish, json, system::start_of};

/// A running backend without a keeper.
pub struct Leftover {
    pub child: Child,
}

impl Leftover {
    /// Runs a session to its end, and leaves a backend behind as if its keeper had been killed.
    pub fn after_session(stage: &Stage) -> Self {
        let (session, claude, _backend) = stage.running();
        finish(session, &claude);
        Self::of(stage, &stage.runtime_files("json").pop().expect("a record"))
    }

    /// Starts a program and names it in `record`, that of a dead keeper.
    fn of(stage: &Stage, record: &PathBuf) -> Self {
        let mut command: Command = stage.command("sleep");
        // SAFETY: the closure makes one system call.
        unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
        let child = command.arg("1000").spawn().expect("sleep runs");
        let mut left: Value = serde_json::from_slice(&fs::read(record).expect("a record")).expect("JSON");
        left["backend"] = json!({"leader": {"pid": child.id(), "start": start_of(child.id())}, "session": child.id()});
        fs::write(record, left.to_string()).expect("the record can be written");
        Leftover { child }
    }
}
