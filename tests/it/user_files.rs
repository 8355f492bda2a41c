//! What Claude Code saves in the user's files because of lclaude's routing doesn't outlive the session.
//!
//! The tests write what Claude Code 2.1.331 was seen to write, while a fake one runs.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, Value, finish, json, kill,
    throwaway::{endpoint, read},
};

/// Another formatting than Claude Code's, to see that the file comes back byte for byte.
const BEFORE: &str = "{\"model\":   \"opus\",\n\"theme\": \"dark\", \"number\": 0.30000000000000004}";

fn settings_file(stage: &Stage) -> PathBuf {
    stage.home().join(".claude/settings.json")
}

fn state_file(stage: &Stage) -> PathBuf {
    stage.home().join(".claude.json")
}

fn lived_in(settings: &str) -> Stage {
    let stage = Stage::new();
    fs::create_dir(stage.home().join(".claude")).expect("a directory");
    fs::write(settings_file(&stage), settings).expect("a file");
    stage
}

fn text(file: impl AsRef<Path>) -> String {
    fs::read_to_string(file).expect("it can be read")
}

/// Writes a file as Claude Code does, which also changes its formatting.
fn save(file: &Path, content: &Value) {
    fs::write(file, format!("{content:#}\n")).expect("a file");
}

/// Saves a model as `/model` does, `null` for "Default", and leaves the line in a transcript. `shown` is the model's name
/// in that session.
fn choose(stage: &Stage, value: Value, shown: &str) {
    let mut settings = read(settings_file(stage));
    let object = settings.as_object_mut().expect("an object");
    object.remove("model");
    if value != Value::Null {
        object.insert("model".into(), value);
    }
    save(&settings_file(stage), &settings);
    let project = stage.home().join(".claude/projects/-project");
    fs::create_dir_all(&project).expect("a directory");
    let earlier = fs::read_dir(&project).expect("a directory").count();
    // No two choices in the same millisecond.
    let time = SystemTime::now() + Duration::from_millis(earlier as u64);
    let line = json!({
        "type": "user",
        "timestamp": humantime::format_rfc3339_millis(time).to_string(),
        "message": {"role": "user", "content": format!(
            "<local-command-stdout>Set model to `{shown}` and saved as your default for new sessions</local-command-stdout>"
        )},
    });
    fs::write(project.join(format!("{earlier}.jsonl")), format!("{line}\n")).expect("a file");
}

#[test]
fn model_chosen_in_a_session_does_not_outlive_it() {
    for (value, shown) in [(json!("haiku"), "tiny"), (json!("tiny"), "tiny"), (Value::Null, "tiny (default)")] {
        let stage = lived_in(BEFORE);
        let (session, claude, _backend) = stage.running();
        choose(&stage, value, shown);
        assert_ne!(text(settings_file(&stage)), BEFORE);
        finish(session, &claude);
        assert_eq!(text(settings_file(&stage)), BEFORE);
        assert!(!stage.home().join(".claude/settings.json.lock").exists());
    }
}

#[test]
fn settings_file_that_only_the_session_made_is_removed() {
    let stage = lived_in("{}");
    fs::remove_file(settings_file(&stage)).expect("it is there");
    let (session, claude, _backend) = stage.running();
    fs::write(settings_file(&stage), "{}").expect("a file");
    choose(&stage, json!("haiku"), "tiny");
    finish(session, &claude);
    assert!(!settings_file(&stage).exists());
}

