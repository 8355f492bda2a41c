//! The Windows Subsystem for Linux: whether this is one, and where Windows is from there.
//!
//! WSL 2 runs Linux's own kernel in a virtual machine. WSL 1 only imitates Linux 4.4: it tells nobody which sockets
//! listen (microsoft/WSL#2249), on which the protection of a backend's port depends.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::disk;

/// The command, for Windows, that turns WSL 1 into WSL 2.
pub(crate) const UPGRADE: &str = "wsl.exe --set-version NAME 2  # in PowerShell; wsl.exe --list shows the name";

/// The command that edits WSL's settings in Windows. `wsl.exe --shutdown` applies them.
const EDIT_SETTINGS: &str = r"cmd.exe /c 'notepad %UserProfile%\.wslconfig'";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// How programs in WSL reach servers on Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// 127.0.0.1 is the same on both sides (`networkingMode=mirrored` or `consomme`, formerly `virtioproxy`).
    Shared,
    /// Windows has this address, which may change whenever it restarts (`networkingMode=nat`, the default).
    Windows(Ipv4Addr),
    Unknown,
}

/// Returns the version of WSL, or `None` outside of it. A container in WSL has the same kernel and counts as WSL.
pub(crate) fn version() -> Option<Version> {
    static VERSION: OnceLock<Option<Version>> = OnceLock::new();
    if !cfg!(target_os = "linux") {
        return None;
    }
    let read = || version_of(&disk::read_to_string(Path::new("/proc/sys/kernel/osrelease")).ok()?);
    *VERSION.get_or_init(read)
}

/// Returns the version of WSL that has a kernel with this release, such as `4.4.0-19041-Microsoft` or
/// `5.15.167.4-microsoft-standard-WSL2`. Kernels that users build have names of their own, but usually keep `WSL2`.
fn version_of(release: &str) -> Option<Version> {
    let release = release.trim();
    let lower = release.to_lowercase();
    if release.ends_with("-Microsoft") {
        Some(Version::One)
    } else {
        (lower.contains("microsoft") || lower.contains("wsl")).then_some(Version::Two)
    }
}

/// Returns whether Linux runs programs that are made for all systems. They begin like Windows programs, and WSL has Windows
/// run all of those (`WSLInterop`), unless the user has turned that off or registered `APE` (llamafile's README).
pub(crate) fn runs_portable_programs() -> bool {
    runs_portable(Path::new("/proc/sys/fs/binfmt_misc"))
}

fn runs_portable(formats: &Path) -> bool {
    let has = |name: &str| formats.join(name).exists();
    has("APE") || !has("WSLInterop") && !has("WSLInterop-late")
}

/// Returns the directory in which WSL mounts the Windows drives, or `None` outside of WSL.
pub(crate) fn drives() -> Option<PathBuf> {
    version().map(|_| mount_root(&disk::read_to_string(Path::new("/etc/wsl.conf")).unwrap_or_default()))
}

/// Returns `root` of `[automount]` in `wsl.conf`, or its default.
fn mount_root(configuration: &str) -> PathBuf {
    let mut section = "";
    let mut root = "/mnt/";
    for line in configuration.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.trim();
        } else if let Some((key, value)) = line.split_once('=')
            && section.eq_ignore_ascii_case("automount")
            && key.trim().eq_ignore_ascii_case("root")
        {
            root = value.trim().trim_matches('"');
        }
    }
    root.into()
}

/// Returns how Windows is reached, or `None` outside of WSL 2.
pub(crate) fn network() -> Option<Network> {
    if version()? == Version::One {
        return None;
    }
    // WSL makes this interface when it shares the network with Windows.
    if Path::new("/sys/class/net/loopback0").exists() {
        return Some(Network::Shared);
    }
    // A container has a network of its own, and no WSL directory.
    if !Path::new("/run/WSL").exists() {
        return Some(Network::Unknown);
    }
    let routes = disk::read_to_string(Path::new("/proc/net/route")).unwrap_or_default();
    Some(gateway(&routes).map_or(Network::Unknown, Network::Windows))
}

/// Returns the gateway of the default route in the text of `/proc/net/route`, or `None` if that isn't on WSL's own
/// interface, but on a VPN's. Each line has the interface, the destination, the gateway and others, in hexadecimal
/// digits in the byte order of the machine.
fn gateway(routes: &str) -> Option<Ipv4Addr> {
    let default = routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (interface, destination, gateway) = (fields.next()?, fields.next()?, fields.next()?);
        let mask = fields.nth(4)?;
        let address = Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes());
        let is_default = destination == "00000000" && mask == "00000000" && !address.is_unspecified();
        is_default.then_some((interface, address))
    });
    default.filter(|(interface, _)| *interface == "eth0").map(|(_, address)| address)
}

/// Returns the host at which Windows is reached, or `HOST` if that is unknown.
pub(crate) fn windows_host() -> String {
    match network() {
        Some(Network::Shared) => Ipv4Addr::LOCALHOST.to_string(),
        Some(Network::Windows(address)) => address.to_string(),
        Some(Network::Unknown) | None => "HOST".into(),
    }
}

