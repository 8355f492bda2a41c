//! Managed settings, in which an administrator fixes where Claude Code sends requests. lclaude respects them.
//!
//! Their path is the same on every machine, so each test mounts its own `/etc` in a mount namespace.

use std::{fs, path::Path, process::Command};

use support::{Session, Stage, finish, lclaude, machine::needs, messages};

const FILE: &str = "managed-settings.json";
const PART: &str = "managed-settings.d/50-policy.json";

/// Returns a stage with this file of managed settings.
fn stage(file: &str, text: &str) -> Stage {
    let stage = Stage::new();
    stage.config(&format!("backend = \"llamacpp\"\nmodel = {:?}\n", stage.model().display().to_string()));
    let file = stage.root().join("etc/claude-code").join(file);
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    fs::write(file, text).expect("a file");
    stage
}

/// Returns a command that runs with the stage's `/etc`.
fn managed(stage: &Stage, program: &Path, arguments: &[&str]) -> Command {
    let mut command = stage.command("unshare");
    command.arg(if rustix::process::geteuid().is_root() { "-m" } else { "-rm" });
    command.args(["sh", "-c", "mount --bind \"$1\" /etc && shift && exec \"$@\"", "sh"]);
    command.arg(stage.root().join("etc")).arg(program).args(arguments).stdin(std::process::Stdio::null());
    command
}

/// Returns whether this machine allows mount namespaces.
fn is_possible() -> bool {
    let tried = stage(FILE, "{}");
    let tried = tried.ended(&mut managed(&tried, Path::new("true"), &[]));
    needs(format!("a mount namespace ({})", tried.stderr.trim()), tried.code == Some(0))
}

#[test]
fn managed_routing_settings_are_respected() {
    if !is_possible() {
        return;
    }
    messages!();
    for (file, text) in [
        (FILE, r#"{"env": {"ANTHROPIC_BASE_URL": "https://gateway.example"}}"#),
        (FILE, r#"{"forceLoginMethod": "console"}"#),
        (PART, r#"{"availableModels": ["sonnet"]}"#),
        (FILE, r#"{"env": {"#),
        (PART, ""),
    ] {
        messages::note(format!("{file}: {text}"));
        let stage = stage(file, text);
        for arguments in [
            &["-p", "x"][..],
            &["--dry-run"],
            &["--throwaway", "-p", "x"],
            &["local", "run", "true"],
            &["local", "env"],
            &["local", "serve"],
        ] {
            let mut ended = stage.ended(&mut managed(&stage, lclaude(), arguments));
            ended.command = format!("lclaude {}", arguments.join(" "));
            ended.expect_failure(77).expect_stdout("");
            stage.assert_nothing_started();
        }
    }
}

#[test]
fn commands_without_a_model_still_run() {
    if !is_possible() {
        return;
    }
    let stage = stage(FILE, r#"{"forceLoginMethod": "console"}"#);
    let session = Session::start(&mut managed(&stage, lclaude(), &["mcp", "list"]));
    let claude = stage.events.next("claude");
    assert_eq!(claude.argv[1..], ["mcp", "list"]);
    finish(session, &claude);
    stage.assert_nothing_started();
}

#[test]
fn unrelated_managed_settings_are_allowed() {
    if !is_possible() {
        return;
    }
    let stage = stage(FILE, r#"{"permissions": {"deny": ["Read"]}, "env": {"OTEL_LOGS_EXPORTER": "otlp"}}"#);
    let (session, claude, _backend) = stage.started(&mut managed(&stage, lclaude(), &["-p", "x"]));
    finish(session, &claude);
}
