//! A throwaway session has an empty home of its own, with no more in it than the user's own answers, and nothing of theirs
//! is read or written.

use std::{fs, os::unix::fs::symlink, path::Path, process::Stdio};

use rustix::process::Signal;
use support::{
    Ended, Session, Stage, Value, finish, json, messages,
    throwaway::{command, home_of, lived_in, mode, read, running, texts, write},
};

#[test]
fn a_home_of_its_own_that_is_private_and_gone_at_the_end() {
    let stage = Stage::new();
    lived_in(&stage);
    let before = stage.home_snapshot();
    let (session, claude, _backend) = running(&stage);
    let home = home_of(&claude);
    let tmp = Path::new(&claude.env["CLAUDE_CODE_TMPDIR"]);
    assert!(home.starts_with(stage.runtime()) && tmp.starts_with(stage.runtime()), "{home:?}, {tmp:?}");
    assert_eq!(
        [mode(&home), mode(tmp), mode(home.parent().expect("one")), mode(home.join(".claude.json"))],
        [0o700, 0o700, 0o700, 0o600]
    );
    assert_eq!(fs::read_dir(&home).expect("a directory").count(), 1, "nothing but the answers");
    assert!(!texts(&home).contains("MINE"), "{}", texts(&home));
    // A settings file of the project's must not lead back.
    for name in ["CLAUDE_CONFIG_DIR", "CLAUDE_CODE_TMPDIR", "CLAUDE_SECURESTORAGE_CONFIG_DIR", "ANTHROPIC_CONFIG_DIR"] {
        assert_eq!(claude.settings["env"][name], claude.env[name]);
        assert!(claude.env[name].starts_with(&stage.runtime().display().to_string()), "{name}={}", claude.env[name]);
    }
    write(home.join("projects/p/1.jsonl"), "a conversation");
    assert_eq!(finish(session, &claude).stdout, "");
    assert!(!home.exists() && !tmp.exists());
    // Not even a log of the backend's.
    stage.assert_home_is(&before);
    stage.assert_nothing_left();
}

#[test]
fn theme_and_trust_are_the_users_own_answers() {
    let stage = Stage::new();
    lived_in(&stage);
    let (session, claude, _backend) = running(&stage);
    let folder = json!({"hasTrustDialogAccepted": true, "disabledMcpjsonServers": ["theirs"]});
    let projects = json!({stage.project().display().to_string(): folder});
    let expected = json!({"hasCompletedOnboarding": true, "projects": projects, "theme": "light"});
    assert_eq!(read(home_of(&claude).join(".claude.json")), expected);
    finish(session, &claude);
}

#[test]
fn what_was_never_answered_is_not_answered() {
    let nothing = json!({"hasCompletedOnboarding": true, "projects": {}});
    let asked = |trusted: Value| json!({"projects": {"PROJECT": {"hasTrustDialogAccepted": trusted}}}).to_string();
    for answers in ["", "broken", &asked(json!(false)), &asked(json!("true"))] {
        let stage = Stage::new();
        let answers = answers.replace("PROJECT", &stage.project().display().to_string());
        write(stage.home().join(".claude.json"), &answers);
        let (session, claude, _backend) = running(&stage);
        assert_eq!(read(home_of(&claude).join(".claude.json")), nothing, "{answers}");
        finish(session, &claude);
    }
}