#[test]
fn what_the_user_sets_on_purpose_stays() {
    let stage = lived_in(BEFORE);
    let (session, claude, _backend) = stage.running();
    choose(&stage, json!("haiku"), "tiny");
    let mut settings = read(settings_file(&stage));
    settings["theme"] = "light".into();
    settings["permissions"] = json!({"allow": ["Bash(ls:*)"]});
    settings["modelSettings"] = json!({"tiny": {"effortLevel": "high"}, "claude-opus-5": {"effortLevel": "low"}});
    save(&settings_file(&stage), &settings);
    finish(session, &claude);
    let expected = json!({
        "number": 0.300_000_000_000_000_04, "theme": "light", "model": "opus",
        "permissions": {"allow": ["Bash(ls:*)"]}, "modelSettings": {"claude-opus-5": {"effortLevel": "low"}},
    });
    assert_eq!(read(settings_file(&stage)), expected);
    // The number keeps all its digits.
    assert!(text(settings_file(&stage)).contains("0.30000000000000004"));
}

#[test]
fn model_chosen_elsewhere_stays() {
    // In another Claude Code, and in an editor.
    let elsewhere: [fn(&Stage); 2] = [
        |stage| choose(stage, json!("sonnet"), "Sonnet 5.5"),
        |stage| save(&settings_file(stage), &json!({"model": "claude-opus-5", "theme": "dark"})),
    ];
    for change in elsewhere {
        let stage = lived_in(BEFORE);
        let (session, claude, _backend) = stage.running();
        choose(&stage, json!("haiku"), "tiny");
        change(&stage);
        let after = text(settings_file(&stage));
        finish(session, &claude);
        assert_eq!(text(settings_file(&stage)), after);
    }
}

#[test]
fn linked_settings_file_stays_a_link() {
    let stage = lived_in(BEFORE);
    let elsewhere = stage.home().join("dotfiles.json");
    fs::rename(settings_file(&stage), &elsewhere).expect("a file");
    symlink(&elsewhere, settings_file(&stage)).expect("a link");
    let (session, claude, _backend) = stage.running();
    choose(&stage, json!("haiku"), "tiny");
    finish(session, &claude);
    assert_eq!(fs::read_link(settings_file(&stage)).expect("a link"), elsewhere);
    assert_eq!(text(elsewhere), BEFORE);
}

#[test]
fn survivors_put_back_what_a_killed_session_wrote() {
    type End = fn(&Stage, Session, &Fake);
    let ends: [(&str, End); 3] = [
        ("lclaude killed", |_, session, _| session.signal(Signal::KILL)),
        ("lclaude and Claude Code killed", |_, session, _| session.signal_group(Signal::KILL)),
        ("keeper killed", |stage, session, claude| {
            kill(stage.keeper(), Signal::KILL);
            stage.events.next("llama-server");
            finish(session, claude);
        }),
    ];
    for (name, end) in ends {
        let stage = lived_in(BEFORE);
        let (session, claude, _backend) = stage.running();
        choose(&stage, json!("haiku"), "tiny");
        end(&stage, session, &claude);
        stage.wait_for_nothing_left();
        stage.wait_for_sessions(0);
        assert_eq!(text(settings_file(&stage)), BEFORE, "{name}");
    }
}

#[test]
fn next_session_puts_back_what_nobody_survived() {
    // A server that somebody else runs has no keeper.
    let stage = lived_in(BEFORE);
    stage.config(&format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{}\"\n", endpoint(None)));
    let session = Session::start(&mut stage.lclaude(&["-p", "hello"]));
    let claude = stage.events.next("claude");
    choose(&stage, json!("haiku"), "m");
    session.signal(Signal::KILL);
    session.wait();
    claude.wait_gone();
    let next = Session::start(&mut stage.lclaude(&["-p", "hello"]));
    let claude = stage.events.next("claude");
    assert_eq!(text(settings_file(&stage)), BEFORE);
    finish(next, &claude);
    assert_eq!(text(settings_file(&stage)), BEFORE);
}

