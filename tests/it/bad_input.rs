//! Invalid input of every kind: lclaude names the problem, its cause and a fix, and starts nothing.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use support::{
    Ended, Stage, copy_program, finish, lclaude,
    machine::NOBODY,
    messages,
    messages::{note, record},
    write_program,
};

const RUN: &[&str] = &["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"];

/// Runs a command that must exit with `code`, print a cause and help, and change nothing.
#[track_caller]
fn rejected(stage: &Stage, command: &mut Command, code: i32) -> Ended {
    let before = all_files(stage);
    let ended = stage.ended(command).expect_failure(code).expect_stdout("");
    assert!(!ended.stderr.contains("a bug in lclaude"), "{ended:#?}");
    stage.assert_nothing_started();
    stage.assert_nothing_left();
    let after = all_files(stage);
    assert!(before == after, "{:#?} became {:#?}", before.keys(), after.keys());
    ended
}

/// Returns all files on the stage except an empty runtime directory, which every session leaves.
fn all_files(stage: &Stage) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![stage.root().to_owned()];
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("a directory entry").path())
        {
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
    let made = Command::new("mkfifo").arg(at).status().expect("mkfifo runs");
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
        &["--context", "64kb"],
        &["--context", "99999m"],
        &["--backend", "lama"],
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
        // The arguments before these are valid, so only these can be invalid.
        let mut command = stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf"]);
        rejected(&stage, command.args(arguments), 64);
    }
}

