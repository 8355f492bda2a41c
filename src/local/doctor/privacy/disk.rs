//! What sessions leave on the disk, with its size.

use std::{fs, path::Path};

use crate::{
    base::{
        check::{Area, Check},
        environment::Environment,
        ui,
    },
    claude::config_dir,
    warm::Store,
};

const AREA: Area = Area::Disk;
/// Files that are counted; more would take a noticeable time.
const MAX_FILES: usize = 20_000;

pub(super) fn checks(environment: &Environment, is_throwaway: bool) -> Vec<Check> {
    let places = &environment.places;
    let claude = config_dir(environment);
    let warm = Store::at(places, 0);
    let listed = |name, what: &str, path: &Path| {
        let shown = ui::quote_path(path);
        Check::ok(AREA, name, format!("{what}: {shown}, {}", size(path))).help(format!("ls -l {shown}"))
    };
    let throwaway = "lclaude --throwaway leaves none of these but the snapshots that are there: Claude Code gets an empty \
                     home, which is removed at the end, and reads neither history, settings, memory nor login";
    let now = if is_throwaway { " (on by default here)" } else { "" };
    vec![
        listed("history", "Claude Code's conversations, as without lclaude", &claude.join("projects")),
        listed("prompts", "what you typed, as without lclaude", &claude.join("history.jsonl")),
        listed("server logs", "what the servers print, with their keys masked", &places.state.join("logs")),
        listed("state", "trusted projects, last checks and kept homes of lclaude", &places.state),
        listed(
            "snapshots",
            "what servers have read of Claude Code's own prompt, nothing that you type",
            warm.directory(),
        )
        .help("lclaude local cache"),
        listed("private files", "sockets and settings of running sessions, removed with them; locks of servers stay", places.runtime_name()),
        Check::ok(AREA, "throwaway", format!("{throwaway}{now}"))
            .help("ls ~/.claude/projects; lclaude --throwaway -p hi; ls ~/.claude/projects"),
    ]
}

/// Returns the size of a file, or of all files in a directory. Links are not followed.
fn size(path: &Path) -> String {
    let (mut bytes, mut files) = (0_u64, 0);
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()).take(MAX_FILES));
            continue;
        }
        bytes = bytes.saturating_add(meta.len());
        files += 1;
        if files >= MAX_FILES {
            return format!("more than {}", ui::format_bytes(bytes));
        }
    }
    if files == 0 { "nothing yet".into() } else { ui::format_bytes(bytes) }
}
