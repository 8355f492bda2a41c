//! Files that are damaged, foreign or in the way.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    process::Command,
};

use serde_json::json;

use super::{MB, Place, restore, save};
use crate::warm::{Key, Store};

type Damage = Box<dyn Fn(&Path)>;
type Change = fn(&Path);

#[test]
fn damaged_snapshot_is_removed() {
    let content: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
    let flip = |at: usize| {
        move |path: &Path| {
            let mut bytes = fs::read(path).expect("a file");
            bytes[at] ^= 1;
            fs::write(path, bytes).expect("a file");
        }
    };
    let cut = |to: u64| {
        move |path: &Path| fs::OpenOptions::new().write(true).open(path).and_then(|f| f.set_len(to)).expect("a file")
    };
    let in_description = |from: &'static str, to: &'static str| -> Damage {
        Box::new(move |path| {
            let text = fs::read_to_string(path).expect("a file");
            assert!(text.contains(from));
            fs::write(path, text.replacen(from, to, 1)).expect("a file");
        })
    };
    let damages: Vec<(&str, Damage)> = vec![
        (".slot", Box::new(flip(0))),
        (".slot", Box::new(flip(100_000))),
        (".slot", Box::new(flip(199_999))),
        (".slot", Box::new(cut(0))),
        (".slot", Box::new(cut(199_999))),
        (".slot", Box::new(cut(200_001))),
        (".slot", Box::new(|path| fs::remove_file(path).expect("a file"))),
        (".snapshot", Box::new(cut(0))),
        (".snapshot", Box::new(cut(40))),
        (".snapshot", Box::new(cut(1_000_000))),
        (".snapshot", in_description("\"format\":1", "\"format\":2")),
        (".snapshot", in_description("\"file\":\"", "\"file\":\"../")),
    ];
    for (at, (ending, damage)) in damages.iter().enumerate() {
        let place = Place::new(MB);
        let key = Key::of(&1);
        assert!(save(&place.store, &key, &content));
        damage(&place.path(&place.name(ending)));
        let reader = Store::new(place.store.directory().to_owned(), MB, false);
        let before = place.names();
        assert!(reader.open_snapshot(&key).is_none(), "{at}");
        assert_eq!(place.names(), before, "{at}: a store that doesn't write changed something");
        assert!(place.store.open_snapshot(&key).is_none(), "{at}");
        assert_eq!(place.names(), Vec::<String>::new(), "{at}");
        assert!(save(&place.store, &key, &content), "{at}");
        assert_eq!(restore(&place.store, &key).as_ref(), Some(&content), "{at}");
    }
}

#[test]
fn nothing_but_a_plain_file_is_read() {
    for ending in [".slot", ".snapshot"] {
        for kind in ["symlink", "hard link", "directory", "fifo"] {
            let place = Place::new(MB);
            let key = Key::of(&1);
            assert!(save(&place.store, &key, b"cache"));
            let path = place.path(&place.name(ending));
            let outside = place.root.path().join("outside");
            fs::rename(&path, &outside).expect("a file");
            match kind {
                "symlink" => symlink(&outside, &path).expect("a link"),
                "hard link" => fs::hard_link(&outside, &path).expect("a link"),
                "directory" => fs::create_dir(&path).expect("a directory"),
                _ => {
                    let made = Command::new("mkfifo").args([OsStr::new("-m600"), path.as_os_str()]).status();
                    assert!(made.is_ok_and(|made| made.success()), "no FIFO");
                }
            }
            let content = fs::read(&outside).expect("a file");
            assert!(place.store.open_snapshot(&key).is_none(), "{ending}: {kind}");
            assert_eq!(place.names(), Vec::<String>::new(), "{ending}: {kind}");
            assert_eq!(fs::read(&outside).expect("a file"), content, "{ending}: {kind} was followed");
            assert!(save(&place.store, &key, b"cache"), "{ending}: {kind}");
        }
    }
}

#[test]
fn lock_and_other_files_in_the_way_are_harmless() {
    let place = Place::new(MB);
    let key = Key::of(&1);
    assert!(place.store.ready());
    let target = place.root.path().join("target");
    fs::write(&target, "mine").expect("a file");
    symlink(&target, place.path(&format!("{key}.saving"))).expect("a link");
    fs::write(place.path("notes.txt"), "mine").expect("a file");
    fs::create_dir(place.path(&format!("{key}.snapshot"))).expect("a directory");
    assert!(save(&place.store, &key, b"cache"));
    fs::create_dir(place.path(&format!("{}.snapshot", Key::of(&2)))).expect("a directory");
    fs::write(place.path(&format!("{}.snapshot/x", Key::of(&2))), "mine").expect("a file");
    assert!(!save(&place.store, &Key::of(&2), b"cache"), "a full directory is not removed");
    assert_eq!(place.keys(), [key]);
    assert_eq!(fs::read(&target).expect("a file"), b"mine");
    assert!(place.path("notes.txt").exists());
}

#[test]
fn files_of_another_user_are_neither_read_nor_removed() {
    if !support::machine::needs_root() {
        return;
    }
    for ending in [".slot", ".snapshot"] {
        let place = Place::new(MB);
        let key = Key::of(&1);
        assert!(save(&place.store, &key, b"cache"));
        let path = place.path(&place.name(ending));
        chown(&path, Some(support::machine::NOBODY), None).expect("another owner");
        assert!(place.store.open_snapshot(&key).is_none(), "{ending}");
        assert!(path.exists(), "{ending}");
        assert!(place.store.clear().is_ok() && path.exists(), "{ending}");
    }
}

#[test]
fn directory_that_is_not_private_is_not_used() {
    let key = Key::of(&1);
    let mut changes: Vec<(&str, Change)> = vec![
        ("symlink", |path| {
            let real = path.with_file_name("real");
            fs::rename(path, &real).and_then(|()| symlink(&real, path)).expect("a link");
        }),
        ("file", |path| fs::remove_dir_all(path).and_then(|()| fs::write(path, "")).expect("a file")),
        ("parent that others write", |path| {
            let parent = path.parent().expect("a parent");
            fs::set_permissions(parent, fs::Permissions::from_mode(0o777)).expect("a mode");
        }),
    ];
    if support::machine::needs_root() {
        changes.push(("foreign", |path| chown(path, Some(support::machine::NOBODY), None).expect("another owner")));
        changes.push(("foreign parent", |path| {
            chown(path.parent().expect("a parent"), Some(support::machine::NOBODY), None).expect("another owner");
        }));
    }
    for (what, change) in changes {
        let place = Place::new(MB);
        assert!(save(&place.store, &key, b"cache"));
        place.store.set_record(&key, &key, &json!(1));
        change(place.store.directory());
        let store = &place.store;
        assert!(!store.ready(), "{what}");
        assert!(!store.has_snapshot(&key) && store.open_snapshot(&key).is_none(), "{what}");
        assert!(store.record(&key).is_none() && store.newest_record(&key).is_none(), "{what}");
        assert!(store.begin_save(&key, 1).is_none() && store.list().is_empty(), "{what}");
        assert!(store.usage().is_err() && store.clear().is_err(), "{what}");
    }
    // Its own mode is only what the user or a backup made of it.
    let place = Place::new(MB);
    assert!(save(&place.store, &key, b"cache"));
    fs::set_permissions(place.store.directory(), fs::Permissions::from_mode(0o755)).expect("a mode");
    assert!(restore(&place.store, &key).is_some());
    assert_eq!(fs::metadata(place.store.directory()).expect("a directory").mode() & 0o777, 0o700);
}