#[test]
fn invalid_local_command_lines_are_rejected() {
    messages!();
    let stage = Stage::new();
    for arguments in [&["status", "--wacth"][..], &["completions"], &["completions", "tcsh"]] {
        rejected(&stage, stage.lclaude(&["local"]).args(arguments), 64);
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
        rejected(&stage, command.arg(format!("--model={model}")), 64);
        // From a variable, the same model is a configuration error.
        if !model.is_empty() {
            let mut command = stage.lclaude(&["--backend", "llamacpp", "-p", "x"]);
            rejected(&stage, command.env("LCLAUDE_MODEL", model), 65);
        }
    }
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model"]);
    rejected(&stage, command.arg(OsStr::from_bytes(b"caf\xe9.gguf")), 64);
    let mut command = stage.lclaude(&["--backend", "llamacpp", "-p"]);
    rejected(&stage, command.arg(OsStr::from_bytes(b"--model=caf\xe9.gguf")), 64);
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

/// Replaces each file that lclaude reads completely with a pipe that has no writer.
#[test]
fn named_pipes_never_block() {
    messages!();
    let stage = Stage::new();
    let (project, state) = (stage.project(), stage.home().join(".local/state/lclaude"));
    let cached = stage.cache().join("huggingface/hub/models--a--b/snapshots/1");
    for directory in [&project.join(".claude"), &state, &cached] {
        fs::create_dir_all(directory).expect("a directory");
    }
    fs::write(project.join(".lclaude.toml"), "context = 50000\n").expect("a file");
    let run = |arguments: &[&str]| stage.ended(&mut stage.lclaude(arguments));
    let dry_run = |first: &[&str]| run(&[&["--dry-run"], first, RUN].concat());
    let with_pipe = |at: PathBuf, run_commands: &dyn Fn()| {
        fifo(&at);
        run_commands();
        run(&["local", "doctor"]).expect(1);
        fs::remove_file(at).expect("the file exists");
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
        ("LCLAUDE_CONTEXT", "64kb"),
        ("LCLAUDE_CONTEXT", "0"),
        ("LCLAUDE_CONTEXT", "-5"),
        ("LCLAUDE_CONTEXT", "4000000000"),
        ("LCLAUDE_CONTEXT", "9000000000"),
        ("LCLAUDE_CONTEXT", "99999999999999999999"),
        ("LCLAUDE_PROFILE", "fast"),
    ] {
        let mut stage = Stage::new();
        stage.set(name, value);
        // All other settings are valid options, so the error must name the variable.
        let mut command = stage.lclaude(match name {
            "LCLAUDE_BACKEND" => &["--context", "30000", "--model", "tiny.gguf", "-p", "x"],
            _ => RUN,
        });
        rejected(&stage, &mut command, 65);
    }
    let stage = Stage::new();
    let non_utf8 = OsStr::from_bytes(b"\xff");
    rejected(&stage, stage.lclaude(RUN).env("LCLAUDE_PROFILE", non_utf8), 65);
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
fn numbers_and_times_out_of_range_are_rejected_with_line_range_and_fix() {
    messages!();
    let stage = Stage::new();
    for text in [
        "[lifetime]\nstartup_timeout = \"584542046090y\"",
        "[lifetime]\nstartup_timeout = \"1ns\"",
        "[lifetime]\nstartup_timeout = 600",
        "[lifetime]\nlinger = \"18446744073709551615s\"",
        "[lifetime]\nrestarts = 18446744073709551615",
        "model = 'a'\n\n[profiles.small]\ncontext = 1e308",
        "[profiles.small]\nlifetime = { linger = \"-1s\" }",
        "[llamacpp]\nthreads = 0",
        "[warm]\nmax_size = \"8 parsecs\"",
        "[warm]\nmax_size = \"1kB\"",
        "[warm]\nmax_size = 8000000000",
        "[profiles.small]\nwarm = { max_size = \"9999TB\" }",
        "[lmstudio]\ngpu = 'all'",
        "[command]\nstop_timeout = \"0s\"",
    ] {
        stage.config(text);
        note(format!("{text:?}"));
        rejected(&stage, &mut stage.lclaude(RUN), 65);
    }
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
        "[warm]\nenabled = 'yes'",
        "[warm]\nmaxsize = '8GB'",
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
        let ended = rejected(&stage, &mut stage.lclaude(RUN), 65);
        assert!(ended.stderr.len() < 5_000, "the message is too long: {} bytes", ended.stderr.len());
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
        rejected(&stage, &mut command, 65);
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
        let ended = rejected(&stage, &mut stage.lclaude(RUN), 65);
        assert!(!ended.stderr.contains("hf_secret"), "{}", ended.stderr);
    }
}

#[test]
fn configuration_paths_that_are_not_text_files_are_rejected() {
    messages!();
    let stage = Stage::new();
    let in_project = |name: &str| stage.project().join(name);
    fs::create_dir(in_project("directory")).expect("a directory");
    fs::write(in_project("latin1.toml"), b"model = 'caf\xe9'").expect("a file");
    fs::write(in_project("utf16.toml"), b"\xff\xfem\0").expect("a file");
    symlink("loop.toml", in_project("loop.toml")).expect("a link");
    fifo(&in_project("fifo.toml"));
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
        rejected(&stage, command.args(RUN), 65);
    }
    // The default file may be missing, but it must not be a directory.
    let config = stage.config("");
    fs::remove_file(&config).expect("the file existed");
    stage.ended(stage.lclaude(&["--dry-run"]).args(RUN)).expect(0);
    fs::create_dir(&config).expect("a directory");
    rejected(&stage, &mut stage.lclaude(RUN), 65);
}

/// Runs a command as another user if the tests run as root, which may read every file.
fn without_root(stage: &Stage, command: &mut Command) {
    if rustix::process::geteuid().is_root() {
        set_mode(stage.root(), 0o755);
        command.uid(NOBODY).gid(NOBODY);
    }
}

#[test]
fn files_without_read_permission_are_rejected() {
    messages!();
    let stage = Stage::new();
    // A copy that another user may run.
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
        // `rejected` isn't used, since it would read these files.
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
    rejected(&stage, &mut stage.lclaude(&["--backend", "llamacpp"]), 65);
}

