//! `lclaude local stop` stops the selected backend, asks if sessions use it, and returns once it has exited.

use std::{fs, process::Stdio};

use rustix::process::Signal;
use support::{
    Ended, Fake, Session, Stage, finish, kill, lclaude, leftovers::Leftover, messages, messages::mask,
    session::Session as Running, terminal::Terminal, turn,
};

#[track_caller]
fn stop(stage: &Stage, arguments: &[&str]) -> Ended {
    stage.ended(stage.lclaude(&["local", "stop"]).args(arguments).stdin(Stdio::null()))
}

/// The short ids of all backends that ever ran on this stage.
fn ids(stage: &Stage) -> Vec<String> {
    let locks = stage.runtime_files("lock");
    locks.iter().map(|lock| lock.file_stem().expect("a name").to_string_lossy()[..8].to_owned()).collect()
}

fn only_id(stage: &Stage) -> String {
    ids(stage).pop().expect("a lock")
}

/// A session on another backend, with its Claude Code and that backend.
fn other(stage: &Stage) -> (Running, Fake, Fake) {
    let arguments = ["--backend", "llamacpp", "--model", "tiny.gguf", "--context", "32768", "-p", "hello"];
    stage.started(&mut stage.lclaude(&arguments))
}

/// Masks the short ids of this stage's backends.
fn mask_ids(stage: &Stage) {
    ids(stage).iter().for_each(|id| mask(id, "ID"));
}

/// Checks that the session reports the stop and that its Claude Code was terminated.
#[track_caller]
fn expect_stopped(session: Session, claude: &Fake) -> Ended {
    assert_eq!(claude.wait_event("signal")["number"], Signal::TERM.as_raw());
    claude.wait_gone();
    let ended = session.wait().expect(69);
    assert!(
        ended.stderr.contains("lclaude local stop") && ended.stderr.contains(" -c  # continues the conversation"),
        "{ended:#?}"
    );
    ended
}

#[test]
fn stop_without_backends_succeeds() {
    messages!();
    let stage = Stage::new();
    for arguments in [&[][..], &["--all"], &["--yes"]] {
        stop(&stage, arguments).expect(0).record();
    }
    assert!(!stage.runtime().exists(), "stop created the runtime directory");
}

