//! Limits of the system and programs that can't be started: the message names the reason and the command that helps,
//! and is never about a bug.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    process::Stdio,
    time::Duration,
};

use support::{Session, Stage, Value, finish, json, lclaude, messages, turn, until, write_program};

#[test]
fn too_few_open_files_are_reported_with_ulimit() {
    let stage = Stage::new();
    // The later ones reach the keeper and the server. The keeper raises a soft limit.
    for (option, limit) in (6..=16).map(|limit| ("-n", limit)).chain([("-Sn", 6)]) {
        let script =
            format!("ulimit {option} {limit}; exec {} --backend llamacpp --model tiny.gguf -p x", lclaude().display());
        let ended = stage.ended(stage.command("/bin/sh").args(["-c", &script]));
        let hard = if option == "-n" { "  # as root, since the hard limit is too low" } else { "" };
        let help = format!("help: ulimit -n 4096{hard}\n");
        assert!(ended.stderr.ends_with(&help) && ended.stderr.matches("help:").count() == 1, "{limit}: {ended:#?}");
        assert!(matches!(ended.code, Some(65 | 69)), "{limit}: {ended:#?}");
    }
    stage.assert_nothing_left();
}

#[cfg_attr(not(target_os = "linux"), ignore = "it reads /proc")]
#[test]
fn keeper_with_too_many_sessions_refuses_more_and_goes_on() {
    messages!();
    let stage = Stage::new();
    let script = "ulimit -Sn 48; ulimit -Hn 64; exec \"$@\"";
    let mut command = stage.command("/bin/sh");
    command.args(["-c", script, "sh"]).arg(lclaude());
    command.args(["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]).stdin(Stdio::null());
    let (session, claude, backend) = stage.started(&mut command);
    let limit = |pid: i32| {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>()
    };
    assert_eq!((limit(stage.keeper()), limit(stage.backend())), (vec![64, 64], vec![48, 64]));

    // Connections that take a lease, as sessions do.
    let socket = stage.runtime_files("sock").pop().expect("the keeper's socket");
    let mut leases = Vec::new();
    loop {
        let mut lease = UnixStream::connect(&socket).expect("the keeper listens");
        lease.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        writeln!(lease, "{}", json!({"type": "hello", "scratch": "/nonexistent"})).expect("it is read");
        let mut answer = String::new();
        BufReader::new(&lease).read_line(&mut answer).expect("an answer");
        if answer.contains("\"refused\"") {
            break;
        }
        leases.push(lease);
        assert!(leases.len() < 64, "{answer}");
    }
    assert!(leases.len() > 2, "{}", leases.len());
    // Many at once, and the keeper still reports.
    let late: Vec<Session> = (0..20).map(|_| stage.session(&["-p", "x"])).collect();
    for (number, session) in late.into_iter().enumerate() {
        let ended = session.wait().expect(69);
        assert!(ended.stderr.contains("a process may have only 64 files open"), "{ended:#?}");
        if number == 0 {
            ended.record();
        }
    }
    let status = stage.output(&["local", "status"]).expect(0);
    assert!(status.stdout.contains("ready"), "{status:#?}");
    turn(&claude);
    // What is reserved is enough for a restart.
    backend.send(json!({"do": "exit", "code": 1}));
    stage.events.next("llama-server").wait_event("ready");
    turn(&claude);
    drop(leases);
    until("their leases are closed", || {
        let status = stage.output(&["local", "status", "--json"]).expect(0);
        let status: Value = serde_json::from_str(&status.stdout).expect("JSON");
        status["backends"][0]["sessions"].as_array().is_some_and(|sessions| sessions.len() == 1)
    });
    let (joined, other_claude) = stage.joining();
    finish(joined, &other_claude);
    finish(session, &claude);
    stage.assert_nothing_left();
}

#[test]
fn program_that_cannot_be_started_is_explained() {
    messages!();
    for script in ["#!/no/such/interpreter -u\n", "#!/bin/sh\r\necho hello\r\n"] {
        let stage = Stage::new();
        let server = stage.bin().join("serve");
        write_program(&server, script);
        stage.config("backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = [\"serve\", \"{port}\"]\n");
        stage.output(&["-p", "x"]).expect_failure(69);

        let stage = Stage::new();
        fs::remove_file(stage.bin().join("claude")).expect("a link");
        write_program(&stage.bin().join("claude"), script);
        stage.output(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]).expect_failure(127);
        stage.assert_nothing_left();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn server_for_another_processor_is_explained() {
    messages!();
    let stage = Stage::new();
    // A 32-bit program for a SPARC. The C library passes what the kernel rejects to a shell.
    write_program(&stage.bin().join("serve"), b"\x7fELF\x01\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x02");
    stage.config("backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = [\"serve\", \"{port}\"]\n");
    stage.output(&["-p", "x"]).expect_failure(69);
}

#[test]
fn file_that_is_not_executable_is_not_called_missing() {
    messages!();
    let stage = Stage::new();
    fs::write(stage.project().join("serve"), "#!/bin/sh\n").expect("a file");
    let run = stage.project().join("serve").display().to_string();
    stage.config(&format!("backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = [\"{run}\", \"{{port}}\"]\n"));
    stage.output(&["-p", "x"]).expect_failure(69);
}

#[cfg(target_os = "linux")]
#[test]
fn environment_that_is_too_large_is_explained() {
    messages!();
    // Linux allows a process a quarter of its stack.
    let stage = Stage::new();
    let text = "x".repeat(120_000);
    let env: String = (0..7).map(|number| format!("V{number} = \"{text}\"\n")).collect();
    stage.config(&format!("[claude.env]\n{env}"));
    let script = format!("ulimit -s 1024; exec {} --backend llamacpp --model tiny.gguf -p x", lclaude().display());
    let ended = stage.ended(stage.command("/bin/sh").args(["-c", &script]));
    assert!(ended.stderr.contains("larger than the system allows"), "{}", ended.stderr);
    messages::note("seven variables of 120 kB");
    ended.expect_failure(127);
}

#[test]
fn unwritable_log_directory_does_not_stop_a_session() {
    let stage = Stage::new();
    let state = stage.home().join(".local/state");
    fs::create_dir_all(state.parent().expect("a directory")).expect("a directory");
    // A file where the directory should be: nothing can be written, not even by root.
    fs::write(&state, "").expect("a file");
    let (session, claude, backend) = stage.running();
    backend.send(json!({"do": "log", "text": "error: a lost line"}));
    backend.send(json!({"do": "exit", "code": 1}));
    stage.events.next("llama-server").wait_event("ready");
    let ended = finish(session, &claude);
    // The missing log is not named.
    assert!(ended.stderr.contains("the backend crashed and was restarted once\n"), "{ended:#?}");
    stage.assert_nothing_left();
}
