//! What lies in the runtime directory names programs to run, processes to end and an address to send prompts to, so it is
//! believed only where nobody else could have written it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use support::{
    Stage,
    doctor::{line, told},
    json,
    machine::needs_root,
    messages,
};

/// Nobody, on most systems; in any case somebody else.
const SOMEBODY_ELSE: u32 = 65_534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// A runtime directory in which a keeper seems to have left a program to run; and what that would make.
fn planted(stage: &Stage) -> PathBuf {
    let ran = stage.root().join("ran");
    let command = format!("touch {}", ran.display());
    let undo = json!({"tell": {"lms": "/bin/sh", "arguments": ["-c", command], "of": null}});
    let holder = json!({"keeper": {"pid": 999_999, "start": 1}, "backend": null, "undo": [undo]});
    fs::create_dir(stage.runtime()).expect("a directory");
    fs::write(stage.runtime().join("0123456789abcdef.lock"), holder.to_string()).expect("a file");
    ran
}

/// Whatever looks into the directory refuses to.
#[track_caller]
fn refused(stage: &Stage, ran: &Path) {
    let model = ["--backend", "llamacpp", "--model", "tiny.gguf"];
    let looks: [Vec<&str>; 6] = [
        [&model[..], &["-p", "x"]].concat(),
        ["local", "stop"].into(),
        ["local", "stop", "--all"].into(),
        ["local", "status"].into(),
        [&["local", "env"], &model[..]].concat(),
        [&["local", "serve"], &model[..]].concat(),
    ];
    for arguments in looks {
        stage.ended(&mut stage.lclaude(&arguments)).expect_failure(65);
    }
    let (ended, report) = stage.doctor("");
    let found = line(&report, "machine", "runtime directory");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    messages::record("local doctor", told(found));
    assert!(stage.events.rest().is_empty() && !ran.exists(), "a stranger's program was run");
}

#[test]
fn one_that_others_can_write_to_is_refused() {
    messages!();
    let stage = Stage::new();
    let ran = planted(&stage);
    for mode in [0o777, 0o730, 0o722] {
        set_mode(&stage.runtime(), mode);
        refused(&stage, &ran);
    }
    // What is planted works, so the above means something.
    set_mode(&stage.runtime(), 0o700);
    stage.output(&["local", "stop"]).expect(0);
    assert!(ran.exists());
}

#[test]
fn one_of_another_users_is_refused() {
    if !needs_root() {
        return;
    }
    messages!();
    let stage = Stage::new();
    let ran = planted(&stage);
    chown(stage.runtime(), Some(SOMEBODY_ELSE), None).expect("root can");
    refused(&stage, &ran);
}
