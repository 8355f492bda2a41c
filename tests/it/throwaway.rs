//! A throwaway session has a home of its own that contains only the user's answers to Claude Code's dialogs. It reads and
//! writes nothing else of the user's.

use std::{fs, os::unix::fs::symlink, path::Path, process::Stdio};

use rustix::process::Signal;
use support::{
    Ended, Session, Stage, Value, finish, json, messages,
    throwaway::{command, home_of, lived_in, mode, read, running, texts, write},
};

#[test]
fn throwaway_home_is_private_and_removed_at_the_end() {
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
    assert_eq!(fs::read_dir(&home).expect("a directory").count(), 1, "the home contains more than the answers");
    assert!(!texts(&home).contains("MINE"), "{}", texts(&home));
    // The overlay sets these too, so that the project's settings can't restore the user's directories.
    for name in ["CLAUDE_CONFIG_DIR", "CLAUDE_CODE_TMPDIR", "CLAUDE_SECURESTORAGE_CONFIG_DIR", "ANTHROPIC_CONFIG_DIR"] {
        assert_eq!(claude.settings["env"][name], claude.env[name]);
        assert!(claude.env[name].starts_with(&stage.runtime().display().to_string()), "{name}={}", claude.env[name]);
    }
    write(home.join("projects/p/1.jsonl"), "a conversation");
    assert_eq!(finish(session, &claude).stdout, "");
    assert!(!home.exists() && !tmp.exists());
    // The backend's log is not kept either.
    stage.assert_home_is(&before);
    stage.assert_nothing_left();
}

#[test]
fn theme_and_trust_are_copied_from_the_user() {
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
fn missing_answers_are_not_invented() {
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
fn claude_config_dir_of_the_user_is_respected() {
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

/// In any folder below the home directory, Claude Code reads `~/.claude/CLAUDE.md` as project memory (observed).
#[test]
fn user_memory_is_excluded() {
    let stage = Stage::new();
    lived_in(&stage);
    let settings = r#"{"claudeMdExcludes": ["/mine"], "disableDeepLinkRegistration": "no"}"#;
    let mut typed = command(&stage, &["--throwaway", "--settings", settings]);
    let (session, claude, _backend) = stage.started(&mut typed);
    let memory = format!("{}/.claude/**", stage.home().display());
    assert_eq!(claude.settings["claudeMdExcludes"], json!(["/mine", memory]));
    assert_eq!(claude.settings["disableDeepLinkRegistration"], "disable");
    finish(session, &claude);
}

#[test]
fn ordinary_session_has_no_throwaway_settings() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.started(&mut command(&stage, &[]));
    // The stage sets this one, as a user might.
    let theirs = stage.root().join("tmp").display().to_string();
    for (name, value) in [("CLAUDE_CONFIG_DIR", None), ("CLAUDE_CODE_TMPDIR", Some(&theirs))] {
        assert_eq!((claude.env.get(name), &claude.settings["env"][name]), (value, &Value::Null));
    }
    assert_eq!(claude.settings["claudeMdExcludes"], Value::Null);
    finish(session, &claude);
    assert!(stage.home().join(".local/state/lclaude/logs").exists());
}

#[test]
fn simultaneous_sessions_share_only_the_backend() {
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
fn keep_option_keeps_the_home_and_prints_its_path() {
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
            assert!(ended.stderr.contains(&stage.shown(&home)), "{ended:#?}");
            messages::mask(home.file_name().expect("a name").display(), "SESSION");
            ended.record();
        }
        // The temporary files are gone, and the home doesn't contain the token.
        assert!(stage.runtime_sessions().is_empty());
        assert!(texts(&home).contains("a conversation") && !texts(&home).contains(&token), "{}", texts(&home));
    }
}

#[test]
fn setting_and_option_enable_throwaway() {
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
    // A command that lclaude only passes on ignores the setting.
    stage.ended(&mut stage.lclaude(&["--dry-run", "mcp", "list"])).expect(0);
}

#[test]
fn impossible_combinations_are_rejected() {
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
    // In the home directory, `.claude` belongs to both the user and the project.
    fs::create_dir(stage.home().join(".claude")).expect("a directory");
    refused(&["--throwaway", "-p", "x"], &stage.home()).expect_failure(64);
    stage.config("throwaway = true\n");
    refused(&["-p", "x"], &stage.home()).expect_failure(65);
}

/// Claude Code loads agents from the `.claude` of every directory up to the root of the repository (observed).
#[test]
fn directory_below_the_users_claude_directory_is_rejected() {
    messages!();
    let mut stage = Stage::new();
    let model = stage.model().display().to_string();
    let options = ["--backend", "llamacpp", "--model", &model, "--throwaway", "--dry-run", "-p", "x"];
    let refused = |stage: &Stage, here: &Path, own: &Path| {
        fs::create_dir_all(here).expect("a directory");
        let ended = stage.ended(stage.lclaude(&options).current_dir(here));
        let ended = ended.expect_failure(64);
        assert!(ended.stderr.contains(&stage.shown(own)), "{ended:#?}");
    };
    let work = stage.root().join("work");
    // A symlink to the user's `.claude`.
    fs::create_dir_all(stage.home().join(".claude")).expect("a directory");
    fs::create_dir_all(&work).expect("a directory");
    symlink(stage.home().join(".claude"), work.join(".claude")).expect("a link");
    refused(&stage, &work.join("project/deep"), &work.join(".claude"));
    fs::remove_file(work.join(".claude")).expect("a link");
    // CLAUDE_CONFIG_DIR, outside and below the home directory.
    for work in [work, stage.home().join("work")] {
        fs::create_dir_all(work.join(".claude")).expect("a directory");
        stage.set("CLAUDE_CONFIG_DIR", work.join(".claude").display());
        refused(&stage, &work.join("project/deep"), &work.join(".claude"));
        // Directories above the root of the repository don't matter.
        fs::create_dir(work.join("project/.git")).expect("a directory");
        stage.ended(stage.lclaude(&options).current_dir(work.join("project/deep"))).expect(0);
    }
}
