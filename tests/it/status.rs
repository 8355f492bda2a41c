//! `lclaude local status` shows running backends and their sessions, and changes nothing.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    thread,
    time::Instant,
};

use lclaude_fakes::events::PATIENCE;
use rustix::process::Signal;
use support::{
    Session, Stage, Value, finish, json, kill, lclaude,
    leftovers::Leftover,
    messages,
    messages::{mask, record},
    port,
    terminal::Terminal,
    turn,
};

const STATUS: &[&str] = &["local", "status"];

#[track_caller]
fn status(stage: &Stage) -> String {
    let ended = stage.ended(&mut stage.lclaude(STATUS)).expect(0);
    assert_eq!(ended.stderr, "");
    ended.stdout
}

/// The only backend in the output of `--json`.
#[track_caller]
fn backend(stage: &Stage) -> Value {
    let ended = stage.ended(&mut stage.lclaude(&["local", "status", "--json"])).expect(0);
    let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(told["backends"].as_array().map(Vec::len), Some(1), "{told}");
    told["backends"][0].clone()
}

/// Records the output with masked times and sizes. The test masks process ids itself.
#[track_caller]
fn record_status(stage: &Stage) {
    let is_time = |word: &str| word.strip_suffix('s').is_some_and(|number| number.parse::<u32>().is_ok());
    let line = |line: &str| match line.split_once("  memory ") {
        Some((before, _)) => format!("{before}  memory    [SIZE]\n"),
        None => {
            let word = |word: &str| match word.strip_suffix(',') {
                Some(time) if is_time(time) => "[TIME],".to_owned(),
                _ if is_time(word) => "[TIME]".into(),
                _ => word.to_owned(),
            };
            line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n"
        }
    };
    record("lclaude local status", status(stage).lines().map(line).collect::<String>());
}

/// Masks the short id of the backend that ran last on this stage.
fn mask_id(stage: &Stage) {
    mask(&id(stage)[..8], "ID");
}

