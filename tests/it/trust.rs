//! A freshly cloned repository can't run programs, load its own files, send data elsewhere or download anything until the
//! user has reviewed and trusted its project file.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, chown, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use support::{
    Ended, Session, Stage, Value, finish,
    machine::{NOBODY, needs_root},
    messages,
    messages::{note, record},
    ollama::Own,
    terminal::Terminal,
};

/// A user with llama.cpp and a model, in a freshly cloned repository.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.ample_memory();
    stage.config(&format!("backend = \"llamacpp\"\nmodel = \"{}\"\n", stage.model().display()));
    fs::create_dir(stage.project().join(".git")).expect("a directory");
    stage
}

fn file(stage: &Stage) -> PathBuf {
    stage.project().join(".lclaude.toml")
}

fn write(stage: &Stage, text: &str) {
    fs::write(file(stage), text).expect("a file");
}

/// Checks that every session is refused with the same reason, and that nothing starts.
#[track_caller]
fn refused(stage: &Stage, code: i32) -> Ended {
    let ended = stage.ended(&mut stage.lclaude(&["-p", "x"])).expect_failure(code).expect_stdout("");
    for arguments in [&["--yes", "-p", "x"][..], &["--dry-run"], &["--profile", "none"]] {
        let other = stage.ended(&mut stage.lclaude(arguments)).expect(code);
        assert_eq!(other.stderr, ended.stderr, "{arguments:?}");
    }
    assert!(ended.stderr.contains(&file(stage).display().to_string()), "{ended:#?}");
    stage.assert_nothing_started();
    ended
}

#[track_caller]
fn trust(stage: &Stage, arguments: &[&str]) -> Ended {
    stage.ended(&mut stage.lclaude(&[&["local", "trust"], arguments].concat()))
}

/// Checks that a session starts, and that its llama-server got this argument.
#[track_caller]
fn starts_with(stage: &Stage, argument: &str) {
    let (session, claude, backend) = stage.started(&mut stage.lclaude(&["-p", "x"]));
    assert!(backend.argv.iter().any(|given| given == argument), "{:?}", backend.argv);
    finish(session, &claude);
}

#[test]
fn dangerous_settings_require_trust() {
    messages!();
    let stage = stage();
    for text in [
        "[llamacpp]\npath = './server'",
        "[llamacpp]\nargs = ['--tools', 'all']",
        "[llamacpp]\nenv = { LD_PRELOAD = './evil.so' }",
        "[llamacpp]\ngguf = 'evil.gguf'",
        "[llamacpp]\nhf = 'evil/evil'",
        "[claude]\npath = './claude'",
        "[claude]\nargs = ['--dangerously-skip-permissions']",
        "[claude]\nenv = { NODE_OPTIONS = '--require ./evil.js' }",
        "[ollama]\nmodels_dir = '.'\nhost = 'evil.example'\ninstance = 'shared'",
        "[lmstudio]\npath = './lms'",
        "backend = 'command'\n[command]\nrun = ['sh', '-c', 'evil {port}']",
        "backend = 'endpoint'\n[endpoint]\nurl = 'https://evil.example'",
        "[endpoint]\ntoken_env = 'AWS_SECRET_ACCESS_KEY'",
        "[lifetime]\nlinger = '999h'",
        "[warm]\nmax_size = '90TB'",
        "context_check = false",
        "model = 'tiny'\ncontext = 50000\n[claude]\nthinking = true",
    ] {
        note(format!("{text:?}"));
        write(&stage, text);
        refused(&stage, 77);
    }
}

#[test]
fn passed_through_commands_ignore_an_untrusted_file() {
    let stage = stage();
    stage.script("claude", "echo own \"$@\"");
    stage.script("evil", "echo evil \"$@\"");
    let evil = format!("[claude]\npath = '{}'\n", stage.bin().join("evil").display());
    for text in [&evil, "not TOML", "profile = 'none'\n"] {
        write(&stage, text);
        stage.output(&["mcp", "list"]).expect(0).expect_stdout("own mcp list\n");
    }
    write(&stage, &evil);
    trust(&stage, &["--yes"]).expect(0);
    stage.output(&["mcp", "list"]).expect(0).expect_stdout("evil mcp list\n");
}

