//! A child that writes its own identity to a file before its program runs, so that others can end it even if its parent
//! is killed before it can tell them.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use super::{identity::Identity, system};

/// Bytes of a PID and a start time.
const LENGTH: usize = size_of::<i32>() + size_of::<u64>();

/// Makes the child write its identity to a new file at `path`, for [`recorded`].
///
/// # Errors
/// Those of creating the file. A child that can't write it runs nevertheless.
pub(crate) fn record(command: &mut Command, path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let write = move || {
        if let Some(start) = system::own_start_time() {
            let mut bytes = [0; LENGTH];
            let (pid, rest) = bytes.split_at_mut(size_of::<i32>());
            pid.copy_from_slice(&rustix::process::getpid().as_raw_nonzero().get().to_ne_bytes());
            rest.copy_from_slice(&start.to_ne_bytes());
            let _ = rustix::io::write(&file, &bytes);
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes a few system calls and touches no lock and no heap.
    unsafe { command.pre_exec(write) };
    Ok(())
}

/// Returns the child that wrote the file at `path`, or `None` if no child did or it has ended.
pub(crate) fn recorded(path: &Path) -> Option<Identity> {
    let mut bytes = [0; LENGTH];
    File::open(path).ok()?.read_exact(&mut bytes).ok()?;
    let (pid, start) = bytes.split_at(size_of::<i32>());
    let child =
        Identity { pid: i32::from_ne_bytes(pid.try_into().ok()?), start: u64::from_ne_bytes(start.try_into().ok()?) };
    child.is_alive().then_some(child)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn child_is_recorded_while_it_runs() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("child");
        assert_eq!(recorded(&file), None);
        let mut command = Command::new("cat");
        record(&mut command, &file).expect("a file");
        assert_eq!(recorded(&file), None);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("it runs");
        assert_eq!(recorded(&file), Identity::of(child.id()));
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert_eq!(recorded(&file), None);
    }
}
