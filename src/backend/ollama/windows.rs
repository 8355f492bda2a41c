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

const START: &str = "start Ollama on Windows";
const LISTEN: &str = "setx.exe OLLAMA_HOST 0.0.0.0  # then restart Ollama on Windows; it has no authentication";
/// Only WSL's own network gets access. Its interface is hidden in newer versions and was renamed in one of them, and Windows
/// creates it again at each start, after which such a rule may not apply (microsoft/WSL#4585, #6731 and #11242).
const ALLOW: &str = "New-NetFirewallRule -DisplayName Ollama -Direction Inbound -Protocol TCP -LocalPort 11434 \
                     -InterfaceAlias (Get-NetAdapter -IncludeHidden -Name 'vEthernet (WSL*').Name -Action Allow  \
                     # in an administrator's PowerShell, if nothing answers then; repeat it if Windows has restarted";
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
        return Some(if is_used { check } else { check.helps(use_it()) });
    }
    let found = format!("{} is installed, but nothing answers at {url}", program?.display());
    let check = if is_needed { Check::warning(AREA, name, found) } else { Check::ok(AREA, name, found) };
    let check = match network {
        Network::Shared => check.cause("it isn't running"),
        Network::Windows(_) | Network::Unknown => {
            check.cause("it isn't running, or it listens only on 127.0.0.1 of Windows, which isn't that of WSL")
        }
    };
    Some(check.helps(ways(network, is_used)))
}

/// Returns the commands with which an Ollama that doesn't answer can be used. `is_used`: whether sessions use its address
/// already.
fn ways(network: Network, is_used: bool) -> Vec<String> {
    let share = wsl::set("networkingMode=mirrored", " (Windows 11)");
    let shared = (!is_used).then(|| SHARED.to_owned());
    match network {
        Network::Shared => [START.into()].into_iter().chain(shared).collect(),
        Network::Unknown => [START.into(), share].into_iter().chain(shared).collect(),
        // The address was chosen already.
        Network::Windows(_) if is_used => [START, LISTEN, ALLOW].map(str::to_owned).into(),
        Network::Windows(_) => {
            let first = [format!("{START}  # if it isn't running"), share, SHARED.into()];
            first.into_iter().chain([format!("or: {LISTEN}"), ALLOW.into()]).chain(use_it()).collect()
        }
    }
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