fn id(stage: &Stage) -> String {
    let lock = stage.runtime_files("lock").pop().expect("a keeper's lock");
    lock.file_stem().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn directory_name_cannot_inject_terminal_output() {
    let stage = Stage::new();
    let odd = stage.root().join("odd\u{1b}]0;owned\u{7}\n  address   http://elsewhere");
    fs::create_dir_all(&odd).expect("a directory");
    let model = stage.model().display().to_string();
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", &model, "-p", "x"]);
    let (session, claude, _backend) = stage.started(command.current_dir(&odd));
    let shown = status(&stage);
    assert!(!shown.contains(|c: char| c != '\n' && c.is_control()), "{shown:?}");
    assert!(!shown.lines().any(|line| line.starts_with("  address") && line.contains("elsewhere")), "{shown}");
    finish(session, &claude);
}

#[test]
fn status_without_backends_succeeds_and_creates_nothing() {
    messages!();
    let stage = Stage::new();
    record("lclaude local status", status(&stage));
    let json = stage.ended(&mut stage.lclaude(&["local", "status", "--json"])).expect(0);
    assert_eq!(json.stdout, "{\n  \"backends\": []\n}\n");
    assert!(!stage.runtime().exists(), "status created the runtime directory");
}

#[test]
fn backend_is_shown_with_sessions_and_figures() {
    messages!();
    let stage = Stage::new();
    let (first, first_claude, backend) = stage.running();
    turn(&first_claude);
    kill(backend.pid, Signal::KILL);
    let again = stage.events.next("llama-server");
    // Its Claude Code starts only after the keeper has seen the backend come back.
    let (second, second_claude) = stage.joining();
    turn(&first_claude);
    turn(&second_claude);

    mask_id(&stage);
    mask(port(&backend), "PORT");
    mask(again.pid, "BACKEND");
    mask(first.pid(), "FIRST");
    mask(second.pid(), "SECOND");
    record_status(&stage);
    finish(first, &first_claude);
    finish(second, &second_claude);
    assert_eq!(status(&stage), "No backend is running.\n");
}

#[test]
fn json_has_stable_fields_and_no_key() {
    let stage = Stage::new();
    let (session, claude, fake) = stage.running();
    turn(&claude);
    let ended = stage.ended(&mut stage.lclaude(&["local", "status", "--json"])).expect(0);
    let token = &claude.env["ANTHROPIC_AUTH_TOKEN"];
    assert!(!ended.stdout.contains(token) && !status(&stage).contains(token));

    let mut told = backend(&stage);
    for (place, name) in [("/memory", "resident_bytes"), ("", "seconds"), ("/sessions/0", "seconds")] {
        let place = told.pointer_mut(place).expect(place);
        assert!(place[name].as_u64().is_some_and(|number| name == "seconds" || number > 100_000), "{name}: {place}");
        place[name] = json!("a number");
    }
    let project = stage.project().display().to_string();
    let expected = json!({
        "id": id(&stage),
        "state": "ready",
        "kind": "llamacpp",
        "program": stage.bin().join("llama-server"),
        "models": ["tiny"],
        "loaded": null,
        "origin": stage.model(),
        "context": {"asked": 65536, "granted": 65536, "trained": 131_072, "used": 15},
        "busy": false,
        "tokens_per_second": {"read": 100.0, "written": 20.0},
        "progress": {
            "phase": "idle", "tokens": null, "of": null, "tokens_per_second": null, "seconds_left": null,
        },
        "prompt_cache": null,
        "memory": {"resident_bytes": "a number", "model_bytes": null, "graphics_card_bytes": null},
        "url": format!("http://127.0.0.1:{}", port(&fake)),
        "port": port(&fake),
        "pid": fake.pid,
        "keeper": stage.keeper(),
        "sessions": [{"pid": session.pid(), "directory": project, "seconds": "a number"}],
        "restarts": 0,
        "seconds": "a number",
        "log": stage.home().join(format!(".local/state/lclaude/logs/{}.log", id(&stage))),
        "lclaude": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(format!("{told:#}"), format!("{expected:#}"), "a field or the order differs");
    finish(session, &claude);
}

#[test]
fn starting_backend_shows_its_progress() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_LOAD", "controlled");
    let session = stage.session(&["-p", "hello"]);
    let fake = stage.events.next("llama-server");
    fake.wait_event("listening");
    // The keeper learns about the progress a little later.
    let deadline = Instant::now() + PATIENCE;
    while !status(&stage).contains("loading") && Instant::now() < deadline {}
    mask_id(&stage);
    mask(fake.pid, "BACKEND");
    mask(session.pid(), "SESSION");
    record_status(&stage);
    fake.send(json!({"do": "ready"}));
    finish(session, &stage.events.next("claude"));
}

#[test]
fn status_does_not_keep_a_backend_running() {
    let stage = Stage::new();
    stage.config("[lifetime]\nlinger = \"1s\"\n");
    let (session, claude, fake) = stage.running();
    finish(session, &claude);
    assert!(status(&stage).contains("tiny: idle; stops in "));
    // Requests without a pause don't extend the time that the backend lingers.
    let deadline = Instant::now() + PATIENCE;
    while status(&stage) != "No backend is running.\n" {
        assert!(Instant::now() < deadline, "{}", status(&stage));
    }
    fake.wait_gone();
    // The keeper exits a moment after its backend.
    stage.wait_for_nothing_left();
}

#[test]
fn silent_connection_is_not_a_lease() {
    let stage = Stage::new();
    let (session, claude, _fake) = stage.running();
    let socket = stage.runtime_files("sock").pop().expect("a socket");
    let silent = UnixStream::connect(&socket).expect("the keeper listens");
    // Connections are accepted in order, so the silent one is accepted when a later one gets an answer.
    assert_eq!(backend(&stage)["sessions"].as_array().map(Vec::len), Some(1));
    finish(session, &claude);
    stage.assert_nothing_left();
    drop(silent);
}

#[test]
fn suspended_keeper_is_shown_and_not_resumed() {
    messages!();
    let stage = Stage::new();
    let (session, claude, fake) = stage.running();
    kill(stage.keeper(), Signal::STOP);
    mask_id(&stage);
    mask(stage.keeper(), "KEEPER");
    mask(fake.pid, "BACKEND");
    record_status(&stage);
    assert_eq!(backend(&stage)["state"], "stuck");
    kill(stage.keeper(), Signal::CONT);
    turn(&claude);
    finish(session, &claude);
}

#[test]
fn leftover_backend_is_shown_with_the_stop_command() {
    messages!();
    let stage = Stage::new();
    let mut left = Leftover::after_session(&stage);
    mask_id(&stage);
    mask(left.child.id(), "BACKEND");
    record_status(&stage);
    assert_eq!(backend(&stage)["state"], "left-behind");
    left.child.kill().and_then(|()| left.child.wait()).expect("it runs");
    assert_eq!(status(&stage), "No backend is running.\n", "a lock file alone is not a backend");
}

/// A keeper of another version that sends `answer`. Returns its held lock and a thread that returns the requests.
fn keeper_that_says(stage: &Stage, answer: &'static str) -> (File, thread::JoinHandle<Vec<String>>) {
    let (session, claude, _fake) = stage.running();
    finish(session, &claude);
    let (lock, mut record) = (stage.runtime_files("lock").pop().expect("a lock"), stage.record());
    record["ending"] = json!(false);
    fs::write(lock.with_extension("json"), record.to_string()).expect("the record can be written");
    let held = File::open(&lock).expect("a file");
    held.lock().expect("nobody holds it");
    let listener = UnixListener::bind(lock.with_extension("sock")).expect("a socket");
    let asked = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client connects");
        let mut asked = String::new();
        BufReader::new(&stream).read_line(&mut asked).expect("a line");
        (&stream).write_all(answer.as_bytes()).expect("it listens");
        vec![asked]
    });
    (held, asked)
}

