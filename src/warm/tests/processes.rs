//! Several processes, processes that are killed, and a full disk.

use std::{
    env, fs,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command},
    time::SystemTime,
};

use rustix::process::{Signal, kill_process};
use serde_json::json;

use super::{CHILD, MB, Place, Stopped, info, pid, restore, save};
use crate::warm::{Key, Store};

/// Where a process that saves can be stopped, in their order. Only from the last one on, the new snapshot counts.
const POINTS: [&str; 4] = ["warm-begun", "warm-checked", "warm-written", "warm-replaced"];

#[test]
#[ignore = "other tests run it as a process"]
fn process_that_saves() {
    let Ok(text) = env::var(CHILD) else { return };
    let (directory, content) = text.rsplit_once(':').expect("a directory and a content");
    let store = Store::new(directory.into(), MB, true);
    let is_kept = save(&store, &Key::of(&1), content.repeat(1000).as_bytes());
    println!("kept: {is_kept}");
}

/// Returns whether a process that saves says that its snapshot is kept.
fn kept(child: &mut Child) -> bool {
    let mut text = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
    assert!(child.wait().expect("a status").success(), "{text}");
    text.contains("kept: true")
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "only the debug build can be stopped at a point")]
fn only_one_process_saves_a_snapshot_and_the_other_does_not_wait() {
    for point in POINTS {
        let place = Place::new(MB);
        let key = Key::of(&1);
        let mut first = place.stopped_at(point, "1");
        assert!(place.store.begin_save(&key, 10).is_none(), "{point}: two processes save it");
        // What it writes is left alone.
        assert_eq!(place.store.list().len(), usize::from(point == "warm-replaced"), "{point}");
        assert!(point == "warm-replaced" || place.store.clear().is_ok(), "{point}");
        assert!(save(&place.store, &Key::of(&2), b"cache"), "{point}: another one is saved meanwhile");
        kill_process(pid(&first.0).expect("a process"), Signal::CONT).expect("it runs");
        assert!(kept(&mut first.0), "{point}");
        assert_eq!(restore(&place.store, &key), Some(b"1".repeat(1000)), "{point}");
    }
}

#[test]
fn many_processes_leave_one_whole_snapshot() {
    let place = Place::new(MB);
    let mut children: Vec<Child> =
        (0..8).map(|number| place.child(&number.to_string(), &[]).spawn().expect("a process")).collect();
    // Others look at it all the time.
    (0..100).for_each(|_| drop((place.store.list(), place.store.open_snapshot(&Key::of(&1)))));
    let kept = children.iter_mut().map(kept).filter(|kept| *kept).count();
    assert!(kept >= 1);
    let content = restore(&place.store, &Key::of(&1)).expect("a snapshot");
    assert!(content.len() == 1000 && content.iter().all(|byte| *byte == content[0]));
    assert_eq!(place.names().len(), 2, "{:?}", place.names());
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "only the debug build can be stopped at a point")]
fn process_killed_at_any_point_leaves_the_old_snapshot_or_the_new() {
    for (point, expected) in POINTS.into_iter().zip(["o", "o", "o", "n"]) {
        let place = Place::new(MB);
        let key = Key::of(&1);
        assert!(save(&place.store, &key, &b"o".repeat(1000)));
        let Stopped(child) = &mut place.stopped_at(point, "n");
        assert!(place.names().len() > 2, "{point}");
        child.kill().expect("it runs");
        assert_eq!(child.wait().expect("a status").signal(), Some(libc::SIGKILL));
        let restored = restore(&place.store, &key).map(String::from_utf8);
        assert_eq!(restored, Some(Ok(expected.repeat(1000))), "{point}");
        assert_eq!(place.store.list().len(), 1, "{point}");
        assert_eq!(place.names().len(), 2, "{point}: {:?}", place.names());
        assert!(save(&place.store, &key, b"next"), "{point}");
    }
}

/// Runs a test of this file as a process whose directory is a file system of 2 MB.
fn on_small_disk(test: &str) {
    const MOUNT: &str = "set -e; mount -t tmpfs -o size=2m,mode=700 none \"$1\"; shift; exec \"$@\"";
    if !support::machine::needs_root() {
        return;
    }
    let disk = tempfile::tempdir().expect("a directory");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", MOUNT, "sh"])
        .arg(disk.path())
        .arg(env::current_exe().expect("a path"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(CHILD, disk.path())
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "it mounts a tmpfs")]
fn small_disk_bounds_the_store() {
    on_small_disk("warm::tests::processes::process_with_a_small_disk");
}

#[test]
#[ignore = "`small_disk_bounds_the_store` runs it as a process"]
fn process_with_a_small_disk() {
    let Ok(disk) = env::var(CHILD).map(PathBuf::from) else { return };
    let store = Store::new(disk.join("lclaude/warm"), u64::MAX, true);
    let keys: Vec<Key> = (0..4).map(|number| Key::of(&number)).collect();
    // 5% of 2 MB.
    assert!(store.begin_save(&keys[0], 150_000).is_none());
    assert!([&keys[0], &keys[1]].into_iter().all(|key| save(&store, key, &vec![7; 30_000])));
    let file = fs::File::open(store.directory().join(format!("{}.snapshot", keys[0]))).expect("a file");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
    // Others fill the disk: a part of the snapshots has to go, then all of them.
    fs::write(disk.join("others"), vec![7; 1_200_000]).expect("a file");
    assert!(store.begin_save(&keys[2], 10).is_some());
    assert_eq!(store.list().into_iter().map(|entry| entry.key).collect::<Vec<_>>(), [keys[1].clone()]);
    // The disk fills up while the server writes.
    let pending = store.begin_save(&keys[2], 10).expect("it fits");
    let mut filled = fs::File::create(disk.join("rest")).expect("a file");
    let error = std::io::copy(&mut std::io::repeat(7), &mut filled).expect_err("the disk is full");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(fs::write(store.directory().join(pending.name()), [7; 10_000]).is_err());
    let name = pending.name().to_owned();
    assert!(!pending.commit(info(1)));
    assert!(!store.directory().join(name).exists());
    store.set_record(&keys[3], &keys[3], &json!("x".repeat(10_000)));
    assert!(store.record(&keys[3]).is_none() && store.begin_save(&keys[3], 10_000).is_none());
    assert!(store.list().is_empty(), "old snapshots go first");
    let left = fs::read_dir(store.directory()).expect("a directory").count();
    assert_eq!(left, 0);
}
