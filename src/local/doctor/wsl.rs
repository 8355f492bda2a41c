//! Checks what is special in the Windows Subsystem for Linux. Outside of it there are no such checks.

use std::path::Path;

use crate::base::{
    check::{Area, Check},
    environment::Environment,
    ui,
    wsl::{self, Network, Version},
};

const AREA: Area = Area::Machine;

/// Adds the checks.
pub(crate) fn check(environment: &Environment, checks: &mut Vec<Check>) {
    let Some(version) = wsl::version() else {
        return;
    };
    checks.push(system(version));
    let directory = environment.working_dir().unwrap_or(environment.home());
    if wsl::is_on_drive(directory) {
        checks.push(on_drive(directory));
    }
}

fn system(version: Version) -> Check {
    let network = match (version, wsl::network()) {
        (Version::One, _) => {
            return Check::warning(AREA, "wsl", "this is WSL 1, in which no backend can be started")
                .cause("it doesn't tell which program listens on a port")
                .help(wsl::UPGRADE);
        }
        (_, Some(Network::Shared)) => "127.0.0.1 is shared with Windows".into(),
        (_, Some(Network::Windows(address))) => format!("Windows has the address {address}"),
        (_, Some(Network::Unknown) | None) => "the address of Windows is unknown".into(),
    };
    Check::ok(AREA, "wsl", format!("WSL 2; {network}"))
}

fn on_drive(directory: &Path) -> Check {
    Check::warning(AREA, "project directory", format!("{} is on a Windows drive", directory.display()))
        .cause("WSL reads and writes files there many times slower than its own")
        .help(format!("cp -r {} ~/  # work in the copy", ui::quote_path(directory)))
}
