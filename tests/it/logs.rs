//! `lclaude local logs` prints and follows the log of a backend.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    process::Stdio,
    time::{Duration, SystemTime},
};

use support::{Stage, finish, json, lclaude, messages, terminal::Terminal, turn, until};

#[track_caller]
fn printed(stage: &Stage, arguments: &[&str]) -> String {
    let ended = stage.ended(stage.lclaude(&["local", "logs"]).args(arguments)).expect(0);
    assert_eq!(ended.stderr, "");
    ended.stdout
}

#[test]
fn log_is_printed_verbatim_without_the_key() {
    let stage = Stage::new();
    let (session, claude, fake) = stage.running();
    turn(&claude);
    let token = claude.env["ANTHROPIC_AUTH_TOKEN"].clone();
    fake.send(json!({"do": "log", "text": "last line before the crash"}));
    fake.send(json!({"do": "exit", "code": 1}));
    stage.events.next("llama-server").wait_event("ready");
    finish(session, &claude);

    let [log] = &stage.logs()[..] else { panic!("one log") };
    let shown = printed(&stage, &[]);
    assert_eq!(shown, fs::read_to_string(log).expect("text"));
    // It contains both runs of the backend.
    assert!(shown.contains("last line before the crash\n"), "{shown}");
    assert_eq!(shown.matches("model loaded").count(), 2, "{shown}");
    assert!(!shown.contains(&token), "{shown}");
}

#[test]
fn log_is_selected_by_options_or_id_or_is_the_latest() {
    messages!();
    let stage = Stage::new();
    stage.output(&["local", "logs"]).expect_failure(69);
    let select = ["--backend", "llamacpp", "--model", "tiny.gguf", "--context"];
    for context in ["65536", "32768"] {
        let arguments = [&select[..], &[context, "-p", "hello"]].concat();
        let (session, claude, fake) = stage.started(&mut stage.lclaude(&arguments));
        fake.send(json!({"do": "log", "text": format!("a context of {context}")}));
        turn(&claude);
        finish(session, &claude);
    }
    let latest = printed(&stage, &[]);
    assert!(latest.contains("a context of 32768\n"), "{latest}");
    let chosen = printed(&stage, &[&select[..], &["65536"]].concat());
    assert!(chosen.contains("a context of 65536\n"), "{chosen}");

    for log in stage.logs() {
        let id = log.file_stem().expect("a name").to_string_lossy().into_owned();
        assert_eq!(printed(&stage, &[&id[..8]]), fs::read_to_string(&log).expect("text"));
    }
    let never = stage.output(&[&["local", "logs"], &select[..], &["30000"]].concat());
    never.expect_failure(69);
    stage.output(&["local", "logs", "ffffffffffffffff"]).expect_failure(69);
    stage.output(&["local", "logs", ""]).expect_failure(64);
    stage.output(&["local", "logs", "--model", "gone.gguf", "--backend", "llamacpp"]).expect_failure(64);
}

#[test]
fn logs_unused_for_two_weeks_are_deleted() {
    let stage = Stage::new();
    let directory = stage.home().join(".local/state/lclaude/logs");
    fs::create_dir_all(&directory).expect("a directory");
    let log = |name: &str, days: u64| {
        let file = File::create(directory.join(name)).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 3600))
            .expect("the test may set the time");
    };
    for (name, days) in [("1.log", 13), ("1.old", 13), ("2.log", 15), ("2.old", 15)] {
        log(name, days);
    }
    let (session, claude, _backend) = stage.running();
    finish(session, &claude);
    let is_there = |name: &str| directory.join(name).exists();
    assert_eq!(["1.log", "1.old", "2.log", "2.old"].map(is_there), [true, true, false, false]);
}

#[test]
fn throwaway_session_log_can_be_printed() {
    let stage = Stage::new();
    let session = stage.session(&["--throwaway", "-p", "hello"]);
    let fake = stage.events.next("llama-server");
    let claude = stage.events.next("claude");
    fake.send(json!({"do": "log", "text": "line of a throwaway session"}));
    let log = stage.runtime_files("log").pop().expect("a log");
    until("the line is in the log", || fs::read_to_string(&log).is_ok_and(|text| text.contains("line of a throwaway")));
    for arguments in [&[][..], &["--backend", "llamacpp", "--model", "tiny.gguf"]] {
        assert!(printed(&stage, arguments).contains("line of a throwaway session\n"), "{arguments:?}");
    }
    finish(session, &claude);
}

#[test]
fn follow_continues_across_runs_until_interrupted() {
    let stage = Stage::new();
    let (session, claude, fake) = stage.running();
    let mut command = stage.command(lclaude());
    command.args(["local", "logs", "--follow"]);
    let mut following = Terminal::start(command);
    following.wait_for("model loaded");
    fake.send(json!({"do": "log", "text": "line while following"}));
    following.wait_for("line while following");
    finish(session, &claude);

    // A new keeper starts a new file.
    let (session, claude, fake) = stage.running();
    following.wait_for("model loaded");
    fake.send(json!({"do": "log", "text": "line of the next run"}));
    following.wait_for("line of the next run");
    // The log is replaced by shorter content.
    let log = stage.logs().pop().expect("a log");
    fs::write(&log, "new content\n").expect("a file");
    following.wait_for("new content");
    finish(session, &claude);
    following.type_in("\x03");
    let said = following.wait_to_the_end(130);
    assert_eq!(said.matches("model loaded").count(), 2, "{said}");
}

#[test]
fn closed_pipe_is_not_a_failure() {
    let stage = Stage::new();
    let (session, claude, fake) = stage.running();
    let command = &mut stage.lclaude(&["local", "logs", "-f"]);
    let mut following = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut line = String::new();
    BufReader::new(following.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
    fake.send(json!({"do": "log", "text": "line without a reader"}));
    assert_eq!(following.wait().expect("it ends").code(), Some(0));
    line.clear();
    following.stderr.take().expect("a pipe").read_to_string(&mut line).expect("text");
    assert_eq!(line, "");
    finish(session, &claude);
}
