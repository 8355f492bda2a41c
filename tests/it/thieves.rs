//! Another user of the machine gets no request for a backend, whatever port they take and when.
//!
//! llama-server needs no such care: it shares its port with a socket of lclaude's that nobody else can.

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, Value, finish, json, kill, machine::needs_root, messages, ollama::ollama_port, port,
    process_state, turn, until,
};

/// A backend whose port is lent, and whose programs bind it when told.
struct Lent {
    who: &'static str,
    stage: Stage,
    port: fn(&Fake) -> u16,
}

impl Lent {
    fn command() -> Self {
        let mut stage = Stage::new();
        let run = r#"["llama-server", "--model", "MODEL", "--alias", "{model}", "--port", "{port}"]"#;
        let run = run.replace("MODEL", &stage.model().display().to_string());
        let text = format!("backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = {run}\n");
        stage.config(&format!("{text}[lifetime]\nrestarts = 2\n"));
        stage.set("FAKE_LLAMA_BIND", "controlled");
        Lent { who: "llama-server", stage, port }
    }

    fn ollama() -> Self {
        let mut stage = Stage::ollama();
        stage.config("model = \"small\"\n[lifetime]\nrestarts = 2\n");
        stage.set("FAKE_OLLAMA_BIND", "controlled");
        Lent { who: "ollama", stage, port: ollama_port }
    }

    fn start(&self) -> Session {
        Session::start(&mut self.stage.lclaude(&["-p", "hello"]))
    }

    /// Returns the next program, which has not bound its port.
    fn next(&self) -> Fake {
        self.stage.events.next(self.who)
    }

    /// Starts a session and waits for its Claude Code.
    fn up(&self) -> (Session, Fake, Fake) {
        let session = self.start();
        let backend = self.next();
        bind(&backend);
        (session, self.stage.events.next("claude"), backend)
    }

    /// Kills the program, and returns the one that the keeper then starts.
    fn crash(&self, backend: &Fake) -> Fake {
        kill(backend.pid, Signal::KILL);
        self.next()
    }
}

fn bind(backend: &Fake) {
    backend.send(json!({"do": "bind"}));
}

/// Another user who tries to take a port. Dropping it ends the process.
struct Thief(std::process::Child, Fake);

impl Thief {
    fn start(stage: &Stage, port: u16) -> Self {
        let program = stage.root().join("thief");
        if !program.exists() {
            stage.install("fake-thief", &program);
        }
        let child = stage.command(program).arg(port.to_string()).spawn().expect("it runs");
        Thief(child, stage.events.next("thief"))
    }

    fn requests(&self) -> Value {
        self.1.send(json!({"do": "report"}));
        self.1.wait_event("report")["requests"].clone()
    }
}

impl Drop for Thief {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_stopped(fake: &Fake) -> bool {
    process_state(fake.pid) == Some('T')
}

/// Makes Claude Code send prompts without a pause, whoever answers.
fn prompt(claude: &Fake) {
    let body = json!({"model": claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], "max_tokens": 9, "messages": []});
    claude.send(json!({"do": "request_forever", "path": "/v1/messages", "body": body}));
    claude.wait_event("done");
}

/// Has a thief compete for the port with the program that follows after `loss`, while Claude Code sends prompts. Who gets
/// it is a matter of luck.
fn race(loss: impl Fn(&Lent, &Fake)) {
    if !needs_root() {
        return;
    }
    for mut lent in [Lent::command(), Lent::ollama()] {
        lent.stage.unset("FAKE_LLAMA_BIND").unset("FAKE_OLLAMA_BIND");
        let session = lent.start();
        let backend = lent.next();
        let claude = lent.stage.events.next("claude");
        let thief = Thief::start(&lent.stage, (lent.port)(&backend));
        thief.1.wait_event("trying");
        prompt(&claude);
        loss(&lent, &backend);
        let mut started = Vec::new();
        until("the backend has its port again, or the session has ended", || {
            started.extend(lent.stage.events.rest());
            started.iter().any(|fake| fake.has_event("listening")) || claude.is_gone()
        });
        // It may be failing just now.
        session.signal(Signal::TERM);
        let ended = session.wait();
        assert!(matches!(ended.code, Some(143 | 69)), "{ended:#?}");
        assert_eq!(thief.requests(), json!({}));
    }
}

#[test]
fn port_taken_before_the_start_gets_no_request() {
    if !needs_root() {
        return;
    }
    for lent in [Lent::command(), Lent::ollama()] {
        let session = lent.start();
        let robbed = lent.next();
        let thief = Thief::start(&lent.stage, (lent.port)(&robbed));
        thief.1.wait_event("won");
        let backend = lent.next();
        assert_ne!((lent.port)(&backend), (lent.port)(&robbed));
        bind(&backend);
        let claude = lent.stage.events.next("claude");
        turn(&claude);
        assert_eq!(thief.requests(), json!({}));
        drop(thief);
        finish(session, &claude);
    }
}

#[test]
fn port_taken_after_a_crash_gets_no_request() {
    messages!();
    if !needs_root() {
        return;
    }
    for lent in [Lent::command(), Lent::ollama()] {
        let (session, claude, backend) = lent.up();
        let thief = Thief::start(&lent.stage, (lent.port)(&backend));
        thief.1.wait_event("trying");
        turn(&claude);
        prompt(&claude);
        lent.crash(&backend);
        thief.1.wait_event("won");
        claude.wait_gone();
        let ended = session.wait().expect_failure(69);
        assert!(ended.stderr.contains("another program listens on port"), "{ended:#?}");
        assert_eq!(thief.requests(), json!({}));
    }
}

