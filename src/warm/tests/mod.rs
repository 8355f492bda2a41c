//! Tests of the store: this file has what they share, and what a store does when nothing goes wrong.

mod damage;
mod processes;

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, WaitOptions, waitpid};
use serde_json::{Value, json};

use super::{Key, SnapshotInfo, Store};

const MB: u64 = 1_000_000;
/// Where a child writes, as `DIRECTORY`, `MAX_SIZE` and the content's byte.
const CHILD: &str = "LCLAUDE_TEST_WARM";

/// A store in a directory of its own.
struct Place {
    root: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new(max_size: u64) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let store = Store::new(root.path().join("cache/lclaude/warm"), max_size, true);
        Place { root, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.store.directory().join(name)
    }

    /// Returns the names of all files, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.directory()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Returns the only name with this ending.
    fn name(&self, ending: &str) -> String {
        let mut names = self.names();
        names.retain(|name| name.ends_with(ending));
        assert_eq!(names.len(), 1, "{names:?}");
        names.remove(0)
    }

    /// Makes a snapshot or record the one that was used this many seconds ago.
    fn age(&self, ending: &str, seconds: u64) {
        let file = fs::File::open(self.path(&self.name(ending))).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).expect("a time");
    }

    fn keys(&self) -> Vec<Key> {
        self.store.list().into_iter().map(|entry| entry.key).collect()
    }

    /// Starts a process that saves 1000 bytes under key 1.
    fn child(&self, content: &str, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env::current_exe().expect("a path"));
        command
            .args(["--exact", "warm::tests::processes::process_that_saves", "--ignored", "--nocapture"])
            .env(CHILD, format!("{}:{content}", self.store.directory().display()))
            .envs(variables.iter().copied())
            .stdout(Stdio::piped());
        command
    }

    /// Starts such a process and waits until it has stopped at `point`.
    fn stopped_at(&self, point: &str, content: &str) -> Stopped {
        let armed = self.root.path().join("armed");
        fs::write(&armed, "").expect("a file");
        let at = format!("{point}:{}", armed.display());
        let child = self.child(content, &[("STOP_LCLAUDE_AT", &at)]).spawn().expect("a process");
        let (_, status) = waitpid(pid(&child), WaitOptions::UNTRACED).expect("a child").expect("a change");
        assert!(status.stopped(), "{point} was not reached");
        Stopped(child)
    }
}

/// A process that is killed when this value is dropped, since nobody else would wake it after a failure.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id().cast_signed())
}

fn info(tokens: u64) -> SnapshotInfo {
    SnapshotInfo { model: "tiny".into(), backend: "llamacpp".into(), tokens, project: None }
}

/// Saves a snapshot as a server would write it.
fn save(store: &Store, key: &Key, content: &[u8]) -> bool {
    let Some(pending) = store.begin_save(key, content.len() as u64) else {
        return false;
    };
    fs::write(store.directory().join(pending.name()), content).expect("the server writes");
    pending.commit(info(content.len() as u64))
}

/// Returns the content of a snapshot, as a server would restore it.
fn restore(store: &Store, key: &Key) -> Option<Vec<u8>> {
    let file = store.open_snapshot(key)?;
    let content = fs::read(store.directory().join(&file.name)).expect("the server reads");
    assert_eq!((file.bytes, file.tokens), (content.len() as u64, content.len() as u64));
    Some(content)
}