#[test]
fn unknown_fields_of_another_version_are_tolerated() {
    messages!();
    let answer = concat!(
        r#"{"type":"status","colour":"red","report":{"about":{"id":"0123456789abcdef","version":"9.9.9","kind":"quantum","#,
        r#""models":["m"],"origin":"afar","spin":1},"state":{"is":"dreaming","of":"sheep"},"served":{"context":7,"taste":"x"},"#,
        r#""sessions":[{"pid":12,"directory":"/a","mood":"good"}],"restarts":2,"up_for":59}}"#,
        "\n"
    );
    let stage = Stage::new();
    let (_held, asked) = keeper_that_says(&stage, answer);
    record("lclaude local status", status(&stage));
    assert_eq!(asked.join().expect("no panic"), ["{\"type\":\"status\"}\n"]);
    fs::remove_file(stage.runtime_files("sock").pop().expect("a socket")).expect("a file");
}

#[test]
fn keeper_without_status_support_is_shown_from_its_lock() {
    messages!();
    let stage = Stage::new();
    let (_held, asked) = keeper_that_says(&stage, "{\"type\":\"what\"}\n");
    let shown = status(&stage);
    let first = shown.lines().next().expect("a line");
    mask_id(&stage);
    record("its first line", first);
    asked.join().expect("no panic");
    fs::remove_file(stage.runtime_files("sock").pop().expect("a socket")).expect("a file");
}

#[test]
fn keeper_survives_unknown_requests() {
    let stage = Stage::new();
    let (session, claude, _fake) = stage.running();
    let socket = stage.runtime_files("sock").pop().expect("a socket");
    let ask = |request: &str| {
        let stream = UnixStream::connect(&socket).expect("the keeper listens");
        (&stream).write_all(request.as_bytes()).expect("it listens");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("text");
        answer
    };
    assert!(ask("{\"type\":\"status\",\"verbose\":true}\n").starts_with("{\"type\":\"status\",\"report\":"));
    for nonsense in ["{\"type\":\"dance\"}\n", "{\"type\":\"stop\",\"force\":\"maybe\"}\n", "hello\n"] {
        assert_eq!(ask(nonsense), "");
    }
    turn(&claude);
    finish(session, &claude);
}

#[test]
fn watch_shows_changes_and_restores_the_terminal() {
    for (key, code) in [("q", 0), ("\x03", 130)] {
        let stage = Stage::new();
        let (first, first_claude, _fake) = stage.running();
        let mut shell = Terminal::shell(&stage);
        let modes = shell.modes();
        shell.enter(&format!("{} local status --watch", lclaude().display()));
        let shows = |shell: &Terminal, session: &Session| {
            let pid = format!(" {}  ", session.pid());
            shell.screen().iter().any(|line| line.contains(&pid))
        };
        shell.wait_for_screen(|lines| lines.iter().any(|line| line.contains("tiny: ready")));
        assert!(shows(&shell, &first), "{:#?}", shell.screen());
        assert_ne!(shell.modes(), modes, "watch did not change the terminal modes");

        let (second, second_claude) = stage.joining();
        let pid = format!(" {}  ", second.pid());
        shell.wait_for_screen(|lines| lines.iter().any(|line| line.contains(&pid)));
        finish(second, &second_claude);
        shell.wait_for_screen(|lines| !lines.iter().any(|line| line.contains(&pid)));
        finish(first, &first_claude);
        shell.wait_for_screen(|lines| lines.iter().any(|line| line == "No backend is running."));

        shell.type_in(key);
        shell.wait_for("\x1b[?1049l\x1b[?25h");
        shell.wait_for(support::terminal::PROMPT);
        assert_eq!(shell.modes(), modes);
        shell.enter("echo code=$?.");
        shell.wait_for(&format!("code={code}."));
        shell.wait_for(support::terminal::PROMPT);
        shell.leave();
    }
}

#[test]
fn watch_requires_a_terminal() {
    messages!();
    let stage = Stage::new();
    let ended = stage.output(&["local", "status", "--watch"]).expect_failure(64);
    assert_eq!(ended.stdout, "");
    stage.output(&["local", "status", "--watch", "--json"]).expect_failure(64);
}
