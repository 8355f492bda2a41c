//! The log of a `command`: it shows the progress and the cause of a failure, and nothing that it does delays the start.

use std::fs;

use support::{Session, Stage, finish, json, messages, terminal::Terminal, turn};

/// A stage whose server is a shell script that ends in the fake llama-server.
fn stage(script: &str, more: &str) -> Stage {
    let stage = Stage::new();
    let server = "exec llama-server --model tiny.gguf --alias tiny --host 127.0.0.1 --port {port} -c {context}";
    let script = script.replace("SERVER", server).replace("tiny.gguf", &stage.model().display().to_string());
    stage.config(&format!(
        "backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = [\"sh\", \"-c\", '''{script}''', \"sh\", \"{{port}}\"]\n{more}"
    ));
    stage
}

fn session(stage: &Stage) -> Session {
    Session::start(&mut stage.lclaude(&["-p", "hello"]))
}

/// The last lines of a log of vLLM that fails: its cause stands long before the end.
const TRACEBACK: &str = r#"
echo "INFO 11-30 12:00:01 [utils.py:328] non-default args: {'disable_log_errors': True}"
echo "(EngineCore_DP0 pid=9) ERROR 11-30 12:00:09 [core.py:708] EngineCore failed to start."
echo "(EngineCore_DP0 pid=9) ERROR 11-30 12:00:09 [core.py:708] ValueError: No supported config format found in tiny"
i=0; while [ $i -lt 150 ]; do i=$((i + 1)); echo "  File \"core.py\", line $i, in run"; done
echo "RuntimeError: Engine core initialization failed. See root cause above."
exit 1
"#;

#[test]
fn first_exception_of_the_log_is_the_cause() {
    messages!();
    stage(TRACEBACK, "").output(&["-p", "x"]).expect_failure(69);
}

#[test]
fn first_line_that_says_error_is_the_cause() {
    messages!();
    let script = "echo 'done: 0 errors'\necho 'Error: no such device'\nseq 100\nexit 3";
    stage(script, "").output(&["-p", "x"]).expect_failure(69);
}

#[test]
fn memory_error_is_found_anywhere_in_the_log() {
    messages!();
    let script = "echo 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.'\nseq 100\nexit 1";
    stage(script, "").output(&["-p", "x"]).expect_failure(69);
}

/// What a shell, Python and command-line parsers say before anything of a server runs.
#[test]
fn program_that_cannot_run_is_the_cause() {
    messages!();
    for script in [
        "echo starting\necho 'sh: 1: vllm: not found'\nexit 127",
        "echo 'Traceback (most recent call last):'\necho '  File \"x.py\", line 1, in <module>'\n\
         echo 'AssertionError'\nexit 1",
        "echo 'usage: vllm serve [-h]'\necho 'vllm: error: unrecognized arguments: --foo'\nexit 2",
        "echo 'LiteLLM: Proxy initialized'\necho 'Exception: Config file not found: config.yaml'\necho bye\nexit 1",
    ] {
        messages::note(script);
        stage(script, "").output(&["-p", "x"]).expect_failure(69);
    }
}

#[test]
fn percentage_and_last_line_are_shown() {
    // The server starts when the pipe is written to.
    let stage = stage(
        "echo 'INFO [x.py:1] Starting to load model tiny...'\n\
         printf 'Loading safetensors checkpoint shards:  45%% Completed | 5/11 \\033[31m[00:03<00:04]\\n'\nread go < GATE\nSERVER",
        "",
    );
    let gate = stage.root().join("gate");
    let text = fs::read_to_string(stage.home().join(".config/lclaude/config.toml")).expect("the configuration");
    stage.config(&text.replace("GATE", &gate.display().to_string()));
    assert!(stage.command("mkfifo").arg(&gate).status().expect("mkfifo runs").success());
    let mut terminal = Terminal::start(stage.lclaude(&["-p", "hello"]));
    terminal.wait_for("starting the server 45% █████░░░░░░░ (Loading safetensors");
    fs::write(&gate, "go\n").expect("the server reads it");
    stage.events.next("llama-server");
    let claude = stage.events.next("claude");
    turn(&claude);
    claude.send(json!({"do": "exit", "code": 0}));
    terminal.wait_to_the_end(0);
}

#[test]
fn every_line_of_the_log_extends_the_startup_timeout() {
    let stage = stage(
        "for step in 1 2 3 4 5 6; do sleep 0.5; echo still at it; done\nSERVER",
        "[lifetime]\nstartup_timeout = \"2s\"\n",
    );
    let session = session(&stage);
    stage.events.next("llama-server");
    finish(session, &stage.events.next("claude"));
}

#[test]
fn endless_log_times_out() {
    for flood in ["yes", "cat /dev/zero", "cat /dev/urandom", "while :; do echo 45%; echo error: no; done"] {
        let stage = stage(flood, "[lifetime]\nstartup_timeout = \"300ms\"\n");
        let ended = session(&stage).wait().expect(75);
        assert!(ended.stderr.contains("no progress for 300ms"), "{flood}: {ended:#?}");
        stage.assert_nothing_left();
    }
}

#[test]
fn endless_log_delays_nothing_and_takes_no_memory() {
    for flood in ["yes", "cat /dev/zero", "cat /dev/urandom"] {
        // The keeper has read all of the first part when the server starts.
        let stage = stage(&format!("{flood} | head -c 4000000\n{flood} &\nSERVER"), "");
        let session = session(&stage);
        stage.events.next("llama-server");
        let claude = stage.events.next("claude");
        turn(&claude);
        assert_little_memory(&stage, flood);
        finish(session, &claude);
        stage.assert_nothing_left();
    }
}

#[test]
fn log_on_a_disk_that_hangs_delays_nothing_and_takes_no_memory() {
    let stage = stage("yes | head -c 4000000\nyes &\nSERVER", "");
    let first = session(&stage);
    stage.events.next("llama-server");
    finish(first, &stage.events.next("claude"));
    // A pipe without a reader can't be opened, and it can't be renamed to a directory.
    let log = stage.logs().pop().expect("a log");
    let old = log.with_extension("old");
    fs::create_dir(&old).expect("a directory");
    fs::remove_file(&log).expect("a log");
    assert!(stage.command("mkfifo").arg(&log).status().expect("mkfifo runs").success());

    let session = session(&stage);
    stage.events.next("llama-server");
    let claude = stage.events.next("claude");
    turn(&claude);
    let status = stage.output(&["local", "status"]).expect(0).stdout;
    assert!(status.contains("tiny: ready"), "{status}");
    assert_little_memory(&stage, "yes");
    finish(session, &claude);
    // The keeper gives the disk a moment to take the last lines.
    stage.wait_for_nothing_left();
}

/// Fails if the keeper has used much memory.
fn assert_little_memory(stage: &Stage, flood: &str) {
    if cfg!(target_os = "linux") {
        let status = fs::read_to_string(format!("/proc/{}/status", stage.keeper())).expect("a running keeper");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let peak: u64 = peak.and_then(|peak| peak.trim().parse().ok()).expect("a number");
        assert!(peak < 48_000, "{flood}: {peak} kB");
    }
}
