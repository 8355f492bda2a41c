//! The version of an installed Claude Code, as its path or its npm package tells it. Asking the program takes 0.1 s.

use std::path::Path;

use serde_json::Value;

use crate::base::disk;

/// Major, minor and patch.
pub(crate) type Version = (u32, u32, u32);

/// Returns the version of a program, or `None` if its place doesn't tell.
///
/// npm has a `package.json` above the program. The installer has `~/.local/share/claude/versions/2.1.331`, Homebrew
/// `Caskroom/claude-code/2.1.331/claude`, Nix `…-claude-code-2.1.331/bin/claude`.
pub(crate) fn find_version(program: &Path) -> Option<Version> {
    let real = program.canonicalize().ok()?;
    let package = real.ancestors().skip(1).take(2).find_map(|dir| package_version(&dir.join("package.json")));
    package.or_else(|| {
        let parts: Vec<&str> = real.iter().filter_map(|part| part.to_str()).collect();
        let is_claude = |at: usize| parts[at.saturating_sub(2)..=at].iter().any(|part| part.contains("claude"));
        (0..parts.len()).rev().filter(|at| is_claude(*at)).find_map(|at| parts[at].split('-').find_map(parse))
    })
}

fn package_version(file: &Path) -> Option<Version> {
    let package: Value = serde_json::from_slice(&disk::read(file).ok()?).ok()?;
    package["name"].as_str()?.starts_with("@anthropic-ai/claude-code").then(|| parse(package["version"].as_str()?))?
}

fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    let version = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn version_is_read_from_the_place_of_the_program() {
        let dir = tempfile::tempdir().expect("a directory");
        for (place, expected) in [
            ("share/claude/versions/2.1.331", Some((2, 1, 331))),
            ("Caskroom/claude-code/2.1.98/claude", Some((2, 1, 98))),
            ("store/0abc-claude-code-2.0.1/bin/claude", Some((2, 0, 1))),
            ("nodejs/22.3.0/lib/bin/claude", None),
            ("bin/claude", None),
        ] {
            let program = dir.path().join(place);
            fs::create_dir_all(program.parent().expect("a directory")).expect("a directory");
            fs::write(&program, "").expect("a file");
            assert_eq!(find_version(&program), expected, "{place}");
        }
        symlink(dir.path().join("share/claude/versions/2.1.331"), dir.path().join("claude")).expect("a link");
        assert_eq!(find_version(&dir.path().join("claude")), Some((2, 1, 331)));
        assert_eq!(find_version(&dir.path().join("missing")), None);
    }

    #[test]
    fn version_of_an_npm_package_is_read_from_its_package_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let package = dir.path().join("node/v22.3.0/lib/node_modules/@anthropic-ai/claude-code");
        fs::create_dir_all(package.join("bin")).expect("a directory");
        fs::write(package.join("bin/claude.exe"), "").expect("a file");
        let text = r#"{"name": "@anthropic-ai/claude-code", "version": "2.1.331"}"#;
        fs::write(package.join("package.json"), text).expect("a file");
        assert_eq!(find_version(&package.join("bin/claude.exe")), Some((2, 1, 331)));
        fs::write(package.join("package.json"), text.replace("claude-code", "other")).expect("a file");
        assert_eq!(find_version(&package.join("bin/claude.exe")), None);
    }
}