#[test]
fn doctor_starts_programs_outside_the_repository() {
    // llama-server loads libraries from the working directory.
    let stage = stage();
    let places = stage.root().join("places");
    let lms = stage.home().join(".lmstudio/bin/lms");
    fs::create_dir_all(lms.parent().expect("a directory")).expect("a directory");
    for program in ["llama-server", "ollama", "lms"] {
        stage.script(program, &format!("pwd >> {}; echo version: 1.0", places.display()));
    }
    fs::rename(stage.bin().join("lms"), lms).expect("a file");
    stage.output(&["local", "doctor", "--backend", "lmstudio"]);
    stage.output(&["local", "models"]);
    let places = fs::read_to_string(&places).expect("they were asked");
    assert!(places.lines().count() >= 3 && places.lines().all(|place| place == "/"), "{places}");
}

#[test]
fn model_must_be_a_plain_name() {
    messages!();
    let stage = stage();
    for name in [
        "./evil.gguf",
        "tiny.gguf",
        "/etc/passwd",
        "a/../../evil",
        "--host=0.0.0.0",
        "-m",
        "hf.co/evil/evil",
        "huggingface.co/evil/evil",
        "evil.example:5000/evil/evil",
        "a b",
    ] {
        for key in ["model", "models.opus", "models.subagent"] {
            note(format!("{key} = {name:?}"));
            write(&stage, &format!("{key} = '{name}'"));
            refused(&stage, 77);
        }
    }
}

#[test]
fn project_file_must_be_a_small_regular_file() {
    messages!();
    let stage = stage();
    let file = file(&stage);
    let not_used = |what: &str| {
        note(what);
        refused(&stage, 77);
        trust(&stage, &["--yes"]).expect_failure(77);
        let mut init = stage.lclaude(&["local", "init", "--yes", "--model", "tiny"]);
        stage.ended(&mut init).expect_failure(77);
        fs::remove_file(&file).expect("still there");
    };
    let honest = stage.root().join("honest.toml");
    fs::write(&honest, "context = 50000").expect("a file");
    for target in [Path::new("/dev/zero"), Path::new("nowhere"), &honest] {
        symlink(target, &file).expect("a link");
        not_used("a symlink");
    }
    let made = Command::new("mkfifo").arg(&file).status();
    assert!(made.expect("mkfifo is on every Unix").success());
    not_used("a pipe");
    // A sparse file, which takes no space.
    File::create(&file).and_then(|file| file.set_len(100 * 1024 * 1024)).expect("a file");
    not_used("100 MiB");
    let socket = std::os::unix::net::UnixListener::bind(&file).expect("a socket");
    refused(&stage, 77);
    drop(socket);
    fs::remove_file(&file).expect("still there");
    fs::create_dir(&file).expect("a directory");
    refused(&stage, 77);
    fs::remove_dir(&file).expect("still there");
}

/// Gives the project file to this user.
fn give_to(stage: &Stage, owner: u32) {
    chown(file(stage), Some(owner), None).expect("root may");
}

#[test]
fn safe_settings_work_whoever_owns_the_project_file() {
    if !needs_root() {
        return;
    }
    messages!();
    let stage = stage();
    write(&stage, "context = 50000");
    give_to(&stage, NOBODY);
    assert!(stage.output(&["--dry-run", "-p", "x"]).expect(0).stdout.contains("50000 tokens requested"));
    // Everything that refuses an untrusted file refuses this one.
    write(&stage, "model = 'someone/tiny:Q4'\n");
    refuses_download(&stage, "someone/tiny:Q4");
    stage.ended(&mut stage.lclaude(&["local", "init", "--yes", "--context", "60000"])).expect(0);
}

#[test]
fn trust_is_pinned_to_the_owner_of_the_project_file() {
    if !needs_root() {
        return;
    }
    messages!();
    let stage = with_own_server();
    let works = || drop(stage.ended(&mut stage.lclaude(&["--dry-run", "-p", "x"])).expect(0));
    give_to(&stage, NOBODY);
    refused(&stage, 77);
    trust(&stage, &["--yes"]).expect(0).record();
    works();
    // A third user.
    give_to(&stage, NOBODY - 1);
    refused(&stage, 77);
    // The user themselves.
    give_to(&stage, 0);
    refused(&stage, 77);
    trust(&stage, &["--yes"]).expect(0).record();
    works();
    give_to(&stage, NOBODY);
    refused(&stage, 77);
    record("list", stage.output(&["local", "trust", "--list"]).expect(0).stdout);
    // Content and owner together are the content's change.
    write(&stage, "context_check = false");
    refused(&stage, 77);
}

