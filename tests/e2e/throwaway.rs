//! Throwaway sessions with the real Claude Code and the real llama-server: the home stays byte-for-byte unchanged, and no
//! user data reaches the session.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lclaude_fakes::scripted_model::{LONG_WORD, Script};
use rustix::process::Signal;
use support::{Session, Stage, json, kill, machine::needs_strace, real, terminal::Terminal, throwaway::endpoint};

const DONE: &str = "The local model wrote proof.txt.\n";
/// Is in every file of the user. No session may read it or send it.
const MARK: &str = "MARKED-AS-MINE";

/// Fills the home as if the user had used Claude Code for a while, and returns a project below it.
fn lived_in(stage: &Stage) -> PathBuf {
    let project = stage.home().join("work/project");
    let own = stage.home().join(".claude");
    let put = |file: PathBuf, text: &str| {
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(file, text).expect("a file");
    };
    let folder = json!({"hasTrustDialogAccepted": true, "history": [MARK]});
    let server = json!({"command": "touch", "args": [stage.root().join("mcp-ran")]});
    let asked = json!({
        "hasCompletedOnboarding": true, "theme": "light", "oauthAccount": {"emailAddress": MARK},
        "mcpServers": {"mine": server}, "projects": {project.display().to_string(): folder},
    });
    put(stage.home().join(".claude.json"), &asked.to_string());
    put(own.join("settings.json"), &json!({"theme": "light", "outputStyle": MARK, "env": {"MINE": MARK}}).to_string());
    let login = json!({"accessToken": MARK, "refreshToken": MARK, "expiresAt": 4_102_444_800_000_u64, "scopes": ["user:inference"]});
    put(own.join(".credentials.json"), &json!({"claudeAiOauth": login}).to_string());
    let described = format!("---\nname: mine\ndescription: {MARK}\n---\n{MARK}\n");
    for file in ["agents/mine.md", "commands/mine.md", "skills/mine/SKILL.md"] {
        put(own.join(file), &described);
    }
    for file in ["CLAUDE.md", "CLAUDE.local.md", "rules/mine.md", "history.jsonl", "projects/-x/memory/MEMORY.md"] {
        put(own.join(file), MARK);
    }
    put(project.join("CLAUDE.md"), "the project's own");
    put(project.join(".claude/settings.json"), r#"{"env": {"OF_THE_PROJECT": "its-own"}}"#);
    fs::copy(stage.model(), project.join("tiny.gguf")).expect("the model");
    project
}

/// Returns the command for lclaude in the project, and the path of its trace if strace is available.
fn traced(stage: &Stage, arguments: &[&str], here: &Path) -> (Command, Option<PathBuf>) {
    let trace = needs_strace().then(|| stage.root().join("trace"));
    let mut command = stage.command(if trace.is_some() { Path::new("strace") } else { support::lclaude() });
    if let Some(trace) = &trace {
        command.args(["-f", "-e", "trace=open,openat,openat2,execve", "-o"]).arg(trace).arg(support::lclaude());
    }
    command.args(["--backend", "llamacpp", "--model", "tiny.gguf", "--throwaway"]).args(arguments);
    command.args(["--tools", "Bash", "--allowedTools", "Bash"]).current_dir(here).stdin(Stdio::null());
    (command, trace)
}

/// Returns the trace lines in which the user's files were opened for reading, not just to resolve a path. It skips lclaude
/// itself, which reads theme and trust from two of them.
fn user_files_read(stage: &Stage, trace: Option<PathBuf>) -> Vec<String> {
    let Some(trace) = trace else { return Vec::new() };
    let own = [stage.home().join(".claude"), stage.home().join(".claude.json")].map(|path| path.display().to_string());
    let trace = fs::read_to_string(trace).expect("a trace");
    let lclaude = trace.lines().next().and_then(|line| line.split_whitespace().next()).unwrap_or_default();
    let lines = trace.lines().filter(|line| {
        let opened = line.contains("open") && !line.contains("O_PATH") && !line.contains("O_DIRECTORY");
        // The result of a call can be on a later line, so it is ignored.
        let there = line.split('"').nth(1).is_some_and(|file| Path::new(file).exists());
        opened && there && !line.starts_with(lclaude) && own.iter().any(|own| line.contains(&format!("\"{own}")))
    });
    lines.map(str::to_owned).collect()
}

/// A script whose Bash command prints the session's variables and all of its files.
fn inspecting_script() -> Script {
    let command = r#"{"command": "printenv CLAUDE_CONFIG_DIR OF_THE_PROJECT MINE > proof.txt; cat $(find $CLAUDE_CONFIG_DIR -type f) >> proof.txt", "description": "look"}"#;
    Script { act: lclaude_fakes::scripted_model::tool_call("Bash", command), ..Script::default() }
}

#[test]
fn print_mode_leaves_the_home_unchanged() {
    let Some(stage) = real::stage(&inspecting_script()) else { return };
    let project = lived_in(&stage);
    let before = stage.home_snapshot();
    let (command, trace) = traced(&stage, &["-p", "create the proof"], &project);
    let ended = stage.run(command).expect(0);
    assert_eq!(ended.stdout, DONE, "{ended:#?}");
    let proof = fs::read_to_string(project.join("proof.txt")).expect("the tool's file");
    fs::remove_file(project.join("proof.txt")).expect("it is there");
    let mut lines = proof.lines();
    let home = lines.next().expect("a first line");
    assert!(home.starts_with(&stage.runtime().display().to_string()), "{proof}");
    assert_eq!(lines.next(), Some("its-own"), "the project's own settings work: {proof}");
    assert!(proof.contains("hasCompletedOnboarding") && !proof.contains(MARK), "{proof}");
    let read = user_files_read(&stage, trace);
    assert!(read.is_empty(), "{read:#?}");
    assert!(!Path::new(home).exists() && !stage.root().join("mcp-ran").exists());
    let mut now = stage.home_snapshot();
    // The tool's file in the project changed the time of its directory.
    now.insert(project.clone(), before[&project].clone());
    assert!(now == before, "{:#?} became {:#?}", before.keys(), now.keys());
    stage.assert_nothing_left();
}

/// Moving the lock with `XDG_STATE_HOME` would also change that variable for the session's tools.
#[test]
fn installed_claude_code_writes_only_its_version_lock() {
    let Some(mut stage) = real::stage(&Script::default()) else { return };
    let project = lived_in(&stage);
    // A path where Claude Code takes itself for installed, outside the compared home because it is about 400 MB.
    let installed = stage.root().join("data/claude/versions/9.9.9");
    fs::create_dir_all(installed.parent().expect("a directory")).expect("a directory");
    let real = stage.bin().join("claude").canonicalize().expect("a program");
    fs::hard_link(&real, &installed).or_else(|_| fs::copy(&real, &installed).map(drop)).expect("the program");
    fs::remove_file(stage.bin().join("claude")).expect("a link");
    symlink(&installed, stage.bin().join("claude")).expect("a link");
    stage.set("XDG_DATA_HOME", stage.root().join("data").display());
    let locks = stage.home().join(".local/state/claude/locks");
    fs::create_dir_all(&locks).expect("a directory");
    let mut before = stage.home_snapshot();
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "--throwaway", "-p", "hello"]);
    command.args(["--tools", ""]).current_dir(&project);
    assert_eq!(stage.run(command).expect(0).stdout, "Hello from the tiny local model.\n");
    let mut now = stage.home_snapshot();
    assert!(now[&locks] != before[&locks], "no lock was written");
    for snapshot in [&mut before, &mut now] {
        snapshot.retain(|path, _| !path.starts_with(&locks));
    }
    assert!(now == before, "{:#?} became {:#?}", before.keys(), now.keys());
}

