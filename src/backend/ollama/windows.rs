//! An Ollama that runs on Windows, seen from WSL. lclaude can use its server but not start it.
//!
//! Ollama listens on 127.0.0.1, which WSL shares with Windows only in some of its network modes. In the others, Windows
//! is at WSL's gateway, and Ollama has to listen on all addresses (`OLLAMA_HOST`, Ollama's FAQ) and be allowed by
//! Windows' firewall.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{look, variables};
use crate::{
    backend::{
        program,
        subject::{AREA, Subject},
    },
    base::{
        check::Check,
        wsl::{self, Network},
    },
    config::OllamaInstance,
};

/// The largest number of users of Windows whose directories are looked at.
const MAX_USERS: usize = 64;
/// Where its installer puts it, below a user's directory.
const INSTALLED: &str = "AppData/Local/Programs/Ollama/ollama.exe";

const LISTEN: &str = "setx.exe OLLAMA_HOST 0.0.0.0  # then quit Ollama on Windows and start it again";
/// The address space of WSL's own network, so that others can't reach a server without authentication.
const ALLOW: &str = "New-NetFirewallRule -DisplayName Ollama -Direction Inbound -Protocol TCP -LocalPort 11434 \
                     -RemoteAddress 172.16.0.0/12 -Action Allow  # in an administrator's PowerShell, if nothing answers then";
const SHARED: &str = "lclaude local config set ollama.instance shared";

/// Returns doctor's check, or `None` outside of WSL and without an Ollama on Windows. `is_needed`: whether sessions use
/// Ollama and have no other.
pub(crate) async fn check(subject: &Subject<'_>, is_needed: bool) -> Option<Check> {
    let network = wsl::network()?;
    let Subject { settings, environment, .. } = *subject;
    let name = "ollama on windows";
    let url = wsl::url_on_windows(variables::LOCAL).unwrap_or_else(|| variables::LOCAL.to_owned());
    let is_shared = settings.ollama.instance == OllamaInstance::Shared;
    let is_used = is_shared && variables::url(settings.ollama.host.as_deref(), &environment.variables) == url;
    let program = program();
    // What answers on 127.0.0.1 may run in WSL.
    if look::is_there(&url).await && (program.is_some() || url != variables::LOCAL) {
        let check = Check::ok(AREA, name, format!("running at {url}"));
        return Some(if is_used { check } else { use_it().into_iter().fold(check, Check::help) });
    }
    let found = format!("{} is installed, but nothing answers at {url}", program?.display());
    let check = if is_needed { Check::warning(AREA, name, found) } else { Check::ok(AREA, name, found) };
    let check = match network {
        Network::Shared => check.cause("it isn't running").help("start Ollama on Windows"),
        Network::Windows(_) | Network::Unknown => check
            .cause("it listens on 127.0.0.1 of Windows, which isn't that of WSL")
            .help(wsl::set("networkingMode=mirrored", " (Windows 11)"))
            .help(LISTEN)
            .help(ALLOW),
    };
    Some(if is_used { check } else { use_it().into_iter().fold(check, Check::help) })
}

/// Returns the commands that make sessions use Ollama on Windows.
fn use_it() -> Vec<String> {
    variables::use_windows(variables::LOCAL).into_iter().chain([SHARED.into()]).collect()
}

/// Returns the path of Ollama on Windows.
fn program() -> Option<PathBuf> {
    program::windows_program(None, "ollama").or_else(|| installed(&wsl::drives()?))
}

/// Returns the path of Ollama in the directory of one of Windows' users.
fn installed(drives: &Path) -> Option<PathBuf> {
    let users = fs::read_dir(drives.join("c/Users")).ok()?.take(MAX_USERS).flatten();
    users.map(|user| user.path().join(INSTALLED)).find(|path| path.is_file())
}
