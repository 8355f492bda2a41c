//! Programs and files are run, opened and shown under the names that the user gave them, never as the targets of links.

use std::{fs, os::unix::fs::symlink, path::Path};

use rustix::process::Signal;
use support::{Fake, Session, Stage, finish, kill, messages, told::value, turn, write_program};

/// A stage whose fake llama-server is not on PATH, but at `server` in its root.
fn stage() -> Stage {
    let stage = Stage::new();
    fs::rename(stage.bin().join("llama-server"), stage.root().join("server")).expect("a link");
    stage
}

/// Points a link to another target.
fn point(link: &Path, target: &str) {
    let _ = fs::remove_file(link);
    symlink(target, link).expect("a link");
}

fn start(stage: &Stage) -> (Session, Fake, Fake) {
    stage.started(&mut stage.lclaude(&["-p", "hello"]))
}

#[test]
fn shim_of_a_version_manager_sees_its_own_name() {
    let stage = stage();
    let server = stage.root().join("server");
    let text = format!(
        "case ${{0##*/}} in llama-server) exec {} \"$@\";; *) echo \"mise ERROR unexpected argument\" >&2; exit 2;; esac",
        server.display()
    );
    stage.script("mise", &text);
    symlink("mise", stage.bin().join("llama-server")).expect("a link");
    let (session, claude, _backend) =
        stage.started(&mut stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]));
    turn(&claude);
    finish(session, &claude);
}

#[test]
fn interpreter_of_a_virtual_environment_is_run_under_its_path() {
    let stage = stage();
    // As Python does, it looks for `pyvenv.cfg` beside the directory that it is run from.
    let server = stage.root().join("server");
    let text =
        format!("#!/bin/sh\n[ -e \"${{0%/*}}/../pyvenv.cfg\" ] || exit 3\nshift\nexec {} \"$@\"\n", server.display());
    write_program(&stage.root().join("usr/python3"), text);
    let environment = stage.home().join("venv");
    fs::create_dir_all(environment.join("bin")).expect("a directory");
    symlink(stage.root().join("usr/python3"), environment.join("bin/python")).expect("a link");
    fs::write(environment.join("pyvenv.cfg"), "").expect("a file");
    stage.config(&format!(
        "backend = 'command'\nmodel = 'tiny'\n[command]\nrun = ['~/venv/bin/python', 'serve.py', '--model', {:?}, \
         '--alias', '{{model}}', '--port', '{{port}}']\n",
        stage.model()
    ));
    let (session, claude, _backend) = start(&stage);
    finish(session, &claude);
}

#[test]
fn model_is_opened_and_called_by_its_name_and_not_by_its_blob() {
    let stage = Stage::new();
    let (blobs, snapshot) = (stage.home().join("hub/blobs"), stage.home().join("hub/snapshots/main"));
    [&blobs, &snapshot].into_iter().for_each(|directory| fs::create_dir_all(directory).expect("a directory"));
    for (part, hash) in [("1", "a"), ("2", "b")] {
        let hash = hash.repeat(64);
        fs::write(blobs.join(&hash), "GGUF").expect("a file");
        let name = format!("Model-Q4_K_M-0000{part}-of-00002.gguf");
        symlink(format!("../../blobs/{hash}"), snapshot.join(name)).expect("a link");
    }
    let model = snapshot.join("Model-Q4_K_M-00001-of-00002.gguf");
    stage.config(&format!("backend = 'llamacpp'\nmodel = {model:?}\n"));
    let (session, claude, backend) = start(&stage);
    assert_eq!(value(&backend, "--model"), model.display().to_string());
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], "Model-Q4_K_M-00001-of-00002");
    finish(session, &claude);

    // The blob itself.
    stage.config(&format!("backend = 'llamacpp'\n[llamacpp]\ngguf = {:?}\n", blobs.join("a".repeat(64))));
    let (session, claude, backend) = start(&stage);
    assert_eq!(value(&backend, "--alias"), "model-aaaaaaaaaaaa");
    assert!(!claude.env.values().any(|value| value.contains(&"a".repeat(64))), "{:?}", claude.env);
    finish(session, &claude);
}

#[test]
fn upgraded_program_is_used_after_a_crash_and_by_new_sessions() {
    let stage = stage();
    for version in ["v1", "v2"] {
        let text = format!("#!/bin/sh\nVERSION={version} exec {} \"$@\"\n", stage.root().join("server").display());
        write_program(&stage.root().join(version).join("llama-server"), text);
    }
    let link = stage.root().join("current");
    point(&link, "v1");
    stage.config(&format!(
        "backend = 'llamacpp'\nmodel = {:?}\n[llamacpp]\npath = {:?}\n",
        stage.model(),
        link.join("llama-server")
    ));
    let (session, claude, backend) = start(&stage);
    assert_eq!(backend.env["VERSION"], "v1");
    // The old version is removed, as a package manager does it.
    point(&link, "v2");
    fs::remove_dir_all(stage.root().join("v1")).expect("a directory");
    kill(backend.pid, Signal::KILL);
    turn(&claude);
    let restarted = stage.events.next("llama-server");
    assert_eq!((&*restarted.env["VERSION"], &restarted.argv), ("v2", &backend.argv));

    let (other, other_claude, own) = start(&stage);
    assert_eq!(own.env["VERSION"], "v2");
    finish(other, &other_claude);
    finish(session, &claude);
}

