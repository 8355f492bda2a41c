//! Sessions with equal plans share one backend until the last session ends, and no other program gets its port.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::{fs::MetadataExt, net::UnixListener},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use lclaude_fakes::events::PATIENCE;
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
#[cfg(target_os = "linux")]
use support::machine::{NOBODY, needs_root};
use support::{
    Fake, Session, Stage, Value, finish, has_open, json, kill, messages, port,
    system::{children, start_of},
    turn, until,
};

/// The URL and the key that a Claude Code uses.
fn routing(claude: &Fake) -> (&str, &str) {
    (&claude.env["ANTHROPIC_BASE_URL"], &claude.env["ANTHROPIC_AUTH_TOKEN"])
}

/// Checks that no other fake has started.
#[track_caller]
fn expect_no_more(stage: &Stage) {
    let more: Vec<String> = stage.events.rest().iter().map(|fake| format!("{} {}", fake.who, fake.pid)).collect();
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn sessions_with_equal_plans_share_a_backend_until_the_last_ends() {
    // The order in which they end doesn't matter.
    for first_to_end in [0, 1] {
        let stage = Stage::new();
        let (first, first_claude, backend) = stage.running();
        let (second, second_claude) = stage.joining();
        assert_eq!(routing(&first_claude), routing(&second_claude));

        let mut sessions = vec![(first, first_claude), (second, second_claude)];
        let (session, claude) = sessions.remove(first_to_end);
        finish(session, &claude);
        assert!(!backend.is_gone());
        let (session, claude) = sessions.remove(0);
        turn(&claude);
        finish(session, &claude);
        assert!(backend.is_gone());
        expect_no_more(&stage);
    }
}

#[test]
fn options_for_claude_code_do_not_start_another_backend() {
    let stage = Stage::new();
    let (first, first_claude, _backend) = stage.running();
    stage.config(&format!("backend = \"llamacpp\"\n[llamacpp]\ngguf = {:?}\n", stage.model()));
    for arguments in [&["-p", "another question"][..], &["--model", "haiku"], &["--settings", r#"{"env":{"A":"b"}}"#]] {
        let session = Session::start(&mut stage.lclaude(arguments));
        let claude = stage.events.next("claude");
        assert_eq!(routing(&claude), routing(&first_claude), "{arguments:?}");
        finish(session, &claude);
    }
    finish(first, &first_claude);
    expect_no_more(&stage);
}

#[test]
fn sessions_with_different_plans_have_separate_backends() {
    let stage = Stage::new();
    fs::write(stage.project().join("other.gguf"), "GGUF").expect("a file");
    let (first, first_claude, first_backend) = stage.running();
    for difference in [["--context", "32768"], ["--model", "other.gguf"]] {
        let session = Session::start(
            stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf"]).args(difference).args(["-p", "hello"]),
        );
        let backend = stage.events.next("llama-server");
        let claude = stage.events.next("claude");
        let (url, token) = routing(&claude);
        assert_eq!(url, format!("http://127.0.0.1:{}", port(&backend)));
        assert_ne!(url, routing(&first_claude).0);
        assert_ne!(token, routing(&first_claude).1);
        finish(session, &claude);
        assert!(backend.is_gone() && !first_backend.is_gone());
    }
    turn(&first_claude);
    finish(first, &first_claude);
    expect_no_more(&stage);
}

#[test]
fn simultaneous_sessions_share_a_backend() {
    let stage = Stage::new();
    for _ in 0..20 {
        let sessions = [(); 2].map(|()| stage.session(&["-p", "hello"]));
        let claudes = [(); 2].map(|()| stage.events.next("claude"));
        let backend = stage.events.next("llama-server");
        assert_eq!(routing(&claudes[0]), routing(&claudes[1]));
        end_all(sessions, &claudes);
        assert!(backend.is_gone());
        expect_no_more(&stage);
    }
}

#[test]
fn forty_simultaneous_sessions_share_a_backend() {
    let stage = Stage::new();
    let sessions: Vec<Session> = (0..40).map(|_| stage.session(&["-p", "hello"])).collect();
    let claudes: Vec<Fake> = sessions.iter().map(|_| stage.events.next("claude")).collect();
    let backend = stage.events.next("llama-server");
    assert!(claudes.iter().all(|claude| routing(claude) == routing(&claudes[0])));
    claudes.iter().for_each(turn);
    end_all(sessions, &claudes);
    assert!(backend.is_gone());
    expect_no_more(&stage);
}

/// Ends all sessions at the same moment. It is unknown which Claude Code belongs to which session.
fn end_all(sessions: impl IntoIterator<Item = Session>, claudes: &[Fake]) {
    for claude in claudes {
        claude.send(json!({"do": "exit", "code": 0}));
    }
    for session in sessions {
        session.wait().expect(0);
    }
}

#[test]
fn session_started_while_the_backend_stops_gets_a_new_one() {
    let stage = Stage::new();
    let mut backends: Vec<Fake> = Vec::new();
    let (mut session, mut claude, backend) = stage.running();
    backends.push(backend);
    for round in 0..60 {
        claude.send(json!({"do": "exit", "code": 0}));
        // The previous session may be at any point between the exit of its Claude Code and its own.
        if round % 2 == 0 {
            claude.wait_gone();
        }
        let (next, next_claude) = stage.joining();
        session.wait().expect(0);
        (session, claude) = (next, next_claude);
        // It shares the previous backend if it came in time. Each backend has its own key.
        let token = routing(&claude).1;
        if backends[backends.len() - 1].env["LLAMA_API_KEY"] != token {
            backends.push(stage.events.next("llama-server"));
        }
        assert_eq!(backends[backends.len() - 1].env["LLAMA_API_KEY"], token, "the key of a stopped backend was used");
        assert_eq!(backends.iter().filter(|backend| !backend.is_gone()).count(), 1, "two backends are running");
    }
    turn(&claude);
    finish(session, &claude);
    assert!(backends.iter().all(Fake::is_gone));
    expect_no_more(&stage);
}

#[test]
fn keeper_waits_for_its_predecessor_to_exit() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    finish(session, &claude);
    // A keeper holds this lock until its backend has exited.
    let lock = File::open(stage.runtime_files("lock").pop().expect("a lock")).expect("a file");
    lock.lock().expect("nobody holds it");

    let session = stage.session(&["-p", "hello"]);
    let deadline = Instant::now() + PATIENCE;
    // The child of the session is the keeper's guard.
    while !children(session.pid()).into_iter().flat_map(children).any(|pid| has_open(pid, "lock")) {
        assert!(Instant::now() < deadline, "no keeper was started");
        thread::sleep(Duration::from_millis(2));
    }
    expect_no_more(&stage);
    drop(lock);
    stage.events.next("llama-server");
    finish(session, &stage.events.next("claude"));
}

#[test]
fn lingering_backend_serves_the_next_session() {
    let stage = Stage::new();
    stage.config("[lifetime]\nlinger = \"1h\"\n");
    let (session, claude, backend) = stage.running();
    let (url, token) = routing(&claude);
    let first = (url.to_owned(), token.to_owned());
    finish(session, &claude);
    for _ in 0..3 {
        assert!(!backend.is_gone());
        let (session, claude) = stage.joining();
        assert_eq!(routing(&claude), (&*first.0, &*first.1));
        turn(&claude);
        finish(session, &claude);
    }
    expect_no_more(&stage);
    kill(stage.keeper(), Signal::TERM);
    backend.wait_gone();
    stage.wait_for_nothing_left();
}

#[test]
fn lingering_backend_stops_in_time() {
    let stage = Stage::new();
    stage.config("[lifetime]\nlinger = \"100ms\"\n");
    let (session, claude, backend) = stage.running();
    finish(session, &claude);
    backend.wait_gone();
    stage.wait_for_nothing_left();
}

#[test]
fn lost_backend_ends_every_session() {
    messages!();
    let stage = Stage::new();
    stage.config("[lifetime]\nrestarts = 0\n");
    let (first, first_claude, backend) = stage.running();
    let mut sessions = vec![first];
    let mut claudes = vec![first_claude];
    for _ in 0..2 {
        let (session, claude) = stage.joining();
        sessions.push(session);
        claudes.push(claude);
    }
    backend.send(json!({"do": "log", "text": "its last words"}));
    backend.send(json!({"do": "exit", "code": 7}));
    for claude in &claudes {
        assert_eq!(claude.wait_event("signal")["number"], Signal::TERM.as_raw());
        claude.wait_gone();
    }
    for session in sessions {
        session.wait().expect_failure(69);
    }
    expect_no_more(&stage);
}

#[test]
fn leftover_at_the_socket_path_is_replaced() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    let socket = stage.runtime_files("sock").pop().expect("a socket");
    finish(session, &claude);

    let nobody_listens = |path: &Path| drop(UnixListener::bind(path).expect("a socket"));
    let a_file = |path: &Path| fs::write(path, "no socket").expect("a file");
    let a_link = |path: &Path| std::os::unix::fs::symlink("/nowhere/at/all", path).expect("a link");
    for (left, leave) in
        [("a dead socket", &nobody_listens as &dyn Fn(&Path)), ("a file", &a_file), ("a link to nothing", &a_link)]
    {
        assert!(!socket.exists(), "the previous keeper left its socket");
        leave(&socket);
        let (session, claude, _backend) = stage.running();
        let (other, other_claude) = stage.joining();
        assert_eq!(routing(&claude), routing(&other_claude), "{left}");
        finish(other, &other_claude);
        finish(session, &claude);
    }
    expect_no_more(&stage);
}