#[test]
fn the_users_configuration_is_looked_for_where_they_have_it() {
    let mut stage = Stage::new();
    let own = stage.root().join("configured");
    let project = stage.project().display().to_string();
    write(
        own.join(".claude.json"),
        json!({"theme": "custom:mine", "projects": {project: {"hasTrustDialogAccepted": true}}}).to_string(),
    );
    write(own.join("themes/mine.json"), r#"{"base": "light"}"#);
    stage.set("CLAUDE_CONFIG_DIR", own.display()).set("CLAUDE_SECURESTORAGE_CONFIG_DIR", own.display());
    stage.set("CLAUDE_CODE_PLUGIN_CACHE_DIR", own.display());
    let (session, claude, _backend) = running(&stage);
    let home = home_of(&claude);
    let answers = read(home.join(".claude.json"));
    assert_eq!(
        (&answers["theme"], answers["projects"].as_object().map(serde_json::Map::len)),
        (&json!("custom:mine"), Some(1))
    );
    assert_eq!(read(home.join("themes/mine.json")), json!({"base": "light"}));
    let leaks: Vec<_> = claude.env.iter().filter(|(_, value)| value.starts_with(&*own.to_string_lossy())).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
    let excluded = claude.settings["claudeMdExcludes"].to_string();
    assert!(excluded.contains(&format!("{}/**", own.display())), "{excluded}");
    finish(session, &claude);
}

/// In any folder below the home directory, Claude Code takes `~/.claude/CLAUDE.md` for a project's (seen).
#[test]
fn the_users_memory_and_models_stay_out_and_nothing_is_registered() {
    let stage = Stage::new();
    lived_in(&stage);
    let settings = r#"{"claudeMdExcludes": ["/mine"], "disableDeepLinkRegistration": "no"}"#;
    let mut typed = command(&stage, &["--throwaway", "--settings", settings]);
    let (session, claude, _backend) = stage.started(&mut typed);
    let memory = format!("{}/.claude/**", stage.home().display());
    assert_eq!(claude.settings["claudeMdExcludes"], json!(["/mine", memory]));
    assert_eq!(claude.settings["disableDeepLinkRegistration"], "disable");
    // The user's own list of models is not read, so there is nothing to lift.
    assert_eq!(claude.settings["availableModels"], Value::Null);
    finish(session, &claude);
}

#[test]
fn an_ordinary_session_has_none_of_it() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.started(&mut command(&stage, &[]));
    // The tests' own, as a user might have one.
    let theirs = stage.root().join("tmp").display().to_string();
    for (name, value) in [("CLAUDE_CONFIG_DIR", None), ("CLAUDE_CODE_TMPDIR", Some(&theirs))] {
        assert_eq!((claude.env.get(name), &claude.settings["env"][name]), (value, &Value::Null));
    }
    assert_eq!(claude.settings["claudeMdExcludes"], Value::Null);
    finish(session, &claude);
    assert!(stage.home().join(".local/state/lclaude/logs").exists());
}

#[test]
fn two_at_once_share_the_backend_and_nothing_else() {
    let stage = Stage::new();
    let (first, claude, backend) = running(&stage);
    let second = Session::start(&mut command(&stage, &["--throwaway"]));
    let other = stage.events.next("claude");
    assert_ne!(home_of(&claude), home_of(&other));
    finish(first, &claude);
    assert!(home_of(&other).exists() && !home_of(&claude).exists() && !backend.is_gone());
    finish(second, &other);
}

#[test]
fn keep_keeps_it_and_says_where() {
    messages!();
    for killed in [false, true] {
        let stage = Stage::new();
        lived_in(&stage);
        let (session, claude, _backend) = stage.started(&mut command(&stage, &["--throwaway", "--keep"]));
        let home = home_of(&claude);
        assert!(home.starts_with(stage.home().join(".local/state/lclaude/throwaway")), "{home:?}");
        assert_eq!([mode(&home), mode(home.parent().expect("one"))], [0o700; 2]);
        write(home.join("projects/p/1.jsonl"), "a conversation");
        let token = claude.env["ANTHROPIC_AUTH_TOKEN"].clone();
        if killed {
            session.signal(Signal::KILL);
            session.wait();
            stage.wait_for_nothing_left();
        } else {
            let ended = finish(session, &claude);
            assert_eq!(ended.stdout, "");
            assert!(ended.stderr.contains(&home.display().to_string()), "{ended:#?}");
            messages::mask(home.file_name().expect("a name").display(), "SESSION");
            ended.record();
        }
        // The temporary files are gone, and the token was never in it.
        assert!(stage.runtime_sessions().is_empty());
        assert!(texts(&home).contains("a conversation") && !texts(&home).contains(&token), "{}", texts(&home));
    }
}