#[test]
fn trust_list_of_an_earlier_version_covers_the_users_own_file() {
    let stage = with_own_server();
    trust(&stage, &["--yes"]).expect(0);
    let list = stage.home().join(".local/state/lclaude/trust.json");
    let text: Value = serde_json::from_slice(&fs::read(&list).expect("a list")).expect("JSON");
    // Earlier versions wrote and read only the hash.
    let hash = text[file(&stage).display().to_string()].as_str().expect("a hash");
    assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    if !needs_root() {
        return;
    }
    let works = || stage.ended(&mut stage.lclaude(&["--dry-run", "-p", "x"])).code;
    assert_eq!(works(), Some(0));
    give_to(&stage, NOBODY);
    assert_eq!(works(), Some(77));
}

#[test]
fn hostile_text_is_escaped_on_the_terminal() {
    messages!();
    let stage = stage();
    for (text, code) in [
        ("\"\\u001b]0;owned\\u0007\" = 1\n", 65),
        ("backend = \"\\u001b[2J\"\n", 65),
        ("profile = \"\\u001b[2J\\u202e\"\n", 65),
        ("model = \"a\\u001b[2J\\u009b\\u202e\"\n", 77),
        ("claude.env.\"A\\u001b[2J\\u202e\" = \"x\"\n", 77),
    ] {
        write(&stage, text);
        note(format!("{text:?}"));
        let ended = stage.output(&["-p", "x"]).expect_failure(code);
        let shown = trust(&stage, &[]).record();
        for text in [&ended.stderr, &shown.stderr, &shown.stdout] {
            let obeyed = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
            assert!(!text.contains(obeyed), "{text:?}");
        }
        let said = ended.stderr.contains("u{1b}") || ended.stderr.contains("u001b");
        assert!(said, "the escaped character is not shown: {}", ended.stderr);
    }
    stage.assert_nothing_started();
}

/// Checks that sessions exit with 77, with and without --yes, and don't ask on a terminal.
#[track_caller]
fn refuses_download(stage: &Stage, model: &str) {
    for arguments in [&["-p", "x"][..], &["--yes", "-p", "x"]] {
        stage.ended(&mut stage.lclaude(arguments)).expect_failure(77);
        stage.wait_for_nothing_left();
    }
    let screen = Terminal::start(stage.lclaude(&["-p", "x"])).wait_to_the_end(77);
    assert!(!screen.contains("[y/N]") && screen.contains(model), "{screen}");
    stage.wait_for_nothing_left();
}

#[test]
fn ollama_does_not_download_models_of_an_untrusted_file() {
    messages!();
    let mut stage = Stage::ollama();
    for text in ["model = 'far:1b'\n", "model = 'small'\nmodels.haiku = 'far:1b'\n"] {
        write(&stage, text);
        refuses_download(&stage, "far:1b");
        stage.assert_nothing_started();
    }
    // An installed model is used.
    write(&stage, "model = 'small'\n");
    let session = Session::start(&mut stage.lclaude(&["-p", "x"]));
    stage.events.next("ollama");
    finish(session, &stage.events.next("claude"));
    // A shared server is only asked for its models.
    write(&stage, "model = 'far:1b'\n");
    let own = Own::start(&stage, &[]);
    stage.set("OLLAMA_HOST", &own.url);
    stage.config("[ollama]\ninstance = \"shared\"\n");
    refuses_download(&stage, "far:1b");
    // Once the file is trusted, the model is downloaded.
    trust(&stage, &["--yes"]).expect(0);
    let session = Session::start(&mut stage.lclaude(&["--yes", "-p", "x"]));
    own.fake.wait_event("pulled");
    finish(session, &stage.events.next("claude"));
}

