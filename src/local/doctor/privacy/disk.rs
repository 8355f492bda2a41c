//! What sessions leave on the disk, with its size.

use std::{fs, path::Path};

use crate::{
    base::{
        check::{Area, Check},
        environment::Environment,
        ui,
    },
    claude::config_dir,
    cli::Selection,
    warm::Store,
};

const AREA: Area = Area::Disk;
/// Files and directories that are looked at; more would take a noticeable time.
const MAX_ENTRIES: usize = 20_000;

pub(super) fn checks(environment: &Environment, is_throwaway: bool, choice: &Selection) -> Vec<Check> {
    let places = &environment.places;
    let claude = config_dir(environment);
    let warm = Store::at(places, 0);
    let listed = |name, what: &str, path: &Path| {
        let shown = ui::quote_path(path);
        Check::ok(AREA, name, format!("{what}: {shown}, {}", size(path, None, MAX_ENTRIES)))
            .help(format!("du -sh {shown}"))
    };
    let (history, logs) = (claude.join("projects"), places.state.join("logs"));
    let state = ui::quote_path(&places.state);
    let state_size = size(&places.state, Some(&logs), MAX_ENTRIES);
    let list = format!("ls {}", ui::quote_path(&history));
    let throwaway = "lclaude --throwaway leaves none of these but the snapshots that are there: Claude Code gets an empty \
                     home, which is removed at the end, and reads neither history, settings, memory nor login";
    let now = if is_throwaway { " (on by default here)" } else { "" };
    vec![
        listed("history", "Claude Code's conversations, as without lclaude", &history),
        listed("prompts", "what you typed, as without lclaude", &claude.join("history.jsonl")),
        listed("server logs", "what the servers print, with their keys masked", &logs),
        Check::ok(
            AREA,
            "state",
            format!("trusted projects, last checks and kept homes of lclaude, besides the logs: {state}, {state_size}"),
        )
        .help(format!("du -sh {state}/*")),
        listed(
            "snapshots",
            "what servers have read of Claude Code's own prompt, nothing that you type",
            warm.directory(),
        )
        .help("lclaude local cache"),
        listed(
            "private files",
            "sockets and settings of running sessions, removed with them; locks of servers stay",
            places.runtime_name(),
        ),
        Check::ok(AREA, "throwaway", format!("{throwaway}{now}"))
            .help(format!("{list}; {} --throwaway -p hi; {list}", choice.session_line())),
    ]
}

/// Returns the size of a file, or of all files in a directory except in `other`. Links are not followed.
///
/// `most`: the files and directories that are looked at.
fn size(path: &Path, other: Option<&Path>, most: usize) -> String {
    let (mut bytes, mut files, mut entries) = (0_u64, 0, 0);
    let mut left = vec![path.to_owned()];
    let mut is_complete = true;
    while let Some(path) = left.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if !meta.is_dir() {
            bytes = bytes.saturating_add(meta.len());
            files += 1;
            continue;
        }
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            if entries == most {
                is_complete = false;
                break;
            }
            entries += 1;
            left.extend(Some(entry.path()).filter(|path| Some(&**path) != other));
        }
    }
    match (is_complete, files) {
        (false, _) => format!("more than {}", ui::format_bytes(bytes)),
        (true, 0) => "nothing yet".into(),
        (true, _) => ui::format_bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_counts() {
        let root = tempfile::tempdir().expect("a directory");
        for number in 0..5 {
            fs::create_dir(root.path().join(number.to_string())).expect("a directory");
        }
        assert_eq!(size(root.path(), None, 4), "more than 0 kB");
        assert_eq!(size(root.path(), None, 5), "nothing yet");
        fs::write(root.path().join("0/file"), [0; 2_000]).expect("a file");
        assert_eq!(size(root.path(), None, 6), "2 kB");
        assert_eq!(size(root.path(), Some(&root.path().join("0")), 6), "nothing yet");
    }
}
