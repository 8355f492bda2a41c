//! How programs are installed on this system, by a package manager that has them.
//!
//! Nothing is run here: `lclaude local setup` shows these lines and asks first, and failures name them.

use std::process::{Command, Stdio};

pub const IS_MACOS: bool = cfg!(target_os = "macos");

/// Whether a program is on PATH.
pub fn has(program: &str) -> bool {
    which::which(program).is_ok()
}

/// Homebrew's line, where there is Homebrew.
pub fn brew(formula: &str) -> Option<String> {
    has("brew").then(|| format!("brew install {formula}"))
}

/// The line of each of the system's package managers that knows the package, by the name it has there.
pub fn packages(apt: &str, dnf: &str, pacman: &str) -> Vec<String> {
    let managers = [
        ("apt-get", format!("apt-get install -y {apt}"), ["apt-cache", "show", apt].to_vec()),
        // From its cache: a look must not go to the network.
        ("dnf", format!("dnf install -y {dnf}"), ["dnf", "-C", "-q", "info", dnf].to_vec()),
        ("pacman", format!("pacman -S --noconfirm {pacman}"), ["pacman", "-Si", pacman].to_vec()),
    ];
    let Some(sudo) = sudo() else {
        return Vec::new();
    };
    let known = managers.into_iter().filter(|(manager, _, question)| has(manager) && says_yes(question));
    known.map(|(_, line, _)| format!("{sudo}{line}")).collect()
}

/// What goes before a command that only the administrator may run; it asks for the password itself.
fn sudo() -> Option<&'static str> {
    if rustix::process::geteuid().is_root() { Some("") } else { has("sudo").then_some("sudo ") }
}

fn says_yes(question: &[&str]) -> bool {
    let (program, arguments) = (question[0], &question[1..]);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
