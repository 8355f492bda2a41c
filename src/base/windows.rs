//! Recognizes Windows programs, which WSL can start from Linux.
//!
//! WSL passes them none of our environment variables (except those listed in `WSLENV`), so a Windows Claude Code would
//! have no routing and send prompts to Anthropic with the user's own login.

use std::{
    io::Read,
    path::{Component, Path, PathBuf},
};

use super::disk;

/// The endings of files that only Windows runs. (`claude.exe` and the scripts that npm installs.)
const ENDINGS: &[&str] = &["exe", "cmd", "bat", "ps1"];

/// Returns whether a program is a Windows program, or a script for one. It is if it lies on a Windows drive, since npm
/// also installs scripts for `sh` there, which start `node.exe`, or if its name or content says so.
pub(crate) fn is_windows_program(path: &Path) -> bool {
    // Outside of WSL, place and name say nothing.
    let is_named_so = |drives: PathBuf| {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        is_from_windows(&drives, &real)
    };
    drives().is_some_and(is_named_so) || has_windows_header(path)
}

/// Returns whether a path lies on a Windows drive or has the ending of a Windows program. `drives`: the directory of the
/// drives.
fn is_from_windows(drives: &Path, path: &Path) -> bool {
    let is_drive =
        |part: Component| matches!(part.as_os_str().as_encoded_bytes(), [letter] if letter.is_ascii_alphabetic());
    let on_drive = path.strip_prefix(drives).is_ok_and(|rest| rest.components().next().is_some_and(is_drive));
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    on_drive || ENDINGS.contains(&&*ending)
}

/// Returns whether a file starts with `MZ`, as all Windows programs do.
fn has_windows_header(path: &Path) -> bool {
    let mut start = [0; 2];
    disk::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"MZ"
}

/// Returns the directory in which WSL mounts the Windows drives, or `None` outside of WSL.
fn drives() -> Option<PathBuf> {
    let kernel = disk::read_to_string(Path::new("/proc/sys/kernel/osrelease")).ok()?.to_lowercase();
    // Such as 4.4.0-19041-Microsoft and 5.15.167.4-microsoft-standard-WSL2.
    let is_wsl = kernel.contains("microsoft") || kernel.contains("wsl");
    is_wsl.then(|| mount_root(&disk::read_to_string(Path::new("/etc/wsl.conf")).unwrap_or_default()))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn programs_on_windows_drives_are_windows_programs() {
        let npm = "/mnt/c/Users/me/AppData/Roaming/npm/claude";
        for (drives, path, expected) in [
            ("/mnt/", npm, true),
            ("/mnt", "/mnt/D/claude", true),
            ("/", "/c/claude", true),
            ("/mnt/", "/home/me/claude.EXE", true),
            ("/mnt/", "/home/me/claude.cmd", true),
            ("/mnt/", "/mnt/data/claude", false),
            ("/mnt/", "/usr/bin/claude", false),
            ("/windows/", npm, false),
        ] {
            assert_eq!(is_from_windows(Path::new(drives), Path::new(path)), expected, "{drives:?} {path}");
        }
    }

    #[test]
    fn windows_header_is_recognized_everywhere() {
        let dir = tempfile::tempdir().expect("a directory");
        for (content, expected) in [("MZ\u{90}", true), ("M", false), ("#!/bin/sh\n", false), ("\u{7f}ELF", false)] {
            let file = dir.path().join("claude");
            fs::write(&file, content).expect("a file");
            assert_eq!(is_windows_program(&file), expected, "{content:?}");
        }
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
}
