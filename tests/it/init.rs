//! `lclaude local init` writes a valid `.lclaude.toml` and keeps what an existing file contains.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use support::{Ended, Stage, messages, terminal::Terminal};

fn stage() -> Stage {
    let stage = Stage::new();
    stage.config("[llamacpp]\ngguf = \"../../../project/tiny.gguf\"\n[profiles.small]\ncontext = 30000\n");
    fs::create_dir_all(stage.project().join(".git")).expect("a directory");
    stage
}

fn file(stage: &Stage) -> PathBuf {
    stage.project().join(".lclaude.toml")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it was written")
}

#[track_caller]
fn init(stage: &Stage, arguments: &[&str]) -> Ended {
    stage.ended(&mut stage.lclaude(&[&["local", "init"], arguments].concat()))
}

#[test]
fn init_writes_and_shows_the_given_options() {
    messages!();
    let stage = stage();
    let arguments = ["--backend", "llamacpp", "--model", "tiny", "--context", "50000", "--lean"];
    let ended = init(&stage, &arguments).expect(0);
    let text = "backend = \"llamacpp\"\nmodel = \"tiny\"\ncontext = 50000\nlean = true\n";
    assert_eq!(read(&file(&stage)), text);
    assert!(ended.stdout.contains(text), "{ended:#?}");
    assert_eq!(ended.record().stderr, "", "init prints no further steps");
    // It takes effect without trust.
    let plan = stage.output(&["--dry-run", "-p", "x"]).expect(0).stdout;
    let model =
        plan.lines().find(|line| line.trim_start().starts_with("model ")).expect("a line with the source of the model");
    assert!(model.ends_with(&format!(" {}", file(&stage).display())), "{plan}");
    assert!(plan.contains("--alias tiny -c 50000"), "{plan}");
    stage.assert_nothing_started();
    init(&stage, &arguments).expect(0).record();
    // It has the same mode as other new files.
    let plain = stage.project().join("plain");
    fs::write(&plain, "").expect("a file");
    let mode = |path: &Path| fs::metadata(path).expect("the file exists").permissions().mode();
    assert_eq!(mode(&file(&stage)), mode(&plain));
}

#[test]
fn every_option_becomes_its_own_line() {
    let stage = stage();
    for (arguments, text) in [
        (&["--profile", "small"][..], "profile = \"small\"\n"),
        (&["--context", "40000"], "context = 40000\n"),
        (&["--model", "me/coder:30b"], "model = \"me/coder:30b\"\n"),
        (&["--throwaway"], "throwaway = true\n"),
        (&["--lean", "--throwaway"], "lean = true\nthrowaway = true\n"),
    ] {
        init(&stage, arguments).expect(0);
        assert_eq!(read(&file(&stage)), text);
        fs::remove_file(file(&stage)).expect("the file exists");
    }
}

#[test]
fn file_is_written_at_the_repository_root_or_working_directory() {
    messages!();
    let stage = stage();
    let (deep, loose) = (stage.project().join("a/b"), stage.root().join("loose/inner"));
    for directory in [&deep, &loose] {
        fs::create_dir_all(directory).expect("a directory");
        let mut command = stage.lclaude(&["local", "init", "--context", "50000"]);
        stage.ended(command.current_dir(directory)).expect(0);
    }
    assert!(file(&stage).exists() && loose.join(".lclaude.toml").exists());
    // If a nearer file takes precedence, init says so.
    fs::write(deep.join(".lclaude.toml"), "context = 60000\n").expect("a file");
    let mut command = stage.lclaude(&["local", "init", "--context", "40000", "--yes"]);
    stage.ended(command.current_dir(&deep)).expect(0).record();
    assert_eq!(read(&file(&stage)), "context = 40000\n");
    let mut command = stage.lclaude(&["local", "init", "--context", "50000"]);
    let ended = stage.ended(command.current_dir(stage.home()));
    ended.expect_failure(64);
    assert!(!stage.home().join(".lclaude.toml").exists());
}

const COMMENTED: &str = "\
# Team settings.
context = 40000  # enough for us

# Installed on every machine.
model = 'old'

[models] # other models
haiku = \"tiny\"   # small
";

#[test]
fn existing_comments_and_order_are_kept() {
    let stage = stage();
    fs::write(file(&stage), COMMENTED).expect("a file");
    fs::set_permissions(file(&stage), fs::Permissions::from_mode(0o640)).expect("a mode");
    init(&stage, &["--yes", "--model", "tiny", "--context", "50000", "--backend", "llamacpp"]).expect(0);
    let expected = COMMENTED.replace("'old'", "\"tiny\"\nbackend = \"llamacpp\"").replace("40000", "50000");
    assert_eq!(read(&file(&stage)), expected);
    assert_eq!(fs::metadata(file(&stage)).expect("the file exists").permissions().mode() & 0o777, 0o640);
}

#[test]
fn comment_only_and_windows_files_keep_their_format() {
    let stage = stage();
    for (before, after) in [
        ("# Ours.\n\n# Nothing yet.\n", "# Ours.\n\n# Nothing yet.\nmodel = \"tiny\"\n"),
        ("\u{feff}# Ours.\r\ncontext = 40000\r\n", "\u{feff}# Ours.\r\ncontext = 40000\r\nmodel = \"tiny\"\r\n"),
    ] {
        fs::write(file(&stage), before).expect("a file");
        init(&stage, &["--yes", "--model", "tiny"]).expect(0);
        assert_eq!(read(&file(&stage)), after);
    }
}