#[test]
fn killed_keeper_is_replaced_by_one_for_all_sessions() {
    for _ in 0..5 {
        let stage = Stage::new();
        let (first, first_claude, backend) = stage.running();
        let (second, second_claude) = stage.joining();
        kill(stage.keeper(), Signal::KILL);
        backend.wait_gone();
        let replacement = stage.events.next("llama-server");
        assert_eq!(replacement.argv, backend.argv, "the same port");
        assert_eq!(replacement.env["LLAMA_API_KEY"], backend.env["LLAMA_API_KEY"]);
        turn(&first_claude);
        turn(&second_claude);
        // The backend lives as long as either session, whichever of them started it.
        finish(first, &first_claude);
        assert!(!replacement.is_gone());
        turn(&second_claude);
        finish(second, &second_claude);
        assert!(replacement.is_gone());
        expect_no_more(&stage);
    }
}

/// A session that is slow to go on to the next keeper finds the port of its Claude Code, whoever came and went meanwhile.
#[test]
fn slow_session_keeps_its_port_after_others_have_come_and_gone() {
    let stage = Stage::new();
    let (first, first_claude, backend) = stage.running();
    let (second, second_claude) = stage.joining();
    second.signal(Signal::STOP);
    kill(stage.keeper(), Signal::TERM);
    let next = stage.events.next("llama-server");
    turn(&first_claude);
    finish(first, &first_claude);
    next.wait_gone();
    second.signal(Signal::CONT);
    let last = stage.events.next("llama-server");
    assert_eq!(last.argv, backend.argv, "the same port");
    turn(&second_claude);
    finish(second, &second_claude);
}

