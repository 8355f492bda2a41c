//! Benchmarks: prints the medians of lclaude and of the plain programs, for several numbers of sessions.
//!
//! It never fails because of a figure. Run it with `shell/bench.sh`, which sets the paths of the real programs. Without
//! them it uses the fakes, which load instantly. `shell/bench.sh warm` prints the figures of the warm start instead, which
//! take minutes.

mod prompt;
mod requests;
mod warm;

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use support::{Fake, Session, Stage, has_ended, json, kill};

const RUNS: usize = 21;
/// Numbers of sessions on one backend.
const COUNTS: [usize; 3] = [1, 10, 40];

fn main() {
    // cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    match arguments.next().as_deref() {
        Some("warm") => return warm::all(arguments.next().as_deref()),
        // Alone, because they need no quiet machine and no release build.
        Some("requests") => return requests::all(),
        _ => {}
    }
    println!("{:<62}{:>12}{:>12}{:>12}", "", "lclaude", "plain", "at most");
    binary_size();
    for count in COUNTS {
        attach(count);
    }
    ready_to_start();
    for count in COUNTS {
        with_sessions(count);
    }
    ends("from Claude Code's exit until all processes are gone", "500 ms", |_, claude| {
        claude.send(json!({"do": "exit", "code": 0}));
    });
    ends("from kill -9 of the launcher until all processes are gone", "1000 ms", |session, _| {
        session.signal(Signal::KILL);
    });
    for count in COUNTS {
        restart(count);
    }
    prompt::all();
    requests::all();
}

fn line(what: &str, lclaude: impl std::fmt::Display, plain: impl std::fmt::Display, limit: &str) {
    println!("{what:<62}{lclaude:>12}{plain:>12}{limit:>12}");
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn median(mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| run()).collect();
    times.sort();
    times[RUNS / 2]
}

fn binary_size() {
    let size = fs::metadata(support::lclaude()).expect("the program").len();
    line("release binary, stripped", format!("{:.1} MB", size as f64 / 1e6), "", "8 MB");
}

/// Starts `count` sessions and waits for their Claude Codes.
fn sessions(stage: &Stage, count: usize) -> Vec<(Session, Fake)> {
    let sessions: Vec<Session> = (0..count).map(|_| stage.session(&["-p", "x"])).collect();
    sessions.into_iter().map(|session| (session, stage.events.next("claude"))).collect()
}

/// Ends all sessions. A session may be paired with another session's Claude Code, since all behave the same.
fn finish(sessions: Vec<(Session, Fake)>) {
    for (_, claude) in &sessions {
        claude.send(json!({"do": "exit", "code": 0}));
    }
    for (session, _) in sessions {
        session.wait().expect(0);
    }
}

/// Measures a session that joins a backend used by `count` sessions, with a Claude Code that exits immediately.
fn attach(count: usize) {
    let stage = Stage::new();
    let holders = sessions(&stage, count);
    let plain = median(|| timed(stage.command(stage.bin().join("claude")).args(["-p", "x"]).env_remove("FAKE_EVENTS")));
    let ours = median(|| {
        let arguments = ["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"];
        timed(stage.lclaude(&arguments).env_remove("FAKE_EVENTS"))
    });
    let what = format!("start and exit of claude (a stub), {count} sessions running");
    line(&what, ms(ours), ms(plain), "+15 ms");
    finish(holders);
}

fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("the command runs").success());
    start.elapsed()
}

/// Measures the time from a ready backend to a running Claude Code.
fn ready_to_start() {
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_LOAD", "controlled");
    let time = median(|| {
        let session = stage.session(&["-p", "x"]);
        let backend = stage.events.next("llama-server");
        backend.wait_event("listening");
        // About as long as a small model loads, so that the keeper polls at its slowest rate.
        std::thread::sleep(Duration::from_millis(700));
        let start = Instant::now();
        backend.send(json!({"do": "ready"}));
        let claude = stage.events.next("claude");
        let time = start.elapsed();
        claude.send(json!({"do": "exit", "code": 0}));
        session.wait().expect(0);
        time
    });
    line("from a healthy backend to the start of claude", ms(time), "", "30 ms");
}

