//! What a test needs of the machine that runs it: programs, rights, or that something is not there.

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

/// Whether a test can show what it is there for. If not, it says why it is skipped, in part or as a whole. In CI that is
/// a failure: there every test runs.
#[track_caller]
#[must_use]
pub fn needs(what: impl Display, is_there: bool) -> bool {
    if is_there {
        return true;
    }
    let test = thread::current().name().unwrap_or_default().to_owned();
    assert!(env::var_os("CI").is_none_or(|ci| ci.is_empty()), "CI runs every test, and {test} needs {what}");
    // To the descriptor itself: of a test that passes, the runner would keep what it prints to itself.
    let _ = writeln!(io::stderr(), "skipped: {test} needs {what}");
    false
}

/// A program in the directories that every [`Stage`] has on PATH.
#[track_caller]
#[must_use]
pub fn needs_program(name: &str) -> bool {
    needs(name, ["/usr/bin", "/bin"].iter().any(|place| Path::new(place).join(name).exists()))
}

/// Root alone can act as another user, and give files away.
#[track_caller]
#[must_use]
pub fn needs_root() -> bool {
    needs("root", rustix::process::geteuid().is_root())
}

/// A strace that may trace.
#[track_caller]
#[must_use]
pub fn needs_strace() -> bool {
    let possible = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    needs("strace, and the right to trace", possible.is_ok_and(|output| output.status.success()))
}

/// A machine without an Ollama of its own. lclaude looks for its program and its service's models in places that no test
/// can take away.
#[track_caller]
#[must_use]
pub fn needs_no_ollama() -> bool {
    let programs =
        ["/usr/local/bin", "/usr/bin", "/bin", "/opt/homebrew/bin", "/Applications/Ollama.app/Contents/Resources"];
    let models = Path::new("/usr/share/ollama/.ollama/models");
    let mut places = programs.iter().map(|place| Path::new(place).join("ollama")).chain([models.to_owned()]);
    needs("a machine without Ollama", !places.any(|place| place.exists()))
}

/// The same command for a user whom permissions bind; root's are taken away (capabilities(7)).
pub fn bound_by_permissions(stage: &Stage, plain: &Command) -> Command {
    let is_root = rustix::process::geteuid().is_root();
    let mut bound = stage.command(if is_root { OsStr::new("setpriv") } else { plain.get_program() });
    if is_root {
        bound.arg("--bounding-set=-dac_override,-dac_read_search").arg(plain.get_program());
    }
    bound.args(plain.get_args()).stdin(Stdio::null());
    bound
}
