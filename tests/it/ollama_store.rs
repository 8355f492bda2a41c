//! A model that is on this machine, in a store that a private Ollama server can't use.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
};

use support::{
    Ended, Stage, finish,
    machine::{NOBODY, bound_by_permissions, needs_root},
    messages,
    ollama::Own,
    terminal::Terminal,
};

/// The group `daemon`, which has this number on Linux and macOS.
const GROUP: u32 = 1;

/// A stage whose models are in a directory of another user, as in a service's home.
fn stage() -> (Stage, PathBuf) {
    let mut stage = Stage::ollama();
    let home = stage.root().join("srv/ollama");
    fs::create_dir_all(home.join(".ollama")).expect("a directory");
    fs::rename(stage.home().join(".ollama/models"), home.join(".ollama/models")).expect("moved");
    stage.set("USER", "somebody");
    (stage, home)
}

/// Starts the server that uses the moved store.
fn own(stage: &mut Stage) -> Own {
    let store = stage.root().join("srv/ollama/.ollama/models").display().to_string();
    let own = Own::start(stage, &[("OLLAMA_MODELS", &store)]);
    stage.set("OLLAMA_HOST", &own.url);
    own
}

#[test]
fn shared_server_is_offered_if_it_has_the_model() {
    messages!();
    let (mut stage, _) = stage();
    let own = own(&mut stage);
    stage.on("small", &[]).wait().expect_failure(69);
    // On a terminal nobody is asked to download it once more.
    let mut terminal = Terminal::start(stage.lclaude(&["--model", "small"]));
    terminal.wait_for("set ollama.instance shared");
    let screen = terminal.wait_to_the_end(69);
    assert!(!screen.contains("Download it now?"), "{screen}");
    let (_, report) = stage.doctor("--model small");
    let check = support::doctor::find_check(&report, "backends", "model");
    assert!(check["help"].to_string().contains("set ollama.instance shared"), "{check:#}");
    // A model that it doesn't have either.
    stage.on("far:1b", &[]).wait().expect_failure(69);
    stage.assert_nothing_started();
    // The help works.
    stage.config("[ollama]\ninstance = \"shared\"\n");
    let session = stage.on("small", &[]);
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], own.url);
    finish(session, &claude);
}

#[test]
fn server_that_does_not_answer_is_not_offered() {
    let (mut stage, _) = stage();
    let own = own(&mut stage);
    own.fake.send(support::json!({"do": "hang"}));
    own.fake.wait_event("done");
    let ended = stage.on("small", &[]).wait().expect(69);
    assert!(ended.stderr.contains("small:latest is not installed in Ollama"), "{ended:#?}");
}

#[test]
fn store_that_cannot_be_read_is_explained() {
    if !needs_root() {
        return;
    }
    messages!();
    let (mut stage, home) = stage();
    stage.set("OLLAMA_MODELS", home.join(".ollama/models").display());
    chown(&home, None, Some(GROUP)).expect("root may");
    let set_mode = |mode| fs::set_permissions(&home, fs::Permissions::from_mode(mode)).expect("root may");
    let refused = |stage: &Stage| -> Ended {
        let plain = stage.lclaude(&["--model", "small", "-p", "hello"]);
        stage.ended(&mut bound_by_permissions(stage, &plain)).expect_failure(69)
    };
    // Root without its privileges is still the owner.
    chown(&home, Some(NOBODY), None).expect("root may");
    set_mode(0o750);
    refused(&stage);
    set_mode(0o700);
    refused(&stage);
    let own = own(&mut stage);
    refused(&stage);
    assert!(own.loaded().is_empty(), "it was only asked for its models");
    drop(own);
    stage.assert_nothing_started();
    // Once the group may read it, it is used.
    set_mode(0o755);
    let (session, claude, _backend) = stage.up("small");
    finish(session, &claude);
}
