//! `lclaude local stop` ends what it is told to end, asks where sessions would lose it, and returns when it has gone.

use std::{fs, process::Stdio};

use rustix::process::Signal;
use support::{
    Ended, Fake, Session, Stage, finish, has_ended, kill, lclaude, leftovers::Leftover, messages, messages::mask,
    session::Session as Running, terminal::Terminal, turn,
};

#[track_caller]
fn stop(stage: &Stage, arguments: &[&str]) -> Ended {
    stage.ended(stage.lclaude(&["local", "stop"]).args(arguments).stdin(Stdio::null()))
}

/// The ids of all that ever ran on this stage.
fn ids(stage: &Stage) -> Vec<String> {
    let locks = stage.runtime_files("lock");
    locks.iter().map(|lock| lock.file_stem().expect("a name").to_string_lossy()[..8].to_owned()).collect()
}

fn only_id(stage: &Stage) -> String {
    ids(stage).pop().expect("a lock")
}

/// A session on another backend, with that and its Claude Code.
fn other(stage: &Stage) -> (Running, Fake, Fake) {
    let arguments = ["--backend", "llamacpp", "--model", "tiny.gguf", "--context", "32768", "-p", "hello"];
    stage.started(&mut stage.lclaude(&arguments))
}

/// Names the backends of this stage in the snapshot.
fn mask_ids(stage: &Stage) {
    ids(stage).iter().for_each(|id| mask(id, "ID"));
}

/// That session has been told, and its Claude Code has been ended.
#[track_caller]
fn expect_told(session: Session, claude: &Fake) -> Ended {
    assert_eq!(claude.wait_event("signal")["number"], Signal::TERM.as_raw());
    claude.wait_gone();
    let ended = session.wait().expect(69);
    assert!(ended.stderr.contains("lclaude local stop") && ended.stderr.contains("lclaude -c"), "{ended:#?}");
    ended
}

#[test]
fn nothing_up_is_no_failure() {
    messages!();
    let stage = Stage::new();
    for arguments in [&[][..], &["--all"], &["--yes"]] {
        stop(&stage, arguments).expect(0).record();
    }
    assert!(!stage.runtime().exists(), "it makes no directory");
}

#[test]
fn a_backend_that_only_lingers_is_ended_without_a_question() {
    messages!();
    let stage = Stage::new();
    stage.config("[lifetime]\nlinger = \"1h\"\n");
    let (session, claude, _fake) = stage.running();
    finish(session, &claude);
    mask(only_id(&stage), "ID");
    stop(&stage, &[]).expect(0).expect_stdout("").record();
    stage.assert_nothing_left();
}

#[test]
fn a_backend_in_use_is_not_ended_unasked() {
    messages!();
    let stage = Stage::new();
    let (first, first_claude, _fake) = stage.running();
    let (second, second_claude) = stage.joining();
    mask(only_id(&stage), "ID");
    mask(first.pid(), "FIRST");
    mask(second.pid(), "SECOND");
    for arguments in [&[][..], &["--all"]] {
        stop(&stage, arguments).expect_failure(77);
    }
    turn(&first_claude);
    turn(&second_claude);
    finish(first, &first_claude);
    finish(second, &second_claude);
}

#[test]
fn yes_ends_it_with_its_sessions() {
    messages!();
    let stage = Stage::new();
    let (first, first_claude, fake) = stage.running();
    let (second, second_claude) = stage.joining();
    mask(only_id(&stage), "ID");
    stop(&stage, &["--yes"]).expect(0).record();
    stage.assert_nothing_left();
    assert!(has_ended(&fake));
    expect_told(first, &first_claude).record();
    expect_told(second, &second_claude);
}

#[test]
fn a_session_that_still_waits_for_its_backend_is_told_too() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_NEVER_READY", 1);
    let session = stage.session(&["-p", "hello"]);
    let fake = stage.events.next("llama-server");
    stop(&stage, &["--yes"]).expect(0);
    stage.assert_nothing_left();
    assert!(has_ended(&fake));
    session.wait().expect_failure(69);
}

#[test]
fn at_a_terminal_the_user_is_asked() {
    let stage = Stage::new();
    let (session, claude, _fake) = stage.running();
    let question = format!("session {} in {} is using llamacpp with tiny", session.pid(), stage.project().display());
    for (answer, code) in [("n", 77), ("", 77), ("y", 0)] {
        let mut command = stage.command(lclaude());
        command.args(["local", "stop"]);
        let mut terminal = Terminal::start(command);
        terminal.wait_for(&question);
        terminal.wait_for("End it all the same? [y/N] ");
        turn(&claude);
        terminal.type_in(&format!("{answer}\n"));
        let said = terminal.wait_to_the_end(code);
        assert_eq!(said.contains("help: "), code == 77, "{said}");
    }
    stage.assert_nothing_left();
    expect_told(session, &claude);
}