/// Returns the URL on Windows of a server that isn't at `url`, or `None` if `url` isn't one of this machine's own or
/// Windows has no address of its own.
pub(crate) fn url_on_windows(url: &str) -> Option<String> {
    let Some(Network::Windows(address)) = network() else {
        return None;
    };
    on_host(url, address)
}

fn on_host(url: &str, address: Ipv4Addr) -> Option<String> {
    let mut url = reqwest::Url::parse(url).ok()?;
    let host = url.host_str()?;
    let is_loopback = host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    if !is_loopback && !matches!(host, "localhost" | "[::1]") {
        return None;
    }
    url.set_ip_host(address.into()).ok()?;
    Some(url.to_string().trim_end_matches('/').to_owned())
}

/// Returns the command with which the user changes a setting of WSL.
pub(crate) fn set(setting: &str, why: &str) -> String {
    format!("{EDIT_SETTINGS}  # set {setting} under [wsl2]{why}, then run: wsl.exe --shutdown")
}

/// Returns whether a path lies on a Windows drive.
pub(crate) fn is_on_drive(path: &Path) -> bool {
    drives().is_some_and(|drives| is_in(&drives, &path.canonicalize().unwrap_or_else(|_| path.to_owned())))
}

/// Returns whether a path lies in the directory of WSL's graphics, which all distributions share. WSL sets
/// `XDG_RUNTIME_DIR` to a place there if systemd doesn't run.
pub(crate) fn is_shared(path: &Path) -> bool {
    drives().is_some_and(|drives| path.starts_with(drives.join("wslg")))
}

/// Returns whether a path lies on a drive, given the directory of the drives.
pub(super) fn is_in(drives: &Path, path: &Path) -> bool {
    let drive = path.strip_prefix(drives).ok().and_then(|rest| rest.components().next());
    drive.is_some_and(|drive| matches!(drive.as_os_str().as_encoded_bytes(), [letter] if letter.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_follows_from_the_kernel() {
        for (release, version) in [
            ("4.4.0-19041-Microsoft\n", Some(Version::One)),
            ("4.19.128-microsoft-standard\n", Some(Version::Two)),
            ("5.15.167.4-microsoft-standard-WSL2\n", Some(Version::Two)),
            ("6.6.36.3-custom-WSL2+\n", Some(Version::Two)),
            ("6.8.0-1015-azure\n", None),
            ("6.18.0\n", None),
        ] {
            assert_eq!(version_of(release), version, "{release}");
        }
    }

    #[test]
    fn portable_programs_run_where_windows_does_not_get_them() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(runs_portable(dir.path()));
        std::fs::write(dir.path().join("WSLInterop"), "").expect("a file");
        assert!(!runs_portable(dir.path()));
        std::fs::write(dir.path().join("APE"), "").expect("a file");
        assert!(runs_portable(dir.path()));
    }

    #[test]
    fn mount_root_is_read_from_the_configuration() {
        assert_eq!(mount_root(""), Path::new("/mnt/"));
        assert_eq!(mount_root("[network]\nroot = /x/\n"), Path::new("/mnt/"));
        assert_eq!(
            mount_root("[boot]\nsystemd=true\n[ automount ]\n# x\nRoot = \"/drives/\"\n"),
            Path::new("/drives/")
        );
    }

    #[test]
    fn drives_have_one_letter() {
        for (drives, path, expected) in [
            ("/mnt/", "/mnt/c/Users/me/project", true),
            ("/mnt", "/mnt/D/project", true),
            ("/", "/c/project", true),
            ("/mnt/", "/mnt/data/project", false),
            ("/mnt/", "/mnt/wslg/runtime-dir", false),
            ("/mnt/", "/home/me", false),
            ("/mnt/", "/mnt", false),
            ("/windows/", "/mnt/c/project", false),
        ] {
            assert_eq!(is_in(Path::new(drives), Path::new(path)), expected, "{drives} {path}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn gateway_is_that_of_the_default_route() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        let local = "eth0\t00601EAC\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0\n";
        let half = "tun0\t00000000\t0100000A\t0003\t0\t0\t0\t00000080\t0\t0\t0\n";
        let default = "eth0\t00000000\t01601EAC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        let windows = Some(Ipv4Addr::new(172, 30, 96, 1));
        let vpn = "tun0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(gateway(&[head, local, half, default].concat()), windows);
        for none in ["", head, &[head, local, half].concat(), &[head, vpn, default].concat(), "one line\neth0\n"] {
            assert_eq!(gateway(none), None, "{none}");
        }
    }

    #[test]
    fn only_own_addresses_have_a_twin_on_windows() {
        let windows = Ipv4Addr::new(172, 30, 96, 1);
        for (url, expected) in [
            ("http://127.0.0.1:11434", Some("http://172.30.96.1:11434")),
            ("http://localhost:1234/v1", Some("http://172.30.96.1:1234/v1")),
            ("http://[::1]:8080", Some("http://172.30.96.1:8080")),
            ("http://172.30.96.1:11434", None),
            ("https://gateway.example.com", None),
        ] {
            assert_eq!(on_host(url, windows).as_deref(), expected, "{url}");
        }
    }
}