#[test]
fn lm_studio_does_not_download_models_of_an_untrusted_file() {
    messages!();
    let mut stage = Stage::with(&["fake-claude"]);
    let home = stage.home().join(".lmstudio");
    fs::create_dir_all(home.join("bin")).expect("a directory");
    stage.install("fake-lms", &home.join("bin/lms"));
    let model = r#"[{"modelKey": "org/later", "type": "llm", "sizeBytes": 1, "trainedForToolUse": true,
                     "maxContextLength": 131072, "installed": false}]"#;
    fs::write(home.join("models.json"), model).expect("a file");
    stage.set("FAKE_LMS_STATE", home.display());
    write(&stage, "backend = 'lmstudio'\nmodel = 'org/later'\n");
    refuses_download(&stage, "org/later");
    let commands = fs::read_to_string(home.join("invocations.jsonl")).expect("commands");
    assert!(commands.contains("\"ls\"") && !commands.contains("\"get\""), "{commands}");
}

#[test]
fn llama_cpp_does_not_download_models_of_an_untrusted_file() {
    messages!();
    let mut stage = stage();
    write(&stage, "model = 'someone/tiny:Q4'\n");
    refuses_download(&stage, "someone/tiny:Q4");
    write(&stage, "models.haiku = 'someone/tiny:Q4'\n");
    refuses_download(&stage, "someone/tiny:Q4");
    stage.assert_nothing_started();
    // A directory of that name is not taken for a model.
    write(&stage, "model = 'someone/tiny'\n");
    fs::create_dir_all(stage.project().join("someone/tiny")).expect("a directory");
    refuses_download(&stage, "someone/tiny");
    stage.assert_nothing_started();
    // A cached model is used, and --offline keeps llama-server from downloading other files of its repository.
    let hub = stage.root().join("hub");
    fs::create_dir_all(hub.join("models--someone--tiny/snapshots/1")).expect("a directory");
    stage.set("HF_HUB_CACHE", hub.display());
    starts_with(&stage, "--offline");
    // The user's own command line needs no trust.
    let (session, claude, backend) = stage.started(&mut stage.lclaude(&["--model", "someone/tiny:Q4", "-p", "x"]));
    assert!(!backend.argv.contains(&"--offline".to_owned()), "{:?}", backend.argv);
    finish(session, &claude);
}

#[test]
fn backend_chosen_by_an_untrusted_file_does_not_download() {
    messages!();
    // The user's model for one backend is not trusted for another.
    let mut stage = stage();
    for own in ["", "model = 'me/coder:30b'\n", "[llamacpp]\nhf = 'me/coder:30b'\n"] {
        let model = if own.is_empty() { "unsloth/GLM-4.7-Flash-GGUF:Q4_K_M" } else { "me/coder:30b" };
        let profile = "[profiles.p]\nbackend = 'llamacpp'\n";
        stage.config(&format!("backend = 'ollama'\n{own}{profile}"));
        for text in ["backend = 'llamacpp'\n", "profile = 'p'\n"] {
            write(&stage, text);
            refuses_download(&stage, model);
        }
    }
    stage.config("backend = 'ollama'\n");
    write(&stage, "backend = 'llamacpp'\n");
    stage.set("LCLAUDE_MODEL", "me/coder:30b");
    refuses_download(&stage, "me/coder:30b");
    stage.assert_nothing_started();
    // Neither the user's own file nor a cached model needs a download.
    stage.set("LCLAUDE_MODEL", stage.model().display());
    starts_with(&stage, "--model");
    let hub = stage.root().join("hub");
    fs::create_dir_all(hub.join("models--me--coder/snapshots/1")).expect("a directory");
    stage.set("HF_HUB_CACHE", hub.display()).set("LCLAUDE_MODEL", "me/coder:30b");
    starts_with(&stage, "--offline");
    // A model on the command line may be downloaded.
    let (session, claude, backend) = stage.started(&mut stage.lclaude(&["--model", "me/other:4b", "-p", "x"]));
    assert!(!backend.argv.contains(&"--offline".to_owned()), "{:?}", backend.argv);
    finish(session, &claude);
}

