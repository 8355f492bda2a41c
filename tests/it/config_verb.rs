//! `lclaude local config` shows and changes the configuration, and never leaves an invalid file.

use std::{fs, path::PathBuf};

use rustix::process::Signal;
use support::{Ended, Stage, Value, kill, messages, terminal::Terminal, write_program};

const FILE: &str = "\
# Mine.
backend = 'llamacpp' # always
model = \"~/models/small.gguf\"

[llamacpp]
# Physical cores.
threads = 4
env = { TOKEN = \"hidden-1\" }

[claude.env]
API_KEY = \"hidden-2\"

[endpoint.headers]
X-Team = \"hidden-3\"

[profiles.big]
model = 'x.gguf'
";

fn stage() -> (Stage, PathBuf) {
    let stage = Stage::bare();
    let file = stage.config(FILE);
    fs::create_dir_all(stage.project().join(".git")).expect("a directory");
    (stage, file)
}

#[track_caller]
fn config(stage: &Stage, arguments: &[&str]) -> Ended {
    stage.output(&[&["local", "config"], arguments].concat())
}

fn read(file: &PathBuf) -> String {
    fs::read_to_string(file).expect("it exists")
}

#[test]
fn list_shows_values_with_sources_and_masks_secrets() {
    messages!();
    let (mut stage, file) = stage();
    config(&stage, &[]).expect(0).record();
    fs::write(stage.project().join(".lclaude.toml"), "context = 40000\n[models]\nhaiku = 'tiny'\n").expect("a file");
    stage.set("LCLAUDE_MODEL", "y.gguf").set("LCLAUDE_PROFILE", "big");
    let listed = config(&stage, &["list"]).expect(0).record();
    assert!(!listed.stdout.contains("hidden"), "{listed:#?}");
    let json = config(&stage, &["--json"]).expect(0).stdout;
    assert!(!json.contains("hidden"), "{json}");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let settings = json["settings"].as_array().expect("a list");
    let find = |key: &str| settings.iter().find(|setting| setting["key"] == key).expect(key);
    assert_eq!(
        (find("context")["value"].as_u64(), find("llamacpp.threads")["value"].as_u64()),
        (Some(40_000), Some(4))
    );
    assert_eq!(find("model")["source"], "LCLAUDE_MODEL");
    assert_eq!(json["file"], file.display().to_string());
    fs::remove_file(&file).expect("it exists");
    stage.unset("LCLAUDE_MODEL").unset("LCLAUDE_PROFILE");
    fs::remove_file(stage.project().join(".lclaude.toml")).expect("it exists");
    config(&stage, &[]).expect(0).record();
}

#[test]
fn get_prints_the_effective_value() {
    messages!();
    let (mut stage, _) = stage();
    for (key, value) in [
        ("model", "~/models/small.gguf\n"),
        ("llamacpp.threads", "4\n"),
        ("claude.env.API_KEY", "hidden-2\n"),
        ("profiles.big.model", "x.gguf\n"),
    ] {
        assert_eq!(config(&stage, &["get", key]).expect(0).expect_stdout(value).stderr, "");
    }
    for key in ["context", "llamacpp.args", "claude.env.OTHER", "profiles.big.context", "profiles.small.model"] {
        assert_eq!(config(&stage, &["get", key]).expect(1).expect_stdout("").stderr, "", "{key}");
    }
    stage.set("LCLAUDE_MODEL", "other");
    config(&stage, &["get", "model"]).expect(0).expect_stdout("other\n");
    for key in ["modle", "llamacpp.thread", "llamacpp", "profiles.big", "a b", "zzzz"] {
        config(&stage, &["get", key]).expect_failure(64);
    }
}

#[test]
fn path_is_that_of_the_file() {
    let (stage, file) = stage();
    config(&stage, &["path"]).expect(0).expect_stdout(&format!("{}\n", file.display()));
    let project = stage.project().join(".lclaude.toml");
    config(&stage, &["path", "--project"]).expect(0).expect_stdout(&format!("{}\n", project.display()));
    config(&stage, &["--config", "other.toml", "path"]).expect(0).expect_stdout("other.toml\n");
    stage.output(&["--config", "other.toml", "local", "config", "path"]).expect(0).expect_stdout("other.toml\n");
}

#[test]
fn set_keeps_comments_and_order() {
    messages!();
    let (stage, file) = stage();
    let mut expected = FILE.to_owned();
    for (key, value, from, to) in [
        ("model", "qwen3:4b", "\"~/models/small.gguf\"", "\"qwen3:4b\""),
        ("backend", "ollama", "'llamacpp' # always", "\"ollama\" # always"),
        ("context", "40000", "\n\n[llamacpp]", "\ncontext = 40000\n\n[llamacpp]"),
        ("llamacpp.threads", "8", "threads = 4", "threads = 8"),
        ("llamacpp.args", "[\"--no-mmap\"]", "\"hidden-1\" }\n", "\"hidden-1\" }\nargs = [\"--no-mmap\"]\n"),
        ("llamacpp.env.TOKEN", "hidden-4", "\"hidden-1\"", "\"hidden-4\""),
        ("claude.env.API_KEY", "hidden-5", "\"hidden-2\"", "\"hidden-5\""),
        ("profiles.big.lean", "true", "'x.gguf'\n", "'x.gguf'\nlean = true\n"),
        ("lifetime.linger", "10m", "lean = true\n", "lean = true\n\n[lifetime]\nlinger = \"10m\"\n"),
    ] {
        let ended = config(&stage, &["set", key, value]).expect(0);
        let shown = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!shown.contains("hidden"), "{shown}");
        ended.record();
        expected = expected.replacen(from, to, 1);
        assert_eq!(read(&file), expected, "{key}");
        let got = config(&stage, &["get", key]).expect(0).stdout;
        assert!(got.trim_end() == value || key.starts_with("llamacpp.args"), "{key}: {got}");
    }
    config(&stage, &["set", "model", "qwen3:4b"]).expect(0).record();
    assert_eq!(read(&file), expected);
    // A file that doesn't exist yet.
    fs::remove_dir_all(file.parent().expect("a directory")).expect("it exists");
    config(&stage, &["set", "ollama.host", "127.0.0.1:1"]).expect(0);
    assert_eq!(read(&file), "[ollama]\nhost = \"127.0.0.1:1\"\n");
}

