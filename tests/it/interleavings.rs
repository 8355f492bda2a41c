//! No moment of a start or an end is a bad one for a process to be killed or suspended: other sessions go on, one backend
//! runs, everybody is told what is waited for, and nothing is left.
//!
//! `src/base/failpoint.rs` stops the process that reaches a point first. A keeper that stays stopped is woken by its
//! session; nobody wakes a session.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use support::{Fake, Session, Stage, finish, json, kill, turn, until};

/// Points of a keeper while its backend starts.
const KEEPER_STARTS: [&str; 7] = [
    "keeper-started",
    "keeper-locked",
    "record-created",
    "record-written",
    "record-replaced",
    "backend-spawned",
    "keeper-ready",
];
/// Points of a keeper while its backend ends.
const KEEPER_ENDS: [&str; 4] = ["keeper-ending", "keeper-announced", "backend-ended", "keeper-cleaned-up"];
/// Points of a session while it starts.
const SESSION_STARTS: [&str; 5] =
    ["keeper-spawned", "session-connected", "session-greeted", "session-ready", "child-spawned"];
/// Points of a session while it ends.
const SESSION_ENDS: [&str; 2] = ["session-releasing", "session-closed"];

/// How long a wait may be before the user is told, with some room for a busy machine.
const SILENCE: Duration = Duration::from_secs(4);

/// A stage on which the first process that reaches `point` stops, once that is armed.
struct Trap {
    stage: Stage,
    armed: PathBuf,
}

impl Trap {
    fn new(kind: &str, point: &str) -> Self {
        let mut stage = Stage::new();
        if kind == "command" {
            let model = stage.model();
            stage.config(&format!(
                "backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = [\"llama-server\", \"--model\", \"{}\", \
                 \"--alias\", \"{{model}}\", \"--host\", \"{{host}}\", \"--port\", \"{{port}}\", \"-c\", \"{{context}}\"]\n",
                model.display()
            ));
        }
        let armed = stage.trap(point);
        Trap { stage, armed }
    }

    fn session(&self, kind: &str) -> Session {
        match kind {
            "command" => Session::start(&mut self.stage.lclaude(&["-p", "hello"])),
            _ => self.stage.session(&["-p", "hello"]),
        }
    }

    fn arm(&self) {
        fs::write(&self.armed, "").expect("a file");
    }

    /// Waits until a process has stopped, and returns it.
    fn caught(&self) -> i32 {
        self.stage.caught(&self.armed)
    }

    /// Waits for the Claude Codes of these sessions, in this order.
    fn claudes(&self, sessions: &[&Session]) -> Vec<Fake> {
        let mut claudes: Vec<Fake> = sessions.iter().map(|_| self.stage.events.next("claude")).collect();
        claudes.sort_by_key(|claude| sessions.iter().position(|session| session.pid() == claude.ppid));
        claudes
    }

    /// Ends the sessions, after a turn in each, and checks that there was only one backend in the end.
    #[track_caller]
    fn end(self, point: &str, sessions: Vec<Session>) {
        let claudes = self.claudes(&sessions.iter().collect::<Vec<_>>());
        claudes.iter().for_each(turn);
        let backends: Vec<Fake> = self.stage.events.rest();
        until(&format!("there is one backend ({point})"), || {
            backends.iter().filter(|backend| !backend.is_gone()).count() == 1
        });
        for (session, claude) in sessions.into_iter().zip(claudes) {
            claude.send(json!({"do": "exit", "code": 0}));
            session.wait().expect(0);
        }
        self.stage.wait_for_nothing_left();
    }
}

#[test]
fn keeper_may_be_killed_at_any_point_of_a_start() {
    for kind in ["llamacpp", "command"] {
        for point in KEEPER_STARTS {
            let trap = Trap::new(kind, point);
            trap.arm();
            let first = trap.session(kind);
            let keeper = trap.caught();
            assert_ne!(keeper, first.pid(), "{point}");
            let second = trap.session(kind);
            kill(keeper, Signal::KILL);
            trap.end(point, vec![first, second]);
        }
    }
}

#[test]
fn suspended_keeper_is_woken_and_stops_nobody_for_long() {
    for point in KEEPER_STARTS {
        let trap = Trap::new("llamacpp", point);
        trap.arm();
        let first = trap.session("llamacpp");
        trap.caught();
        let start = Instant::now();
        let second = trap.session("llamacpp");
        trap.claudes(&[&first, &second]).iter().for_each(|claude| claude.send(json!({"do": "exit", "code": 0})));
        assert!(start.elapsed() < SILENCE, "{point}: {:?}", start.elapsed());
        for session in [first, second] {
            session.wait().expect(0);
        }
        trap.stage.wait_for_nothing_left();
    }
}