#[test]
fn requests_contain_nothing_from_the_user_home() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let project = lived_in(&stage);
    let requests = stage.root().join("requests");
    let url = endpoint(Some(requests.clone()));
    stage.config(&format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{url}\"\n"));
    let ask = |options: &[&str]| {
        let mut command = stage.lclaude(&[options, &["-p", "a question"]].concat());
        let ended = support::Ended::of(command.current_dir(&project));
        let sent = fs::read_to_string(&requests).unwrap_or_default();
        fs::remove_file(&requests).expect("there were some");
        (ended, sent)
    };
    let (ended, sent) = ask(&["--throwaway"]);
    assert!(sent.contains("a question") && sent.contains("the project's own"), "{ended:#?}");
    assert!(!sent.contains(MARK), "{:?}", sent.find(MARK).map(|at| &sent[at.saturating_sub(200)..at + 40]));
    // An ordinary session does send the mark, so the check above proves something.
    assert!(ask(&[]).1.contains(MARK));
}

#[test]
fn interactive_session_has_no_dialog_and_leaves_the_home_unchanged() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let project = lived_in(&stage);
    let before = stage.home_snapshot();
    let (command, trace) = traced(&stage, &[], &project);
    // The first screen has no onboarding and no trust dialog.
    let shown = real::create_proof_and_quit(Terminal::start(command));
    assert!(!shown.contains("lclaude --resume "), "{shown}");
    assert_eq!(fs::read_to_string(project.join("proof.txt")).expect("the proof"), "made-by-local-model\n");
    fs::remove_file(project.join("proof.txt")).expect("it is there");
    let read = user_files_read(&stage, trace);
    assert!(read.is_empty(), "{read:#?}");
    let mut now = stage.home_snapshot();
    now.insert(project.clone(), before[&project].clone());
    assert!(now == before, "{:#?} became {:#?}", before.keys(), now.keys());
    stage.assert_nothing_left();
}

