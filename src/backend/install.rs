//! Commands that install programs with this system's package managers.
//!
//! Nothing is installed here: `lclaude local setup` shows these commands and asks first, and failures show them as
//! help.

use std::process::{Command, Stdio};

use crate::base::windows;

pub(crate) const IS_MACOS: bool = cfg!(target_os = "macos");

/// Returns whether a program is on PATH. A Windows program would install something on Windows.
pub(crate) fn is_on_path(program: &str) -> bool {
    windows::is_native_on_path(program)
}

/// Returns Homebrew's install command if Homebrew is installed.
pub(crate) fn brew(formula: &str) -> Option<String> {
    is_on_path("brew").then(|| format!("brew install {formula}"))
}

/// Returns the install command of each package manager on this system that has the package, given its name in each.
pub(crate) fn packages(apt: &str, dnf: &str, pacman: &str) -> Vec<String> {
    let managers = [
        ("apt-get", format!("apt-get install -y {apt}"), ["apt-cache", "show", apt].to_vec()),
        // `-C` reads the cache only, since this must not use the network.
        ("dnf", format!("dnf install -y {dnf}"), ["dnf", "-C", "-q", "info", dnf].to_vec()),
        ("pacman", format!("pacman -S --noconfirm {pacman}"), ["pacman", "-Si", pacman].to_vec()),
    ];
    let Some(sudo) = sudo() else {
        return Vec::new();
    };
    let known = managers.into_iter().filter(|(manager, _, question)| is_on_path(manager) && succeeds(question));
    known.map(|(_, line, _)| format!("{sudo}{line}")).collect()
}

/// Returns the prefix of a command that needs root: empty for root, `None` if there is no sudo.
fn sudo() -> Option<&'static str> {
    if rustix::process::geteuid().is_root() { Some("") } else { is_on_path("sudo").then_some("sudo ") }
}

fn succeeds(question: &[&str]) -> bool {
    let (program, arguments) = (question[0], &question[1..]);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
