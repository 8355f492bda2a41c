//! Whatever is wrong with what lclaude is given, it says what, why and how to mend it, and starts nothing.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use support::{Ended, Stage, copy_program, lclaude, write_program};

/// Nobody, on most systems; in any case somebody else.
const SOMEBODY_ELSE: u32 = 65_534;

const RUN: &[&str] = &["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"];

/// Fails with `code` and these words, says why and what helps, and leaves everything as it was.
#[track_caller]
fn refused(stage: &Stage, command: &mut Command, code: i32, words: &[&str]) -> Ended {
    let before = everything(stage);
    let ended = stage.ended(command).expect_failure(code, words).expect_stdout("");
    assert!(ended.stderr.contains("why: "), "no reason in {ended:#?}");
    assert!(!ended.stderr.contains("a bug in lclaude"), "{ended:#?}");
    stage.assert_nothing_started();
    stage.assert_nothing_left();
    let after = everything(stage);
    assert!(before == after, "{:#?} became {:#?}", before.keys(), after.keys());
    ended
}

/// All that is on the stage, but for an empty runtime directory: that is no more than any session leaves.
fn everything(stage: &Stage) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![stage.root().to_owned()];
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("an entry").path()) {
            let kind = fs::symlink_metadata(&path).expect("it is there").file_type();
            if kind.is_dir() {
                directories.push(path.clone());
            }
            let content = kind.is_file().then(|| fs::read(&path).expect("it can be read"));
            found.insert(path, content);
        }
    }
    let runtime = stage.runtime();
    if runtime.is_dir() && !runtime.is_symlink() && !found.keys().any(|path| path.parent() == Some(&runtime)) {
        found.remove(&runtime);
    }
    found
}

