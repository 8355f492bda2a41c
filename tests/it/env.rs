//! `lclaude local env`: prints the variables of a running backend for each shell, and starts nothing.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink};

use rustix::process::Signal;
use support::{Fake, Session, Stage, Value, finish, json, lclaude, machine, messages, port};

/// Values that need quoting.
const SPECIAL: &[(&str, &str)] = &[
    ("A_QUOTE", "it's"),
    ("A_QUOTE_ALONE", "'"),
    ("B_DOUBLE", "say \"no\""),
    ("C_BACKSLASH", r"\ \\ \n \' C:\x"),
    ("D_DOLLAR", "$HOME ${HOME} $(touch pwned) `touch pwned`"),
    ("E_LINES", "one\ntwo\n\n"),
    ("F_SPACES", "  a \t b  "),
    ("G_EMPTY", ""),
    ("H_GLOB", "* ? [a] ~ !x !! # & ; | < > ( ) { } % ^ ="),
    ("I_UNICODE", "é 漢 \u{1f600} \u{1} \u{7f}"),
    ("J_ALL", "'\"\\$`!\n'"),
];

/// Variables of the calling shell that redirect requests, so no program may get them.
const REDIRECTING: &[&str] = &["ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "OTEL_LOGS_EXPORTER"];

/// Returns a stage where `lclaude local env` needs no options, with these variables in `[claude] env`.
fn stage(claude_env: &[(&str, &str)]) -> Stage {
    let mut stage = Stage::new();
    let env: Vec<String> = claude_env.iter().map(|(name, value)| format!("{name} = {}", json!(value))).collect();
    stage.config(&format!(
        "backend = \"llamacpp\"\n[llamacpp]\ngguf = {:?}\n[claude.env]\n{}\n",
        stage.model().display().to_string(),
        env.join("\n").replace('\u{7f}', "\\u007f")
    ));
    symlink(lclaude(), stage.bin().join("lclaude")).expect("a link");
    for name in REDIRECTING {
        stage.set(name, "from-shell");
    }
    stage
}

fn serving(stage: &Stage) -> (Session, Fake) {
    let mut session = Session::start(&mut stage.lclaude(&["local", "serve"]));
    let backend = stage.events.next("llama-server");
    session.wait_for_line("unset ");
    (session, backend)
}

fn stop(session: Session, backend: &Fake) {
    session.signal(Signal::TERM);
    session.wait().expect(143);
    // `local env` doesn't keep the backend running.
    assert!(backend.is_gone());
}

/// Returns the variables, with `null` for those to unset.
fn variables(stage: &Stage) -> BTreeMap<String, Value> {
    let ended = stage.output(&["local", "env", "--format", "json"]).expect(0);
    serde_json::from_str(&ended.stdout).expect("stdout is JSON")
}

/// Returns the environment of a program after `script` in `shell`, or `None` if the shell isn't installed.
fn environment(stage: &Stage, shell: &str, script: &str) -> Option<BTreeMap<String, String>> {
    if !machine::needs_program(shell) {
        return None;
    }
    let program = machine::program(shell).expect("it was found");
    let output = stage.command(program).args(["-c", &format!("{script}; exec env -0")]).output().expect("it runs");
    assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let pairs = text.split_terminator('\0').map(|pair| pair.split_once('=').expect("a variable"));
    Some(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Asserts that `found` has the wanted variables. `removed` is the value of variables to unset.
#[track_caller]
fn assert_same(shell: &str, found: &BTreeMap<String, String>, wanted: &BTreeMap<String, Value>, removed: Option<&str>) {
    for (name, value) in wanted {
        let wanted = if value.is_null() { removed } else { value.as_str() };
        assert_eq!(found.get(name).map(String::as_str), wanted, "{name} in {shell}");
    }
}

#[test]
fn every_shell_reads_values_unchanged() {
    let stage = stage(SPECIAL);
    let (session, backend) = serving(&stage);
    let wanted = variables(&stage);
    for (name, value) in SPECIAL {
        assert_eq!(wanted[*name], *value);
    }
    for name in REDIRECTING {
        assert!(wanted[*name].is_null(), "{name}");
    }
    assert_eq!(wanted["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{}", port(&backend)));
    assert_eq!(wanted["ANTHROPIC_AUTH_TOKEN"], backend.env["LLAMA_API_KEY"]);
    for (shell, script, removed) in [
        ("bash", r#"eval "$(lclaude local env)""#, None),
        ("sh", r#"eval "$(lclaude local env)""#, None),
        ("zsh", r#"eval "$(lclaude local env --format zsh)""#, None),
        ("zsh", r#"setopt rc_quotes; eval "$(lclaude local env)""#, None),
        ("fish", "lclaude local env --format fish | source", None),
        ("bash", "set -a; . /dev/stdin <<<\"$(lclaude local env --format dotenv)\"", Some("")),
    ] {
        if let Some(found) = environment(&stage, shell, script) {
            assert_same(shell, &found, &wanted, removed);
        }
    }
    assert!(!stage.project().join("pwned").exists());
    stop(session, &backend);
}

#[test]
fn env_matches_the_session_environment() {
    let stage = stage(&[]);
    let (session, claude, backend) = stage.started(&mut stage.lclaude(&["-p", "hello"]));
    for (name, value) in variables(&stage) {
        assert_eq!(claude.env.get(&name).map(String::as_str), value.as_str(), "{name}");
    }
    finish(session, &claude);
    assert!(backend.is_gone());
}

#[test]
fn fish_universal_variable_is_hidden_and_kept() {
    let stage = stage(&[]);
    let (session, backend) = serving(&stage);
    let set = "set -e ANTHROPIC_API_KEY; set -Ux ANTHROPIC_API_KEY universal";
    if environment(&stage, "fish", set).is_some() {
        let fish = |script: &str| {
            let mut command = stage.command(machine::program("fish").expect("it was found"));
            command.env_remove("ANTHROPIC_API_KEY").args(["-c", script]);
            String::from_utf8(command.output().expect("it runs").stdout).expect("text")
        };
        let show = "env | string match 'ANTHROPIC_API_KEY=*'";
        assert_eq!(fish(show), "ANTHROPIC_API_KEY=universal\n");
        assert_eq!(fish(&format!("lclaude local env --format fish | source; {show}")), "ANTHROPIC_API_KEY=\n");
        assert_eq!(fish(show), "ANTHROPIC_API_KEY=universal\n");
    }
    stop(session, &backend);
}

#[test]
fn invalid_variable_name_is_skipped_with_a_warning() {
    messages!();
    let stage = stage(&[("\"X; touch pwned; Y\"", "1"), ("GOOD", "2")]);
    let (session, backend) = serving(&stage);
    let ended = stage.output(&["local", "env"]).expect(0);
    assert!(ended.stdout.contains("export GOOD='2';") && !ended.stdout.contains("touch"), "{}", ended.stdout);
    messages::record("local env", ended.stderr);
    assert_eq!(variables(&stage)["X; touch pwned; Y"], "1");
    stop(session, &backend);
}

#[test]
fn env_starts_nothing() {
    messages!();
    let stage = stage(&[]);
    stage.output(&["local", "env", "--context", "40000"]).expect_failure(69).expect_stdout("");
    stage.assert_nothing_started();
    assert!(!stage.runtime().exists(), "the runtime directory was created");
}

#[test]
fn error_shows_the_command_for_another_running_backend() {
    messages!();
    let stage = stage(&[]);
    fs::copy(stage.model(), stage.project().join("other.gguf")).expect("a file");
    let mut session =
        Session::start(&mut stage.lclaude(&["local", "serve", "--model", "other.gguf", "--context", "40000"]));
    let backend = stage.events.next("llama-server");
    session.wait_for_line("unset ");
    let ended = stage.output(&["local", "env"]).expect_failure(69);
    // The command may be followed by a comment.
    let mut helps = ended.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("help: lclaude "));
    let help = helps.find_map(|help| help.split_once(" 40000")).unwrap_or_else(|| panic!("{ended:#?}")).0;
    let words: Vec<&str> = help.split(' ').chain(["40000"]).collect();
    let ended = stage.output(&words).expect(0);
    assert!(ended.stdout.contains(&format!("127.0.0.1:{}", port(&backend))), "{help}: {ended:#?}");
    // No options select this backend, since it uses another configuration.
    let file = stage.root().join("own.toml");
    fs::write(&file, "[llamacpp]\nthreads = 3\n").expect("a file");
    let own = file.display().to_string();
    stage.output(&["local", "env", "--config", &own, "--backend", "llamacpp"]).expect_failure(69);
    stop(session, &backend);
}

#[test]
fn starting_backend_is_reported_as_not_ready() {
    messages!();
    let mut stage = stage(&[]);
    stage.set("FAKE_LLAMA_LOAD", "controlled");
    let mut session = Session::start(&mut stage.lclaude(&["local", "serve"]));
    let backend = stage.events.next("llama-server");
    stage.output(&["local", "env"]).expect_failure(75).expect_stdout("");
    backend.send(json!({"do": "ready"}));
    session.wait_for_line("unset ");
    stage.output(&["local", "env"]).expect(0);
    stop(session, &backend);
}

#[test]
fn endpoint_is_used_without_starting_anything() {
    messages!();
    let mut stage = stage(&[]);
    let (session, backend) = serving(&stage);
    let url = format!("http://127.0.0.1:{}", port(&backend));
    let file = stage.root().join("endpoint.toml");
    let text = format!("backend = \"endpoint\"\nmodel = \"tiny\"\n[endpoint]\nurl = \"{url}\"\ntoken_env = \"KEY\"\n");
    fs::write(&file, text).expect("a file");
    let token = backend.env["LLAMA_API_KEY"].clone();
    stage.set("KEY", &token);
    let file = file.display().to_string();
    let arguments = ["local", "env", "--config", &*file, "--format", "json"];
    let ended = stage.output(&arguments).expect(0);
    let found: BTreeMap<String, Value> = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&found["ANTHROPIC_BASE_URL"], &found["ANTHROPIC_AUTH_TOKEN"]), (&json!(url), &json!(token)));
    stop(session, &backend);
    stage.output(&arguments).expect_failure(69).expect_stdout("");
}
