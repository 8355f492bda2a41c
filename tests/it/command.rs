//! The `command` backend: any server that a configured command starts.

use lclaude_fakes::scripted_model::Script;
use support::{Fake, Session, Stage, finish, json, messages, port, real, turn};

/// A configuration that starts llama-server.
const RUN: &str = r#"
backend = "command"
model = "tiny"
[command]
run = ["llama-server", "--model", "MODEL", "--alias", "{model}", "--host", "{host}", "--port", "{port}", "-c", "{context}"]
"#;

fn stage(more: &str) -> Stage {
    let stage = Stage::new();
    stage.config(&format!("{}{more}", RUN.replace("MODEL", &stage.model().display().to_string())));
    stage
}

fn start(stage: &Stage) -> (Session, Fake, Fake) {
    stage.started(&mut stage.lclaude(&["-p", "hello"]))
}

#[test]
fn command_template_placeholders_are_filled_in() {
    let stage = stage("env = { HF_TOKEN = \"mine\", WHERE = \"{host}:{port}\" }\n");
    let (session, claude, backend) = start(&stage);
    let port = port(&backend);
    let arguments = format!("--alias tiny --host 127.0.0.1 --port {port} -c 65536");
    assert!(backend.argv.join(" ").ends_with(&arguments), "{:?}", backend.argv);
    assert_eq!(backend.env["HF_TOKEN"], "mine");
    assert_eq!(backend.env["WHERE"], format!("127.0.0.1:{port}"));
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{port}"));
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], "tiny");
    turn(&claude);
    finish(session, &claude);
    assert!(backend.is_gone());
    stage.assert_nothing_left();
}

#[test]
fn claude_code_waits_until_the_server_is_healthy() {
    let mut stage = stage("");
    stage.set("FAKE_LLAMA_LOAD", "controlled");
    let session = Session::start(stage.lclaude(&["-p", "hello"]).stdin(std::process::Stdio::null()));
    let backend = stage.events.next("llama-server");
    assert!(stage.events.rest().is_empty());
    backend.send(json!({"do": "ready"}));
    finish(session, &stage.events.next("claude"));
}

#[test]
fn missing_health_path_is_reported_on_timeout() {
    messages!();
    let stage = stage("health = \"/healthz\"\n[lifetime]\nstartup_timeout = \"300ms\"\n");
    let session = Session::start(stage.lclaude(&["-p", "hello"]).stdin(std::process::Stdio::null()));
    let backend = stage.events.next("llama-server");
    let ended = session.wait().expect_failure(75);
    assert!(backend.is_gone(), "{ended:#?}");
}

#[test]
fn unusable_template_is_a_configuration_error() {
    messages!();
    for run in [r#"["llama-server", "--port", "8000"]"#, r#"["llama-server", "--port", "{port}", "{modle}"]"#, "[]"] {
        messages::note(format!("run = {run}"));
        let stage = Stage::new();
        stage.config(&format!("backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = {run}\n"));
        stage.output(&["-p", "x"]).expect_failure(65);
        stage.assert_nothing_started();
    }
}

#[test]
fn missing_program_or_model_is_an_error() {
    messages!();
    let stage = Stage::new();
    stage.config("backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = [\"no-such-server\", \"{port}\"]\n");
    stage.output(&["-p", "x"]).expect_failure(69);
    stage.config("backend = \"command\"\n[command]\nrun = [\"llama-server\", \"{port}\"]\n");
    stage.output(&["-p", "x"]).expect_failure(65);
    stage.assert_nothing_started();
}

#[test]
fn model_name_must_match_the_server() {
    messages!();
    let stage = Stage::new();
    let run = RUN.replace("MODEL", &stage.model().display().to_string()).replace("{model}", "tiny-model");
    stage.config(&run);
    stage.output(&["-p", "x"]).expect_failure(69);
}

#[test]
fn real_claude_code_works_with_a_real_server_by_command() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    stage.config(
        &RUN.replace("MODEL", &stage.model().display().to_string())
            .replace("-c\"", "--jinja\", \"-np\", \"1\", \"-c\""),
    );
    let mut command = stage.lclaude(&["-p", "create the proof", "--tools", "Bash", "--allowedTools", "Bash"]);
    command.stdin(std::process::Stdio::null());
    let ended = stage.run(command).expect(0);
    assert_eq!(
        (&*ended.stdout, &*stage.proof()),
        ("The local model wrote proof.txt.\n", "made-by-local-model\n"),
        "{ended:#?}"
    );
    stage.assert_nothing_left();
}

#[test]
fn server_that_takes_seconds_to_end_is_not_killed() {
    let stage = Stage::new();
    let done = stage.root().join("done");
    // As vLLM removes its shared memory.
    let script = format!("trap 'sleep 2; : > {}; exit' TERM; llama-server \"$@\" & wait", done.display());
    stage.config(&format!(
        "backend = 'command'\nmodel = 'tiny'\n[command]\nrun = ['sh', '-c', \"\"\"{script}\"\"\", 'sh', '--model', '{}', \
         '--alias', '{{model}}', '--host', '{{host}}', '--port', '{{port}}', '-c', '{{context}}']\n",
        stage.model().display()
    ));
    let (session, claude, _backend) = start(&stage);
    finish(session, &claude);
    stage.wait_for_nothing_left();
    assert!(done.exists());
}

#[test]
fn relative_program_means_the_same_from_every_directory() {
    let stage = Stage::new();
    let directory = stage.project().join("server");
    std::fs::create_dir(&directory).expect("a directory");
    stage.install("fake-llama-server", &directory.join("serve"));
    let text = "backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = [\"./serve\", \"{port}\"]\n";
    std::fs::write(directory.join("config.toml"), text).expect("a file");
    let dry_run = |directory: &std::path::Path, file: &str| {
        let mut command = stage.lclaude(&["--config", file, "--dry-run", "-p", "x"]);
        let ended = stage.ended(command.current_dir(directory)).expect(0);
        ended.stdout.lines().find(|line| line.starts_with("backend command (")).map(str::to_owned)
    };
    let id = dry_run(&directory, "config.toml");
    assert!(id.is_some());
    assert_eq!(dry_run(&stage.project(), "server/config.toml"), id);
    stage.assert_nothing_started();
}