#[test]
fn the_setting_and_the_option() {
    messages!();
    let stage = Stage::new();
    let plan = |options: &[&str]| {
        let mut command = command(&stage, &[&["--dry-run"], options].concat());
        let ended = stage.ended(command.stdin(Stdio::null())).expect(0);
        stage.assert_nothing_started();
        let is_told = |line: &&str| line.trim_start().starts_with("throwaway ") || line.contains(" home");
        let told: Vec<&str> = ended.stdout.lines().filter(is_told).filter(|line| !line.starts_with("  + ")).collect();
        let is_throwaway = ["PRIVATE/claude", "/"].iter().any(|home| {
            let variable = format!("  + CLAUDE_CONFIG_DIR={home}");
            ended.stdout.lines().any(|line| line.starts_with(&variable))
        });
        messages::record(&ended.command, told.join("\n"));
        is_throwaway
    };
    assert!(!plan(&[]));
    assert!(plan(&["--throwaway"]));
    stage.config("throwaway = true\n");
    messages::note("throwaway = true");
    assert!(plan(&[]) && plan(&["--keep"]) && !plan(&["--throwaway=false"]));
    lived_in(&stage);
    messages::note("with answers to carry over");
    assert!(plan(&[]));
    // A command that lclaude only passes on is no session.
    stage.ended(&mut stage.lclaude(&["--dry-run", "mcp", "list"])).expect(0);
}

#[test]
fn what_cannot_be_is_said() {
    messages!();
    let stage = Stage::new();
    let model = stage.model().display().to_string();
    let local = ["--backend", "llamacpp", "--model", &model];
    let refused = |arguments: &[&str], here: &Path| -> Ended {
        let ended = stage.ended(stage.lclaude(&[&local, arguments].concat()).current_dir(here));
        stage.assert_nothing_started();
        ended
    };
    let project = stage.project();
    refused(&["--keep", "-p", "x"], &project).expect_failure(64);
    refused(&["--throwaway=false", "--keep", "-p", "x"], &project).expect_failure(64);
    refused(&["--throwaway", "mcp", "list"], &project).expect_failure(64);
    refused(&["--throwaway=maybe", "-p", "x"], &project).expect_failure(64);
    refused(&["--throwawy", "-p", "x"], &project).expect_failure(64);
    // There `.claude` is the user's and the project's at once.
    fs::create_dir(stage.home().join(".claude")).expect("a directory");
    refused(&["--throwaway", "-p", "x"], &stage.home()).expect_failure(64);
    stage.config("throwaway = true\n");
    refused(&["-p", "x"], &stage.home()).expect_failure(65);
}

/// Claude Code was seen to take agents from the `.claude` of every directory up to the root of the repository.
#[test]
fn a_directory_above_whose_claude_is_the_users_own_is_refused() {
    messages!();
    let mut stage = Stage::new();
    let model = stage.model().display().to_string();
    let options = ["--backend", "llamacpp", "--model", &model, "--throwaway", "--dry-run", "-p", "x"];
    let refused = |stage: &Stage, here: &Path, own: &Path| {
        fs::create_dir_all(here).expect("a directory");
        let ended = stage.ended(stage.lclaude(&options).current_dir(here));
        let ended = ended.expect_failure(64);
        assert!(ended.stderr.contains(&own.display().to_string()), "{ended:#?}");
    };
    let work = stage.root().join("work");
    // A link to it.
    fs::create_dir_all(stage.home().join(".claude")).expect("a directory");
    fs::create_dir_all(&work).expect("a directory");
    symlink(stage.home().join(".claude"), work.join(".claude")).expect("a link");
    refused(&stage, &work.join("project/deep"), &work.join(".claude"));
    fs::remove_file(work.join(".claude")).expect("a link");
    // Where the user has it; below the home too.
    for work in [work, stage.home().join("work")] {
        fs::create_dir_all(work.join(".claude")).expect("a directory");
        stage.set("CLAUDE_CONFIG_DIR", work.join(".claude").display());
        refused(&stage, &work.join("project/deep"), &work.join(".claude"));
        // Above the root of the repository it is not looked for.
        fs::create_dir(work.join("project/.git")).expect("a directory");
        stage.ended(stage.lclaude(&options).current_dir(work.join("project/deep"))).expect(0);
    }
}