fn fifo(at: &Path) {
    let made = Command::new("mkfifo").arg(at).status().expect("mkfifo is on every Unix");
    assert!(made.success());
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn command_lines() {
    let stage = Stage::new();
    stage.config("[profiles.fast]\ncontext = 30000\n");
    for (arguments, words) in [
        (&["--bakend", "llamacpp"][..], &["unknown option --bakend", "--backend"][..]),
        (&["--backend"], &["--backend"]),
        (&["--backend", "olama"], &["--backend", "there is no `olama`: one of", "llamacpp"]),
        (&["--backend="], &["--backend"]),
        (&["--profile", "fats"], &["there is no profile `fats`", "--profile", "--profile fast"]),
        (&["--profile", "zzz"], &["there is no profile `zzz`", "[profiles.zzz]"]),
        (&["--context", "0"], &["--context", "0"]),
        (&["--context", "1"], &["--context", "1 tokens"]),
        (&["--context", "4000000000"], &["--context", "4000000000"]),
        (&["--context", "99999999999999999999"], &["--context", "99999999999999999999", "it is too large"]),
        (&["--context", "-1"], &["--context", "-1"]),
        (&["--context=-1"], &["--context", "-1"]),
        (&["--context", "64k"], &["--context", "64k", "it is not a number"]),
        (&["--context", ""], &["--context"]),
        (&["--dry-run=yes"], &["--dry-run"]),
        (&["--model"], &["--model"]),
        (&["-p", "x", "--model"], &["--model needs a value"]),
        (&["-p", "x", "--settings"], &["--settings needs a value"]),
        (&["--settings", "{broken"], &["--settings", "JSON"]),
        (&["--settings", "[1]"], &["--settings"]),
        (&["--settings", r#"{"permissions":{"defaultMode":"acceptedits"}}"#], &["defaultMode", "acceptEdits"]),
        (&["--settings", r#"{"model":5}"#], &["model has to be text", "lclaude's included"]),
        (&["-p", "x", "--append-system-prompt"], &["--append-system-prompt needs a value"]),
        (&["--settings", "nope.json"], &["--settings", "nope.json"]),
        (&["--settings", "tiny.gguf"], &["--settings", "tiny.gguf"]),
        (&["--settings", "."], &["--settings"]),
        (&["--settings", ""], &["--settings"]),
    ] {
        // After a good beginning, so that only the last part can be at fault.
        let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf"]);
        refused(&stage, command.args(arguments), 64, words);
    }
}

#[test]
fn command_lines_of_verbs() {
    let stage = Stage::new();
    for (arguments, words) in [
        (&["status", "--wacth"][..], &["unexpected argument '--wacth'\n", "help: did you mean --watch?"][..]),
        (&["completions"], &["missing: <SHELL>\n", "`lclaude local completions` needs it"]),
        (&["completions", "tcsh"], &["tcsh", "`lclaude local completions` takes bash, zsh, fish"]),
    ] {
        refused(&stage, stage.lclaude(&["local"]).args(arguments), 64, words);
    }
}

#[test]
fn models() {
    let stage = Stage::new();
    let project = stage.project();
    fs::create_dir(project.join("directory")).expect("a directory");
    fs::create_dir(project.join("directory.gguf")).expect("a directory");
    fs::write(project.join("empty.gguf"), "").expect("a file");
    fs::write(project.join("short.gguf"), "GG").expect("a file");
    fs::write(project.join("page.gguf"), "<!DOCTYPE html>").expect("a file");
    symlink("nowhere", project.join("dangling.gguf")).expect("a link");
    symlink("loop.gguf", project.join("loop.gguf")).expect("a link");
    fifo(&project.join("fifo.gguf"));
    for (model, words) in [
        ("missing.gguf", &["missing.gguf", "No such file"][..]),
        ("/nowhere/at/all.gguf", &["/nowhere/at/all.gguf", "No such file"]),
        ("tiny.gguf/x.gguf", &["tiny.gguf/x.gguf"]),
        ("directory", &["is a directory", "find "]),
        ("directory.gguf", &["is a directory", "find "]),
        (".", &["is a directory"]),
        ("empty.gguf", &["empty.gguf", "GGUF"]),
        ("short.gguf", &["short.gguf", "GGUF"]),
        ("page.gguf", &["page.gguf", "GGUF", "download"]),
        ("dangling.gguf", &["dangling.gguf", "No such file"]),
        ("loop.gguf", &["loop.gguf"]),
        ("fifo.gguf", &["fifo.gguf"]),
        ("qwen3:4b", &["qwen3:4b", ".gguf", "user/repo"]),
        ("sonet", &["sonet"]),
        ("../repo", &["../repo"]),
        ("-x/--host", &["-x/--host"]),
        ("", &["model"]),
    ] {
        let mut command = stage.lclaude(&["--backend", "llamacpp", "-p", "x"]);
        refused(&stage, command.arg(format!("--model={model}")), 64, words);
        // The same from elsewhere is not the command line's fault.
        if !model.is_empty() {
            let mut command = stage.lclaude(&["--backend", "llamacpp", "-p", "x"]);
            refused(&stage, command.env("LCLAUDE_MODEL", model), 65, &[words, &["LCLAUDE_MODEL"]].concat());
        }
    }
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model"]);
    refused(&stage, command.arg(OsStr::from_bytes(b"caf\xe9.gguf")), 64, &["UTF-8"]);
    let mut command = stage.lclaude(&["--backend", "llamacpp", "-p"]);
    refused(&stage, command.arg(OsStr::from_bytes(b"--model=caf\xe9.gguf")), 64, &["UTF-8"]);
}

#[test]
fn a_model_that_is_cut_short() {
    let stage = Stage::new();
    fs::write(stage.project().join("cut.gguf"), "GGUFtruncated").expect("a file");
    let ended = stage.ended(&mut stage.lclaude(&["--backend", "llamacpp", "--model", "cut.gguf", "-p", "x"]));
    ended.expect_failure(69, &["why: ", "cut.gguf", "cut short", "log:", "download"]).expect_stdout("");
    let started: Vec<String> = stage.events.rest().iter().map(|fake| fake.who.clone()).collect();
    assert!(!started.contains(&"claude".into()), "{started:?}");
    stage.assert_nothing_left();
}

/// A pipe that nobody writes into, in place of each file that is read whole on the way.
#[test]
fn files_that_never_end() {
    let stage = Stage::new();
    let (project, state) = (stage.project(), stage.home().join(".local/state/lclaude"));
    let cached = stage.home().join(".cache/huggingface/hub/models--a--b/snapshots/1");
    for directory in [&project.join(".claude"), &state, &cached] {
        fs::create_dir_all(directory).expect("a directory");
    }
    fs::write(project.join(".lclaude.toml"), "context = 50000\n").expect("a file");
    let run = |arguments: &[&str]| stage.ended(&mut stage.lclaude(arguments));
    let dry_run = |first: &[&str]| run(&[&["--dry-run"], first, RUN].concat());
    let with_pipe = |at: PathBuf, look: &dyn Fn()| {
        fifo(&at);
        look();
        run(&["local", "doctor"]).expect(1);
        fs::remove_file(at).expect("still there");
    };
    with_pipe(project.join(".claude/settings.json"), &|| {
        dry_run(&[]).expect(0);
        run(&["local", "run", "--dry-run", "--backend", "llamacpp", "--model", "tiny.gguf", "--", "true"]).expect(0);
    });
    with_pipe(stage.home().join(".claude.json"), &|| drop(dry_run(&["--throwaway"]).expect(0)));
    with_pipe(project.join(".git"), &|| drop(dry_run(&["--throwaway"]).expect(0)));
    with_pipe(state.join("trust.json"), &|| {
        dry_run(&[]).expect_failure(65, &["trust.json", "not a regular file"]);
        run(&["local", "trust", "--list"]).expect_failure(65, &["trust.json", "not a regular file"]);
    });
    with_pipe(state.join("verdicts.json"), &|| {});
    with_pipe(cached.join("b-Q4_K_M.gguf"), &|| {
        let models = run(&["local", "models"]).expect(0).stdout;
        assert!(models.contains("a/b:Q4_K_M"), "{models}");
        run(&["--dry-run", "--backend", "llamacpp", "--model", "a/b:Q4_K_M", "-p", "x"]).expect(0);
    });
    stage.assert_nothing_started();
}

#[test]
fn variables() {
    for (name, value, words) in [
        ("LCLAUDE_BACKEND", "olama", &["olama", "llamacpp"][..]),
        ("LCLAUDE_CONTEXT", "many", &["number"]),
        ("LCLAUDE_CONTEXT", "64k", &["number"]),
        ("LCLAUDE_CONTEXT", "0", &["0 tokens"]),
        ("LCLAUDE_CONTEXT", "-5", &["-5"]),
        ("LCLAUDE_CONTEXT", "4000000000", &["4000000000"]),
        ("LCLAUDE_CONTEXT", "9000000000", &["9000000000"]),
        ("LCLAUDE_CONTEXT", "99999999999999999999", &["number"]),
        ("LCLAUDE_PROFILE", "fast", &["there is no profile `fast`"]),
    ] {
        let mut stage = Stage::new();
        stage.set(name, value);
        // Options for all the rest, which must not be blamed.
        let mut command = stage.lclaude(match name {
            "LCLAUDE_BACKEND" => &["--context", "30000", "--model", "tiny.gguf", "-p", "x"],
            _ => RUN,
        });
        refused(&stage, &mut command, 65, &[words, &[name]].concat());
    }
    let stage = Stage::new();
    let not_utf8 = OsStr::from_bytes(b"\xff");
    refused(&stage, stage.lclaude(RUN).env("LCLAUDE_PROFILE", not_utf8), 65, &["LCLAUDE_PROFILE", "UTF-8"]);
}

#[test]
fn unknown_variables_of_ours_are_warned_of() {
    let mut stage = Stage::new();
    stage.set("LCLAUDE_MODLE", "x").set("LCLAUDE_ZZZZ", "x").set("LCLAUDE_CONTEXT", 30_000);
    let stderr = stage.ended(&mut stage.lclaude(&[&["--dry-run"], RUN].concat())).expect(0).stderr;
    let warnings: Vec<&str> = stderr.lines().collect();
    assert_eq!(warnings.len(), 2, "{stderr}");
    assert!(stderr.contains("LCLAUDE_MODLE") && stderr.contains("LCLAUDE_MODEL?"), "{stderr}");
    assert!(stderr.contains("LCLAUDE_ZZZZ"), "{stderr}");
}

#[test]
fn configurations() {
    let deep = format!("[claude]\nargs = {}", "[".repeat(200_000));
    let nested = format!("{} = 1", vec!["a"; 200_000].join("."));
    let long = "#".repeat(1024 * 1024 + 1);
    for (text, words) in [
        ("modle = 'x'", &["unknown key `modle`", "did you mean `model`"][..]),
        ("[llamacpp]\ngpu_layer = 1", &["unknown key `llamacpp.gpu_layer`", "`llamacpp.gpu_layers`"]),
        ("threads = 4", &["unknown key `threads`", "`llamacpp.threads`"]),
        ("[lamacpp]\nthreads = 4", &["unknown key `lamacpp.threads`", "`llamacpp.threads`"]),
        ("[profiles.p]\nbakend = 'llamacpp'", &["unknown key `profiles.p.bakend`", "`profiles.p.backend`"]),
        ("zzzz = 1", &["unknown key `zzzz`"]),
        ("backend = 'olama'", &["config.toml:1", "olama", "llamacpp"]),
        ("\n\ncontext = 'many'", &["config.toml:3"]),
        ("context = 64_000.5", &["config.toml:1"]),
        ("context = -1", &["config.toml:1"]),
        ("context = 0", &["0 tokens", "config.toml"]),
        ("context = 2047", &["2047 tokens", "config.toml"]),
        ("context = 4000000000", &["4000000000 tokens"]),
        ("context = 99999999999", &["config.toml:1"]),
        ("model = 7", &["config.toml:1"]),
        ("model = ['a']", &["config.toml:1"]),
        ("model = 'a\nb = 'c'", &["config.toml:1"]),
        ("model = 'a'\nmodel = 'b'", &["config.toml:2"]),
        ("profile = 'fast'", &["there is no profile `fast`", "config.toml"]),
        ("[profiles]\nfast = 1\n", &["config.toml"]),
        ("[claude]\nthinking = 'perhaps'", &["config.toml", "thinking"]),
        ("[claude]\nargs = '-p'", &["config.toml:2"]),
        ("[claude]\nmax_output_tokens = 0", &["max_output_tokens", "config.toml"]),
        ("context = 30000\n[claude]\nmax_output_tokens = 30000", &["max_output_tokens", "30000", "config.toml"]),
        ("[lifetime]\nlinger = 'a while'", &["config.toml:2"]),
        ("[lifetime]\nlinger = -1", &["config.toml:2"]),
        ("[lifetime]\nrestarts = 'often'", &["config.toml:2"]),
        ("[llamacpp]\nthreads = -2", &["config.toml:2"]),
        ("[llamacpp]\nargs = [1]", &["config.toml:2"]),
        ("[llamacpp]\nenv = { A = 1 }", &["config.toml:2"]),
        ("[llamacpp]\nenv = { 'A=B' = '1' }", &["A=B"]),
        ("[claude]\nenv = { '' = '1' }", &["claude.env", "config.toml"]),
        ("[claude]\nenv = { A = \"\\u0000\" }", &["claude.env", "config.toml"]),
        ("[claude]\nargs = [\"-p\", \"x\", \"--\"]", &["[claude] args cannot be used", "after --", "config.toml"]),
        ("[claude]\nargs = [\"--append-system-prompt\"]", &["--append-system-prompt needs a value", "config.toml"]),
        ("[llamacpp]\nargs = [\"--hf-token\", \"hf_x\"]", &["cannot have --hf-token", "HF_TOKEN"]),
        ("[llamacpp]\nargs = [\"--gpt-oss-20b-default\"]", &["cannot have --gpt-oss-20b-default", "[llamacpp] gguf"]),
        ("[claude]\nargs = [\"\\u0000\"]", &["claude.args", "config.toml"]),
        ("[llamacpp]\nargs = [\"a\\u0000\"]", &["llamacpp.args", "config.toml"]),
        ("[llamacpp]\ngguf = 'x.gguf'\nhf = 'a/b'", &["gguf", "hf", "contradict", "config.toml"]),
        (&deep, &["config.toml"]),
        (&nested, &["config.toml"]),
        (&long, &["config.toml", "1048577 bytes", "1 MiB"]),
    ] {
        // Shown if it fails.
        println!("{text:.60}");
        let stage = Stage::new();
        stage.config(text);
        let ended = refused(&stage, &mut stage.lclaude(RUN), 65, words);
        assert!(ended.stderr.len() < 5_000, "nobody reads that: {} bytes", ended.stderr.len());
    }
}

#[test]
fn a_models_place_in_the_configuration() {
    for (text, words) in [
        ("gguf = 'nope.gguf'", &["nope.gguf", "No such file"][..]),
        ("gguf = '~/nope.gguf'", &["home/nope.gguf", "No such file"]),
        ("gguf = ''", &["config.toml"]),
        ("hf = 'nope'", &["nope", "user/repo"]),
        ("hf = '../x'", &["../x", "user/repo"]),
        ("hf = ''", &["user/repo"]),
    ] {
        let stage = Stage::new();
        stage.config(&format!("[llamacpp]\n{text}\n"));
        let mut command = stage.lclaude(&["--backend", "llamacpp", "-p", "x"]);
        refused(&stage, &mut command, 65, &[words, &["config.toml"]].concat());
    }
}

#[test]
fn an_error_in_the_configuration_does_not_quote_a_secret() {
    for text in [
        "[llamacpp.env]\nHF_TOKEN = 'hf_secret\n",
        "[llamacpp.env]\nHF_TOKEN = hf_secret\n",
        "[llamacpp]\nenv = { HF_TOKEN = ['hf_secret'] }\n",
        "[claude]\nenv = 'hf_secret'\n",
    ] {
        let stage = Stage::new();
        stage.config(text);
        let ended = refused(&stage, &mut stage.lclaude(RUN), 65, &["config.toml"]);
        assert!(!ended.stderr.contains("hf_secret"), "{}", ended.stderr);
    }
}

#[test]
fn configuration_files_that_are_none() {
    let stage = Stage::new();
    let place = |name: &str| stage.project().join(name);
    fs::create_dir(place("directory")).expect("a directory");
    fs::write(place("latin1.toml"), b"model = 'caf\xe9'").expect("a file");
    fs::write(place("utf16.toml"), b"\xff\xfem\0").expect("a file");
    symlink("loop.toml", place("loop.toml")).expect("a link");
    fifo(&place("fifo.toml"));
    for (file, words) in [
        ("missing.toml", &["missing.toml", "No such file", "--config"][..]),
        ("no/such/directory.toml", &["No such file"]),
        ("tiny.gguf/x.toml", &["tiny.gguf/x.toml"]),
        ("directory", &["directory", "not a regular file"]),
        ("/dev/null", &["/dev/null", "not a regular file"]),
        ("fifo.toml", &["fifo.toml", "not a regular file"]),
        ("loop.toml", &["loop.toml"]),
        ("latin1.toml", &["latin1.toml", "UTF-8", "iconv"]),
        ("utf16.toml", &["utf16.toml", "UTF-8"]),
    ] {
        let mut command = stage.lclaude(&["--config", file]);
        refused(&stage, command.args(RUN), 65, words);
    }
    // In its usual place it may be missing, and nothing else.
    let config = stage.config("");
    fs::remove_file(&config).expect("it was there");
    stage.ended(stage.lclaude(&["--dry-run"]).args(RUN)).expect(0);
    fs::create_dir(&config).expect("a directory");
    refused(&stage, &mut stage.lclaude(RUN), 65, &["config.toml", "not a regular file"]);
}

/// A root that drops to somebody else is the only one that can be refused a file, and everybody else already is.
fn without_root(stage: &Stage, command: &mut Command) {
    if rustix::process::geteuid().is_root() {
        set_mode(stage.root(), 0o755);
        command.uid(SOMEBODY_ELSE).gid(SOMEBODY_ELSE);
    }
}

#[test]
fn files_that_may_not_be_read() {
    let stage = Stage::new();
    // Where somebody else can run it.
    let program = stage.bin().join("lclaude");
    copy_program(lclaude(), &program);
    let config = stage.project().join("private.toml");
    fs::write(&config, "model = 'x'").expect("a file");
    set_mode(&config, 0o000);
    let model = stage.project().join("private.gguf");
    fs::write(&model, "GGUF").expect("a file");
    set_mode(&model, 0o000);
    for (arguments, code, file) in
        [(&["--config", "private.toml"][..], 65, "private.toml"), (&["--model", "private.gguf"], 64, "private.gguf")]
    {
        let mut command = stage.command(&program);
        command.args(["--backend", "llamacpp"]).args(arguments).args(["-p", "x"]);
        without_root(&stage, &mut command);
        // Not `refused`, which reads everything, these files too.
        let ended = stage.ended(&mut command).expect_failure(code, &[file, "why: ", "ermission denied", "chmod"]);
        ended.expect_stdout("");
        stage.assert_nothing_started();
    }
}

#[test]
fn no_model_is_chosen() {
    let stage = Stage::new();
    refused(&stage, &mut stage.lclaude(&["--backend", "llamacpp"]), 65, &["no model is chosen", "--model", "gguf = "]);
}

#[test]
fn a_llama_server_that_cannot_be_run() {
    let stage = Stage::new();
    let server = stage.bin().join("llama-server");
    fs::remove_file(&server).expect("the fake was there");
    refused(&stage, &mut stage.lclaude(RUN), 69, &["llama-server was not found", "[llamacpp] path"]);
    fs::write(&server, "#!/bin/sh\n").expect("a file");
    set_mode(&server, 0o644);
    refused(&stage, &mut stage.lclaude(RUN), 69, &["llama-server was not found"]);
    for (path, words) in [
        ("/nowhere/llama-server", &["/nowhere/llama-server"][..]),
        ("../../../project", &["project"]),
        ("../../../bin/llama-server", &["not executable"]),
        ("", &["llama-server"]),
    ] {
        stage.config(&format!("[llamacpp]\npath = '{path}'\n"));
        refused(&stage, &mut stage.lclaude(RUN), 69, &[words, &["config.toml", "[llamacpp] path"]].concat());
    }
}

#[test]
fn places_that_cannot_be_written_down_as_text() {
    let stage = Stage::new();
    let place = stage.root().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&place).expect("a directory");
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
        let words = ["cannot be used", "not UTF-8", &format!("export {name}=")];
        refused(&stage, stage.lclaude(RUN).env(name, &place), 65, &words);
    }
    let model = place.join("tiny.gguf");
    fs::copy(stage.model(), &model).expect("a file");
    let mut command = stage.lclaude(&["--backend", "llamacpp", "-p", "x", "--model"]);
    refused(&stage, command.arg(&model), 64, &["tiny.gguf", "not UTF-8"]);
    symlink(&model, stage.project().join("link.gguf")).expect("a link");
    let linked = ["--backend", "llamacpp", "-p", "x", "--model", "link.gguf"];
    refused(&stage, &mut stage.lclaude(&linked), 64, &["cannot be used as a model", "not UTF-8"]);
    let server = fs::canonicalize(stage.bin().join("llama-server")).expect("the fake");
    fs::remove_file(stage.bin().join("llama-server")).expect("the fake was there");
    copy_program(&server, &place.join("llama-server"));
    symlink(place.join("llama-server"), stage.bin().join("llama-server")).expect("a link");
    refused(&stage, &mut stage.lclaude(RUN), 69, &["llama-server cannot be used", "not UTF-8"]);
}

#[test]
fn a_claude_code_that_cannot_be_run() {
    let stage = Stage::new();
    let claude = stage.bin().join("claude");
    fs::remove_file(&claude).expect("the fake was there");
    refused(&stage, &mut stage.lclaude(RUN), 127, &["Claude Code was not found", "npm install", "[claude] path"]);
    fs::write(&claude, "#!/bin/sh\n").expect("a file");
    set_mode(&claude, 0o644);
    refused(&stage, &mut stage.lclaude(RUN), 127, &["Claude Code was not found"]);
    fs::remove_file(&claude).expect("it was there");
    fs::create_dir(&claude).expect("a directory");
    refused(&stage, &mut stage.lclaude(RUN), 127, &["Claude Code was not found"]);
    for path in ["/nowhere/claude", "../../../bin", "../../../project/tiny.gguf", ""] {
        stage.config(&format!("[claude]\npath = '{path}'\n"));
        refused(&stage, &mut stage.lclaude(RUN), 127, &["no Claude Code at", "config.toml", "[claude] path"]);
    }
}

#[test]
fn a_claude_code_that_is_no_program_leaves_nothing() {
    let stage = Stage::new();
    let claude = stage.bin().join("claude");
    fs::remove_file(&claude).expect("the fake was there");
    write_program(&claude, b"#!/no/such/interpreter\n");
    for arguments in [RUN, &["mcp", "list"]] {
        let ended = stage.ended(&mut stage.lclaude(arguments));
        ended.expect_failure(127, &["could not be started", "why: ", "bin/claude"]).expect_stdout("");
        stage.assert_nothing_left();
    }
}

#[test]
fn a_llama_server_that_is_no_program_leaves_nothing() {
    let stage = Stage::new();
    let server = stage.bin().join("llama-server");
    for content in ["#!/no/such/interpreter\n", "\x7fELF and no more"] {
        fs::remove_file(&server).expect("it was there");
        write_program(&server, content.as_bytes());
        let ended = stage.ended(&mut stage.lclaude(RUN));
        ended.expect_failure(69, &["llama-server", "why: "]).expect_stdout("");
        stage.assert_nothing_left();
        assert!(stage.events.rest().is_empty());
    }
}

#[test]
fn home_directories() {
    let stage = Stage::new();
    fs::write(stage.root().join("file"), "").expect("a file");
    let missing = stage.root().join("nobody").display().to_string();
    let file = stage.root().join("file").display().to_string();
    for (home, words) in [
        (missing.as_str(), &["does not exist", "mkdir -p", &missing][..]),
        (&file, &[&file]),
        ("relative/home", &["HOME"]),
    ] {
        for arguments in [RUN, &["mcp", "list"]] {
            refused(&stage, stage.lclaude(arguments).env("HOME", home), 65, words);
        }
    }
}

#[test]
fn a_working_directory_that_is_gone() {
    let stage = Stage::new();
    let script = format!(
        "mkdir gone && cd gone && rmdir ../gone && exec {} --backend llamacpp --model {} -p x",
        lclaude().display(),
        stage.model().display()
    );
    refused(&stage, stage.command("/bin/sh").args(["-c", &script]), 65, &["working directory", "cd "]);
}

#[test]
fn a_runtime_directory_that_is_not_ours_alone() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let elsewhere = stage.root().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a directory");

    symlink(&elsewhere, &runtime).expect("a link");
    refused(&stage, &mut stage.lclaude(RUN), 65, &["runtime directory", "not a directory", "XDG_RUNTIME_DIR"]);
    fs::remove_file(&runtime).expect("it was there");

    symlink("nowhere", &runtime).expect("a link");
    refused(&stage, &mut stage.lclaude(RUN), 65, &["runtime directory", "XDG_RUNTIME_DIR"]);
    fs::remove_file(&runtime).expect("it was there");

    fs::write(&runtime, "").expect("a file");
    refused(&stage, &mut stage.lclaude(RUN), 65, &["runtime directory", "not a directory"]);
    fs::remove_file(&runtime).expect("it was there");

    fs::create_dir(&runtime).expect("a directory");
    // Only root can give a directory away, so only root's tests meet one that was.
    if rustix::process::geteuid().is_root() {
        for mode in [0o700, 0o777] {
            chown(&runtime, Some(SOMEBODY_ELSE), None).expect("root can");
            set_mode(&runtime, mode);
            let words = ["runtime directory", "belongs to someone else", "65534", "XDG_RUNTIME_DIR"];
            refused(&stage, &mut stage.lclaude(RUN), 65, &words);
            let now = fs::metadata(&runtime).expect("still there").permissions().mode();
            assert_eq!(now & 0o777, mode, "not ours to change");
        }
    }
}

#[test]
fn a_runtime_directory_whose_path_is_too_long() {
    let stage = Stage::new();
    let long = stage.root().join("x".repeat(80));
    fs::create_dir(&long).expect("a directory");
    let mut command = stage.lclaude(RUN);
    refused(&stage, command.env("XDG_RUNTIME_DIR", &long), 65, &["too long", "104 bytes", "XDG_RUNTIME_DIR"]);
}

#[test]
fn a_runtime_directory_that_cannot_be_made() {
    let stage = Stage::new();
    let mut command = stage.lclaude(RUN);
    // A directory in which even root can make nothing.
    refused(&stage, command.env("XDG_RUNTIME_DIR", "/proc/self"), 65, &["/proc/self/lclaude", "cannot be made"]);
}
