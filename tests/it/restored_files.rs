//! A keeper makes its files again when they are deleted, so that newcomers find it, and no second backend is started.

use std::{fs, path::Path};

use rustix::process::Signal;
use support::{Stage, Value, finish, kill, turn, until};

/// Deletes something of the only plan. Gets the runtime directory.
type Delete = fn(&Stage, &Path);

/// Deletes the only file with this extension.
fn delete_ending(stage: &Stage, ending: &str) {
    fs::remove_file(stage.runtime_files(ending).pop().expect("a file")).expect("it exists");
}

#[test]
fn deleted_files_are_made_again_while_sessions_run() {
    let cases: [(&str, Delete); 5] = [
        ("socket", |stage, _| delete_ending(stage, "sock")),
        ("lock", |stage, _| delete_ending(stage, "lock")),
        ("record", |stage, _| delete_ending(stage, "json")),
        ("all files", |_, runtime| {
            for file in fs::read_dir(runtime).expect("a directory").flatten().filter(|file| file.path().is_file()) {
                // The keeper is already making some of them again.
                let _ = fs::remove_file(file.path());
            }
        }),
        ("directory", |_, runtime| {
            // The keeper is already making some files again.
            let _ = fs::remove_dir_all(runtime);
        }),
    ];
    for (name, delete) in cases {
        let stage = Stage::new();
        let (first, first_claude, backend) = stage.running();
        let keeper = stage.keeper();
        // A second time, too.
        for _ in 0..2 {
            delete(&stage, &stage.runtime());
            until(&format!("the {name} is made again"), || {
                ["sock", "lock", "json"].iter().all(|ending| stage.runtime_files(ending).len() == 1)
            });
            let (second, second_claude) = stage.joining();
            turn(&second_claude);
            finish(second, &second_claude);
        }
        assert!(!backend.is_gone() && stage.keeper() == keeper, "{name}");
        let status: Value =
            serde_json::from_str(&stage.output(&["local", "status", "--json"]).expect(0).stdout).expect("JSON");
        assert_eq!(status["backends"].as_array().map(Vec::len), Some(1), "{name}: {status:#}");
        turn(&first_claude);
        finish(first, &first_claude);
        assert!(backend.is_gone(), "{name}");
        stage.assert_nothing_left();
    }
}

/// The new lock file is locked too: a plan never has two keepers.
#[test]
fn successor_takes_over_files_that_were_made_again() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    let _ = fs::remove_dir_all(stage.runtime());
    until("the files are made again", || {
        ["sock", "lock", "json", "lease"].iter().all(|ending| stage.runtime_files(ending).len() == 1)
    });
    kill(stage.keeper(), Signal::KILL);
    backend.wait_gone();
    let again = stage.events.next("llama-server");
    assert_eq!(support::port(&again), support::port(&backend));
    turn(&claude);
    finish(session, &claude);
    stage.assert_nothing_left();
}

/// A directory that can't be made again, as after the last logout, ends no session.
#[test]
fn session_goes_on_without_its_runtime_directory() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    let (run, elsewhere) = (stage.root().join("run"), stage.root().join("elsewhere"));
    fs::rename(&run, &elsewhere).expect("it exists");
    fs::write(&run, "").expect("a file");
    turn(&claude);
    finish(session, &claude);
    assert!(backend.is_gone());
    stage.wait_for_nothing_left();
}