#[test]
fn command_gets_only_model_names_from_the_user_configuration() {
    messages!();
    let stage = stage();
    let model = stage.model();
    stage.config(&format!(
        "backend = 'command'\nmodel = 'one'\n[profiles.p]\nmodel = 'two'\n[command]\n\
         run = ['llama-server', '--model', '{}', '--alias', '{{model}}', '--port', '{{port}}', '-c', '65536']\n",
        model.display()
    ));
    // The command might download this name or load a directory of that name.
    write(&stage, "model = 'tmp/evil'\n");
    refused_command(&stage);
    write(&stage, "models.haiku = 'evil'\n");
    refused_command(&stage);
    write(&stage, "model = 'two'\n");
    starts_with(&stage, "two");
    write(&stage, "model = 'three'\n");
    trust(&stage, &["--yes"]).expect(0);
    starts_with(&stage, "three");
}

#[track_caller]
fn refused_command(stage: &Stage) {
    stage.ended(&mut stage.lclaude(&["-p", "x"])).expect_failure(77);
    stage.assert_nothing_started();
}

#[test]
fn project_cannot_select_a_cloud_model() {
    messages!();
    let stage = Stage::ollama();
    write(&stage, "model = 'glm:cloud'\n");
    let refused = || {
        let ended = stage.ended(&mut stage.lclaude(&["--yes", "-p", "x"]));
        ended.expect_failure(77);
        stage.assert_nothing_started();
    };
    refused();
    trust(&stage, &["--yes"]).expect(0);
    refused();
}

/// A project file that names a llama-server in the repository.
const OWN_SERVER: &str = "[llamacpp]\npath = \"./tools/server\"\nargs = [\"--flash-attn\", \"on\"]\n";

fn with_own_server() -> Stage {
    let stage = stage();
    fs::create_dir(stage.project().join("tools")).expect("a directory");
    stage.install("fake-llama-server", &stage.project().join("tools/server"));
    fs::remove_file(stage.bin().join("llama-server")).expect("there is one");
    write(&stage, OWN_SERVER);
    stage
}

#[test]
fn trusted_file_works_until_it_changes() {
    messages!();
    let stage = with_own_server();
    refused(&stage, 77);
    trust(&stage, &["--yes"]).expect(0).record();
    // Paths are relative to the file, not to the working directory.
    let deep = stage.project().join("deep/er");
    fs::create_dir_all(&deep).expect("a directory");
    let (session, claude, _backend) = stage.started(stage.lclaude(&["-p", "x"]).current_dir(&deep));
    finish(session, &claude);
    trust(&stage, &["--yes"]).expect(0).record();
    trust(&stage, &[]).expect(0).record();
    // Any change revokes trust.
    let changed = |stage: &Stage| {
        let ended = stage.ended(&mut stage.lclaude(&["-p", "x"]));
        ended.expect_failure(77);
    };
    write(&stage, &format!("{OWN_SERVER}\n"));
    changed(&stage);
    // The original content is trusted again.
    write(&stage, OWN_SERVER);
    stage.ended(&mut stage.lclaude(&["--dry-run", "-p", "x"])).expect(0);
    write(&stage, &OWN_SERVER.replace("on", "off"));
    changed(&stage);
    trust(&stage, &["--yes"]).expect(0).record();
    stage.ended(&mut stage.lclaude(&["--dry-run", "-p", "x"])).expect(0);
}

#[test]
fn trust_applies_to_one_file_at_one_path() {
    messages!();
    let stage = with_own_server();
    trust(&stage, &["--yes"]).expect(0);
    // A copy, a symlink or a moved file is not trusted.
    let other = stage.root().join("other");
    fs::create_dir_all(other.join(".git")).expect("a directory");
    fs::copy(file(&stage), other.join(".lclaude.toml")).expect("a copy");
    let run = |directory: &Path| stage.ended(stage.lclaude(&["--dry-run", "-p", "x"]).current_dir(directory));
    run(&other).expect_failure(77);
    fs::remove_file(other.join(".lclaude.toml")).expect("there");
    symlink(file(&stage), other.join(".lclaude.toml")).expect("a link");
    run(&other).expect_failure(77);
    // A symlink to the directory leads to the same file.
    let link = stage.root().join("link");
    symlink(stage.project(), &link).expect("a link");
    run(&link).expect(0);
    fs::rename(stage.project(), stage.root().join("moved")).expect("moved");
    run(&stage.root().join("moved")).expect_failure(77);
    fs::rename(stage.root().join("moved"), stage.project()).expect("moved back");
    run(&stage.project()).expect(0);
}

