//! What tests require of this machine: programs, permissions, or that something isn't installed.

use std::{
    env,
    ffi::OsStr,
    fmt::Display,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use super::Stage;

/// The ID of another user, `nobody` on most systems. That user owns no files.
pub const NOBODY: u32 = 65_534;

/// Returns `is_there`. If it is false, prints that the test is skipped, or panics in CI, where every test must run.
#[track_caller]
#[must_use]
pub fn needs(what: impl Display, is_there: bool) -> bool {
    if is_there {
        return true;
    }
    let test = thread::current().name().unwrap_or_default().to_owned();
    assert!(env::var_os("CI").is_none_or(|ci| ci.is_empty()), "CI runs every test, and {test} needs {what}");
    // `eprintln!` would be captured, and hidden if the test passes.
    let _ = writeln!(io::stderr(), "skipped: {test} needs {what}");
    false
}

/// Requires a program in the system directories that every [`Stage`] has on PATH.
#[track_caller]
#[must_use]
pub fn needs_program(name: &str) -> bool {
    needs(name, ["/usr/bin", "/bin"].iter().any(|place| Path::new(place).join(name).exists()))
}

/// Requires root, which may act as other users and change the owner of files.
#[track_caller]
#[must_use]
pub fn needs_root() -> bool {
    needs("root", rustix::process::geteuid().is_root())
}

/// Requires strace and permission to trace.
#[track_caller]
#[must_use]
pub fn needs_strace() -> bool {
    let possible = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    needs("strace and permission to trace", possible.is_ok_and(|output| output.status.success()))
}

/// Requires that Ollama isn't installed, since lclaude also searches fixed system paths for its program and models.
#[track_caller]
#[must_use]
pub fn needs_no_ollama() -> bool {
    let programs =
        ["/usr/local/bin", "/usr/bin", "/bin", "/opt/homebrew/bin", "/Applications/Ollama.app/Contents/Resources"];
    let services = ["/usr/share", "/var/lib", "/var/snap"];
    let mut places = programs.iter().chain(&services).map(|place| Path::new(place).join("ollama"));
    needs("a machine without Ollama", !places.any(|place| place.exists()))
}

/// Returns the command with file permissions enforced: root loses the capabilities to override them (capabilities(7)).
pub fn bound_by_permissions(stage: &Stage, plain: &Command) -> Command {
    let is_root = rustix::process::geteuid().is_root();
    let mut bound = stage.command(if is_root { OsStr::new("setpriv") } else { plain.get_program() });
    if is_root {
        bound.arg("--bounding-set=-dac_override,-dac_read_search").arg(plain.get_program());
    }
    bound.args(plain.get_args()).stdin(Stdio::null());
    bound
}
