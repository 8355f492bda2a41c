//! What the machine that runs the tests cannot show, because of what it has or does not let be done.

use std::{
    env,
    ffi::OsStr,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use super::Stage;

/// Says that a test shows nothing on this machine. (To the descriptor itself: of a test that passes, the runner would keep
/// what it prints to itself.)
pub fn skipped(why: &str) {
    let thread = thread::current();
    let _ = writeln!(io::stderr(), "skipped: {}: {why}", thread.name().unwrap_or_default());
}

/// Whether this machine has an Ollama of its own. lclaude looks for its program and its service's models in places that
/// no test can take away, so nothing can then be shown of a machine that has none.
pub fn has_an_ollama() -> bool {
    let programs =
        ["/usr/local/bin", "/usr/bin", "/bin", "/opt/homebrew/bin", "/Applications/Ollama.app/Contents/Resources"];
    let models = Path::new("/usr/share/ollama/.ollama/models");
    let mut places = programs.iter().map(|place| Path::new(place).join("ollama")).chain([models.to_owned()]);
    let Some(found) = places.find(|place| place.exists()) else {
        return false;
    };
    assert!(env::var_os("CI").is_none(), "{} is there, and CI runs every test", found.display());
    skipped(&format!("this machine has an Ollama ({})", found.display()));
    true
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
