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

use support::{
    Ended, Stage, copy_program, lclaude,
    machine::needs_root,
    messages,
    messages::{note, record},
    write_program,
};

/// Nobody, on most systems; in any case somebody else.
const SOMEBODY_ELSE: u32 = 65_534;

const RUN: &[&str] = &["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"];

/// Fails with `code`, says why and what helps, and leaves everything as it was.
#[track_caller]
fn refused(stage: &Stage, command: &mut Command, code: i32) -> Ended {
    let before = everything(stage);
    let ended = stage.ended(command).expect_failure(code).expect_stdout("");
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
fn invalid_command_lines_are_rejected() {
    messages!();
    let stage = Stage::new();
    stage.config("[profiles.fast]\ncontext = 30000\n");
    for arguments in [
        &["--bakend", "llamacpp"][..],
        &["--backend"],
        &["--backend", "olama"],
        &["--backend="],
        &["--profile", "fats"],
        &["--profile", "zzz"],
        &["--context", "0"],
        &["--context", "1"],
        &["--context", "4000000000"],
        &["--context", "99999999999999999999"],
        &["--context", "-1"],
        &["--context=-1"],
        &["--context", "64k"],
        &["--context", ""],
        &["--dry-run=yes"],
        &["--model"],
        &["-p", "x", "--model"],
        &["-p", "x", "--settings"],
        &["--settings", "{broken"],
        &["--settings", "[1]"],
        &["--settings", r#"{"permissions":{"defaultMode":"acceptedits"}}"#],
        &["--settings", r#"{"model":5}"#],
        &["-p", "x", "--append-system-prompt"],
        &["--settings", "nope.json"],
        &["--settings", "tiny.gguf"],
        &["--settings", "."],
        &["--settings", ""],
    ] {
        // After a good beginning, so that only the last part can be at fault.
        let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf"]);
        refused(&stage, command.args(arguments), 64);
    }
}

#[test]
fn invalid_local_command_lines_are_rejected() {
    messages!();
    let stage = Stage::new();
    for arguments in [&["status", "--wacth"][..], &["completions"], &["completions", "tcsh"]] {
        refused(&stage, stage.lclaude(&["local"]).args(arguments), 64);
    }
}

#[test]
fn unusable_models_are_rejected() {
    messages!();
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
    for model in [
        "missing.gguf",
        "/nowhere/at/all.gguf",
        "tiny.gguf/x.gguf",
        "directory",
        "directory.gguf",
        ".",
        "empty.gguf",
        "short.gguf",
        "page.gguf",
        "dangling.gguf",
        "loop.gguf",
        "fifo.gguf",
        "qwen3:4b",
        "sonet",
        "../repo",
        "-x/--host",
        "",
    ] {
        let mut command = stage.lclaude(&["--backend", "llamacpp", "-p", "x"]);
        refused(&stage, command.arg(format!("--model={model}")), 64);
        // The same from elsewhere is not the command line's fault.
        if !model.is_empty() {
            let mut command = stage.lclaude(&["--backend", "llamacpp", "-p", "x"]);
            refused(&stage, command.env("LCLAUDE_MODEL", model), 65);
        }
    }
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model"]);
    refused(&stage, command.arg(OsStr::from_bytes(b"caf\xe9.gguf")), 64);
    let mut command = stage.lclaude(&["--backend", "llamacpp", "-p"]);
    refused(&stage, command.arg(OsStr::from_bytes(b"--model=caf\xe9.gguf")), 64);
}

#[test]
fn truncated_model_fails_and_leaves_nothing() {
    messages!();
    let stage = Stage::new();
    fs::write(stage.project().join("cut.gguf"), "GGUFtruncated").expect("a file");
    let ended = stage.ended(&mut stage.lclaude(&["--backend", "llamacpp", "--model", "cut.gguf", "-p", "x"]));
    ended.expect_failure(69).expect_stdout("");
    let started: Vec<String> = stage.events.rest().iter().map(|fake| fake.who.clone()).collect();
    assert!(!started.contains(&"claude".into()), "{started:?}");
    stage.assert_nothing_left();
}

/// A pipe that nobody writes into, in place of each file that is read whole on the way.
#[test]
fn named_pipes_never_block() {
    messages!();
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
        dry_run(&[]).expect_failure(65);
        run(&["local", "trust", "--list"]).expect_failure(65);
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
fn invalid_variables_are_rejected() {
    messages!();
    for (name, value) in [
        ("LCLAUDE_BACKEND", "olama"),
        ("LCLAUDE_CONTEXT", "many"),
        ("LCLAUDE_CONTEXT", "64k"),
        ("LCLAUDE_CONTEXT", "0"),
        ("LCLAUDE_CONTEXT", "-5"),
        ("LCLAUDE_CONTEXT", "4000000000"),
        ("LCLAUDE_CONTEXT", "9000000000"),
        ("LCLAUDE_CONTEXT", "99999999999999999999"),
        ("LCLAUDE_PROFILE", "fast"),
    ] {
        let mut stage = Stage::new();
        stage.set(name, value);
        // Options for all the rest, which must not be blamed.
        let mut command = stage.lclaude(match name {
            "LCLAUDE_BACKEND" => &["--context", "30000", "--model", "tiny.gguf", "-p", "x"],
            _ => RUN,
        });
        refused(&stage, &mut command, 65);
    }
    let stage = Stage::new();
    let not_utf8 = OsStr::from_bytes(b"\xff");
    refused(&stage, stage.lclaude(RUN).env("LCLAUDE_PROFILE", not_utf8), 65);
}

#[test]
fn unknown_lclaude_variables_cause_warnings() {
    messages!();
    let mut stage = Stage::new();
    stage.set("LCLAUDE_MODLE", "x").set("LCLAUDE_ZZZZ", "x").set("LCLAUDE_CONTEXT", 30_000);
    let warnings = stage.ended(&mut stage.lclaude(&[&["--dry-run"], RUN].concat())).expect(0).stderr;
    assert_eq!(warnings.lines().count(), 2, "{warnings}");
    record("warnings", warnings);
}

#[test]
fn invalid_configurations_are_rejected() {
    messages!();
    let deep = format!("[claude]\nargs = {}", "[".repeat(200_000));
    let nested = format!("{} = 1", vec!["a"; 200_000].join("."));
    let long = "#".repeat(1024 * 1024 + 1);
    for text in [
        "modle = 'x'",
        "[llamacpp]\ngpu_layer = 1",
        "threads = 4",
        "[lamacpp]\nthreads = 4",
        "[profiles.p]\nbakend = 'llamacpp'",
        "zzzz = 1",
        "backend = 'olama'",
        "\n\ncontext = 'many'",
        "context = 64_000.5",
        "context = -1",
        "context = 0",
        "context = 2047",
        "context = 4000000000",
        "context = 99999999999",
        "model = 7",
        "model = ['a']",
        "model = 'a\nb = 'c'",
        "model = 'a'\nmodel = 'b'",
        "profile = 'fast'",
        "[profiles]\nfast = 1\n",
        "[claude]\nthinking = 'perhaps'",
        "[claude]\nargs = '-p'",
        "[claude]\nmax_output_tokens = 0",
        "context = 30000\n[claude]\nmax_output_tokens = 30000",
        "[lifetime]\nlinger = 'a while'",
        "[lifetime]\nlinger = -1",
        "[lifetime]\nrestarts = 'often'",
        "[llamacpp]\nthreads = -2",
        "[llamacpp]\nargs = [1]",
        "[llamacpp]\nenv = { A = 1 }",
        "[llamacpp]\nenv = { 'A=B' = '1' }",
        "[claude]\nenv = { '' = '1' }",
        "[claude]\nenv = { A = \"\\u0000\" }",
        "[claude]\nargs = [\"-p\", \"x\", \"--\"]",
        "[claude]\nargs = [\"--append-system-prompt\"]",
        "[llamacpp]\nargs = [\"--hf-token\", \"hf_x\"]",
        "[llamacpp]\nargs = [\"--gpt-oss-20b-default\"]",
        "[claude]\nargs = [\"\\u0000\"]",
        "[llamacpp]\nargs = [\"a\\u0000\"]",
        "[llamacpp]\ngguf = 'x.gguf'\nhf = 'a/b'",
        &deep,
        &nested,
        &long,
    ] {
        note(format!("{text:?}"));
        let stage = Stage::new();
        stage.config(text);
        let ended = refused(&stage, &mut stage.lclaude(RUN), 65);
        assert!(ended.stderr.len() < 5_000, "nobody reads that: {} bytes", ended.stderr.len());
    }
}

#[test]
fn invalid_model_locations_in_the_configuration_are_rejected() {
    messages!();
    for text in ["gguf = 'nope.gguf'", "gguf = '~/nope.gguf'", "gguf = ''", "hf = 'nope'", "hf = '../x'", "hf = ''"] {
        note(text);
        let stage = Stage::new();
        stage.config(&format!("[llamacpp]\n{text}\n"));
        let mut command = stage.lclaude(&["--backend", "llamacpp", "-p", "x"]);
        refused(&stage, &mut command, 65);
    }
}

#[test]
fn configuration_errors_never_show_secrets() {
    messages!();
    for text in [
        "[llamacpp.env]\nHF_TOKEN = 'hf_secret\n",
        "[llamacpp.env]\nHF_TOKEN = hf_secret\n",
        "[llamacpp]\nenv = { HF_TOKEN = ['hf_secret'] }\n",
        "[claude]\nenv = 'hf_secret'\n",
    ] {
        note(format!("{text:?}").replace("hf_secret", "SECRET"));
        let stage = Stage::new();
        stage.config(text);
        let ended = refused(&stage, &mut stage.lclaude(RUN), 65);
        assert!(!ended.stderr.contains("hf_secret"), "{}", ended.stderr);
    }
}

#[test]
fn configuration_paths_that_are_not_text_files_are_rejected() {
    messages!();
    let stage = Stage::new();
    let place = |name: &str| stage.project().join(name);
    fs::create_dir(place("directory")).expect("a directory");
    fs::write(place("latin1.toml"), b"model = 'caf\xe9'").expect("a file");
    fs::write(place("utf16.toml"), b"\xff\xfem\0").expect("a file");
    symlink("loop.toml", place("loop.toml")).expect("a link");
    fifo(&place("fifo.toml"));
    for file in [
        "missing.toml",
        "no/such/directory.toml",
        "tiny.gguf/x.toml",
        "directory",
        "/dev/null",
        "fifo.toml",
        "loop.toml",
        "latin1.toml",
        "utf16.toml",
    ] {
        let mut command = stage.lclaude(&["--config", file]);
        refused(&stage, command.args(RUN), 65);
    }
    // In its usual place it may be missing, and nothing else.
    let config = stage.config("");
    fs::remove_file(&config).expect("it was there");
    stage.ended(stage.lclaude(&["--dry-run"]).args(RUN)).expect(0);
    fs::create_dir(&config).expect("a directory");
    refused(&stage, &mut stage.lclaude(RUN), 65);
}

/// A root that drops to somebody else is the only one that can be refused a file, and everybody else already is.
fn without_root(stage: &Stage, command: &mut Command) {
    if rustix::process::geteuid().is_root() {
        set_mode(stage.root(), 0o755);
        command.uid(SOMEBODY_ELSE).gid(SOMEBODY_ELSE);
    }
}

#[test]
fn files_without_read_permission_are_rejected() {
    messages!();
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
    for (arguments, code) in [(&["--config", "private.toml"][..], 65), (&["--model", "private.gguf"], 64)] {
        let mut command = stage.command(&program);
        command.args(["--backend", "llamacpp"]).args(arguments).args(["-p", "x"]);
        without_root(&stage, &mut command);
        // Not `refused`, which reads everything, these files too.
        let ended = stage.ended(&mut command).expect_failure(code);
        ended.expect_stdout("");
        stage.assert_nothing_started();
    }
}

#[test]
fn missing_model_choice_is_an_error() {
    messages!();
    let stage = Stage::new();
    stage.ample_memory();
    refused(&stage, &mut stage.lclaude(&["--backend", "llamacpp"]), 65);
}

#[test]
fn unusable_llama_server_is_rejected() {
    messages!();
    let stage = Stage::new();
    let server = stage.bin().join("llama-server");
    fs::remove_file(&server).expect("the fake was there");
    refused(&stage, &mut stage.lclaude(RUN), 69);
    fs::write(&server, "#!/bin/sh\n").expect("a file");
    set_mode(&server, 0o644);
    refused(&stage, &mut stage.lclaude(RUN), 69);
    for path in ["/nowhere/llama-server", "../../../project", "../../../bin/llama-server", ""] {
        stage.config(&format!("[llamacpp]\npath = '{path}'\n"));
        refused(&stage, &mut stage.lclaude(RUN), 69);
    }
}

#[test]
fn non_utf8_paths_are_rejected() {
    messages!();
    let stage = Stage::new();
    let place = stage.root().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&place).expect("a directory");
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
        note(name);
        refused(&stage, stage.lclaude(RUN).env(name, &place), 65);
    }
    let model = place.join("tiny.gguf");
    fs::copy(stage.model(), &model).expect("a file");
    let mut command = stage.lclaude(&["--backend", "llamacpp", "-p", "x", "--model"]);
    refused(&stage, command.arg(&model), 64);
    symlink(&model, stage.project().join("link.gguf")).expect("a link");
    let linked = ["--backend", "llamacpp", "-p", "x", "--model", "link.gguf"];
    refused(&stage, &mut stage.lclaude(&linked), 64);
    let server = fs::canonicalize(stage.bin().join("llama-server")).expect("the fake");
    fs::remove_file(stage.bin().join("llama-server")).expect("the fake was there");
    copy_program(&server, &place.join("llama-server"));
    symlink(place.join("llama-server"), stage.bin().join("llama-server")).expect("a link");
    refused(&stage, &mut stage.lclaude(RUN), 69);
}

#[test]
fn unusable_claude_code_is_rejected() {
    messages!();
    let stage = Stage::new();
    let claude = stage.bin().join("claude");
    fs::remove_file(&claude).expect("the fake was there");
    refused(&stage, &mut stage.lclaude(RUN), 127);
    fs::write(&claude, "#!/bin/sh\n").expect("a file");
    set_mode(&claude, 0o644);
    refused(&stage, &mut stage.lclaude(RUN), 127);
    fs::remove_file(&claude).expect("it was there");
    fs::create_dir(&claude).expect("a directory");
    refused(&stage, &mut stage.lclaude(RUN), 127);
    for path in ["/nowhere/claude", "../../../bin", "../../../project/tiny.gguf", ""] {
        stage.config(&format!("[claude]\npath = '{path}'\n"));
        refused(&stage, &mut stage.lclaude(RUN), 127);
    }
}

#[test]
fn claude_code_that_fails_to_execute_leaves_nothing() {
    messages!();
    let stage = Stage::new();
    let claude = stage.bin().join("claude");
    fs::remove_file(&claude).expect("the fake was there");
    write_program(&claude, b"#!/no/such/interpreter\n");
    for arguments in [RUN, &["mcp", "list"]] {
        let ended = stage.ended(&mut stage.lclaude(arguments));
        ended.expect_failure(127).expect_stdout("");
        stage.assert_nothing_left();
    }
}

#[test]
fn llama_server_that_fails_to_execute_leaves_nothing() {
    messages!();
    let stage = Stage::new();
    let server = stage.bin().join("llama-server");
    for content in ["#!/no/such/interpreter\n", "\x7fELF and no more"] {
        fs::remove_file(&server).expect("it was there");
        write_program(&server, content.as_bytes());
        let ended = stage.ended(&mut stage.lclaude(RUN));
        ended.expect_failure(69).expect_stdout("");
        stage.assert_nothing_left();
        assert!(stage.events.rest().is_empty());
    }
}

#[test]
fn invalid_home_directories_are_rejected() {
    messages!();
    let stage = Stage::new();
    fs::write(stage.root().join("file"), "").expect("a file");
    let missing = stage.root().join("nobody").display().to_string();
    let file = stage.root().join("file").display().to_string();
    for home in [missing.as_str(), &file, "relative/home"] {
        for arguments in [RUN, &["mcp", "list"]] {
            refused(&stage, stage.lclaude(arguments).env("HOME", home), 65);
        }
    }
}

#[test]
fn deleted_working_directory_is_an_error() {
    messages!();
    let stage = Stage::new();
    let script = format!(
        "mkdir gone && cd gone && rmdir ../gone && exec {} --backend llamacpp --model {} -p x",
        lclaude().display(),
        stage.model().display()
    );
    refused(&stage, stage.command("/bin/sh").args(["-c", &script]), 65);
}

#[test]
fn runtime_path_that_is_not_a_real_directory_is_rejected() {
    messages!();
    let stage = Stage::new();
    let runtime = stage.runtime();
    let elsewhere = stage.root().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a directory");

    symlink(&elsewhere, &runtime).expect("a link");
    refused(&stage, &mut stage.lclaude(RUN), 65);
    fs::remove_file(&runtime).expect("it was there");

    symlink("nowhere", &runtime).expect("a link");
    refused(&stage, &mut stage.lclaude(RUN), 65);
    fs::remove_file(&runtime).expect("it was there");

    fs::write(&runtime, "").expect("a file");
    refused(&stage, &mut stage.lclaude(RUN), 65);
}

#[test]
fn runtime_directory_of_another_user_is_rejected() {
    if !needs_root() {
        return;
    }
    messages!();
    let stage = Stage::new();
    let runtime = stage.runtime();
    fs::create_dir(&runtime).expect("a directory");
    for mode in [0o700, 0o777] {
        chown(&runtime, Some(SOMEBODY_ELSE), None).expect("root can");
        set_mode(&runtime, mode);
        refused(&stage, &mut stage.lclaude(RUN), 65);
        let now = fs::metadata(&runtime).expect("still there").permissions().mode();
        assert_eq!(now & 0o777, mode, "not ours to change");
    }
}

#[test]
fn overlong_runtime_directory_path_is_rejected() {
    messages!();
    let stage = Stage::new();
    let long = stage.root().join("x".repeat(80));
    fs::create_dir(&long).expect("a directory");
    let mut command = stage.lclaude(RUN);
    refused(&stage, command.env("XDG_RUNTIME_DIR", &long), 65);
}

#[test]
fn runtime_directory_that_cannot_be_created_is_an_error() {
    messages!();
    let stage = Stage::new();
    let mut command = stage.lclaude(RUN);
    // A directory in which even root can make nothing.
    refused(&stage, command.env("XDG_RUNTIME_DIR", "/proc/self"), 65);
}
