//! Limits of the system and programs that can't be started: the message names the reason and the command that helps,
//! and is never about a bug.

use std::fs;

use support::{Stage, finish, json, lclaude, messages, write_program};

#[test]
fn too_few_open_files_are_reported_with_ulimit() {
    let stage = Stage::new();
    // The later ones reach the keeper and the server.
    for limit in 6..=16 {
        let script =
            format!("ulimit -Sn {limit}; exec {} --backend llamacpp --model tiny.gguf -p x", lclaude().display());
        let ended = stage.ended(stage.command("/bin/sh").args(["-c", &script]));
        let help = "help: ulimit -n 4096\n";
        assert!(ended.stderr.ends_with(help) && ended.stderr.matches("help:").count() == 1, "{limit}: {ended:#?}");
        assert!(matches!(ended.code, Some(65 | 69)), "{limit}: {ended:#?}");
    }
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