#[test]
fn unusable_llama_server_is_rejected() {
    messages!();
    let stage = Stage::new();
    let server = stage.bin().join("llama-server");
    fs::remove_file(&server).expect("the fake existed");
    rejected(&stage, &mut stage.lclaude(RUN), 69);
    fs::write(&server, "#!/bin/sh\n").expect("a file");
    set_mode(&server, 0o644);
    rejected(&stage, &mut stage.lclaude(RUN), 69);
    for path in ["/nowhere/llama-server", "../../../project", "../../../bin/llama-server", ""] {
        stage.config(&format!("[llamacpp]\npath = '{path}'\n"));
        rejected(&stage, &mut stage.lclaude(RUN), 69);
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
        rejected(&stage, stage.lclaude(RUN).env(name, &place), 65);
    }
    let model = place.join("tiny.gguf");
    fs::copy(stage.model(), &model).expect("a file");
    let mut command = stage.lclaude(&["--backend", "llamacpp", "-p", "x", "--model"]);
    rejected(&stage, command.arg(&model), 64);
    let server = stage.bin().join("llama-server");
    fs::rename(&server, place.join("llama-server")).expect("the fake existed");
    let mut command = stage.lclaude(RUN);
    command.env("PATH", OsStr::from_bytes(&[place.as_os_str().as_bytes(), b":/usr/bin:/bin"].concat()));
    rejected(&stage, &mut command, 69);

    // Links to both are enough.
    symlink(&model, stage.project().join("link.gguf")).expect("a link");
    symlink(place.join("llama-server"), server).expect("a link");
    let linked = ["--backend", "llamacpp", "-p", "x", "--model", "link.gguf"];
    let (session, claude, _backend) = stage.started(&mut stage.lclaude(&linked));
    finish(session, &claude);
}

#[test]
fn unusable_claude_code_is_rejected() {
    messages!();
    let stage = Stage::new();
    let claude = stage.bin().join("claude");
    fs::remove_file(&claude).expect("the fake existed");
    rejected(&stage, &mut stage.lclaude(RUN), 127);
    fs::write(&claude, "#!/bin/sh\n").expect("a file");
    set_mode(&claude, 0o644);
    rejected(&stage, &mut stage.lclaude(RUN), 127);
    fs::remove_file(&claude).expect("the file existed");
    fs::create_dir(&claude).expect("a directory");
    rejected(&stage, &mut stage.lclaude(RUN), 127);
    for path in ["/nowhere/claude", "../../../bin", "../../../project/tiny.gguf", ""] {
        stage.config(&format!("[claude]\npath = '{path}'\n"));
        rejected(&stage, &mut stage.lclaude(RUN), 127);
    }
}

#[test]
fn claude_code_that_fails_to_execute_leaves_nothing() {
    messages!();
    let stage = Stage::new();
    let claude = stage.bin().join("claude");
    fs::remove_file(&claude).expect("the fake existed");
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
        fs::remove_file(&server).expect("the file existed");
        write_program(&server, content);
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
    for home in [missing.as_str(), &file, "relative/home", ""] {
        for arguments in [RUN, &["mcp", "list"]] {
            rejected(&stage, stage.lclaude(arguments).env("HOME", home), 65);
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
    rejected(&stage, stage.command("/bin/sh").args(["-c", &script]), 65);
}

#[test]
fn options_override_invalid_values() {
    let mut stage = Stage::new();
    stage.set("LCLAUDE_BACKEND", "unknown").set("LCLAUDE_CONTEXT", "99999999999");
    stage.config("[profiles.broken]\nlean = \"maybe\"\n");
    let typed =
        ["--backend", "llamacpp", "--context", "32768", "--profile", "broken", "--lean", "--model", "tiny.gguf"];
    stage.output(&[&typed, &["--dry-run", "-p", "x"][..]].concat()).expect(0);
}

#[test]
fn invalid_value_in_a_profile_is_named_without_secrets() {
    messages!();
    let stage = Stage::new();
    stage.config(
        "[profiles.limit.claude]\nmax_output_tokens = \"x\"\nenv = { API = \"secret-1\" }\n\
         [profiles.env.llamacpp]\nenv = { API = 1234567, OTHER = \"secret-1\" }\n",
    );
    for profile in ["limit", "env"] {
        let ended = stage.output(&["--profile", profile, "-p", "x"]).expect_failure(65);
        assert!(!ended.stderr.contains("secret-1") && !ended.stderr.contains("1234567"), "{ended:#?}");
    }
    stage.assert_nothing_started();
}
