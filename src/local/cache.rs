//! `lclaude local cache`: lists and clears what is kept so that sessions start faster.

use std::{
    io,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::table::{self, Column, always, if_wide};
use crate::{
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        question::{self, Enter},
        ui::{self, format_bytes},
    },
    cli::{CacheArguments, Selection},
    warm::{Entry, Store, Usage},
};

const COLUMNS: [Column; 5] =
    [always("MODEL"), if_wide("PROJECT"), always("TOKENS"), always("SIZE"), always("LAST USED")];

pub(crate) fn run(arguments: CacheArguments) -> Result<u8> {
    let environment = Environment::read()?;
    if arguments.clear {
        // A broken configuration is no reason to keep anything.
        return clear(&Store::at(&environment.places, u64::MAX), arguments.yes);
    }
    let settings = Selection::default().settings_without_warnings(&environment)?;
    let store = Store::at(&environment.places, settings.warm.max_size);
    let entries = store.list();
    let usage = usage(&store)?;
    if arguments.json {
        ui::print_json(&format!("{:#}\n", as_json(&store, settings.warm.enabled, &entries, usage)));
        return Ok(0);
    }
    if !entries.is_empty() {
        table::print(COLUMNS, entries.iter().map(cells));
    }
    let directory = store.directory().display();
    ui::message(match usage.filter(|usage| usage.bytes > 0) {
        Some(usage) => {
            let records = plural(usage.records, "prompt");
            let (used, limit) = (format_bytes(usage.bytes), format_bytes(usage.limit));
            format!(
                "lclaude: {records}, {}; {used} of at most {limit} in {directory}",
                format_bytes(usage.record_bytes)
            )
        }
        None => format!("lclaude: nothing is kept in {directory}"),
    });
    if !settings.warm.enabled {
        ui::message(format_args!(
            "lclaude: warm starts are off (enabled = false in [warm], from {})",
            settings.source("warm.enabled")
        ));
    }
    Ok(0)
}

/// Returns what the store holds, or `None` if it has never been written.
fn usage(store: &Store) -> Result<Option<Usage>> {
    match store.usage() {
        Ok(usage) => Ok(Some(usage)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(store, error)),
    }
}

fn unusable(store: &Store, error: io::Error) -> Failure {
    let directory = store.directory();
    Failure::new(Code::Config, format!("{} cannot be used", directory.display()))
        .cause(error)
        .help(format!("ls -ld {}", ui::quote_path(directory)))
}

fn clear(store: &Store, yes: bool) -> Result<u8> {
    let Some(before) = usage(store)?.filter(|usage| usage.bytes > 0) else {
        ui::message("lclaude: nothing is kept");
        return Ok(0);
    };
    let what = format!(
        "{} and {} ({})",
        plural(store.list().len(), "snapshot"),
        plural(before.records, "prompt"),
        format_bytes(before.bytes)
    );
    if !yes {
        if !ui::can_ask() {
            return Err(Failure::new(Code::Usage, format!("{what} were not removed"))
                .cause("there is no terminal to ask on")
                .help("lclaude local cache --clear --yes"));
        }
        if !question::confirm(&format!("Remove {what}? The next sessions then start slower."), Enter::No) {
            return Err(Failure::new(Code::Refused, format!("{what} were not removed"))
                .cause("you declined")
                .help("lclaude local cache --clear"));
        }
    }
    let (_, bytes) = store.clear().map_err(|error| unusable(store, error))?;
    ui::message(format_args!("lclaude: removed {}", format_bytes(bytes)));
    match store.list().len() {
        0 => {}
        1 => ui::message("lclaude: kept 1 snapshot, which is in use"),
        kept => ui::message(format_args!("lclaude: kept {kept} snapshots, which are in use")),
    }
    Ok(0)
}

fn cells(entry: &Entry) -> [String; 5] {
    let info = &entry.info;
    [
        ui::one_line(&info.model),
        info.project.as_ref().map_or_else(|| "all projects".into(), ui::one_line),
        info.tokens.to_string(),
        format_bytes(entry.bytes),
        ago(entry.used),
    ]
}

/// Returns how long ago a time was, in its largest unit.
fn ago(time: SystemTime) -> String {
    let seconds = SystemTime::now().duration_since(time).unwrap_or_default().as_secs();
    let units = [(24 * 3600, "day"), (3600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length);
    unit.map_or_else(
        || "just now".into(),
        |(length, unit)| format!("{} ago", plural((seconds / length) as usize, unit)),
    )
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn as_json(store: &Store, enabled: bool, entries: &[Entry], usage: Option<Usage>) -> Value {
    let entry = |entry: &Entry| {
        json!({
            "id": entry.key,
            "model": entry.info.model,
            "backend": entry.info.backend,
            "project": entry.info.project,
            "tokens": entry.info.tokens,
            "bytes": entry.bytes,
            // In seconds since 1970.
            "last_used": entry.used.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()),
        })
    };
    json!({
        "enabled": enabled,
        "directory": store.directory(),
        "bytes": usage.map_or(0, |usage| usage.bytes),
        "limit_bytes": usage.map(|usage| usage.limit),
        "prompts": {
            "count": usage.map_or(0, |usage| usage.records),
            "bytes": usage.map_or(0, |usage| usage.record_bytes),
        },
        "snapshots": entries.iter().map(entry).collect::<Vec<_>>(),
    })
}