#[test]
fn race_for_the_port_of_a_crashed_backend_costs_no_prompt() {
    race(|_, backend| kill(backend.pid, Signal::KILL));
}

#[test]
fn race_for_the_port_of_a_lost_keeper_costs_no_prompt() {
    race(|lent, _| kill(lent.stage.keeper(), Signal::KILL));
}

#[test]
fn claude_code_is_stopped_until_the_restarted_backend_listens() {
    let mut lent = Lent::command();
    lent.stage.set("FAKE_LLAMA_LOAD", "controlled");
    let session = lent.start();
    let backend = lent.next();
    bind(&backend);
    backend.send(json!({"do": "ready"}));
    let claude = lent.stage.events.next("claude");
    let restarted = lent.crash(&backend);
    assert_eq!((lent.port)(&restarted), (lent.port)(&backend));
    assert!(is_stopped(&claude));
    bind(&restarted);
    // Its model is still loading.
    claude.send(json!({"do": "print", "text": ""}));
    claude.wait_event("done");
    restarted.send(json!({"do": "ready"}));
    turn(&claude);
    finish(session, &claude);
}

#[test]
fn claude_code_of_a_backend_with_a_key_is_not_stopped() {
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_BIND", "controlled");
    let session = stage.session(&["-p", "hello"]);
    let backend = stage.events.next("llama-server");
    bind(&backend);
    let claude = stage.events.next("claude");
    kill(backend.pid, Signal::KILL);
    let restarted = stage.events.next("llama-server");
    claude.send(json!({"do": "print", "text": ""}));
    claude.wait_event("done");
    bind(&restarted);
    turn(&claude);
    finish(session, &claude);
}

#[test]
fn signal_ends_a_session_whose_claude_code_is_stopped() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 0)] {
        let lent = Lent::command();
        let (session, claude, backend) = lent.up();
        lent.crash(&backend);
        session.signal(signal);
        session.wait().expect(code);
        assert!(claude.is_gone());
    }
}

#[test]
fn killed_session_leaves_no_stopped_process() {
    let lent = Lent::command();
    let (session, claude, backend) = lent.up();
    lent.crash(&backend);
    assert!(is_stopped(&claude));
    session.signal(Signal::KILL);
    session.wait();
    claude.wait_gone();
    lent.stage.wait_for_nothing_left();
}

#[test]
fn suspended_session_stays_suspended_while_its_backend_restarts() {
    let lent = Lent::command();
    let (session, claude, backend) = lent.up();
    session.signal_group(Signal::STOP);
    until("the session is suspended", || is_stopped(&claude) && process_state(session.pid()) == Some('T'));
    let restarted = lent.crash(&backend);
    bind(&restarted);
    restarted.wait_event("ready");
    // Another session's Claude Code starts when the keeper has continued what it stopped.
    let other = lent.start();
    let other_claude = lent.stage.events.next("claude");
    assert!(is_stopped(&claude) && process_state(session.pid()) == Some('T'));
    session.signal_group(Signal::CONT);
    turn(&claude);
    finish(other, &other_claude);
    finish(session, &claude);
}

#[test]
fn foreground_command_does_not_continue_a_stopped_claude_code() {
    let lent = Lent::command();
    let (session, claude, backend) = lent.up();
    let restarted = lent.crash(&backend);
    session.signal_group(Signal::STOP);
    until("the session is suspended", || process_state(session.pid()) == Some('T'));
    session.signal_group(Signal::CONT);
    until("Claude Code is stopped again", || is_stopped(&claude) && process_state(session.pid()) != Some('T'));
    bind(&restarted);
    turn(&claude);
    finish(session, &claude);
}

#[test]
fn keeper_stops_the_claude_code_of_a_session_that_does_not_respond() {
    let lent = Lent::command();
    let (session, claude, backend) = lent.up();
    // After the first restart it is certain that the session has told the keeper about its Claude Code.
    let backend = lent.crash(&backend);
    bind(&backend);
    turn(&claude);
    session.signal(Signal::STOP);
    until("the session is suspended", || process_state(session.pid()) == Some('T'));
    let restarted = lent.crash(&backend);
    assert!(is_stopped(&claude));
    bind(&restarted);
    turn(&claude);
    session.signal(Signal::CONT);
    finish(session, &claude);
}

#[test]
fn claude_code_is_stopped_while_a_lost_keeper_is_replaced() {
    let lent = Lent::command();
    let (session, claude, backend) = lent.up();
    kill(lent.stage.keeper(), Signal::KILL);
    backend.wait_gone();
    let restarted = lent.next();
    assert!(is_stopped(&claude));
    bind(&restarted);
    turn(&claude);
    finish(session, &claude);
}

#[test]
fn descendants_of_another_program_are_stopped_too() {
    let lent = Lent::command();
    let mut command = lent.stage.lclaude(&["local", "run", "--", "sh", "-c", "claude & wait"]);
    let session = Session::start(&mut command);
    let backend = lent.next();
    bind(&backend);
    let claude = lent.stage.events.next("claude");
    let restarted = lent.crash(&backend);
    assert!(is_stopped(&claude) && process_state(claude.ppid) == Some('T'));
    bind(&restarted);
    turn(&claude);
    finish(session, &claude);
}

#[test]
fn program_that_cannot_share_the_port_starts_with_a_warning() {
    messages!();
    let mut lent = Lent::command();
    lent.stage.set("FAKE_LLAMA_BIND", "strict");
    let session = lent.start();
    let (first, second) = (lent.next(), lent.next());
    assert_eq!((lent.port)(&first), (lent.port)(&second));
    let claude = lent.stage.events.next("claude");
    turn(&claude);
    finish(session, &claude).record();
}
