//! The key of a `command`: random for each run, passed by `{token}`, and required from everyone else on this machine.

use std::fs;

use support::{Stage, finish, messages, turn};

/// A stage whose server logs its environment's key and arguments, as vLLM does, and is the fake llama-server.
fn stage(arguments: &str, more: &str) -> Stage {
    let stage = Stage::new();
    let model = stage.model().display().to_string();
    let script = "echo \"key: $LLAMA_API_KEY args: $*\"; exec llama-server \"$@\"";
    stage.config(&format!(
        "backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = ['sh', '-c', '{script}', 'sh', '--model', '{model}', \
         '--alias', '{{model}}', '--host', '{{host}}', '--port', '{{port}}', '-c', '{{context}}'{arguments}]\n{more}"
    ));
    stage
}

/// Returns the text of the log.
fn log(stage: &Stage) -> String {
    stage.logs().iter().map(|log| fs::read_to_string(log).expect("text")).collect()
}

#[test]
fn token_in_env_is_a_random_key_that_only_the_server_and_claude_code_get() {
    let stage = stage("", "env = { LLAMA_API_KEY = \"{token}\" }\n");
    let mut keys = Vec::new();
    for _ in 0..2 {
        let (session, claude, backend) = stage.started(&mut stage.lclaude(&["-p", "hello"]));
        let key = backend.env["LLAMA_API_KEY"].clone();
        assert!(key.len() == 32 && key.bytes().all(|digit| digit.is_ascii_hexdigit()), "{key}");
        assert_eq!(claude.env["ANTHROPIC_AUTH_TOKEN"], key);
        assert!(!backend.argv.join(" ").contains(&key) && !claude.argv.join(" ").contains(&key));
        // The fake rejects every other key.
        turn(&claude);
        let ended = finish(session, &claude);
        assert!(!ended.stderr.contains("warning"), "{ended:#?}");
        let log = log(&stage);
        assert!(log.contains("key: •••") && !log.contains(&key), "{log}");
        keys.push(key);
    }
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn token_in_run_is_passed_with_a_warning() {
    messages!();
    let stage = stage(", '--api-key', '{token}'", "");
    let (session, claude, backend) = stage.started(&mut stage.lclaude(&["-p", "hello"]));
    let key = claude.env["ANTHROPIC_AUTH_TOKEN"].clone();
    assert!(backend.argv.ends_with(&["--api-key".to_owned(), key.clone()]), "{:?}", backend.argv);
    turn(&claude);
    let ended = finish(session, &claude).record();
    let log = log(&stage);
    assert!(log.contains("--api-key •••") && !log.contains(&key) && !ended.stderr.contains(&key), "{log}");
}

#[test]
fn dry_run_masks_the_token() {
    let stage = stage(", '--api-key', '{token}'", "env = { LLAMA_API_KEY = \"{token}\" }\n");
    let shown = stage.output(&["--dry-run", "-p", "x"]).expect(0).stdout;
    assert!(shown.contains("--api-key '••••••••'") && shown.contains("LLAMA_API_KEY=••••••••"), "{shown}");
    // The configuration is shown as it is written.
    let plan = shown.split_once("\nbackend command").expect("the plan").1;
    assert!(!plan.contains("{token}"), "{plan}");
}

#[test]
fn key_that_the_server_inherits_is_named() {
    messages!();
    let mut stage = stage("", "");
    stage.set("LLAMA_API_KEY", "the-users-own");
    stage.output(&["-p", "x"]).expect_failure(69);
}

#[test]
fn other_key_of_the_configuration_is_named() {
    messages!();
    stage("", "env = { LLAMA_API_KEY = \"mine\" }\n").output(&["-p", "x"]).expect_failure(69);
    stage(", '--api-key', 'mine'", "").output(&["-p", "x"]).expect_failure(69);
    // The option overrides the variable.
    stage(", '--api-key', 'mine'", "env = { LLAMA_API_KEY = \"{token}\" }\n").output(&["-p", "x"]).expect_failure(69);
}