#[test]
fn of_several_one_is_chosen() {
    messages!();
    let stage = Stage::new();
    let (first, first_claude, _first) = stage.running();
    let (second, second_claude, _second) = other(&stage);
    mask_ids(&stage);
    let ended = stop(&stage, &["--yes"]).expect_failure(64);
    for id in ids(&stage) {
        assert!(ended.stderr.contains(&format!("  help: lclaude local stop {id}\n")), "{ended:#?}");
    }

    // By the options of its session, by its id, and by a number when asked.
    stop(&stage, &["--yes", "--backend", "llamacpp", "--model", "tiny.gguf", "--context", "32768"]).expect(0);
    expect_told(second, &second_claude);
    let gone = stop(&stage, &["--backend", "llamacpp", "--model", "tiny.gguf", "--context", "32768"]);
    gone.expect_failure(64);

    let (second, second_claude, _second) = other(&stage);
    let status = stage.output(&["local", "status"]).expect(0).stdout;
    let block = status.split("\n\n").find(|block| block.contains(&format!(" {} ", second.pid())));
    let id = &block.expect("its block")[..8];
    stop(&stage, &["--yes", id]).expect(0);
    expect_told(second, &second_claude);
    stop(&stage, &[id]).expect_failure(64);
    stop(&stage, &["tiny"]).expect_failure(64);

    let (second, second_claude, _second) = other(&stage);
    let mut command = stage.command(lclaude());
    command.args(["local", "stop", "--yes"]);
    let mut terminal = Terminal::start(command);
    terminal.wait_for("1  llamacpp with tiny (");
    terminal.wait_for("2  llamacpp with tiny (");
    terminal.wait_for("Which one is to end? [1-2] ");
    terminal.type_in("2\n");
    terminal.wait_to_the_end(0);
    // The oldest is the first, but for those of the same second.
    let (left, left_claude, ended, ended_claude) = if has_ended(&second_claude) {
        (first, first_claude, second, second_claude)
    } else {
        (second, second_claude, first, first_claude)
    };
    expect_told(ended, &ended_claude);
    turn(&left_claude);
    finish(left, &left_claude);
}

#[test]
fn all_are_ended_at_once() {
    messages!();
    let stage = Stage::new();
    let (first, first_claude, _first) = stage.running();
    let (second, second_claude, _second) = other(&stage);
    mask_ids(&stage);
    let ended = stop(&stage, &["--all", "--yes"]).expect(0).record();
    assert_eq!(ended.stderr.lines().count(), 2, "{ended:#?}");
    stage.assert_nothing_left();
    expect_told(first, &first_claude);
    expect_told(second, &second_claude);
}

#[test]
fn what_is_refused_of_one_does_not_keep_the_others() {
    let stage = Stage::new();
    stage.config("[lifetime]\nlinger = \"1h\"\n");
    let (first, first_claude, _first) = stage.running();
    let (second, second_claude, _second) = other(&stage);
    let ended = stop(&stage, &["--all"]).expect(77);
    assert_eq!(ended.stderr.matches(") was not ended\n").count(), 2, "{ended:#?}");
    finish(second, &second_claude);
    let ended = stop(&stage, &["--all"]).expect(77);
    let counts = [" was not ended\n", "lclaude: ended llamacpp"].map(|words| ended.stderr.matches(words).count());
    assert_eq!(counts, [1, 1], "{ended:#?}");
    finish(first, &first_claude);
    stop(&stage, &[]).expect(0);
}

#[test]
fn a_stopped_keeper_is_no_obstacle() {
    messages!();
    for with_session in [true, false] {
        let stage = Stage::new();
        stage.config("[lifetime]\nlinger = \"1h\"\n");
        let (session, claude, _fake) = stage.running();
        let session = match with_session {
            true => Some(session),
            false => {
                finish(session, &claude);
                None
            }
        };
        kill(stage.keeper(), Signal::STOP);
        if with_session {
            mask(only_id(&stage), "ID");
            mask(claude.ppid, "SESSION");
            stop(&stage, &[]).expect_failure(77);
            kill(stage.keeper(), Signal::STOP);
            stop(&stage, &["--yes"]).expect(0);
        } else {
            stop(&stage, &[]).expect(0);
        }
        stage.assert_nothing_left();
        if let Some(session) = session {
            expect_told(session, &claude);
        }
    }
}

#[test]
fn what_killed_keepers_have_left_is_ended() {
    messages!();
    let stage = Stage::new();
    let (session, claude, _fake) = stage.running();
    finish(session, &claude);
    let lock = stage.runtime_files("lock").pop().expect("a lock");
    let mut left = Leftover::of(&stage, &lock);
    mask(only_id(&stage), "ID");
    stop(&stage, &[]).expect(0).record();
    assert!(left.child.try_wait().expect("a child of ours").is_some(), "it returns when it has gone");
    stop(&stage, &[]).expect(0).record();
}

#[test]
fn a_keeper_without_its_socket_is_found() {
    let stage = Stage::new();
    let (session, claude, _fake) = stage.running();
    fs::remove_file(stage.runtime_files("sock").pop().expect("a socket")).expect("a file");
    stop(&stage, &["--yes"]).expect(0);
    stage.assert_nothing_left();
    expect_told(session, &claude);
}

#[test]
fn a_keeper_that_is_told_to_end_leaves_its_sessions_to_another() {
    let mut stage = Stage::new();
    // So that the keeper is busy with its end when the session has left it.
    stage.set("FAKE_LLAMA_IGNORE_TERM", 1);
    let model = stage.model().display().to_string();
    let run = ["llama-server", "--model", &model, "--alias", "{model}", "--port", "{port}", "-c", "{context}"];
    stage.config(&format!("backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = {run:?}\n"));
    let (session, claude, fake) = stage.started(&mut stage.lclaude(&["-p", "hello"]));
    let private = stage.runtime_sessions();
    kill(stage.keeper(), Signal::TERM);
    fake.wait_gone();
    let again = stage.events.next("llama-server");
    assert_eq!(again.argv, fake.argv, "the same port");
    turn(&claude);
    assert_eq!(stage.runtime_sessions(), private);
    assert_eq!(private.len(), 1);
    finish(session, &claude);
}
