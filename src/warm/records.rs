//! Records: one JSON value a key, in groups.

use std::{io, time::SystemTime};

use serde_json::Value;

use super::{
    directory::{self, Directory},
    key::Key,
    names::{self, Name},
};

/// The largest record, in bytes.
const MAX_SIZE: u64 = 4_000_000;
/// Records that are kept. The least recently used go first.
const MAX_RECORDS: usize = 64;

/// A record's file.
struct Record {
    key: Key,
    group: Key,
    name: String,
    used: SystemTime,
}

/// Returns a record, and marks it as used if `touches`.
pub(super) fn read(directory: &Directory, key: &Key, touches: bool) -> io::Result<Option<Value>> {
    let records = list(directory)?;
    let Some(record) = records.iter().find(|record| record.key == *key) else {
        return Ok(None);
    };
    if touches {
        directory.open_file(&record.name)?.set_modified(SystemTime::now())?;
    }
    content(directory, &record.name).map(Some)
}

/// Returns the most recently used record of a group that can be read.
pub(super) fn newest(directory: &Directory, group: &Key) -> io::Result<Option<(Key, Value)>> {
    let records = list(directory)?.into_iter().filter(|record| record.group == *group);
    Ok(records.rev().find_map(|record| Some((record.key, content(directory, &record.name).ok()?))))
}

/// Replaces a record, and removes those that are too many.
pub(super) fn write(directory: &Directory, key: &Key, group: &Key, record: &Value) -> io::Result<()> {
    let content = serde_json::to_vec(record)?;
    if content.len() as u64 > MAX_SIZE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 4 MB"));
    }
    let name = names::record(key, group);
    directory.write(&name, &content)?;
    let records = list(directory)?;
    let (same, mut others): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| record.key == *key);
    others.truncate(others.len().saturating_sub(MAX_RECORDS - 1));
    for record in same.into_iter().filter(|record| record.name != name).chain(others) {
        directory.remove(&record.name);
    }
    Ok(())
}

/// Removes a record.
pub(super) fn remove(directory: &Directory, key: &Key) {
    for record in list(directory).unwrap_or_default().into_iter().filter(|record| record.key == *key) {
        directory.remove(&record.name);
    }
}

fn content(directory: &Directory, name: &str) -> io::Result<Value> {
    let (content, _) = directory.read(name, MAX_SIZE)?;
    directory::parse(&content)
}

/// Returns the records, the least recently used first.
fn list(directory: &Directory) -> io::Result<Vec<Record>> {
    let record = |(kind, name): (Name, String)| {
        let Name::Record { key, group } = kind else { return None };
        let used = directory.metadata(&name)?.modified().ok()?;
        Some(Record { key, group, name, used })
    };
    let mut records: Vec<Record> = directory.files()?.into_iter().filter_map(record).collect();
    records.sort_by(|one, other| (one.used, &one.key).cmp(&(other.used, &other.key)));
    Ok(records)
}
