//! Files in the runtime directory name programs to run, processes to kill and an address for prompts, so lclaude trusts
//! them only if no other user could have written them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use support::{
    Stage,
    doctor::{check_text, find_check},
    json,
    machine::{NOBODY, needs_root},
    messages,
};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Plants a record that names a program to run, as if a keeper had left it. Returns the file that the program creates.
fn planted(stage: &Stage) -> PathBuf {
    let ran = stage.root().join("ran");
    let command = format!("touch {}", ran.display());
    let undo = json!({"tell": {"lms": "/bin/sh", "arguments": ["-c", command], "of": null}});
    let record = json!({"keeper": {"pid": 999_999, "start": 1}, "backend": null, "undo": [undo]});
    fs::create_dir(stage.runtime()).expect("a directory");
    fs::write(stage.runtime().join("0123456789abcdef.json"), record.to_string()).expect("a file");
    ran
}

/// Checks that every command rejects the directory.
#[track_caller]
fn assert_rejected(stage: &Stage, ran: &Path) {
    let model = ["--backend", "llamacpp", "--model", "tiny.gguf"];
    let commands: [Vec<&str>; 6] = [
        [&model[..], &["-p", "x"]].concat(),
        ["local", "stop"].into(),
        ["local", "stop", "--all"].into(),
        ["local", "status"].into(),
        [&["local", "env"], &model[..]].concat(),
        [&["local", "serve"], &model[..]].concat(),
    ];
    for arguments in commands {
        stage.ended(&mut stage.lclaude(&arguments)).expect_failure(65);
    }
    let (ended, report) = stage.doctor("");
    let found = find_check(&report, "machine", "runtime directory");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    messages::record("local doctor", check_text(found));
    assert!(stage.events.rest().is_empty() && !ran.exists(), "the planted program was run");
}

#[test]
fn directory_writable_by_others_is_rejected() {
    messages!();
    let stage = Stage::new();
    let ran = planted(&stage);
    for mode in [0o777, 0o730, 0o722] {
        set_mode(&stage.runtime(), mode);
        assert_rejected(&stage, &ran);
    }
    // In a private directory the planted program does run, so the checks above prove something.
    set_mode(&stage.runtime(), 0o700);
    stage.output(&["local", "stop"]).expect(0);
    assert!(ran.exists());
}

#[test]
fn directory_of_another_user_is_rejected() {
    if !needs_root() {
        return;
    }
    messages!();
    let stage = Stage::new();
    let ran = planted(&stage);
    chown(stage.runtime(), Some(NOBODY), None).expect("root can");
    assert_rejected(&stage, &ran);
}
