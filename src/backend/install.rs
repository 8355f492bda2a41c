//! How each backend is installed on this system: by a package manager that has it, or by its makers' own script.
//!
//! Nothing is run here: `lclaude local setup` shows these lines and asks first, and failures name them.

use std::process::{Command, Stdio};

use crate::config::Kind;

pub const OLLAMA_SCRIPT: &str = "curl -fsSL https://ollama.com/install.sh | sh";
pub const LMSTUDIO_SCRIPT: &str = "curl -fsSL https://lmstudio.ai/install.sh | bash";
const IS_MACOS: bool = cfg!(target_os = "macos");

/// What to type here to install a backend; where no program of this machine's can, where it is to be had.
///
/// Asks no package manager, which takes a second: failures name it, and many of them are never shown.
pub fn best(kind: Kind) -> String {
    let elsewhere = || match kind {
        Kind::Ollama => ollama(),
        Kind::LmStudio => "LM Studio's app, from https://lmstudio.ai; start it once",
        _ => "a release from https://github.com/ggml-org/llama.cpp/releases, with llama-server on PATH",
    };
    by_itself(kind).into_iter().next().unwrap_or_else(|| elsewhere().to_owned())
}

/// What one types to install Ollama on this kind of system, whatever is on this very machine.
pub fn ollama() -> &'static str {
    if IS_MACOS { "brew install ollama" } else { OLLAMA_SCRIPT }
}

/// The command lines that can install a backend on this very machine, the best first.
pub fn ways(kind: Kind) -> Vec<String> {
    let mut ways = by_itself(kind);
    match kind {
        Kind::Ollama if !IS_MACOS => ways.extend(packages("ollama", "ollama", "ollama")),
        Kind::LlamaCpp => ways.extend(packages("llama.cpp", "llama-cpp", "llama.cpp")),
        _ => {}
    }
    ways
}

/// Those that are there wherever their program is.
fn by_itself(kind: Kind) -> Vec<String> {
    let script = |line: &str| has("curl").then(|| line.to_owned());
    let nix = || has("nix").then(|| "nix profile install nixpkgs#llama-cpp".to_owned());
    let (first, second) = match kind {
        Kind::Ollama if IS_MACOS => (brew("ollama"), None),
        Kind::Ollama => (script(OLLAMA_SCRIPT), brew("ollama")),
        Kind::LlamaCpp => (brew("llama.cpp"), nix()),
        Kind::LmStudio if IS_MACOS => (brew("--cask lm-studio"), None),
        Kind::LmStudio => (script(LMSTUDIO_SCRIPT), None),
        Kind::Command | Kind::Endpoint => (None, None),
    };
    first.into_iter().chain(second).collect()
}

fn has(program: &str) -> bool {
    which::which(program).is_ok()
}

fn brew(formula: &str) -> Option<String> {
    has("brew").then(|| format!("brew install {formula}"))
}

/// The line of each of the system's package managers that knows the package, by the name it has there.
fn packages(apt: &str, dnf: &str, pacman: &str) -> Vec<String> {
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
