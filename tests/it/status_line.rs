//! Below Claude Code's prompt, and while `-p` waits, people see what the model is doing.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    time::Instant,
};

use lclaude_fakes::events::PATIENCE;
use rustix::process::Signal;
use support::{
    Ended, Fake, Session, Stage, Value, finish, json, kill, messages,
    messages::{mask, record},
    server,
    terminal::{PROMPT, Terminal},
    until,
};

/// What llama-server b11434 logs while it works on a request.
const CHOSEN: &str = "0.03.271.773 I slot get_availabl: id  0 | task -1 | selected slot by LRU, t_last = -1";
const BEGUN: &str = "0.03.272.030 I slot launch_slot_: id  0 | task 0 | processing task, is_child = 0";
/// So slow that the estimate is the same for as long as a test runs.
const READING: &str = "0.06.451.903 I slot print_timing: id  0 | task 0 | prompt processing, n_tokens =   4096, \
                       progress = 0.17, t = 409.60 s / 10.00 tokens per second";
const WRITING: &str =
    "0.39.595.601 I slot print_timing: id  0 | task 0 | n_gen =    100, tg =  14.88 t/s, tg_3s =  41.03 t/s";
const ENDED: &[&str] = &[
    "0.43.462.777 I slot print_timing: id  0 | task 0 | prompt eval time =   29671.72 ms /  1014 tokens (    1.24 ms \
     per token,   809.32 tokens per second)",
    "0.43.462.801 I slot print_timing: id  0 | task 0 |        eval time =   10518.93 ms /   300 tokens (   35.18 ms \
     per token,    28.42 tokens per second)",
    "0.43.466.864 I slot      release: id  0 | task 0 | stop processing: n_tokens = 24313, truncated = 0",
];

/// What Claude Code 2.1.331 says to the command of its status line, shortened.
fn said(input_tokens: u32) -> Value {
    json!({
        "session_id": "a3daeda2", "cwd": "/work", "model": {"id": "tiny", "display_name": "tiny"},
        "cost": {"total_cost_usd": 0, "total_duration_ms": 51171},
        "context_window": {"total_input_tokens": input_tokens, "context_window_size": 65536},
    })
}

fn log(backend: &Fake, lines: &[&str]) {
    for line in lines {
        backend.send(json!({"do": "log", "text": line}));
    }
}

/// A session with the terminal interface.
fn interactive(stage: &Stage, arguments: &[&str]) -> (Session, Fake, Fake) {
    let session = stage.session(arguments);
    let backend = stage.events.next("llama-server");
    (session, stage.events.next("claude"), backend)
}

/// Runs the command of the session's status line as Claude Code does.
#[track_caller]
fn line_of(stage: &Stage, claude: &Fake, said: &Value) -> Ended {
    let command = claude.settings["statusLine"]["command"].as_str().expect("a command");
    let mut shell = stage.command("sh");
    let mut child = shell
        .args(["-c", command])
        .env("COLUMNS", "100")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    child.stdin.take().expect("a pipe").write_all(said.to_string().as_bytes()).expect("it reads");
    Ended::new(&Command::new("true"), child.wait_with_output().expect("it ends"))
}

#[track_caller]
fn shown(stage: &Stage, claude: &Fake, said: &Value) -> String {
    let ended = line_of(stage, claude, said).expect(0);
    assert_eq!(ended.stderr, "");
    ended.stdout
}

/// Waits until the line contains `text`, since the keeper reads the log a moment later.
#[track_caller]
fn wait_for_line(stage: &Stage, claude: &Fake, said: &Value, text: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let line = shown(stage, claude, said);
        if line.contains(text) {
            return line;
        }
        assert!(Instant::now() < deadline, "no {text:?} in {line:?}");
    }
}

