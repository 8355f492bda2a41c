//! `lclaude local cache` lists and clears what is kept between sessions. The store's own tests are in `src/warm/tests/`.

use std::{
    fs::{self, File},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    time::{Duration, SystemTime},
};

use support::{
    Stage, Value,
    doctor::{check_text, find_check},
    json, lclaude,
    machine::{NOBODY, bound_by_permissions, needs_root},
    messages,
    messages::record,
    terminal::Terminal,
};

/// A stage with three snapshots and two records, whose limit is below 5% of any disk.
fn filled() -> Stage {
    let stage = Stage::new();
    stage.config("[warm]\nmax_size = \"10MB\"\n");
    let warm = stage.warm();
    fs::create_dir_all(&warm).expect("a directory");
    [warm.parent().expect("a parent"), &warm]
        .iter()
        .for_each(|place| fs::set_permissions(place, fs::Permissions::from_mode(0o700)).expect("a mode"));
    let project = stage.project();
    for (number, model, project, tokens, size, age) in [
        (1, "qwen3-coder:30b", Some(project.display().to_string()), 18_846, 3_000_000, 3 * 3600),
        (2, "glm-4.7-flash", None, 17_960, 2_000_000, 90),
        (3, "\u{1b}[31mred", Some("/a\nb".into()), 1, 1_000, 40 * 24 * 3600),
    ] {
        let key = format!("{number:032x}");
        let slot = format!("{key}.{number:016x}.slot");
        write(&stage, &slot, &vec![7; size], age);
        let info = json!({"model": model, "backend": "llamacpp", "tokens": tokens, "project": project});
        let description =
            json!({"format": 1, "file": slot, "bytes": size, "checksum": "0".repeat(32), "info": info}).to_string();
        write(&stage, &format!("{key}.snapshot"), description.as_bytes(), age);
    }
    for number in [4, 5] {
        write(&stage, &format!("{number:032x}.{:032x}.record", 9), &vec![b' '; 60_000], 60);
    }
    stage
}

fn write(stage: &Stage, name: &str, content: &[u8], age: u64) {
    let path = stage.warm().join(name);
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path).expect("a file");
    fs::write(&path, content).expect("a file");
    file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("a time");
}

fn count(stage: &Stage) -> usize {
    fs::read_dir(stage.warm()).into_iter().flatten().count()
}

#[test]
fn snapshots_are_listed_and_cleared() {
    messages!();
    let stage = filled();
    stage.output(&["local", "cache"]).expect(0).record();
    // What a killed process left is no longer there afterwards.
    write(&stage, &format!("{:032x}.{:016x}.slot", 1, 77), b"half", 1);
    let listed: Value =
        serde_json::from_str(&stage.output(&["local", "cache", "--json"]).expect(0).stdout).expect("JSON");
    assert_eq!(count(&stage), 8);
    let models: Vec<&Value> =
        listed["snapshots"].as_array().expect("a list").iter().map(|snapshot| &snapshot["model"]).collect();
    assert_eq!(models, ["glm-4.7-flash", "qwen3-coder:30b", "\u{1b}[31mred"], "the last used is the first");
    assert_eq!(listed["limit_bytes"], 10_000_000);
    assert_eq!((&listed["enabled"], &listed["prompts"]), (&json!(true), &json!({"count": 2, "bytes": 120_000})));
    assert_eq!(listed["snapshots"][1]["project"], json!(stage.project()));
    assert_eq!(
        (&listed["snapshots"][0]["bytes"], &listed["snapshots"][0]["tokens"]),
        (&json!(2_000_000), &json!(17_960))
    );
    stage.output(&["local", "cache", "--clear"]).expect_failure(64);
    assert_eq!(count(&stage), 8, "nothing is removed without a yes");
    stage.output(&["local", "cache", "--clear", "--yes"]).expect(0).record();
    assert_eq!(count(&stage), 0);
    stage.output(&["local", "cache", "--clear"]).expect(0).record();
    stage.output(&["local", "cache"]).expect(0).record();
    stage.output(&["local", "cache", "--yes"]).expect_failure(64);
}