#[test]
fn port_stays_reserved_while_the_backend_is_down() {
    let mut stage = Stage::new();
    // This backend waits before it binds its port, at each start.
    stage.set("FAKE_LLAMA_DOWNLOAD", "controlled");
    let session = Session::start(
        stage.lclaude(&["--backend", "llamacpp", "--model", "someone/tiny:Q4_K_M"]).args(["-p", "hello"]),
    );
    let backend = stage.events.next("llama-server");
    let port = port(&backend);
    assert_reserved(port);
    backend.send(json!({"do": "downloaded"}));
    let claude = stage.events.next("claude");

    // The backend is down after a crash, and after its keeper was killed.
    for victim in [backend.pid, stage.keeper()] {
        kill(victim, Signal::KILL);
        let replacement = stage.events.next("llama-server");
        assert_eq!(support::port(&replacement), port);
        assert_reserved(port);
        replacement.send(json!({"do": "downloaded"}));
        turn(&claude);
    }
    finish(session, &claude);
    // lclaude no longer holds the port.
    listen(port, false).expect("a free port");
}

/// The first session starts the next keeper, and only the old sessions know the port and the key.
#[test]
fn new_session_waits_until_old_ones_have_replaced_the_keeper() {
    let stage = Stage::new();
    let (first, claude, backend) = stage.running();
    let keeper = stage.keeper();
    // The old session reacts late, as on a busy machine.
    first.signal(Signal::STOP);
    kill(keeper, Signal::KILL);
    backend.wait_gone();
    let second = stage.session(&["-p", "hello again"]);
    // It has created its private directory, and now looks for a keeper.
    stage.wait_for_sessions(2);
    first.signal(Signal::CONT);
    let replacement = stage.events.next("llama-server");
    assert_eq!(replacement.argv, backend.argv, "the same port");
    let joined = stage.events.next("claude");
    assert_eq!(routing(&joined), routing(&claude));
    turn(&claude);
    finish(second, &joined);
    finish(first, &claude);
}