#[test]
fn trust_can_be_granted_listed_and_revoked() {
    messages!();
    let stage = with_own_server();
    let (project, path) = (stage.project(), file(&stage).display().to_string());
    let in_root = |arguments: &[&str]| {
        stage.ended(stage.lclaude(&[&["local"], arguments].concat()).current_dir(stage.root())).expect(0)
    };
    let listed = || in_root(&["trust", "--list"]).stdout;
    assert_eq!(listed(), "");
    for named in ["project", "project/.lclaude.toml", &project.join("tools").display().to_string()] {
        in_root(&["trust", "--yes", named]);
        assert!(listed().ends_with(&format!(" {path}\n")), "{named}");
        stage.ended(&mut stage.lclaude(&["--dry-run", "-p", "x"])).expect(0);
        stage.ended(&mut stage.lclaude(&["local", "untrust"])).expect(0).record();
        refused(&stage, 77);
    }
    in_root(&["untrust", "project"]).record();
    in_root(&["trust", "--yes", "project"]);
    write(&stage, "context = 50000\n");
    record("changed", listed());
    // A deleted file stays in the list, and can be revoked.
    fs::remove_file(file(&stage)).expect("there");
    record("gone", listed());
    in_root(&["untrust", "project/.lclaude.toml"]).record();
    assert_eq!(listed(), "");
    for arguments in [&["trust"][..], &["trust", "--yes"], &["trust", "tools"]] {
        let ended = stage.ended(&mut stage.lclaude(&[&["local"], arguments].concat()));
        ended.expect_failure(64);
    }
    // `local init` is no help for revoking trust.
    let ended = stage.ended(&mut stage.lclaude(&["local", "untrust"]));
    let ended = ended.expect_failure(64);
    assert!(!ended.stderr.contains("init"), "{}", ended.stderr);
    trust(&stage, &["tiny.gguf"]).expect_failure(64);
    fs::write(stage.home().join(".lclaude.toml"), "").expect("a file");
    trust(&stage, &[&stage.home().join(".lclaude.toml").display().to_string()]).expect_failure(64);
}

#[test]
fn trust_can_be_revoked_for_a_deleted_directory() {
    messages!();
    let stage = with_own_server();
    let odd = stage.root().join("odd\nname");
    fs::rename(stage.project(), &odd).expect("renamed");
    let run =
        |arguments: &[&str]| stage.ended(stage.lclaude(&[&["local"], arguments].concat()).current_dir(stage.root()));
    let given = run(&["trust", "--yes", &odd.display().to_string()]).expect(0);
    // A newline in a name doesn't start a new line of output.
    let path = format!("{}/odd\\nname/.lclaude.toml", stage.root().display());
    assert!(given.stdout.starts_with(&path), "{given:#?}");
    given.record();
    fs::rename(&odd, stage.project()).expect("renamed back");
    let listed = || run(&["trust", "--list"]).expect(0).stdout;
    record("gone", listed());
    let missing = stage.root().join("missing/.lclaude.toml").display().to_string();
    run(&["untrust", &missing]).expect_failure(64);
    let taken = run(&["untrust", &path]).expect(0);
    taken.record();
    assert_eq!(listed(), "");
}

#[test]
fn non_utf8_path_cannot_be_trusted() {
    messages!();
    let stage = with_own_server();
    let odd = stage.root().join(OsStr::from_bytes(b"odd\xff"));
    fs::rename(stage.project(), &odd).expect("renamed");
    let mut command = stage.lclaude(&["local", "trust", "--yes"]);
    let ended = stage.ended(command.current_dir(&odd));
    ended.expect_failure(65);
    fs::rename(&odd, stage.project()).expect("renamed back");
}

