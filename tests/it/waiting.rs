//! The wait for the backend: its progress messages, how it is interrupted, and that it ends at once when the backend
//! fails.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use lclaude_fakes::events::PATIENCE;
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use support::{
    Fake, Session, Stage, finish, json, kill, messages, ollama, port, server, session::shell_code, terminal::Terminal,
    write_program,
};

const LOCAL: [&str; 4] = ["--backend", "llamacpp", "--model", "tiny.gguf"];
/// A name on Hugging Face. The fake downloads it before it binds its port.
const REMOTE: [&str; 4] = ["--backend", "llamacpp", "--model", "someone/tiny:Q4_K_M"];

/// A stage whose backend loads until the test sends `ready`.
fn controlled() -> Stage {
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_LOAD", "controlled");
    stage
}

/// A session whose stderr is read while it runs.
struct LiveSession {
    child: Child,
    lines: Receiver<String>,
}

impl LiveSession {
    fn start(stage: &Stage, arguments: &[&str]) -> Self {
        let mut child =
            stage.lclaude(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lclaude runs");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        LiveSession { child, lines }
    }

    fn pid(&self) -> i32 {
        self.child.id().try_into().expect("a process number")
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("another line on stderr")
    }

    /// Waits for the exit, and returns the exit code, stdout and the remaining lines of stderr.
    fn wait(mut self) -> (Option<i32>, String, Vec<String>) {
        let mut stdout = String::new();
        self.child.stdout.take().expect("a pipe").read_to_string(&mut stdout).expect("text");
        let code = shell_code(self.child.wait().expect("lclaude can be waited for"));
        (code, stdout, self.lines.iter().collect())
    }
}

#[test]
fn without_a_terminal_each_stage_is_one_line_on_stderr() {
    let stage = controlled();
    let session = LiveSession::start(&stage, &[&LOCAL[..], &["-p", "hello"]].concat());
    assert_eq!(session.line(), "lclaude: starting llamacpp (tiny)");
    assert_eq!(session.line(), "lclaude: loading the model");
    stage.events.next("llama-server").send(json!({"do": "ready"}));
    stage.events.next("claude").send(json!({"do": "exit", "code": 0}));
    assert_eq!(session.wait(), (Some(0), String::new(), Vec::new()));
}

#[test]
fn first_line_names_what_is_started_or_asked() {
    let stage = controlled();
    stage.config(&format!(
        "backend = 'command'\nmodel = 'tiny'\n[command]\nrun = ['llama-server', '-m', '{}', '-a', '{{model}}', \
         '-c', '{{context}}', '--port', '{{port}}']\n",
        stage.model().display()
    ));
    let session = LiveSession::start(&stage, &["-p", "hello"]);
    assert_eq!(session.line(), "lclaude: starting llama-server (tiny)");
    let backend = stage.events.next("llama-server");
    backend.send(json!({"do": "ready"}));
    let claude = stage.events.next("claude");

    claude.send(json!({"do": "exit", "code": 0}));
    assert_eq!(session.wait().0, Some(0));

    // Nothing is started for a server that already runs.
    let (stage, own) = ollama::shared(&[]);
    let session = LiveSession::start(&stage, &["--model", "small", "-p", "hello"]);
    assert_eq!(session.line(), format!("lclaude: connecting to {} (small:latest)", own.url));
    stage.events.next("claude").send(json!({"do": "exit", "code": 0}));
    assert_eq!(session.wait().0, Some(0));
}

#[test]
fn download_is_a_separate_stage() {
    let mut stage = controlled();
    stage.set("FAKE_LLAMA_DOWNLOAD", "controlled");
    let session = LiveSession::start(&stage, &REMOTE);
    assert_eq!(session.line(), "lclaude: starting llamacpp (someone/tiny:Q4_K_M)");
    assert_eq!(session.line(), "lclaude: downloading the model");
    let backend = stage.events.next("llama-server");
    // However often the backend logs its progress, there is one line.
    for percent in [10, 20, 30] {
        backend.send(json!({"do": "log", "text": format!("Downloading tiny ─── {percent}%")}));
    }
    backend.send(json!({"do": "downloaded"}));
    assert_eq!(session.line(), "lclaude: loading the model");
    backend.send(json!({"do": "ready"}));
    stage.events.next("claude").send(json!({"do": "exit", "code": 0}));
    assert_eq!(session.wait(), (Some(0), String::new(), Vec::new()));
}

/// Whether a screen shows only complete lines, such as the one about tools that are left out.
fn has_no_progress(lines: &[String]) -> bool {
    !lines.iter().any(|line| line.contains("loading the model"))
}

#[test]
fn progress_line_is_cleared_before_claude_code_draws() {
    let stage = controlled();
    let mut terminal = Terminal::start(stage.lclaude(&LOCAL));
    let backend = stage.events.next("llama-server");
    terminal.wait_for_screen(|lines| matches!(lines, [only] if only.contains("lclaude: loading the model")));
    backend.send(json!({"do": "ready"}));
    let claude = stage.events.next("claude");
    // Claude Code has drawn nothing yet.
    terminal.wait_for_screen(has_no_progress);
    claude.send(json!({"do": "print", "text": "Claude Code draws"}));
    terminal.wait_for("Claude Code draws");
    claude.send(json!({"do": "exit", "code": 0}));
    let shown = terminal.wait_to_the_end(0);
    assert!(shown.ends_with("Claude Code draws"), "the progress line was drawn over it: {shown:?}");
}

#[test]
fn download_progress_is_shown_on_a_terminal() {
    let mut stage = controlled();
    stage.set("FAKE_LLAMA_DOWNLOAD", "controlled");
    let terminal = Terminal::start(stage.lclaude(&REMOTE));
    let backend = stage.events.next("llama-server");
    for percent in [100, 40] {
        let shown = format!("lclaude: downloading the model {percent}%");
        terminal.wait_for_screen(|lines| matches!(lines, [only] if only.contains(&shown)));
        // The next file of the model starts.
        backend.send(json!({"do": "log", "text": "Downloading tiny ───  40%"}));
    }
    backend.send(json!({"do": "downloaded"}));
    terminal.wait_for_screen(|lines| matches!(lines, [only] if only.contains("lclaude: loading the model")));
    backend.send(json!({"do": "ready"}));
    stage.events.next("claude").send(json!({"do": "exit", "code": 0}));
    terminal.wait_to_the_end(0);
}

#[test]
fn keys_typed_during_startup_do_not_garble_the_progress_line() {
    let stage = controlled();
    let mut terminal = Terminal::start(stage.lclaude(&LOCAL));
    let backend = stage.events.next("llama-server");
    let is_live = |lines: &[String]| matches!(lines, [only] if only.contains("lclaude: loading the model"));
    terminal.wait_for_screen(is_live);
    for key in ["x", "y", "z"] {
        terminal.type_in(key);
        // The echo of the key disappears when the line is redrawn.
        terminal.wait_for(key);
        terminal.wait_for_screen(|lines| is_live(lines) && !lines[0].ends_with(key));
    }
    backend.send(json!({"do": "ready"}));
    let claude = stage.events.next("claude");
    terminal.wait_for_screen(has_no_progress);
    claude.send(json!({"do": "exit", "code": 0}));
    terminal.wait_to_the_end(0);
}

#[test]
fn text_typed_during_startup_reaches_claude_code() {
    let stage = controlled();
    let terminal = Terminal::start(stage.lclaude(&LOCAL));
    let backend = stage.events.next("llama-server");
    terminal.type_in("a question typed ahead\n");
    backend.send(json!({"do": "ready"}));
    let claude = stage.events.next("claude");
    claude.send(json!({"do": "read_line"}));
    assert_eq!(claude.wait_event("line")["text"], "a question typed ahead\n");
    claude.send(json!({"do": "exit", "code": 0}));
    terminal.wait_to_the_end(0);
}

#[test]
fn failure_replaces_the_progress_line() {
    let stage = controlled();
    let terminal = Terminal::start(stage.lclaude(&LOCAL));
    let backend = stage.events.next("llama-server");
    terminal.wait_for_screen(|lines| lines.iter().any(|line| line.contains("loading the model")));
    backend.send(json!({"do": "exit", "code": 3}));
    terminal.wait_for_screen(|lines| lines.iter().any(|line| line.contains("help: ")));
    let first = terminal.screen().remove(0);
    assert!(first.starts_with("lclaude: ") && !first.contains("loading"), "{first:?}");
    terminal.wait_to_the_end(69);
}

#[test]
fn ctrl_c_ends_the_startup() {
    for times in [1, 2] {
        let stage = controlled();
        let terminal = Terminal::start(stage.lclaude(&LOCAL));
        let backend = stage.events.next("llama-server");
        terminal.wait_for_screen(|lines| lines.iter().any(|line| line.contains("loading the model")));
        terminal.type_in(&"\x03".repeat(times));
        let shown = terminal.wait_to_the_end(130);
        assert!(!shown.contains("help: "), "{shown:?}");
        assert!(backend.is_gone());
    }
}

#[test]
fn second_ctrl_c_during_shutdown_changes_nothing() {
    let stage = controlled();
    let mut session = LiveSession::start(&stage, &LOCAL);
    let backend = stage.events.next("llama-server");
    assert_eq!(session.line(), "lclaude: starting llamacpp (tiny)");
    assert_eq!(session.line(), "lclaude: loading the model");
    // The keeper must stop the backend, but can't until the session resumes it.
    kill(stage.keeper(), Signal::STOP);
    for _ in 0..2 {
        kill(session.pid(), Signal::INT);
    }
    assert!(session.child.try_wait().expect("lclaude can be waited for").is_none() && !backend.is_gone());
    let said = vec!["lclaude: waiting for the backend to end (Ctrl-C to stop waiting)".to_owned()];
    assert_eq!(session.wait(), (Some(130), String::new(), said));
    assert!(backend.is_gone());
}

#[test]
fn ctrl_c_ends_only_its_own_session() {
    // It doesn't matter which of them started the backend.
    for leaves in [0, 1] {
        let stage = controlled();
        let first = LiveSession::start(&stage, &LOCAL);
        let backend = stage.events.next("llama-server");
        assert_eq!(first.line(), "lclaude: starting llamacpp (tiny)");
        assert_eq!(first.line(), "lclaude: loading the model");
        let second = LiveSession::start(&stage, &LOCAL);
        assert_eq!(second.line(), "lclaude: loading the model");

        let mut sessions = vec![first, second];
        let gone = sessions.remove(leaves);
        kill(gone.pid(), Signal::INT);
        assert_eq!(gone.wait(), (Some(130), String::new(), Vec::new()));
        assert!(!backend.is_gone());
        backend.send(json!({"do": "ready"}));
        stage.events.next("claude").send(json!({"do": "exit", "code": 0}));
        let stays = sessions.remove(0);
        assert_eq!(stays.wait(), (Some(0), String::new(), Vec::new()));
        assert!(backend.is_gone() && stage.events.rest().is_empty());
    }
}

#[test]
fn backend_start_failures_are_explained() {
    messages!();
    for failure in ["missing-lib", "arch", "oom", "oom-killed", "sigill", "crash"] {
        messages::note(failure);
        let mut stage = Stage::new();
        stage.set("FAKE_LLAMA_FAIL", failure);
        let ended = stage.session(&["-p", "hello"]).wait();
        ended.expect_failure(69).expect_stdout("");
    }
}

/// Adds options to the backend's command line without lclaude's knowledge. The last of two conflicting options counts.
fn add_hidden_options(stage: &Stage, options: &str) {
    let real = stage.bin().join("llama-server");
    let moved = stage.bin().join("the-real-one");
    fs::rename(&real, &moved).expect("it was there");
    write_program(&real, format!("#!/bin/sh\nexec '{}' \"$@\" {options}\n", moved.display()));
}

#[test]
fn model_load_failures_are_explained() {
    messages!();
    // lclaude checks the model before the start, so these files are passed to the backend as a hidden option.
    for content in [Some("GGUFtruncated"), Some("<html>"), Some(""), None] {
        messages::note(format!("{content:?}"));
        let stage = Stage::new();
        let model = stage.project().join("other.gguf");
        if let Some(content) = content {
            fs::write(&model, content).expect("a file");
        }
        add_hidden_options(&stage, &format!("--model '{}'", model.display()));
        let ended = stage.session(&["-p", "hello"]).wait();
        ended.expect_failure(69);
    }
}

#[test]
fn unknown_llama_server_option_is_explained() {
    messages!();
    let stage = Stage::new();
    stage.config("[llamacpp]\nargs = [\"--bogus\"]\n");
    let ended = stage.session(&["-p", "hello"]).wait();
    ended.expect_failure(69);
}

#[test]
fn startup_ends_when_the_backend_dies() {
    messages!();
    for end in
        [json!({"do": "exit", "code": 3}), json!({"do": "signal", "number": 11}), json!({"do": "signal", "number": 9})]
    {
        messages::note(&end);
        let stage = controlled();
        stage.config("[lifetime]\nstartup_timeout = \"1h\"\n");
        let sessions = [LiveSession::start(&stage, &LOCAL), LiveSession::start(&stage, &LOCAL)];
        let backend = stage.events.next("llama-server");
        for session in &sessions {
            while session.line() != "lclaude: loading the model" {}
        }
        backend.send(json!({"do": "log", "text": "its last words"}));
        backend.send(end);
        for session in sessions {
            let (code, stdout, said) = session.wait();
            let said = said.join("\n");
            assert_eq!((code, &*stdout), (Some(69), ""), "{said}");
            messages::record("a session", said);
        }
    }
}

#[test]
fn startup_times_out_if_the_backend_is_never_ready() {
    messages!();
    for never in ["FAKE_LLAMA_NEVER_READY", "FAKE_LLAMA_DOWNLOAD"] {
        let mut stage = Stage::new();
        stage.set(never, if never == "FAKE_LLAMA_DOWNLOAD" { "controlled" } else { "1" });
        stage.config("[lifetime]\nstartup_timeout = \"300ms\"\n");
        let session = Session::start(stage.lclaude(&REMOTE).args(["-p", "hello"]));
        let backend = stage.events.next("llama-server");
        session.wait().expect_failure(75);
        assert!(backend.is_gone());
    }
}

#[test]
fn port_in_use_is_retried_on_another_port() {
    for taken in [1, 4] {
        let mut stage = Stage::new();
        let count = stage.root().join("starts");
        stage.set("FAKE_LLAMA_FAIL", "bind").set("FAKE_LLAMA_FAIL_TIMES", taken);
        stage.set("FAKE_LLAMA_STATE", count.display());
        let session = stage.session(&["-p", "hello"]);
        let claude = stage.events.next("claude");
        let backends: Vec<Fake> = (0..=taken).map(|_| stage.events.next("llama-server")).collect();
        let still_up: Vec<&Fake> = backends.iter().filter(|backend| !backend.is_gone()).collect();
        assert_eq!(still_up.len(), 1);
        assert_eq!(claude.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{}", port(still_up[0])));
        let stderr = finish(session, &claude).stderr;
        assert!(!stderr.contains("port"), "{stderr}");
        assert!(stage.events.rest().is_empty());
    }
}

#[test]
fn five_ports_are_tried() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_FAIL", "bind");
    stage.session(&["-p", "hello"]).wait().expect_failure(69);
    let ports: Vec<u16> = (0..5).map(|_| port(&stage.events.next("llama-server"))).collect();
    assert!(stage.events.rest().is_empty());
    // Each port is random among thousands.
    assert!(BTreeSet::from_iter(&ports).len() > 1, "{ports:?}");
}

#[test]
fn server_with_another_key_is_rejected() {
    messages!();
    let stage = Stage::new();
    add_hidden_options(&stage, "--api-key another");
    stage.session(&["-p", "hello"]).wait().expect_failure(69);
    assert!(stage.events.rest().iter().all(|fake| fake.who == "llama-server"), "Claude Code was started");
}

#[test]
fn foreign_server_on_the_port_is_not_used() {
    let props = r#"{"model_alias":"another","default_generation_settings":{"n_ctx":65536}}"#;
    for answers in [("401 Unauthorized", "{}"), ("200 OK", props), ("200 OK", "hello"), ("404 Not Found", "")] {
        let mut stage = Stage::new();
        stage.set("FAKE_LLAMA_DOWNLOAD", "controlled");
        let session = Session::start(stage.lclaude(&REMOTE).args(["-p", "hello"]));
        let first = stage.events.next("llama-server");
        // The backend doesn't listen yet, and another program of the same user can share its port.
        foreign_server(port(&first), answers);
        first.wait_gone();
        let second = stage.events.next("llama-server");
        assert_ne!(port(&second), port(&first));
        second.send(json!({"do": "downloaded"}));
        let claude = stage.events.next("claude");
        assert_eq!(claude.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{}", port(&second)));
        finish(session, &claude);
    }
}

/// Serves /health, and sends `answer` for all other requests, until the tests are over.
fn foreign_server(port: u16, answer: (&'static str, &'static str)) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("an option");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).expect("the port");
    socket.listen(16).expect("a listener");
    server::serve(socket.into(), move |request| if request.path == "/health" { ("200 OK", "{}") } else { answer });
}

#[test]
fn health_checks_bypass_the_proxy() {
    let mut stage = Stage::new();
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    proxy.set_nonblocking(true).expect("our own socket");
    let address = format!("http://{}", proxy.local_addr().expect("bound"));
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        stage.set(name, &address);
    }
    let (session, claude, _backend) = stage.running();
    finish(session, &claude);
    assert!(proxy.accept().is_err(), "the proxy got a connection");
}