#[test]
fn lingering_backend_is_stopped_without_asking() {
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
fn backend_in_use_is_not_stopped_without_consent() {
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
fn yes_option_stops_the_backend_and_its_sessions() {
    messages!();
    let stage = Stage::new();
    let (first, first_claude, fake) = stage.running();
    let (second, second_claude) = stage.joining();
    mask(only_id(&stage), "ID");
    stop(&stage, &["--yes"]).expect(0).record();
    stage.assert_nothing_left();
    assert!(fake.is_gone());
    expect_stopped(first, &first_claude).record();
    expect_stopped(second, &second_claude);
}

#[test]
fn session_waiting_for_its_backend_is_ended_too() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_NEVER_READY", 1);
    let session = stage.session(&["-p", "hello"]);
    let fake = stage.events.next("llama-server");
    stop(&stage, &["--yes"]).expect(0);
    stage.assert_nothing_left();
    assert!(fake.is_gone());
    session.wait().expect_failure(69);
}

#[test]
fn stop_asks_on_a_terminal() {
    let stage = Stage::new();
    let (session, claude, _fake) = stage.running();
    let question = format!("session {} in {} is using llamacpp with tiny", session.pid(), stage.project().display());
    for (answer, code) in [("n", 77), ("", 77), ("y", 0)] {
        let mut command = stage.command(lclaude());
        command.args(["local", "stop"]);
        let mut terminal = Terminal::start(command);
        terminal.wait_for(&question);
        terminal.wait_for("Stop it anyway? [y/N] ");
        turn(&claude);
        terminal.type_in(&format!("{answer}\n"));
        let said = terminal.wait_to_the_end(code);
        assert_eq!(said.contains("help: "), code == 77, "{said}");
    }
    stage.assert_nothing_left();
    expect_stopped(session, &claude);
}

#[test]
fn one_of_several_backends_can_be_selected() {
    messages!();
    let stage = Stage::new();
    let (first, first_claude, _first) = stage.running();
    let (second, second_claude, _second) = other(&stage);
    mask_ids(&stage);
    let ended = stop(&stage, &["--yes"]).expect_failure(64);
    for id in ids(&stage) {
        assert!(ended.stderr.contains(&format!("  help: lclaude local stop {id}\n")), "{ended:#?}");
    }

    // A backend is selected by the options of its session, by its id, or by a number at a terminal.
    stop(&stage, &["--yes", "--backend", "llamacpp", "--model", "tiny.gguf", "--context", "32768"]).expect(0);
    expect_stopped(second, &second_claude);
    let gone = stop(&stage, &["--backend", "llamacpp", "--model", "tiny.gguf", "--context", "32768"]);
    gone.expect_failure(64);

    let (second, second_claude, _second) = other(&stage);
    let status = stage.output(&["local", "status"]).expect(0).stdout;
    let block = status.split("\n\n").find(|block| block.contains(&format!(" {} ", second.pid())));
    let id = &block.expect("its block")[..8];
    stop(&stage, &["--yes", id]).expect(0);
    expect_stopped(second, &second_claude);
    stop(&stage, &[id]).expect_failure(64);
    stop(&stage, &["tiny"]).expect_failure(64);

    let (second, second_claude, _second) = other(&stage);
    let mut command = stage.command(lclaude());
    command.args(["local", "stop", "--yes"]);
    let mut terminal = Terminal::start(command);
    terminal.wait_for("1  llamacpp with tiny (");
    terminal.wait_for("2  llamacpp with tiny (");
    terminal.wait_for("Stop which one? [1-2] ");
    terminal.type_in("2\n");
    terminal.wait_to_the_end(0);
    // The oldest is listed first, but two that started in the same second have no fixed order.
    let (left, left_claude, ended, ended_claude) = if second_claude.is_gone() {
        (first, first_claude, second, second_claude)
    } else {
        (second, second_claude, first, first_claude)
    };
    expect_stopped(ended, &ended_claude);
    turn(&left_claude);
    finish(left, &left_claude);
}

#[test]
fn all_option_stops_every_backend() {
    messages!();
    let stage = Stage::new();
    let (first, first_claude, _first) = stage.running();
    let (second, second_claude, _second) = other(&stage);
    mask_ids(&stage);
    let ended = stop(&stage, &["--all", "--yes"]).expect(0).record();
    assert_eq!(ended.stderr.lines().count(), 2, "{ended:#?}");
    stage.assert_nothing_left();
    expect_stopped(first, &first_claude);
    expect_stopped(second, &second_claude);
}

#[test]
fn refusal_for_one_backend_does_not_spare_the_others() {
    let stage = Stage::new();
    stage.config("[lifetime]\nlinger = \"1h\"\n");
    let (first, first_claude, _first) = stage.running();
    let (second, second_claude, _second) = other(&stage);
    let ended = stop(&stage, &["--all"]).expect(77);
    assert_eq!(ended.stderr.matches(") was not stopped\n").count(), 2, "{ended:#?}");
    finish(second, &second_claude);
    let ended = stop(&stage, &["--all"]).expect(77);
    let counts = [" was not stopped\n", "lclaude: stopped llamacpp"].map(|words| ended.stderr.matches(words).count());
    assert_eq!(counts, [1, 1], "{ended:#?}");
    finish(first, &first_claude);
    stop(&stage, &[]).expect(0);
}

#[test]
fn suspended_keeper_can_be_stopped() {
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
            expect_stopped(session, &claude);
        }
    }
}

#[test]
fn leftover_backend_is_stopped() {
    messages!();
    let stage = Stage::new();
    let mut left = Leftover::after_session(&stage);
    mask(only_id(&stage), "ID");
    stop(&stage, &[]).expect(0).record();
    assert!(left.child.try_wait().expect("a child of ours").is_some(), "stop returned before the backend exited");
    stop(&stage, &[]).expect(0).record();
}

#[test]
fn keeper_without_its_socket_is_found() {
    let stage = Stage::new();
    let (session, claude, _fake) = stage.running();
    fs::remove_file(stage.runtime_files("sock").pop().expect("a socket")).expect("a file");
    stop(&stage, &["--yes"]).expect(0);
    stage.assert_nothing_left();
    expect_stopped(session, &claude);
}

#[test]
fn terminated_keeper_is_replaced_for_its_sessions() {
    let mut stage = Stage::new();
    // The keeper is still waiting for the backend when the session has left it.
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
    // The session doesn't wait for a backend that ends slowly.
    stage.wait_for_nothing_left();
}