#[test]
fn untrusted_folder_causes_the_trust_dialog() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    lived_in(&stage);
    let before = stage.home_snapshot();
    // The default project is outside the home and not trusted.
    let mut command = stage.command(support::lclaude());
    command.args(["--backend", "llamacpp", "--model", "tiny.gguf", "--throwaway", "--tools", "Bash"]);
    let mut terminal = Terminal::start(command);
    terminal.wait_for("trust");
    kill(terminal.pid(), Signal::TERM);
    assert_eq!(terminal.wait(), Some(143));
    stage.assert_home_is(&before);
    stage.assert_nothing_left();
}

#[test]
fn session_killed_mid_answer_leaves_the_home_unchanged() {
    type End = fn(&Stage, &Session);
    let ends: [(&str, End); 5] = [
        ("TERM", |_, session| session.signal(Signal::TERM)),
        ("HUP to all", |_, session| session.signal_group(Signal::HUP)),
        ("INT", |_, session| session.signal(Signal::INT)),
        ("lclaude killed", |_, session| session.signal(Signal::KILL)),
        ("lclaude and Claude Code killed", |_, session| session.signal_group(Signal::KILL)),
    ];
    for (name, end) in ends {
        let Some(stage) = real::stage(&Script { long_is_endless: true, ..Script::default() }) else { return };
        let project = lived_in(&stage);
        stage.config("[claude]\nmax_output_tokens = 1500\n");
        let before = stage.home_snapshot();
        let mut command =
            stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "--throwaway", "-p", LONG_WORD]);
        command.args(["--tools", "", "--output-format", "stream-json", "--include-partial-messages", "--verbose"]);
        let mut session = Session::start(command.current_dir(&project));
        session.wait_for_line("content_block_delta");
        assert_eq!(stage.runtime_sessions().len(), 1, "{name}");
        end(&stage, &session);
        session.wait();
        stage.wait_for_nothing_left();
        stage.assert_home_is(&before);
    }
}

#[test]
fn next_session_removes_leftovers_of_killed_lclaude_and_keeper() {
    let Some(stage) = real::stage(&Script { long_is_endless: true, ..Script::default() }) else { return };
    let project = lived_in(&stage);
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "--throwaway", "-p", LONG_WORD]);
    command.args(["--tools", "", "--output-format", "stream-json", "--include-partial-messages", "--verbose"]);
    let before = stage.home_snapshot();
    let mut session = Session::start(command.current_dir(&project));
    session.wait_for_line("content_block_delta");
    kill(stage.keeper(), Signal::STOP);
    session.signal(Signal::KILL);
    kill(stage.keeper(), Signal::KILL);
    session.wait();
    stage.assert_home_is(&before);
    let mut next = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "--throwaway", "-p", "hello"]);
    let ended = support::Ended::of(next.args(["--tools", ""]).current_dir(&project));
    assert_eq!(ended.expect(0).stdout, "Hello from the tiny local model.\n");
    stage.assert_home_is(&before);
    stage.wait_for_nothing_left();
}
