//! What tests require of this machine: programs, permissions, or that something isn't installed.

use std::{
    env,
    ffi::OsStr,
    fmt::Display,
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
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

/// Returns `is_there`, as [`needs`] does. On other systems than Linux the test is always skipped, also in CI.
#[track_caller]
fn needs_on_linux(what: &str, is_there: bool) -> bool {
    if cfg!(target_os = "linux") {
        return needs(what, is_there);
    }
    let test = thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(io::stderr(), "skipped: {test} needs Linux, and there {what}");
    false
}

/// Returns the path of a program in the system directories that every [`Stage`] has on PATH, or on macOS in Homebrew's. Those
/// aren't on PATH, because a backend may be installed there.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let homebrew: &[_] = if cfg!(target_os = "macos") { &["/opt/homebrew/bin", "/usr/local/bin"] } else { &[] };
    let mut places = ["/usr/bin", "/bin"].iter().chain(homebrew).map(|place| Path::new(place).join(name));
    places.find(|path| path.exists())
}

/// Requires a program that [`program`] finds.
#[track_caller]
#[must_use]
pub fn needs_program(name: &str) -> bool {
    needs(name, program(name).is_some())
}

/// Requires a program that macOS and Homebrew don't have.
#[track_caller]
#[must_use]
pub fn needs_linux_program(name: &str) -> bool {
    needs_on_linux(name, program(name).is_some())
}

/// Requires root, which may act as other users and change the owner of files. What tests do as root, Linux has: mounts and
/// capabilities.
#[track_caller]
#[must_use]
pub fn needs_root() -> bool {
    needs_on_linux("root", rustix::process::geteuid().is_root())
}

/// Requires strace, which only Linux has, and permission to trace.
#[track_caller]
#[must_use]
pub fn needs_strace() -> bool {
    let possible = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    needs_on_linux("strace and permission to trace", possible.is_ok_and(|output| output.status.success()))
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

/// The `/tmp` and `/run/user` of commands that run in other mounts, as directories on the stage.
pub struct OwnPlaces {
    pub tmp: PathBuf,
    pub users: PathBuf,
}

impl OwnPlaces {
    pub fn new(stage: &Stage) -> Self {
        let places = stage.root().join("places");
        let own = OwnPlaces { tmp: places.join("tmp"), users: places.join("users") };
        for place in [&own.tmp.join(stage.root().file_name().expect("a name")), &own.users] {
            fs::create_dir_all(place).expect("a directory");
        }
        fs::set_permissions(&own.tmp, fs::Permissions::from_mode(0o1777)).expect("a mode");
        own
    }

    /// Returns the command with these directories as `/tmp` and `/run/user`. Only root may mount. The stage keeps its
    /// path.
    pub fn with(&self, stage: &Stage, plain: &Command) -> Command {
        const MOUNT: &str = "set -e; mount --bind \"$1\" \"$2/${1##*/}\"; mount -t tmpfs none /run; mkdir /run/user
            mount --bind \"$3\" /run/user; mount --rbind \"$2\" /tmp; cd \"$4\"; shift 4; exec \"$@\"";
        let mut command = stage.command("unshare");
        let root = stage.root();
        command.args(["--mount", "sh", "-c", MOUNT, "sh"]).args([root, &self.tmp, &self.users, &stage.project()]);
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.arg(plain.get_program()).args(plain.get_args()).stdin(Stdio::null());
        command
    }
}
