//! The names of the store's files. Anything else in the directory is left alone.

use super::key::Key;

/// What a file in the directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// `KEY.snapshot`: which file holds the snapshot, its checksum, and what is noted about it. Replacing it is what
    /// replaces a snapshot. Its time of modification is that of the last use.
    Snapshot(Key),
    /// `KEY.RANDOM.slot`: what the server wrote. A name is used only once, so a file that was verified doesn't change.
    Slot(Key),
    /// `KEY.saving`: a lock (`flock`) on saving the snapshot, held by the process that saves it.
    Saving(Key),
    /// `KEY.missed`: the server reused nothing of the snapshot the last time.
    Missed(Key),
    /// `KEY.GROUP.record`. Its time of modification is that of the last use.
    Record { key: Key, group: Key },
    /// `RANDOM.new`: a file that is being written, locked until it has its final name.
    New,
}

impl Name {
    /// Returns what the file with this name is, or `None` if it isn't the store's.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (stem, kind) = name.rsplit_once('.')?;
        let key = |text: &str| Key::try_from(text.to_owned()).ok();
        match kind {
            "snapshot" => Some(Name::Snapshot(key(stem)?)),
            "saving" => Some(Name::Saving(key(stem)?)),
            "missed" => Some(Name::Missed(key(stem)?)),
            "slot" => {
                let (stem, random) = stem.split_once('.')?;
                is_random(random).then(|| key(stem)).flatten().map(Name::Slot)
            }
            "record" => {
                let (stem, group) = stem.split_once('.')?;
                Some(Name::Record { key: key(stem)?, group: key(group)? })
            }
            "new" => is_random(stem).then_some(Name::New),
            _ => None,
        }
    }
}

pub(super) fn snapshot(key: &Key) -> String {
    format!("{key}.snapshot")
}

pub(super) fn slot(key: &Key) -> String {
    format!("{key}.{}.slot", random())
}

pub(super) fn saving(key: &Key) -> String {
    format!("{key}.saving")
}

pub(super) fn missed(key: &Key) -> String {
    format!("{key}.missed")
}

pub(super) fn record(key: &Key, group: &Key) -> String {
    format!("{key}.{group}.record")
}

pub(super) fn new() -> String {
    format!("{}.new", random())
}

fn random() -> String {
    format!("{:016x}", getrandom::u64().unwrap_or_default())
}

fn is_random(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_foreign_ones_are_not_taken() {
        let (key, group) = (Key::of(&1), Key::of(&2));
        for (name, expected) in [
            (snapshot(&key), Name::Snapshot(key.clone())),
            (slot(&key), Name::Slot(key.clone())),
            (saving(&key), Name::Saving(key.clone())),
            (missed(&key), Name::Missed(key.clone())),
            (record(&key, &group), Name::Record { key: key.clone(), group }),
            (new(), Name::New),
        ] {
            assert_eq!(Name::parse(&name), Some(expected), "{name}");
        }
        for foreign in ["notes.txt", "x.snapshot", ".snapshot", "x.new", "../x.slot", &format!("{key}.slot"), ""] {
            assert_eq!(Name::parse(foreign), None, "{foreign}");
        }
    }
}