#[test]
fn clearing_asks_on_a_terminal_and_keeps_what_is_in_use() {
    let stage = filled();
    let clear = || {
        let mut command = stage.command(lclaude());
        command.args(["local", "cache", "--clear"]);
        Terminal::start(command)
    };
    let mut asked = clear();
    asked.wait_for("Remove 3 snapshots and 2 prompts (5 MB)?");
    asked.type_in("n\r");
    asked.wait_to_the_end(77);
    assert_eq!(count(&stage), 8);
    // A session restores it.
    let in_use = File::open(stage.warm().join(format!("{:032x}.{:016x}.slot", 1, 1))).expect("a file");
    in_use.lock_shared().expect("a lock");
    let mut asked = clear();
    asked.wait_for("Remove 3 snapshots");
    asked.type_in("y\r");
    let said = asked.wait_to_the_end(0);
    assert!(said.contains("kept 1 snapshot, which is in use"), "{said}");
    assert_eq!(count(&stage), 2);
}

#[test]
fn nothing_is_created_by_listing() {
    messages!();
    let stage = Stage::new();
    stage.config("[warm]\nenabled = false\n");
    stage.output(&["local", "cache"]).expect(0).record();
    let listed: Value =
        serde_json::from_str(&stage.output(&["local", "cache", "--json"]).expect(0).stdout).expect("JSON");
    assert_eq!((&listed["enabled"], &listed["bytes"], &listed["snapshots"]), (&json!(false), &json!(0), &json!([])));
    assert!(!stage.warm().exists());
    let shown =
        stage.output(&["--dry-run", "--model", "tiny.gguf", "--backend", "llamacpp", "-p", "x"]).expect(0).stdout;
    assert!(shown.contains("\n  warm start: off\n"), "{shown}");
}

#[test]
fn broken_configuration_keeps_nothing_from_being_cleared() {
    let stage = filled();
    stage.config("[warm]\nmax_size = 'lots'\n");
    stage.output(&["local", "cache", "--clear", "--yes"]).expect(0);
    assert_eq!(count(&stage), 0);
}

#[test]
fn directory_that_is_not_private_is_reported_and_not_used() {
    messages!();
    let stage = filled();
    let real = stage.root().join("elsewhere");
    fs::rename(stage.warm(), &real).and_then(|()| symlink(&real, stage.warm())).expect("a link");
    for arguments in [&["local", "cache"][..], &["local", "cache", "--clear", "--yes"]] {
        stage.output(arguments).expect_failure(65);
    }
    assert_eq!(fs::read_dir(&real).expect("a directory").count(), 8);
    record("doctor", check_text(find_check(&stage.doctor("").1, "machine", "warm starts")));
    fs::remove_file(stage.warm()).expect("a link");
    // Where nothing can be created, either.
    fs::write(stage.warm(), "").expect("a file");
    record("doctor", check_text(find_check(&stage.doctor("").1, "machine", "warm starts")));
    fs::remove_file(stage.warm()).expect("a file");
    fs::remove_dir(stage.cache().join("lclaude")).expect("a directory");
    fs::write(stage.cache().join("lclaude"), "").expect("a file");
    record("doctor", check_text(find_check(&stage.doctor("").1, "machine", "warm starts")));
    fs::remove_file(stage.cache().join("lclaude")).expect("a file");
    fs::set_permissions(stage.cache(), fs::Permissions::from_mode(0o500)).expect("a mode");
    let plain = stage.lclaude(&["local", "doctor", "--json"]);
    let report = stage.ended(&mut bound_by_permissions(&stage, &plain)).stdout;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    record("doctor", check_text(find_check(&report, "machine", "warm starts")));
    fs::set_permissions(stage.cache(), fs::Permissions::from_mode(0o700)).expect("a mode");
    if needs_root() {
        fs::create_dir_all(stage.warm()).expect("a directory");
        std::os::unix::fs::chown(stage.warm(), Some(NOBODY), None).expect("another owner");
        stage.output(&["local", "cache"]).expect_failure(65);
        fs::remove_dir(stage.warm()).expect("a directory");
    }
}