#[test]
fn key_is_the_same_for_the_same_parts_only() {
    let key = Key::of(&("model", 7));
    assert_eq!(key, Key::of(&("model", 7)));
    assert_ne!(key, Key::of(&("model", 8)));
    assert_eq!(serde_json::from_value::<Key>(json!(key)).ok(), Some(key));
    for wrong in ["", "../../etc", "ABCDEF00000000000000000000000000", "0000000000000000000000000000000g"] {
        assert!(serde_json::from_value::<Key>(json!(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn snapshot_is_private_and_restored_by_another_process() {
    let place = Place::new(MB);
    let key = Key::of(&1);
    assert!(!place.store.has_snapshot(&key) && place.store.open_snapshot(&key).is_none());
    assert!(!place.store.directory().exists(), "reading creates nothing");
    assert!(save(&place.store, &key, b"cache"));
    let other = Store::new(place.store.directory().to_owned(), MB, false);
    assert!(other.has_snapshot(&key));
    assert_eq!(restore(&other, &key).as_deref(), Some(&b"cache"[..]));
    let mode = |path: &Path| fs::metadata(path).expect("a file").mode() & 0o7777;
    assert_eq!(mode(place.store.directory()), 0o700);
    assert_eq!(place.names().len(), 2);
    place.names().iter().for_each(|name| assert_eq!(mode(&place.path(name)), 0o600, "{name}"));
    // A second one replaces it.
    assert!(save(&place.store, &key, b"newer"));
    assert_eq!(restore(&place.store, &key).as_deref(), Some(&b"newer"[..]));
    assert_eq!(place.names().len(), 2);
    let listed = place.store.list();
    assert_eq!((listed.len(), listed[0].bytes, &listed[0].info), (1, 5, &info(5)));
    place.store.remove_snapshot(&key);
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn least_recently_used_snapshots_make_room() {
    // The descriptions take some hundred bytes each.
    let place = Place::new(12_000);
    let keys: Vec<Key> = (0..5).map(|number| Key::of(&number)).collect();
    let content = [7; 3000];
    for (age, key) in (0..3).zip(&keys) {
        assert!(save(&place.store, key, &content));
        place.age(&format!("{key}.snapshot"), 100 - age);
    }
    assert_eq!(place.keys(), [&keys[2], &keys[1], &keys[0]].map(Clone::clone));
    assert!(restore(&place.store, &keys[0]).is_some(), "it is the newest now");
    assert!(save(&place.store, &keys[3], &content));
    assert_eq!(place.keys().len(), 3, "four don't fit");
    assert!(!place.store.has_snapshot(&keys[1]), "it was the oldest");
    // One that is in use stays, though it is the oldest.
    let in_use = place.store.open_snapshot(&keys[2]).expect("a snapshot");
    place.age(&format!("{}.snapshot", keys[2]), 200);
    assert!(save(&place.store, &keys[4], &[7; 6000]));
    assert!(place.store.has_snapshot(&keys[2]) && place.store.has_snapshot(&keys[4]));
    assert_eq!(place.keys().len(), 2);
    drop(in_use);
    let usage = place.store.usage().expect("a store");
    assert!(usage.bytes <= usage.limit && usage.limit == 12_000, "{usage:?}");
}

#[test]
fn snapshot_that_cannot_fit_removes_no_other() {
    let place = Place::new(10_000);
    let (small, large) = (Key::of(&1), Key::of(&2));
    assert!(save(&place.store, &small, b"cache"));
    assert!(place.store.begin_save(&large, 10_001).is_none());
    // One that turns out larger than expected isn't kept.
    let pending = place.store.begin_save(&large, 10).expect("it fits");
    fs::write(place.path(pending.name()), vec![7; 20_000]).expect("a file");
    assert!(!pending.commit(info(1)));
    assert!(!place.store.has_snapshot(&large));
    // One that the server never wrote isn't either.
    assert!(!place.store.begin_save(&large, 10).expect("it fits").commit(info(1)));
    assert!(place.names().iter().all(|name| name.starts_with(&small.to_string())), "{:?}", place.names());
}

#[test]
fn second_miss_in_a_row_removes_a_snapshot() {
    let place = Place::new(MB);
    let key = Key::of(&1);
    place.store.miss(&key);
    assert!(save(&place.store, &key, b"cache"));
    place.store.miss(&key);
    place.store.hit(&key);
    place.store.miss(&key);
    assert!(place.store.has_snapshot(&key), "a hit was between them");
    // What was missed was the old one.
    assert!(save(&place.store, &key, b"newer"));
    place.store.miss(&key);
    assert!(place.store.has_snapshot(&key));
    place.store.miss(&key);
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn records_are_found_by_key_and_by_group() {
    let place = Place::new(MB);
    let (group, other) = (Key::of(&"group"), Key::of(&"other"));
    let record = |number: u64| json!({"z": number, "a": [1.5, "text"]});
    assert!(place.store.record(&Key::of(&1)).is_none() && place.store.newest_record(&group).is_none());
    for number in 1..=3 {
        place.store.set_record(&Key::of(&number), &group, &record(number));
        place.age(&format!("{}.{group}.record", Key::of(&number)), 100 - number);
    }
    place.store.set_record(&Key::of(&4), &other, &record(4));
    let text = |record: Option<Value>| record.expect("a record").to_string();
    assert_eq!(text(place.store.record(&Key::of(&4))), record(4).to_string(), "the order of keys stays");
    assert_eq!(place.store.newest_record(&group).map(|(key, _)| key), Some(Key::of(&3)));
    assert_eq!(text(place.store.record(&Key::of(&1))), record(1).to_string());
    assert_eq!(place.store.newest_record(&group).map(|(key, _)| key), Some(Key::of(&1)), "it was used last");
    // It changes its group, and its content.
    place.store.set_record(&Key::of(&1), &other, &record(5));
    assert_eq!(place.store.newest_record(&group).map(|(key, _)| key), Some(Key::of(&3)));
    assert_eq!(text(place.store.record(&Key::of(&1))), record(5).to_string());
    // A damaged one is removed.
    fs::write(place.path(&place.name(&format!("{}.{group}.record", Key::of(&3)))), "{\"z\":").expect("a file");
    assert_eq!(place.store.newest_record(&group).map(|(key, _)| key), Some(Key::of(&2)));
    assert!(place.store.record(&Key::of(&3)).is_none());
    assert_eq!(place.names().len(), 3);
}

#[test]
fn records_are_bounded_in_number_and_size() {
    let place = Place::new(MB);
    let group = Key::of(&"group");
    for number in 0..70 {
        place.store.set_record(&Key::of(&number), &group, &json!(number));
        place.age(&format!("{}.{group}.record", Key::of(&number)), 1000 - number);
    }
    let usage = place.store.usage().expect("a store");
    assert_eq!(usage.records, 64);
    assert!(place.store.record(&Key::of(&5)).is_none() && place.store.record(&Key::of(&6)).is_some());
    place.store.set_record(&Key::of(&6), &group, &json!("x".repeat(4_000_000)));
    assert_eq!(place.store.record(&Key::of(&6)), Some(json!(6)), "the old one stays");
    assert!(save(&place.store, &group, b"cache"));
    let (count, bytes) = place.store.clear().expect("a store");
    assert_eq!((count, place.names()), (65, Vec::<String>::new()));
    assert!(bytes > usage.record_bytes, "{bytes}");
}

#[test]
fn store_that_does_not_write_changes_nothing() {
    let place = Place::new(MB);
    let key = Key::of(&1);
    assert!(save(&place.store, &key, b"cache"));
    place.store.set_record(&key, &key, &json!(1));
    let before: Vec<_> =
        place.names().iter().map(|name| fs::metadata(place.path(name)).expect("a file").mtime_nsec()).collect();
    let names = place.names();
    let reader = Store::new(place.store.directory().to_owned(), MB, false);
    assert!(reader.ready() && restore(&reader, &key).is_some() && reader.record(&key).is_some());
    assert!(reader.begin_save(&key, 1).is_none());
    reader.set_record(&key, &key, &json!(2));
    reader.miss(&key);
    reader.miss(&key);
    reader.remove_snapshot(&key);
    assert_eq!(reader.list().len(), 1);
    assert_eq!(place.names(), names);
    let after: Vec<_> =
        place.names().iter().map(|name| fs::metadata(place.path(name)).expect("a file").mtime_nsec()).collect();
    assert_eq!(after, before);
    assert_eq!(place.store.record(&key), Some(json!(1)));
    let missing = Store::new(place.root.path().join("missing/warm"), MB, false);
    assert!(!missing.ready() && !missing.directory().exists());
}

#[test]
fn clearing_keeps_what_is_in_use() {
    let place = Place::new(MB);
    let keys = [Key::of(&1), Key::of(&2)];
    keys.iter().for_each(|key| assert!(save(&place.store, key, b"cache")));
    let in_use = place.store.open_snapshot(&keys[0]).expect("a snapshot");
    let pending = place.store.begin_save(&keys[1], 10).expect("it fits");
    assert_eq!(place.store.clear().expect("a store").0, 1);
    assert!(place.path(&in_use.name).exists() && place.path(pending.name()).exists());
    fs::write(place.path(pending.name()), "newer").expect("a file");
    assert!(pending.commit(info(5)));
    assert_eq!(restore(&place.store, &keys[1]).as_deref(), Some(&b"newer"[..]));
    drop(in_use);
    assert_eq!(place.store.clear().expect("a store").0, 2);
    assert_eq!(place.names(), Vec::<String>::new());
    assert_eq!(Place::new(MB).store.clear().expect("nothing to do"), (0, 0));
}
