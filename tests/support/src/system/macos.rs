//! What macOS and its programs tell. `linux.rs` has the same functions for Linux.

use std::{mem, path::PathBuf, process::Command, ptr};

/// A program that succeeds.
pub const TRUE: &str = "/usr/bin/true";
/// A program that fails.
pub const FALSE: &str = "/usr/bin/false";
/// The directory of temporary files, without links, as the programs show it.
pub const TMP: &str = "/private/tmp";

/// Returns what a program prints.
fn ask(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it comes with macOS");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn numbers(text: &str) -> Vec<i32> {
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Returns the PIDs of all processes.
pub fn pids() -> Vec<i32> {
    numbers(&ask("/bin/ps", &["-axo", "pid="]))
}

/// Returns whether a process was started with this variable, `NAME=value`. Of Apple's own programs that is unknown
/// (`KERN_PROCARGS2` in `sysctl_procargsx` of xnu).
pub fn has_variable(pid: i32, variable: &str) -> bool {
    let mut buffer = vec![0u8; 1024 * 1024];
    let mut size = buffer.len();
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    // SAFETY: the name has three numbers, and the buffer is `size` bytes and lives through the call.
    let result =
        unsafe { libc::sysctl(name.as_mut_ptr(), 3, buffer.as_mut_ptr().cast(), &raw mut size, ptr::null_mut(), 0) };
    buffer.truncate(if result == 0 { size } else { 0 });
    buffer.split(|&byte| byte == 0).any(|found| found == variable.as_bytes())
}

/// Returns the arguments of a process, separated by spaces. Empty if it doesn't run.
pub fn command_line(pid: i32) -> String {
    ask("/bin/ps", &["-ww", "-o", "command=", "-p", &pid.to_string()]).trim_end().to_owned()
}

/// Returns the state letter of a process, such as `T` for stopped and `Z` for a zombie (ps(1)).
pub fn process_state(pid: i32) -> Option<char> {
    ask("/bin/ps", &["-o", "state=", "-p", &pid.to_string()]).trim().chars().next()
}

/// Returns the number by which lclaude's records tell a process apart from others with its PID: the microsecond of its
/// start, and the last 12 bits of its unique ID.
pub fn start_of(pid: u32) -> u64 {
    /// `PROC_PIDT_BSDINFOWITHUNIQID` and what it fills (`bsd/sys/proc_info_private.h` of xnu).
    const INFO_WITH_UNIQUE_ID: libc::c_int = 18;
    #[repr(C)]
    struct Info {
        process: libc::proc_bsdinfo,
        executable: [u8; 16],
        unique_id: u64,
        others: [u64; 4],
    }
    // SAFETY: Info consists of integers, so all zeros is a valid value.
    let mut info: Info = unsafe { mem::zeroed() };
    let size = size_of::<Info>() as libc::c_int;
    // SAFETY: the buffer is `size` bytes and lives through the call.
    let written =
        unsafe { libc::proc_pidinfo(pid.cast_signed(), INFO_WITH_UNIQUE_ID, 0, (&raw mut info).cast(), size) };
    assert_eq!(written, size, "the process runs");
    let microsecond = info.process.pbi_start_tvsec * 1_000_000 + info.process.pbi_start_tvusec;
    microsecond << 12 | info.unique_id & 0xfff
}

/// Returns the PIDs of a process's children.
pub fn children(pid: i32) -> Vec<i32> {
    numbers(&ask("/usr/bin/pgrep", &["-P", &pid.to_string()]))
}

/// Returns what each open descriptor of a process leads to.
pub fn open_files(pid: i32) -> Vec<PathBuf> {
    let list = ask("/usr/sbin/lsof", &["-n", "-P", "-a", "-p", &pid.to_string(), "-d", "0-9999", "-F", "n"]);
    list.lines().filter_map(|line| line.strip_prefix('n')).map(PathBuf::from).collect()
}