#[test]
fn unset_removes_only_the_key() {
    messages!();
    let (stage, file) = stage();
    let mut expected = FILE.to_owned();
    for (key, cut) in [
        ("llamacpp.threads", "threads = 4\n"),
        ("llamacpp.env.TOKEN", " TOKEN = \"hidden-1\" "),
        ("backend", "backend = 'llamacpp' # always\n"),
        ("profiles.big", "\n[profiles.big]\nmodel = 'x.gguf'\n"),
    ] {
        let ended = config(&stage, &["unset", key]).expect(0).record();
        assert!(!ended.stdout.contains("hidden"), "{ended:#?}");
        expected = expected.replacen(cut, "", 1);
        assert_eq!(read(&file), expected, "{key}");
    }
    config(&stage, &["unset", "context"]).expect(0).record();
    config(&stage, &["unset", "contxt"]).expect_failure(64);
    assert_eq!(read(&file), expected);
}

#[test]
fn nothing_is_written_unless_the_whole_file_stays_valid() {
    messages!();
    let (stage, file) = stage();
    for (key, value) in [
        ("contxt", "1"),
        ("context", "5"),
        ("context", "many"),
        ("lean", "yes"),
        ("backend", "olama"),
        ("llamacpp", "x"),
        ("llamacpp.args", "--no-mmap"),
        ("llamacpp.threads", "many"),
        ("claude.max_output_tokens", "100000"),
        ("claude.env.A=B", "hidden-6"),
        ("endpoint.headers.Authorization", "hidden-7"),
        ("profiles.big.context", "5"),
        ("profiles.big.claude.max_output_tokens", "100000"),
    ] {
        let ended = config(&stage, &["set", key, value]);
        let code = if matches!(key, "endpoint.headers.Authorization") || key.ends_with("tokens") { 65 } else { 64 };
        let ended = ended.expect_failure(code);
        assert!(!ended.stderr.contains("hidden"), "{ended:#?}");
        assert_eq!(read(&file), FILE, "{key}");
    }
    // A file with another fault.
    let broken = format!("{FILE}context = 'x'\nunknown = 1\n");
    fs::write(&file, &broken).expect("a file");
    config(&stage, &["set", "model", "x"]).expect_failure(65);
    config(&stage, &["unset", "model"]).expect_failure(65);
    fs::write(&file, "model = \n").expect("a file");
    config(&stage, &["set", "model", "x"]).expect_failure(65);
    assert_eq!(read(&file), "model = \n");
}