#[test]
fn keeper_may_be_killed_at_any_point_of_its_end() {
    for kind in ["llamacpp", "command"] {
        for point in KEEPER_ENDS {
            let trap = Trap::new(kind, point);
            let first = trap.session(kind);
            let claude = trap.stage.events.next("claude");
            trap.arm();
            claude.send(json!({"do": "exit", "code": 0}));
            let keeper = trap.caught();
            let second = trap.session(kind);
            kill(keeper, Signal::KILL);
            first.wait().expect(0);
            trap.end(point, vec![second]);
        }
    }
}

#[test]
fn suspended_keeper_delays_no_end() {
    for point in KEEPER_ENDS {
        let trap = Trap::new("llamacpp", point);
        let first = trap.session("llamacpp");
        let claude = trap.stage.events.next("claude");
        trap.arm();
        claude.send(json!({"do": "exit", "code": 0}));
        trap.caught();
        let start = Instant::now();
        let told = first.wait().expect(0).stderr;
        assert!(start.elapsed() < SILENCE, "{point}: {:?}", start.elapsed());
        assert!(told.contains("waiting for the backend to end"), "{point}: {told:?}");
        trap.stage.assert_nothing_left();
    }
}

#[test]
fn suspended_session_stops_nobody() {
    for kind in ["llamacpp", "command"] {
        for (point, resumes) in SESSION_STARTS.into_iter().flat_map(|point| [(point, true), (point, false)]) {
            let trap = Trap::new(kind, point);
            trap.arm();
            let first = trap.session(kind);
            assert_eq!(trap.caught(), first.pid(), "{point}");
            let start = Instant::now();
            let second = trap.session(kind);
            // The first one may have started its Claude Code.
            let mut others = Vec::new();
            let claude = loop {
                let claude = trap.stage.events.next("claude");
                if claude.ppid == second.pid() {
                    break claude;
                }
                others.push(claude);
            };
            assert!(start.elapsed() < SILENCE, "{point}: {:?}", start.elapsed());
            turn(&claude);
            if resumes {
                kill(first.pid(), Signal::CONT);
                let other = others.pop().unwrap_or_else(|| trap.stage.events.next("claude"));
                turn(&other);
                finish(first, &other);
            } else {
                first.signal(Signal::KILL);
                drop(first);
                turn(&claude);
            }
            finish(second, &claude);
            trap.stage.wait_for_nothing_left();
        }
    }
}

#[test]
fn suspended_session_may_be_killed_at_any_point_of_its_end() {
    for kind in ["llamacpp", "command"] {
        for (point, resumes) in SESSION_ENDS.into_iter().flat_map(|point| [(point, true), (point, false)]) {
            let trap = Trap::new(kind, point);
            let first = trap.session(kind);
            let claude = trap.stage.events.next("claude");
            trap.arm();
            claude.send(json!({"do": "exit", "code": 0}));
            assert_eq!(trap.caught(), first.pid(), "{point}");
            let second = trap.session(kind);
            let claude = trap.stage.events.next("claude");
            turn(&claude);
            if resumes {
                kill(first.pid(), Signal::CONT);
                first.wait().expect(0);
            } else {
                first.signal(Signal::KILL);
                drop(first);
            }
            turn(&claude);
            finish(second, &claude);
            trap.stage.wait_for_nothing_left();
        }
    }
}

/// Claude Code runs and its launcher hasn't told the keeper yet. Only its launcher's death could end it, and it ignores
/// the signal for that.
#[test]
fn launcher_killed_before_it_reports_claude_code_leaves_nothing() {
    for with_keeper in [false, true] {
        let trap = Trap::new("llamacpp", "child-spawned");
        trap.arm();
        let session = trap.session("llamacpp");
        let claude = trap.stage.events.next("claude");
        assert_eq!(trap.caught(), session.pid());
        claude.send(json!({"do": "ignore_signals"}));
        claude.wait_event("done");
        let keeper = trap.stage.keeper();
        kill(session.pid(), Signal::KILL);
        if with_keeper {
            kill(keeper, Signal::KILL);
        }
        claude.wait_gone();
        drop(session);
        trap.stage.wait_for_nothing_left();
    }
}
