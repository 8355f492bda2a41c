//! What `/proc` tells (proc(5)). `macos.rs` has the same functions for macOS.

use std::{fs, path::PathBuf};

/// A program that succeeds.
pub const TRUE: &str = "/bin/true";
/// A program that fails.
pub const FALSE: &str = "/bin/false";
/// The directory of temporary files, without links, as the programs show it.
pub const TMP: &str = "/tmp";

/// Returns the PIDs of all processes.
pub fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Returns whether a process was started with this variable, `NAME=value`.
pub fn has_variable(pid: i32, variable: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|found| found == variable.as_bytes())
}

/// Returns the arguments of a process, separated by spaces. Empty if it doesn't run.
pub fn command_line(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

/// Returns the state letter of a process, such as `T` for stopped and `Z` for a zombie.
pub fn process_state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Returns the number by which lclaude's records tell a process apart from others with its PID: when it started, in clock
/// ticks since boot (field 22 of `/proc/PID/stat`).
pub fn start_of(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let fields = &stat[stat.rfind(')').expect("the name in parentheses") + 2..];
    fields.split(' ').nth(19).and_then(|ticks| ticks.parse().ok()).expect("a number")
}

/// Returns the PIDs of a process's children.
pub fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Returns what each open descriptor of a process leads to.
pub fn open_files(pid: i32) -> Vec<PathBuf> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok()).collect()
}