#[test]
fn replaced_model_is_loaded_by_a_new_server() {
    let stage = Stage::new();
    let link = stage.project().join("current.gguf");
    fs::write(stage.project().join("other.gguf"), "GGUF").expect("a file");
    point(&link, "tiny.gguf");
    stage.config(&format!("backend = 'llamacpp'\nmodel = {link:?}\n"));
    let (session, claude, _backend) = start(&stage);
    point(&link, "other.gguf");
    let (other, other_claude, own) = start(&stage);
    assert_eq!(value(&own, "--model"), link.display().to_string());
    finish(other, &other_claude);
    finish(session, &claude);
}

#[test]
fn file_named_from_two_directories_is_loaded_once() {
    let stage = Stage::new();
    let (session, claude, _backend) = stage.running();
    let deeper = stage.project().join("src/deeper");
    fs::create_dir_all(&deeper).expect("a directory");
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", "../.././tiny.gguf", "-p", "x"]);
    let other = Session::start(command.current_dir(&deeper));
    let other_claude = stage.events.next("claude");
    assert_eq!(other_claude.env["ANTHROPIC_BASE_URL"], claude.env["ANTHROPIC_BASE_URL"]);
    finish(other, &other_claude);
    finish(session, &claude);
    assert!(stage.events.rest().is_empty());
}

#[test]
fn links_with_different_names_have_servers_of_their_own() {
    let stage = stage();
    let server = stage.root().join("server");
    for name in ["llama-server", "llama-server-cuda"] {
        symlink(&server, stage.bin().join(name)).expect("a link");
    }
    let id = |name: &str| {
        stage.config(&format!("backend = 'llamacpp'\n[llamacpp]\npath = {:?}\n", stage.bin().join(name)));
        let ended = stage.output(&["--model", "tiny.gguf", "--dry-run", "-p", "x"]).expect(0);
        assert!(ended.stdout.contains(&format!("  {} ", stage.bin().join(name).display())), "{ended:#?}");
        ended.stdout.lines().find(|line| line.starts_with("backend llamacpp (")).map(str::to_owned)
    };
    assert_ne!(id("llama-server"), id("llama-server-cuda"));
}

#[test]
fn tilde_is_expanded_at_the_start_of_a_word_only() {
    let stage = Stage::new();
    let home = stage.home().display().to_string();
    stage.config(&format!(
        "backend = 'llamacpp'\nmodel = {:?}\n[claude]\nargs = ['--add-dir', '~/notes', '--append-system-prompt', 'not ~/']\n\
         env = {{ MINE = '~/mine', OTHER = 'x:~/other', USER_HOME = '~root' }}\n\
         [llamacpp]\nargs = ['--slot-save-path', '~/slots']\nenv = {{ GGML_X = '~' }}\n",
        stage.model()
    ));
    let (session, claude, backend) = start(&stage);
    assert_eq!(value(&backend, "--slot-save-path"), format!("{home}/slots"));
    assert_eq!(backend.env["GGML_X"], home);
    assert_eq!(value(&claude, "--add-dir"), format!("{home}/notes"));
    assert_eq!(value(&claude, "--append-system-prompt"), "not ~/");
    assert_eq!(claude.env["MINE"], format!("{home}/mine"));
    assert_eq!((&*claude.env["OTHER"], &*claude.env["USER_HOME"]), ("x:~/other", "~root"));
    finish(session, &claude);

    fs::copy(stage.model(), stage.home().join("tiny.gguf")).expect("a file");
    stage.config(
        "backend = 'command'\nmodel = 'tiny'\n[command]\nenv = { HF_HOME = '~/hub' }\n\
         run = ['llama-server', '--model', '~/tiny.gguf', '--alias', '{model}', '--port', '{port}']\n",
    );
    let (session, claude, backend) = start(&stage);
    assert_eq!(value(&backend, "--model"), format!("{home}/tiny.gguf"));
    assert_eq!(backend.env["HF_HOME"], format!("{home}/hub"));
    finish(session, &claude);
}

#[test]
fn path_that_a_preset_file_cannot_contain_is_refused_by_its_key() {
    messages!();
    let stage = Stage::new();
    for name in ["a;b.gguf", "a#b.gguf", "a\nb.gguf", "a.gguf "] {
        let file = stage.project().join(name);
        fs::write(&file, "GGUF").expect("a file");
        let config = |text: String| stage.config(&format!("backend = 'llamacpp'\n{text}\n"));
        if name.ends_with("gguf") {
            config(format!("model = {:?}\n[models]\nhaiku = {file:?}", stage.model()));
            stage.output(&["-p", "x"]).expect_failure(65);
        }
        config(format!("[models]\nhaiku = {:?}\n[llamacpp]\ngguf = {file:?}", stage.model()));
        stage.output(&["-p", "x"]).expect_failure(65);
    }
    stage.assert_nothing_started();
    // A single model is named on the command line, where everything is possible.
    stage.config(&format!("backend = 'llamacpp'\nmodel = {:?}\n", stage.project().join("a;b.gguf")));
    let (session, claude, backend) = start(&stage);
    assert_eq!(value(&backend, "--alias"), "a-b");
    finish(session, &claude);
}