/// Measures start, memory and end of `count` sessions on one backend.
fn with_sessions(count: usize) {
    let stage = Stage::new();
    let start = Instant::now();
    let sessions = sessions(&stage, count);
    line(&format!("{count} sessions started at once"), ms(start.elapsed()), "", "");
    let launcher = sessions.iter().map(|(session, _)| resident(session.pid())).max().unwrap_or_default();
    line(&format!("launcher, resident memory ({count} sessions, the largest)"), launcher, "", "8 MB");
    line(&format!("keeper, resident memory ({count} sessions)"), resident(stage.keeper()), "", "8 MB");
    let start = Instant::now();
    finish(sessions);
    line(&format!("{count} sessions ended at once"), ms(start.elapsed()), "", "");
    stage.assert_nothing_left();
}

/// Returns the resident memory of a process. Much of it is program code, which all processes share.
fn resident(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or("?".into(), |kilobytes: f64| format!("{:.1} MB", kilobytes / 1000.0))
}

/// Returns a stage with the fake Claude Code and, if available, the real llama-server, and whether that is available.
fn with_real_server() -> (Stage, bool) {
    let mut stage = Stage::new();
    let Some(server) = std::env::var_os("LCLAUDE_E2E_LLAMA_SERVER") else {
        return (stage, false);
    };
    let script = lclaude_fakes::scripted_model::Script::default();
    lclaude_fakes::scripted_model::write(&stage.model(), &script).expect("the model");
    stage.config(&format!("[llamacpp]\npath = {:?}\n", server.display().to_string()));
    stage.set("LCLAUDE_BACKEND", "llamacpp");
    (stage, true)
}

/// Measures the time from `end` until all processes of a session are gone.
fn ends(what: &str, limit: &str, end: impl Fn(&Session, &Fake)) {
    let (stage, real) = with_real_server();
    let time = median(|| {
        let session = stage.session(&["-p", "x"]);
        let claude = stage.events.next("claude");
        let pids = [session.pid(), stage.keeper(), stage.backend(), claude.pid];
        let start = Instant::now();
        end(&session, &claude);
        drop(session.wait());
        while !pids.iter().all(|pid| has_ended(*pid)) {
            std::thread::sleep(Duration::from_micros(200));
        }
        start.elapsed()
    });
    line(&format!("{what}{}", if real { " (real server)" } else { "" }), ms(time), "", limit);
    stage.wait_for_nothing_left();
}

/// Measures the time from `kill -9` of the server to the next answer, compared with the plain start of the server.
fn restart(count: usize) {
    let (stage, real) = with_real_server();
    let request = json!({"do": "request", "path": "/v1/messages", "body": {
        "model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}],
    }});
    let time = median(|| {
        // Each run uses a new keeper, since a keeper limits restarts.
        let sessions = sessions(&stage, count);
        let claude = &sessions[0].1;
        let start = Instant::now();
        kill(stage.backend(), Signal::KILL);
        claude.send(request.clone());
        assert_eq!(claude.wait_event("response")["status"], 200);
        let time = start.elapsed();
        finish(sessions);
        time
    });
    let plain = real.then(|| ms(median(|| plain_start(&stage).expect("the real server starts"))));
    let what =
        format!("from kill -9 of the backend to an answer, {count} sessions{}", if real { " (real)" } else { "" });
    line(&what, ms(time), plain.unwrap_or_default(), "+500 ms");
}

/// Returns the time from the start of the real server to its first healthy response.
fn plain_start(stage: &Stage) -> Option<Duration> {
    let server = std::env::var_os("LCLAUDE_E2E_LLAMA_SERVER")?;
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).ok()?.port();
    let start = Instant::now();
    let mut server = stage
        .command(server)
        .args(["--host", "127.0.0.1", "--port", &port.to_string(), "-c", "65536", "-np", "1", "-m"])
        .arg(stage.model())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    while !healthy(port) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let time = start.elapsed();
    server.kill().and_then(|()| server.wait()).ok()?;
    Some(time)
}

fn healthy(port: u16) -> bool {
    use std::io::{Read, Write};
    let mut answer = String::new();
    let response = std::net::TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    });
    response.is_ok() && answer.contains(" 200 ")
}
