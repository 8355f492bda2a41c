//! Prints lclaude's figures beside those of the plain programs: medians, and how they grow with the number of sessions.
//!
//! Not a test: it fails for no figure. Run it with `shell/bench.sh`, which says where the real programs are; without
//! them the fakes stand in, which load in no time.

mod prompt;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, test_kill_process};
use support::{Fake, Session, Stage, json, kill};

const RUNS: usize = 21;
/// Sessions on one backend.
const COUNTS: [usize; 3] = [1, 10, 40];

fn main() {
    println!("{:<62}{:>12}{:>12}{:>12}", "", "lclaude", "plain", "at most");
    binary_size();
    for count in COUNTS {
        attach(count);
    }
    ready_to_start();
    for count in COUNTS {
        with_sessions(count);
    }
    ends("all processes gone after Claude Code's exit", "500 ms", |_, claude| {
        claude.send(json!({"do": "exit", "code": 0}));
    });
    ends("all processes gone after kill -9 of the launcher", "1000 ms", |session, _| session.signal(Signal::KILL));
    for count in COUNTS {
        restart(count);
    }
    prompt::all();
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

/// So many sessions, with their Claude Codes up.
fn sessions(stage: &Stage, count: usize) -> Vec<(Session, Fake)> {
    let sessions: Vec<Session> = (0..count).map(|_| stage.session(&["-p", "x"])).collect();
    sessions.into_iter().map(|session| (session, stage.events.next("claude"))).collect()
}

/// All of them ended. (Which Claude Code is whose does not matter: all do the same.)
fn finish(sessions: Vec<(Session, Fake)>) {
    for (_, claude) in &sessions {
        claude.send(json!({"do": "exit", "code": 0}));
    }
    for (session, _) in sessions {
        session.wait().expect(0);
    }
}

/// A further session, whose Claude Code ends at once, where `count` hold the backend up.
fn attach(count: usize) {
    let stage = Stage::new();
    let holders = sessions(&stage, count);
    let plain = median(|| timed(stage.command(stage.bin().join("claude")).args(["-p", "x"]).env_remove("FAKE_EVENTS")));
    let ours = median(|| {
        let arguments = ["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"];
        timed(stage.lclaude(&arguments).env_remove("FAKE_EVENTS"))
    });
    let what = format!("claude's start and end, {count} holding the backend (a stub)");
    line(&what, ms(ours), ms(plain), "+15 ms");
    finish(holders);
}

fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("it runs").success());
    start.elapsed()
}

/// From the moment the backend could answer to Claude Code's first sign of life, its own start included.
fn ready_to_start() {
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_LOAD", "controlled");
    let time = median(|| {
        let session = stage.session(&["-p", "x"]);
        let backend = stage.events.next("llama-server");
        backend.wait_event("listening");
        // As long as a small model loads: the keeper has fallen into its slowest pace by then.
        std::thread::sleep(Duration::from_millis(700));
        let start = Instant::now();
        backend.send(json!({"do": "ready"}));
        let claude = stage.events.next("claude");
        let time = start.elapsed();
        claude.send(json!({"do": "exit", "code": 0}));
        session.wait().expect(0);
        time
    });
    line("from the backend's first healthy answer to claude's start", ms(time), "", "30 ms");
}

/// Attaching, memory and the end, with `count` sessions on one backend.
fn with_sessions(count: usize) {
    let stage = Stage::new();
    let start = Instant::now();
    let sessions = sessions(&stage, count);
    line(&format!("{count} sessions started at once, all up"), ms(start.elapsed()), "", "");
    let launcher = sessions.iter().map(|(session, _)| resident(session.pid())).max().unwrap_or_default();
    line(&format!("launcher, resident ({count} sessions, the largest)"), launcher, "", "8 MB");
    line(&format!("keeper, resident ({count} sessions)"), resident(stage.keeper()), "", "8 MB");
    let start = Instant::now();
    finish(sessions);
    line(&format!("{count} sessions ended at once, nothing left"), ms(start.elapsed()), "", "");
    stage.assert_nothing_left();
}

/// Of which a good part is the program's own pages, shared by all of them.
fn resident(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or("?".into(), |kilobytes: f64| format!("{:.1} MB", kilobytes / 1000.0))
}

/// A stage with the real llama-server where there is one, under the fake Claude Code.
fn with_real_server() -> (Stage, bool) {
    let mut stage = Stage::new();
    let Some(server) = std::env::var_os("LCLAUDE_E2E_LLAMA_SERVER") else {
        return (stage, false);
    };
    let script = lclaude_fakes::scripted_model::Script::default();
    lclaude_fakes::scripted_model::write(&stage.model(), &script).expect("the model");
    stage.config(&format!("[llamacpp]\npath = {:?}\n", Path::new(&server)));
    stage.set("LCLAUDE_BACKEND", "llamacpp");
    (stage, true)
}

fn ends(what: &str, limit: &str, end: impl Fn(&Session, &Fake)) {
    let (stage, real) = with_real_server();
    let time = median(|| {
        let session = stage.session(&["-p", "x"]);
        let claude = stage.events.next("claude");
        let pids = [session.pid(), stage.keeper(), stage.backend(), claude.pid];
        let start = Instant::now();
        end(&session, &claude);
        drop(session.wait());
        while pids.iter().any(|pid| runs(*pid)) {
            std::thread::sleep(Duration::from_micros(200));
        }
        start.elapsed()
    });
    line(&format!("{what}{}", if real { " (real server)" } else { "" }), ms(time), "", limit);
    stage.wait_for_nothing_left();
}

fn runs(pid: i32) -> bool {
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    !zombie && test_kill_process(Pid::from_raw(pid).expect("a process")).is_ok()
}

/// From `kill -9` of the server to a request that is answered, beside the server's own start.
fn restart(count: usize) {
    let (stage, real) = with_real_server();
    let request = json!({"do": "request", "path": "/v1/messages", "body": {
        "model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}],
    }});
    let time = median(|| {
        // A keeper of its own each time: it starts a backend again only so often.
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
    let plain = real.then(|| ms(median(|| own_start(&stage).expect("the real server starts"))));
    let what = format!("kill -9 of the backend to an answer, {count} sessions{}", if real { " (real)" } else { "" });
    line(&what, ms(time), plain.unwrap_or_default(), "+500 ms");
}

/// What the real server takes from its start to its first healthy answer.
fn own_start(stage: &Stage) -> Option<Duration> {
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
    let asked = std::net::TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    });
    asked.is_ok() && answer.contains(" 200 ")
}