#[test]
fn signal_during_keeper_replacement_does_not_end_the_session() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    claude.send(json!({"do": "ignore_signals"}));
    claude.wait_event("done");
    let private = Path::new(claude.settings_path.as_ref().expect("a file"));
    // The next keeper waits for this lock before it answers.
    let lock = File::open(stage.runtime_files("lock").pop().expect("a lock")).expect("a file");
    let keeper = stage.keeper();
    let inode = lock.metadata().expect("an open file").ino();
    let held = thread::spawn(move || lock.lock().map(|()| lock));
    until("this test waits for it", || is_waited_for(inode));
    // Suspended, so that its next keeper doesn't get the lock first.
    session.signal(Signal::STOP);
    kill(keeper, Signal::KILL);
    let held = held.join().expect("no panic").expect("a lock");
    session.signal(Signal::CONT);
    until("the next keeper waits for it", || is_waited_for(inode));
    session.signal(Signal::TERM);
    claude.wait_event("signal");
    drop(held);
    let _replacement = stage.events.next("llama-server");
    turn(&claude);
    assert!(private.exists(), "the session's private files are gone");
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
}

/// Returns whether a process waits for a lock on this inode (`proc_locks(5)`).
fn is_waited_for(inode: u64) -> bool {
    let locks = fs::read_to_string("/proc/locks").expect("on Linux");
    locks.lines().any(|line| line.contains("->") && line.contains(&format!(":{inode} ")))
}

/// The keeper holds the port; without a keeper its sessions do. (Linux only: see `Lease::reserve`.)
#[test]
#[cfg(target_os = "linux")]
fn port_stays_reserved_without_a_keeper() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    let (port, keeper) = (port(&backend), stage.keeper());
    // Suspended, so that it starts no new keeper.
    session.signal(Signal::STOP);
    kill(keeper, Signal::KILL);
    backend.wait_gone();
    assert_reserved(port);
    expect_no_more(&stage);
    session.signal(Signal::CONT);
    let replacement = stage.events.next("llama-server");
    assert_eq!(support::port(&replacement), port);
    turn(&claude);
    finish(session, &claude);
}

/// Checks that nobody listens on the port, and that only lclaude can.
#[track_caller]
fn assert_reserved(port: u16) {
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    assert_eq!(refused.map_err(|error| error.kind()).err(), Some(io::ErrorKind::ConnectionRefused));
    let taken = |result: io::Result<Socket>| result.map_err(|error| error.kind()).err();
    assert_eq!(
        taken(listen(port, false)),
        Some(io::ErrorKind::AddrInUse),
        "a program without SO_REUSEPORT got the port"
    );
    #[cfg(target_os = "linux")]
    if needs_root() {
        let theirs = thread::spawn(move || as_nobody(|| [listen(port, true), listen(port, false), listen(0, true)]));
        let [sharing, not_sharing, control] = theirs.join().expect("no panic");
        assert_eq!(taken(sharing), Some(io::ErrorKind::AddrInUse), "another user got the port with SO_REUSEPORT");
        assert_eq!(taken(not_sharing), Some(io::ErrorKind::AddrInUse), "another user got the port");
        control.expect("another user can listen on another port");
    }
    drop(listen(port, true).expect("the same user can share the port, as llama-server does"));
}

fn listen(port: u16, sharing: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(1)?;
    Ok(socket)
}

/// Runs `act` as another user. On Linux each thread has its own user; this thread ends afterwards.
#[cfg(target_os = "linux")]
fn as_nobody<T>(act: impl FnOnce() -> T) -> T {
    // SAFETY: the call takes three numbers and no pointers. The C library's wrapper would change the user of all threads.
    let changed = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(changed, 0, "{}", io::Error::last_os_error());
    act()
}

#[test]
fn backend_of_another_version_is_mentioned_and_left_alone() {
    messages!();
    messages::mask(std::process::id(), "KEEPER");
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    let mut record = stage.record();
    finish(session, &claude);
    (record["backend"], record["endpoint"]) = (Value::Null, Value::Null);
    // This test process stands in for the other version's keeper.
    record["keeper"] = json!({"pid": std::process::id(), "start": start_of(std::process::id())});
    record["ending"] = json!(false);
    let other = stage.runtime().join("0123456789abcdef.json");
    for (version, models, told) in [("0.0.1", "tiny", true), ("0.0.1", "other", false), ("0.1.0", "tiny", false)] {
        record["about"]["version"] = json!(version);
        record["about"]["models"] = json!([models]);
        fs::write(&other, record.to_string()).expect("a file");
        let held = File::create(other.with_extension("lock")).expect("a file");
        held.lock().expect("nobody holds it");
        let (session, claude, _backend) = stage.running();
        let said = finish(session, &claude).stderr;
        assert_eq!(said.contains(&std::process::id().to_string()), told, "{said}");
        let said = said.lines().find(|line| line.contains("0.0.1"));
        assert_eq!(said.is_some(), told);
        said.iter().for_each(|said| messages::record("a session of this version", said));
        assert_eq!(fs::read_to_string(&other).expect("text"), record.to_string());
    }
}