#[test]
fn existing_file_is_changed_only_with_consent() {
    messages!();
    let stage = stage();
    fs::write(file(&stage), COMMENTED).expect("a file");
    init(&stage, &["--model", "tiny"]).expect_failure(64);
    assert_eq!(read(&file(&stage)), COMMENTED);
    // Ctrl-C kills it with SIGINT.
    for (answer, code) in
        [("\n", Some(64)), ("n\n", Some(64)), ("\x04", Some(64)), ("\x03", Some(130)), ("y\n", Some(0))]
    {
        let mut terminal = Terminal::start(stage.lclaude(&["local", "init", "--model", "tiny"]));
        terminal.wait_for("model = \"tiny\"");
        terminal.wait_for("Write it? [y/N] ");
        assert_eq!(read(&file(&stage)), COMMENTED);
        terminal.type_in(answer);
        assert_eq!(terminal.wait(), code);
        let wanted = if code == Some(0) { COMMENTED.replace("'old'", "\"tiny\"") } else { COMMENTED.to_owned() };
        assert_eq!(read(&file(&stage)), wanted);
    }
}

#[test]
fn values_forbidden_in_projects_are_rejected() {
    messages!();
    let stage = stage();
    for arguments in [
        &["--model", "tiny.gguf"][..],
        &["--model", "hf.co/a/b"],
        &["--model=-x"],
        &["--model", "opus"],
        &["--backend", "olama"],
        &["--backend", "command"],
        &["--profile", "smal"],
        &["--context", "5"],
        &[],
        &["--yes"],
    ] {
        init(&stage, arguments).expect_failure(64);
        assert!(!file(&stage).exists(), "{arguments:?}");
    }
}

#[test]
fn invalid_file_and_symlink_are_left_unchanged() {
    messages!();
    let stage = stage();
    fs::write(file(&stage), "context = \n").expect("a file");
    init(&stage, &["--yes", "--model", "tiny"]).expect_failure(65);
    assert_eq!(read(&file(&stage)), "context = \n");
    fs::remove_file(file(&stage)).expect("the file exists");
    let target = stage.root().join("target");
    fs::write(&target, "context = 40000\n").expect("a file");
    symlink(&target, file(&stage)).expect("a link");
    init(&stage, &["--yes", "--model", "tiny"]).expect_failure(77);
    assert!(file(&stage).is_symlink());
    assert_eq!(read(&target), "context = 40000\n");
}

#[test]
fn required_trust_is_mentioned() {
    messages!();
    let stage = stage();
    fs::write(file(&stage), "[llamacpp]\nthreads = 2\n").expect("a file");
    init(&stage, &["--yes", "--model", "tiny"]).expect(0).record();
    assert_eq!(read(&file(&stage)), "model = \"tiny\"\n[llamacpp]\nthreads = 2\n");
}

#[test]
fn terminal_prompts_propose_current_values() {
    let mut stage = Stage::ollama();
    stage.set("LCLAUDE_BACKEND", "").set("LCLAUDE_CONTEXT", "50000");
    stage.config("model = \"small\"\n");
    let mut terminal = Terminal::start(stage.lclaude(&["local", "init"]));
    for (question, answer) in [
        ("Backend [ollama] ", "olama\n"),
        ("\"olama\" is not a backend: expected one of ollama, ", ""),
        ("Backend [ollama] ", "\n"),
        ("Model [small:latest] ", "./x.gguf\n"),
        ("\"./x.gguf\" is a path", ""),
        ("Model [small:latest] ", "Big:30b\n"),
        ("Context window, in tokens [50000] ", "64kb\n"),
        ("\"64kb\" is not a context: it must be a whole number from 2048 to ", ""),
        ("Context window, in tokens [50000] ", "64k\n"),
    ] {
        terminal.wait_for(question);
        terminal.type_in(answer);
    }
    terminal.wait_to_the_end(0);
    assert_eq!(read(&file(&stage)), "backend = \"ollama\"\nmodel = \"Big:30b\"\ncontext = 65536\n");
    // A second run proposes the existing values and changes nothing.
    let mut terminal = Terminal::start(stage.lclaude(&["local", "init"]));
    for question in ["Backend [ollama] ", "Model [Big:30b] "] {
        terminal.wait_for(question);
        terminal.type_in("\n");
    }
    terminal.wait_for("Context window, in tokens [65536] ");
    terminal.type_in("none\n");
    terminal.wait_to_the_end(0);
}

#[test]
fn profile_answer_skips_other_questions() {
    let stage = stage();
    let mut terminal = Terminal::start(stage.lclaude(&["local", "init"]));
    terminal.wait_for("Profile (small) [none] ");
    terminal.type_in("small\n");
    let shown = terminal.wait_to_the_end(0);
    assert!(shown.contains("profile = \"small\"") && !shown.contains("Backend"), "{shown}");
    assert_eq!(read(&file(&stage)), "profile = \"small\"\n");
}

#[test]
fn incomplete_answers_write_nothing() {
    for keys in ["\x04", "\x03"] {
        let stage = stage();
        let mut terminal = Terminal::start(stage.lclaude(&["local", "init"]));
        terminal.wait_for("Profile (small) [none] ");
        terminal.type_in("\n");
        terminal.wait_for("Backend [llamacpp] ");
        terminal.type_in(keys);
        // Ctrl-C kills it with SIGINT.
        let code = if keys == "\x04" { Some(64) } else { Some(130) };
        assert_eq!(terminal.wait(), code);
        assert!(!file(&stage).exists());
    }
}
