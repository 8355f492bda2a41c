//! Recognizes Windows programs, which WSL can start from Linux.
//!
//! WSL passes them none of our environment variables (except those listed in `WSLENV`), so a Windows Claude Code would
//! have no routing and send prompts to Anthropic with the user's own login.

use std::{
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
};

use super::{disk, programs, wsl};

/// The endings of files that only Windows runs. (`claude.exe` and the scripts that npm installs.)
const ENDINGS: &[&str] = &["exe", "cmd", "bat", "ps1"];
/// How Windows programs and Linux programs begin.
const WINDOWS: &[u8] = b"MZ";
const ELF: &[u8] = b"\x7fELF";
/// How programs for all systems begin, such as llamafiles (Actually Portable Executables).
const PORTABLE: &[u8] = b"MZqFpD=";

/// Returns whether a program that was found by its name is a Windows program, or a script for one: on a Windows drive,
/// npm also installs scripts for `sh`, which start `node.exe`. There are none outside of WSL.
pub(crate) fn is_windows_program(path: &Path) -> bool {
    wsl::version().is_some() && (is_for_windows(path) || wsl::is_on_drive(path) && !is_for_linux(path))
}

/// Returns whether Windows runs a file, by its ending or its first bytes. It runs none outside of WSL.
pub(crate) fn is_windows_binary(path: &Path) -> bool {
    wsl::version().is_some() && is_for_windows(path)
}

/// Returns the Windows programs with this name, with or without `.exe`.
pub(crate) fn programs(name: &str) -> impl Iterator<Item = PathBuf> {
    let names = wsl::version().map(|_| [name.to_owned(), format!("{name}.exe")]);
    let all = names.into_iter().flatten().flat_map(|name| programs::find_all(&name).collect::<Vec<_>>());
    all.filter(|path| is_windows_program(path))
}

/// Returns whether a shell finds a program, and not a Windows program before it.
pub(crate) fn is_native_on_path(name: &str) -> bool {
    which::which(name).is_ok_and(|path| !is_windows_program(&path))
}

fn is_for_windows(path: &Path) -> bool {
    has_windows_ending(path) || starts_with(path, WINDOWS) && !is_for_linux(path)
}

fn is_for_linux(path: &Path) -> bool {
    starts_with(path, ELF) || starts_with(path, PORTABLE) && wsl::runs_portable_programs()
}

fn has_windows_ending(path: &Path) -> bool {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let ending = real.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    ENDINGS.contains(&&*ending)
}

fn starts_with(path: &Path, magic: &[u8]) -> bool {
    let mut start = vec![0; magic.len()];
    disk::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == magic
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn endings_of_windows_programs_are_recognized() {
        for (path, expected) in [
            ("/home/me/claude.EXE", true),
            ("/home/me/claude.cmd", true),
            ("/home/me/claude.ps1", true),
            ("/home/me/claude.sh", false),
            ("/usr/bin/claude", false),
        ] {
            assert_eq!(has_windows_ending(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn windows_header_is_recognized() {
        let dir = tempfile::tempdir().expect("a directory");
        for (content, expected) in [("MZ\u{90}", true), ("M", false), ("#!/bin/sh\n", false), ("\u{7f}ELF", false)] {
            let file = dir.path().join("claude");
            fs::write(&file, content).expect("a file");
            assert_eq!(is_for_windows(&file), expected, "{content:?}");
        }
    }
}