#[test]
fn set_says_what_overrides_it_here() {
    messages!();
    let (mut stage, _) = stage();
    fs::write(stage.project().join(".lclaude.toml"), "context = 40000\n").expect("a file");
    stage.set("LCLAUDE_MODEL", "y.gguf").set("LCLAUDE_PROFILE", "big");
    config(&stage, &["set", "context", "50000"]).expect(0).record();
    config(&stage, &["set", "model", "z.gguf"]).expect(0).record();
    config(&stage, &["set", "lean", "true"]).expect(0).record();
    stage.unset("LCLAUDE_MODEL");
    config(&stage, &["set", "model", "a.gguf"]).expect(0).record();
}

#[test]
fn project_file_is_changed_on_request() {
    messages!();
    let (stage, file) = stage();
    let project = stage.project().join(".lclaude.toml");
    config(&stage, &["set", "--project", "model", "tiny"]).expect(0).record();
    assert_eq!((read(&project).as_str(), read(&file).as_str()), ("model = \"tiny\"\n", FILE));
    config(&stage, &["set", "--project", "llamacpp.threads", "2"]).expect(0).record();
    config(&stage, &["unset", "--project", "llamacpp.threads"]).expect(0).record();
    for (key, value) in [("profiles.big.model", "x"), ("lean", "maybe"), ("modle", "x")] {
        let code = if key.starts_with("profiles") { 65 } else { 64 };
        config(&stage, &["set", "--project", key, value]).expect_failure(code);
    }
    config(&stage, &["--project"]).expect_failure(64);
    // A link is not followed.
    fs::remove_file(&project).expect("it exists");
    std::os::unix::fs::symlink(&file, &project).expect("a link");
    config(&stage, &["set", "--project", "model", "tiny"]).expect_failure(77);
    assert_eq!(read(&file), FILE);
    let mut command = stage.lclaude(&["local", "config", "set", "--project", "model", "x"]);
    stage.ended(command.current_dir(stage.home())).expect_failure(64);
}

#[test]
fn wrong_number_of_words_is_rejected() {
    messages!();
    let (stage, _) = stage();
    for arguments in [
        &["get"][..],
        &["set"],
        &["set", "model"],
        &["unset"],
        &["get", "model", "x"],
        &["path", "model"],
        &["model"],
        &["set", "model", "x", "y"],
        &["get", "model", "--json"],
    ] {
        config(&stage, arguments).expect_failure(64);
    }
}

/// Installs an editor that appends the next of these texts whenever it runs, and replaces what it appended before.
fn editor(stage: &mut Stage, variable: &str) -> PathBuf {
    let program = stage.root().join("my editor");
    let next = stage.root().join("next");
    write_program(
        &program,
        format!("#!/bin/sh\nprintf '%s' \"$1 $#\" > {0}.arguments\ncat {0} > \"$2\"\n", next.display()),
    );
    stage.set(variable, format!("'{}' --wait", program.display()));
    next
}