#[test]
fn line_shows_what_the_server_is_doing() {
    messages!();
    let stage = Stage::new();
    let (session, claude, backend) = interactive(&stage, &[]);
    record("idle, before the first request", shown(&stage, &claude, &said(0)));
    log(&backend, &[CHOSEN, BEGUN]);
    record("a prompt is read", wait_for_line(&stage, &claude, &said(0), "reading"));
    log(&backend, &[READING]);
    record("its progress is known", wait_for_line(&stage, &claude, &said(0), "%"));
    log(&backend, &[WRITING]);
    record("the answer is written", wait_for_line(&stage, &claude, &said(0), "writing"));
    log(&backend, ENDED);
    record("idle", wait_for_line(&stage, &claude, &said(0), "cache"));
    record("idle, and Claude Code knows the context in use", shown(&stage, &claude, &said(21_400)));
    finish(session, &claude);
}

#[test]
fn status_shows_what_the_server_is_doing() {
    messages!();
    let stage = Stage::new();
    let (session, claude, backend) = interactive(&stage, &[]);
    let status = |text: &str| {
        let mut found = String::new();
        until("the keeper has read the log", || {
            found = stage.ended(&mut stage.lclaude(&["local", "status"])).expect(0).stdout;
            found.contains(text)
        });
        let lines = found.lines().filter(|line| ["  now ", "  cache "].iter().any(|name| line.starts_with(name)));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let json = || {
        let ended = stage.ended(&mut stage.lclaude(&["local", "status", "--json"])).expect(0);
        let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        told["backends"][0].clone()
    };
    log(&backend, &[CHOSEN, BEGUN, READING]);
    record("reading", status("reading 17%"));
    let progress = &json()["progress"];
    assert_eq!((&progress["phase"], &progress["of"]), (&json!("reading"), &json!(24_094)), "{progress}");
    assert!(progress["tokens"].as_u64() >= Some(4096) && progress["tokens_per_second"] == 10.0, "{progress}");
    assert!(progress["seconds_left"].as_u64() > Some(100), "{progress}");
    log(&backend, &[WRITING]);
    record("writing", status("writing"));
    log(&backend, ENDED);
    record("idle", status("cache"));
    let told = json();
    let idle = json!({"phase": "idle", "tokens": null, "of": null, "tokens_per_second": null, "seconds_left": null});
    assert_eq!((&told["progress"], &told["prompt_cache"]), (&idle, &json!({"cached": 23_000, "total": 24_014})));
    finish(session, &claude);
}

#[test]
fn server_is_asked_only_while_it_works_and_somebody_watches() {
    let stage = Stage::new();
    let (session, claude, backend) = interactive(&stage, &[]);
    let slots = || {
        let mut count = 0;
        while backend.has_event("request") {
            count += usize::from(backend.wait_event("request")["path"] == "/slots");
        }
        count
    };
    // It has nothing to do.
    for _ in 0..10 {
        shown(&stage, &claude, &said(0));
    }
    log(&backend, &[CHOSEN, BEGUN, READING]);
    until("the keeper has read the log", || {
        stage.logs().iter().any(|log| fs::read_to_string(log).is_ok_and(|text| text.contains("progress = 0.17")))
    });
    assert_eq!(slots(), 0);
    let began = Instant::now();
    for _ in 0..10 {
        assert!(shown(&stage, &claude, &said(0)).contains("reading 17%"));
    }
    backend.wait_event("request");
    // The first one was just counted.
    let (asked, most) = (1 + slots(), 1 + began.elapsed().as_secs() as usize);
    assert!(asked <= most, "{asked} times in {:?}", began.elapsed());
    finish(session, &claude);
}

#[test]
fn users_own_line_comes_first_and_its_command_stays_private() {
    let stage = Stage::new();
    let settings = stage.home().join(".claude/settings.json");
    let own = "read -r said; echo run >> ../runs; printf 'mine of %.12s\\n\\n' \"$said\"; echo second";
    fs::create_dir_all(settings.parent().expect("a directory")).expect("a directory");
    let line = json!({"type": "command", "command": own, "padding": 2});
    fs::write(&settings, json!({"statusLine": line}).to_string()).expect("a file");
    let before = stage.home_files();
    let (session, claude, _backend) = interactive(&stage, &[]);

    let overlay = &claude.settings["statusLine"];
    assert_eq!((&overlay["padding"], &overlay["refreshInterval"]), (&json!(2), &json!(3)));
    assert!(!overlay["command"].as_str().expect("text").contains("mine"), "{overlay}");
    let file = claude.settings_path.as_ref().expect("a path").replace("settings.json", "line.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600);

    let mine = "mine of {\"session_id\n\nsecond\n";
    let ours = "local · tiny · 21k/65k\n";
    let runs = || fs::read_to_string(stage.root().join("runs")).expect("runs").lines().count();
    assert_eq!(shown(&stage, &claude, &said(21_400)), format!("{mine}{ours}"));
    // It runs again only if Claude Code says something else than the time.
    let mut later = said(21_400);
    later["cost"]["total_duration_ms"] = json!(52_171);
    assert_eq!((shown(&stage, &claude, &later), runs()), (format!("{mine}{ours}"), 1));
    later["cost"]["total_cost_usd"] = json!(1);
    assert_eq!((shown(&stage, &claude, &later), runs()), (format!("{mine}{ours}"), 2));

    finish(session, &claude);
    let after = stage.home_files();
    let changed: Vec<_> = after.iter().filter(|(path, content)| before.get(*path) != Some(content)).collect();
    assert!(changed.iter().all(|(path, _)| path.starts_with(stage.home().join(".local/state/lclaude"))), "{changed:?}");
}

#[test]
fn own_command_that_hangs_does_not_hide_ours() {
    let stage = Stage::new();
    let own = json!({"statusLine": {"type": "command", "command": "sleep 1000 & sleep 1000"}}).to_string();
    let (session, claude, _backend) = interactive(&stage, &["--settings", &own]);
    assert_eq!(shown(&stage, &claude, &said(0)), "local · tiny · 65k context\n");
    until("the command is gone", || !stage.running_commands().iter().any(|command| command.starts_with("sleep")));
    finish(session, &claude);
}

#[test]
fn line_can_be_turned_off_and_is_not_in_print_mode() {
    let stage = Stage::new();
    let own = json!({"statusLine": {"type": "command", "command": "mine"}}).to_string();
    let (session, claude, _backend) = interactive(&stage, &["-p", "x", "--settings", &own]);
    assert_eq!(claude.settings["statusLine"]["command"], "mine");
    finish(session, &claude);
    stage.config("[claude]\nstatus_line = false\n");
    for (arguments, expected) in [(&["--settings", &*own] as &[&str], json!("mine")), (&[], Value::Null)] {
        let (session, claude, _backend) = interactive(&stage, arguments);
        assert_eq!(claude.settings["statusLine"]["command"], expected);
        finish(session, &claude);
    }
}

#[test]
fn line_without_a_keeper_shows_what_claude_code_says() {
    messages!();
    let stage = Stage::new();
    let (session, claude, backend) = interactive(&stage, &[]);
    kill(stage.keeper(), Signal::STOP);
    record("the keeper is suspended", shown(&stage, &claude, &said(21_400)));
    kill(stage.keeper(), Signal::CONT);
    backend.send(json!({"do": "exit", "code": 1}));
    let again = stage.events.next("llama-server");
    again.wait_event("ready");
    record("the backend has restarted", wait_for_line(&stage, &claude, &said(0), "context"));
    mask(again.pid, "BACKEND");
    let command = claude.settings["statusLine"]["command"].clone();
    finish(session, &claude);
    let file = command.as_str().expect("text").rsplit(' ').next().expect("a file").to_owned();
    mask(&file, "FILE");
    stage.output(&["local", "line", &file]).expect_failure(64);
}

#[test]
fn line_of_a_server_of_somebody_else_shows_what_claude_code_says() {
    let stage = Stage::new();
    let url = server::start(|request| match &*request.route() {
        "POST /v1/messages" => ("400 Bad Request", "{}".to_owned()),
        "GET /v1/models" => ("200 OK", json!({"data": [{"id": "tiny", "max_model_len": 50_000}]}).to_string()),
        _ => ("404 Not Found", String::new()),
    });
    stage.config(&format!("backend = \"endpoint\"\nmodel = \"tiny\"\n[endpoint]\nurl = {url:?}\n"));
    let session = Session::start(&mut stage.lclaude(&[]));
    let claude = stage.events.next("claude");
    assert_eq!(shown(&stage, &claude, &said(21_400)), "local · tiny · 21k/65k\n");
    finish(session, &claude);
}

#[test]
fn nothing_is_invented_for_a_server_that_reports_nothing() {
    let stage = Stage::ollama();
    let session = Session::start(&mut stage.lclaude(&["--model", "small"]));
    let (_backend, claude) = (stage.events.next("ollama"), stage.events.next("claude"));
    assert_eq!(shown(&stage, &claude, &said(21_400)), "local · tiny · 21k/65k\n");
    let ended = stage.ended(&mut stage.lclaude(&["local", "status", "--json"])).expect(0);
    let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let backend = &told["backends"][0];
    assert_eq!(
        (&backend["state"], &backend["progress"], &backend["prompt_cache"]),
        (&json!("ready"), &Value::Null, &Value::Null)
    );
    finish(session, &claude);
}

/// A shell in which `lclaude` needs no options.
fn shell(stage: &Stage) -> Terminal {
    stage.config(&format!("backend = \"llamacpp\"\n[llamacpp]\ngguf = {:?}\n", stage.model()));
    std::os::unix::fs::symlink(support::lclaude(), stage.bin().join("lclaude")).expect("a link");
    Terminal::shell(stage)
}

/// Waits until the keeper says that this many tokens are read, at 10 tokens/s.
#[track_caller]
fn wait_for_tokens(stage: &Stage, tokens: u64) {
    until("the model has read on", || {
        let ended = stage.ended(&mut stage.lclaude(&["local", "status", "--json"])).expect(0);
        let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        told["backends"][0]["progress"]["tokens"].as_u64() >= Some(tokens)
    });
}

#[test]
fn progress_of_print_mode_is_gone_before_the_answer() {
    let stage = Stage::new();
    let mut shell = shell(&stage);
    shell.enter("lclaude -p hello");
    let (backend, claude) = (stage.events.next("llama-server"), stage.events.next("claude"));
    log(&backend, &[CHOSEN, BEGUN, READING]);
    shell.wait_for("reading the prompt 17% ██░░░░░░░░░░ (10 tokens/s, 33 min left)");
    wait_for_tokens(&stage, 4096 + 25);
    // The line is drawn 8 times a second by itself, and not for each token.
    let drawn = shell.output().matches("reading the prompt").count();
    assert!(drawn < 100, "{drawn} times in a few seconds");
    log(&backend, &[WRITING]);
    shell.wait_for_screen(|lines| !lines.iter().any(|line| line.contains("reading the prompt")));
    claude.send(json!({"do": "print", "text": "the answer\n"}));
    claude.wait_event("done");
    claude.send(json!({"do": "exit", "code": 0}));
    shell.wait_for(PROMPT);
    let screen = shell.screen();
    assert_eq!(screen[screen.len() - 2..], ["the answer", PROMPT.trim_end()], "{screen:#?}");
    shell.leave();
}

#[test]
fn progress_is_not_mixed_with_other_output() {
    let stage = Stage::new();
    let mut shell = shell(&stage);
    for command in ["lclaude -p hello --output-format stream-json --verbose", "lclaude -p hello | cat", "lclaude"] {
        shell.enter(command);
        let (backend, claude) = (stage.events.next("llama-server"), stage.events.next("claude"));
        log(&backend, &[CHOSEN, BEGUN, READING]);
        // 1.5 s of progress, longer than the time between two messages to sessions that watch.
        wait_for_tokens(&stage, 4096 + 15);
        claude.send(json!({"do": "exit", "code": 0}));
        shell.wait_for(PROMPT);
        assert!(!shell.output().contains("reading"), "{command}: {}", shell.output());
    }
    shell.leave();
}