#[test]
fn settings_that_require_trust_are_shown_last() {
    messages!();
    let stage = stage();
    write(&stage, &format!("model = '{}'\n", "a".repeat(900_000)));
    let ended = refused(&stage, 77);
    assert!(ended.stderr.len() < 2_000, "{}", ended.stderr.len());
    write(&stage, "backend = 'llamacpp'\nmodel = 'tiny'\n[claude]\npath = './claude'\n");
    let shown = trust(&stage, &[]).expect(64).stdout;
    let lines: Vec<&str> = shown.lines().map(str::trim_start).collect();
    assert_eq!(lines[1..4], ["backend = \"llamacpp\"", "model = \"tiny\"", "! claude.path = \"./claude\""]);
}

#[test]
fn trust_without_a_terminal_requires_the_yes_option() {
    messages!();
    let stage = with_own_server();
    let ended = trust(&stage, &[]).expect_failure(64);
    assert!(ended.stdout.contains("! llamacpp.path"), "the settings are not shown: {ended:#?}");
    refused(&stage, 77);
}

#[test]
fn trust_applies_to_the_content_that_was_shown() {
    messages!();
    let stage = with_own_server();
    let asked = || {
        let mut terminal = Terminal::start(stage.lclaude(&["local", "trust"]));
        terminal.wait_for("! llamacpp.path = \"./tools/server\"");
        terminal.wait_for("Trust this file? [y/N] ");
        terminal
    };
    for answer in ["\n", "n\n", "\x04"] {
        let terminal = asked();
        terminal.type_in(answer);
        terminal.wait_to_the_end(77);
        refused(&stage, 77);
    }
    // The file is swapped while the user reads.
    let terminal = asked();
    write(&stage, &OWN_SERVER.replace("tools/server", "tools/evil"));
    terminal.type_in("y\n");
    terminal.wait_to_the_end(0);
    refused(&stage, 77);
    write(&stage, OWN_SERVER);
    stage.ended(&mut stage.lclaude(&["--dry-run", "-p", "x"])).expect(0);
}

#[test]
fn file_swapped_between_check_and_use_is_never_used() {
    let stage = with_own_server();
    trust(&stage, &["--yes"]).expect(0);
    let (file, good, evil) = (file(&stage), stage.project().join("good"), stage.project().join("evil"));
    let stop = AtomicBool::new(false);
    let outputs: Vec<Ended> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (from, text) in [(&evil, OWN_SERVER.replace("on", "evil")), (&good, OWN_SERVER.to_owned())] {
                    fs::write(from, text).and_then(|()| fs::rename(from, &file)).expect("swapped");
                }
            }
        });
        let outputs = (0..50).map(|_| stage.output(&["--dry-run", "-p", "x"])).collect();
        stop.store(true, Ordering::Relaxed);
        outputs
    });
    for ended in outputs {
        let plan_is_good = ended.stdout.contains("--flash-attn on") && !ended.stdout.contains("evil");
        assert!(if ended.code == Some(0) { plan_is_good } else { ended.code == Some(77) }, "{ended:#?}");
    }
    stage.assert_nothing_started();
}

#[test]
fn trust_list_is_private_and_survives_concurrent_writes() {
    messages!();
    let stage = stage();
    let projects: Vec<PathBuf> = (0..12).map(|at| stage.root().join(format!("project-{at}"))).collect();
    let running: Vec<_> = projects
        .iter()
        .map(|project| {
            fs::create_dir_all(project.join(".git")).expect("a directory");
            fs::write(project.join(".lclaude.toml"), OWN_SERVER).expect("a file");
            stage
                .lclaude(&["local", "trust", "--yes"])
                .current_dir(project)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("it runs")
        })
        .collect();
    for mut running in running {
        assert!(running.wait().expect("it ends").success());
    }
    let state = stage.home().join(".local/state/lclaude");
    let list = state.join("trust.json");
    let text: Value = serde_json::from_slice(&fs::read(&list).expect("a list")).expect("JSON");
    assert_eq!(text.as_object().map(serde_json::Map::len), Some(projects.len()), "{text}");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&list), mode(&state)), (0o600, 0o700));
    let files = fs::read_dir(&state).expect("a directory").count();
    assert_eq!(files, 2, "there is more than the list and its lock");
    // A broken list grants no trust.
    fs::write(&list, "{").expect("a file");
    let ended = stage.ended(stage.lclaude(&["-p", "x"]).current_dir(&projects[0]));
    ended.expect_failure(65);
    stage.assert_nothing_started();
}