#[test]
fn simultaneous_sessions_put_back_the_value_before_all_of_them() {
    // Which session writes what, and which ends first, must not matter.
    for second_writes in [false, true] {
        for first_to_end in [0, 1] {
            let stage = lived_in(BEFORE);
            let (first, first_claude, _backend) = stage.running();
            choose(&stage, json!("haiku"), "tiny");
            let (second, second_claude) = stage.joining();
            let mut sessions = vec![(first, first_claude), (second, second_claude)];
            if second_writes {
                choose(&stage, json!("sonnet"), "tiny");
            }
            let (session, claude) = sessions.remove(first_to_end);
            finish(session, &claude);
            let (session, claude) = sessions.remove(0);
            finish(session, &claude);
            assert_eq!(text(settings_file(&stage)), BEFORE, "{second_writes} {first_to_end}");
        }
    }
    // The first session has ended when the second one writes.
    let stage = lived_in(BEFORE);
    let (first, first_claude, _backend) = stage.running();
    choose(&stage, Value::Null, "tiny (default)");
    let (second, second_claude) = stage.joining();
    finish(first, &first_claude);
    assert_eq!(text(settings_file(&stage)), BEFORE);
    choose(&stage, json!("haiku"), "tiny");
    finish(second, &second_claude);
    assert_eq!(text(settings_file(&stage)), BEFORE);
}

#[test]
fn flags_and_prices_of_the_routing_are_removed() {
    let stage = lived_in("{\"model\": \"claude-sonnet-4-5-20250929\"}");
    save(&state_file(&stage), &json!({"numStartups": 1, "migrationVersion": 14}));
    let (session, claude, _backend) = stage.running();
    // A migration, as at the first start of a new version.
    save(&settings_file(&stage), &json!({"model": "sonnet"}));
    let used = |cost: f64| json!({"inputTokens": 10, "costUSD": cost});
    save(
        &state_file(&stage),
        &json!({
            "numStartups": 2, "migrationVersion": 15, "opusProMigrationComplete": true,
            "officialMarketplaceAutoInstallAttempted": true, "officialMarketplaceAutoInstalled": false,
            "officialMarketplaceAutoInstallFailReason": "policy_blocked",
            "projects": {
                "/ours": {"lastCost": 0.25, "lastModelUsage": {"tiny": used(0.25)}},
                "/theirs": {"lastCost": 0.5, "lastModelUsage": {"claude-opus-5": used(0.5)}},
            },
        }),
    );
    finish(session, &claude);
    let expected = json!({
        "numStartups": 2, "migrationVersion": 14,
        "projects": {
            "/ours": {"lastCost": 0, "lastModelUsage": {"tiny": {"inputTokens": 10, "costUSD": 0}}},
            "/theirs": {"lastCost": 0.5, "lastModelUsage": {"claude-opus-5": used(0.5)}},
        },
    });
    assert_eq!(read(state_file(&stage)), expected);
    assert_eq!(text(settings_file(&stage)), "{\"model\": \"claude-sonnet-4-5-20250929\"}");
}

#[test]
fn marketplace_that_was_installed_stays() {
    let stage = lived_in(BEFORE);
    let installed = json!({
        "officialMarketplaceAutoInstallAttempted": true, "officialMarketplaceAutoInstalled": true, "migrationVersion": 15,
    });
    fs::write(state_file(&stage), installed.to_string()).expect("a file");
    let (session, claude, _backend) = stage.running();
    finish(session, &claude);
    assert_eq!(text(state_file(&stage)), installed.to_string());
}

#[test]
fn unreadable_files_are_left_alone() {
    let stage = lived_in("{ not JSON");
    fs::write(state_file(&stage), "[1, 2").expect("a file");
    let (session, claude, _backend) = stage.running();
    finish(session, &claude);
    assert_eq!((text(settings_file(&stage)).as_str(), text(state_file(&stage)).as_str()), ("{ not JSON", "[1, 2"));
    let (session, claude, _backend) = stage.running();
    save(&settings_file(&stage), &json!({"model": "tiny"}));
    finish(session, &claude);
    assert_eq!(read(settings_file(&stage)), json!({"model": "tiny"}), "the text before can't be restored key by key");
}
