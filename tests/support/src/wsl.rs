//! A simulated Windows Subsystem for Linux: WSL's kernel release, Windows drives in `/mnt`, and its network.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::TcpListener,
    os::fd::AsRawFd,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use super::{Stage, lclaude, machine::needs};

/// The kernel releases of WSL, and one that isn't WSL's.
pub const WSL_1: &str = "4.4.0-19041-Microsoft\n";
pub const WSL_2: &str = "5.15.167.4-microsoft-standard-WSL2\n";
pub const LINUX: &str = "6.8.0-generic\n";

/// WSL's own network: this side, and Windows.
const NETWORK: &str = "ip link set lo up && ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip address add 172.30.96.2/20 dev eth0 && ip route add default via 172.30.96.1 dev eth0 \
                       && ip address add 172.30.96.1/32 dev lo";
/// Ollama's address on Windows.
const WINDOWS: &str = "172.30.96.1:11434";

impl Stage {
    /// Creates a stage's Windows drive C, which [`Stage::in_wsl`] mounts. Returns whether this machine allows that.
    #[must_use]
    pub fn needs_wsl(&self) -> bool {
        fs::create_dir_all(self.root().join("mnt/c/npm")).expect("a directory");
        let tried = self.ended(&mut self.in_wsl(LINUX, &self.project(), Path::new("true")));
        needs(format!("a mount namespace ({})", tried.stderr.trim()), tried.code == Some(0))
    }

    /// Returns a command that runs a program in a mount namespace with this kernel release, the stage's `mnt` as `/mnt`
    /// and WSL's own directory in `/run`, in this working directory.
    pub fn in_wsl(&self, release: &str, directory: &Path, program: &Path) -> Command {
        const MOUNT: &str = "set -e; mount --bind \"$1\" /mnt; mount --bind \"$2\" /proc/sys/kernel/osrelease
            mount -t tmpfs tmpfs /run; mkdir /run/WSL; cd \"$3\"
            shift 3; exec \"$@\"";
        let kernel = self.root().join("osrelease");
        fs::write(&kernel, release).expect("a file");
        let mut command = self.command("unshare");
        command.arg(if rustix::process::geteuid().is_root() { "-m" } else { "-rm" });
        command.args(["sh", "-c", MOUNT, "sh"]).arg(self.root().join("mnt")).args([&kernel, directory]).arg(program);
        command.stdin(Stdio::null());
        command
    }

    /// Returns a command that runs lclaude in WSL 2, with this directory in front of PATH.
    pub fn lclaude_in_wsl(&self, first: &str, arguments: &[&str]) -> Command {
        let mut command = self.in_wsl(WSL_2, &self.project(), lclaude());
        command.args(arguments).env("PATH", format!("{first}:{}:/usr/bin:/bin", self.bin().display()));
        command
    }
}

/// The network that a thread had before.
struct Before(File);

impl Drop for Before {
    fn drop(&mut self) {
        // SAFETY: only this thread gets another network.
        let back = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
        assert!(back == 0 || thread::panicking(), "the thread has its old network");
    }
}

/// Runs `run` in a network in which Windows is the gateway, as in WSL. `has_ollama`: whether an Ollama answers there.
/// Returns `None` if this machine doesn't allow that.
pub fn with_windows<T>(has_ollama: bool, run: impl FnOnce() -> T) -> Option<T> {
    match enter(has_ollama) {
        Ok(_before) => Some(run()),
        Err(error) => {
            let _ = needs(format!("a network namespace ({error})"), false);
            None
        }
    }
}

/// Moves this thread into a network of its own, until the returned value is dropped.
fn enter(has_ollama: bool) -> io::Result<Before> {
    let before = Before(File::open("/proc/thread-self/ns/net")?);
    // SAFETY: only this thread gets another network.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let made = Command::new("sh").args(["-c", NETWORK]).status()?;
    if !made.success() {
        return Err(io::Error::other("ip failed"));
    }
    if has_ollama {
        let listener = TcpListener::bind(WINDOWS)?;
        // It ends with the test program.
        thread::spawn(move || listener.incoming().flatten().for_each(answer));
    }
    Ok(before)
}

/// Answers one request as Ollama's `/api/version` does.
fn answer(mut connection: impl Read + Write) {
    let _ = connection.read(&mut [0; 4096]);
    let body = r#"{"version":"0.33.0"}"#;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let _ = write!(connection, "{head}Connection: close\r\n\r\n{body}");
}