#[test]
fn edit_runs_the_editor_and_checks_the_file() {
    messages!();
    let (mut stage, file) = stage();
    stage.set("EDITOR", "false");
    let next = editor(&mut stage, "VISUAL");
    fs::write(&next, "model = 'new'\n").expect("a file");
    assert_eq!(config(&stage, &["edit"]).expect(0).stderr, "");
    assert_eq!(read(&file), "model = 'new'\n");
    assert_eq!(fs::read_to_string(next.with_extension("arguments")).expect("it ran"), "--wait 2");
    fs::write(&next, "model = 'new'\ncontext = 5\n").expect("a file");
    config(&stage, &["edit"]).expect_failure(65);
    fs::write(&next, "model = 'new'\n\nmodle = 5\n").expect("a file");
    config(&stage, &["edit"]).expect_failure(65);
    fs::write(&next, "llamacpp.threads = 4\n").expect("a file");
    config(&stage, &["edit", "--project"]).expect(0).record();
    fs::remove_dir_all(file.parent().expect("a directory")).expect("it exists");
    config(&stage, &["edit"]).expect(0);
    assert_eq!(read(&file), "llamacpp.threads = 4\n");
    write_program(&stage.bin().join("nano"), "#!/bin/sh\n");
    stage.set("VISUAL", "false");
    config(&stage, &["edit"]).expect_failure(64);
    // A shell reports it too, each in its own words.
    stage.set("VISUAL", "no-such-editor --wait");
    let other = stage.root().join("other.toml").display().to_string();
    for (options, help) in
        [(vec!["--project"], " --project".to_owned()), (vec!["--config", &other], format!(" --config {other}"))]
    {
        let stderr = config(&stage, &[vec!["edit"], options].concat()).expect(64).stderr;
        assert!(stderr.contains("lclaude: error: editor `no-such-editor --wait` was not found\n"), "{stderr}");
        assert!(stderr.ends_with(&format!("  help: VISUAL=nano lclaude local config edit{help}\n")), "{stderr}");
    }
}

#[test]
fn signal_ends_the_editor_and_lclaude() {
    let (mut stage, file) = stage();
    let program = stage.root().join("editor");
    write_program(&program, "#!/bin/sh\necho editing\nread -r line\n");
    stage.set("EDITOR", program.display());
    for signal in [Signal::TERM, Signal::HUP] {
        let mut terminal = Terminal::start(stage.lclaude(&["local", "config", "edit"]));
        terminal.wait_for("editing");
        kill(terminal.pid(), signal);
        assert_eq!(terminal.wait_for_signal(), Some(signal.as_raw()));
    }
    assert_eq!(read(&file), FILE);
}

#[test]
fn edit_offers_to_edit_an_invalid_file_again() {
    let (mut stage, file) = stage();
    let next = editor(&mut stage, "EDITOR");
    for (answer, code, text) in [
        ("y\n", 0, "context = 50000\n"),
        ("n\n", 65, "context = 5\n"),
        ("\x04", 65, "context = 5\n"),
        ("\x03", 130, "context = 5\n"),
    ] {
        fs::write(&next, "context = 5\n").expect("a file");
        let mut terminal = Terminal::start(stage.lclaude(&["local", "config", "edit"]));
        terminal.wait_for("config.toml:1: context = 5 is out of range");
        terminal.wait_for("Edit it again? [y/N] ");
        fs::write(&next, "context = 50000\n").expect("a file");
        terminal.type_in(answer);
        assert_eq!(terminal.wait(), Some(code), "{answer:?}");
        assert_eq!(read(&file), text, "{answer:?}");
    }
}

#[test]
fn help_is_not_a_value() {
    let (stage, file) = stage();
    for option in ["--help", "-h"] {
        for typed in [&["get", "model", option][..], &["set", "model", option]] {
            let shown = config(&stage, typed).expect(0).stdout;
            assert!(shown.contains("lclaude local config [OPTIONS] set KEY VALUE"), "{typed:?}: {shown}");
        }
    }
    assert_eq!(read(&file), FILE);
}
