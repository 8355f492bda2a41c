//! `lclaude local setup` goes from an empty machine to a finished turn. It skips what is done, and asks before each step.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use lclaude_fakes::scripted_model::{self, Script};
use rustix::process::Signal;
use support::{
    Ended, Session, Stage,
    installers::{CLAUDE, MODEL, OLLAMA},
    json, lclaude,
    machine::needs_no_ollama,
    messages,
    terminal::Terminal,
};

const SETUP: [&str; 2] = ["local", "setup"];
const LLAMA: [&str; 6] = ["local", "setup", "--backend", "llamacpp", "--model", "tiny.gguf"];
const CTRL_C: &str = "\x03";

fn terminal(stage: &Stage, arguments: &[&str]) -> Terminal {
    let mut command = stage.command(lclaude());
    command.args(arguments);
    Terminal::start(command)
}

/// Waits for a question that contains these words, and answers it.
#[track_caller]
fn answer(terminal: &mut Terminal, words: &str, answer: &str) {
    terminal.wait_for(words);
    terminal.wait_for("[y/N] ");
    terminal.type_in(&format!("{answer}\n"));
}

/// Waits for setup to fail with the command that continues it, and returns the output.
#[track_caller]
fn stopped(mut terminal: Terminal) -> String {
    terminal.wait_for("# continues from here");
    terminal.wait_to_the_end(69)
}

/// Runs setup without a terminal to its successful end.
#[track_caller]
fn whole(stage: &Stage, arguments: &[&str]) -> Ended {
    let session = Session::start(&mut stage.lclaude(arguments));
    stage.carry_out();
    session.wait().expect(0)
}

/// Records a complete setup, without the speed, which this machine may be too fast to measure.
fn record(mut ended: Ended) {
    let is_speed = |line: &&str| ["prompt speed: ", "answer speed: "].iter().any(|name| line.contains(name));
    assert!(ended.stderr.lines().any(|line| is_speed(&line)), "{ended:#?}");
    ended.stderr = ended.stderr.split_inclusive('\n').filter(|line| !is_speed(line)).collect();
    ended.record();
}

fn configuration(stage: &Stage) -> String {
    fs::read_to_string(stage.home().join(".config/lclaude/config.toml")).unwrap_or_default()
}

#[test]
fn missing_model_is_shown_with_the_nearest_one() {
    let stage = Stage::ollama();
    let nearest = |model: &str| {
        let shown =
            stage.output(&["local", "setup", "--dry-run", "--backend", "ollama", "--model", model]).expect(0).stdout;
        shown
            .lines()
            .filter_map(|line| line.trim().strip_prefix("did you mean "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(nearest("smal"), ["small:latest?"]);
    assert_eq!(nearest("unlike"), [""; 0]);
    assert_eq!(nearest("small"), [""; 0]);
}

#[test]
fn setup_on_an_empty_machine_asks_before_each_step() {
    if !needs_no_ollama() {
        return;
    }
    let stage = Stage::installable();
    let mut terminal = terminal(&stage, &SETUP);
    answer(&mut terminal, &format!("Run `{OLLAMA}`?"), "y");
    terminal.wait_for("installing ollama");
    answer(&mut terminal, &format!("Run `{CLAUDE}`?"), "y");
    terminal.wait_for("installing claude");
    answer(&mut terminal, &format!("Download {MODEL}?"), "yes");
    terminal.wait_for("+ backend = \"ollama\"");
    terminal.wait_for("+ model = \"glm-4.7-flash\"");
    terminal.wait_for("CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS=1");
    stage.carry_out();
    terminal.wait_for("It is done.");
    terminal.wait_for("Ready. Start a session with: lclaude\r\n");
    terminal.wait_to_the_end(0);
    stage.assert_nothing_left();
    assert_eq!(configuration(&stage), "backend = \"ollama\"\nmodel = \"glm-4.7-flash\"\n");
    assert!(!stage.home().join(".claude").exists(), "a file of Claude Code was written");
    // The suggested command works.
    let session = Session::start(&mut stage.lclaude(&["-p", "hello"]));
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], MODEL);
    support::finish(session, &claude);
}

#[test]
fn yes_option_skips_questions_and_leaves_nothing_running() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let mut stage = Stage::installable();
    // The keeper gives the server five seconds to exit. Setup doesn't wait for that.
    stage.set("FAKE_OLLAMA_IGNORE_TERM", 1);
    let ended = whole(&stage, &["local", "setup", "--yes"]);
    stage.wait_for_nothing_left();
    record(ended);
}

#[test]
fn second_setup_changes_nothing() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::installable();
    whole(&stage, &["local", "setup", "--yes"]);
    let (before, ran) = (stage.home_files(), stage.ran());
    let ended = whole(&stage, &SETUP);
    record(ended);
    assert_eq!((stage.home_files(), stage.ran()), (before, ran));
}

#[test]
fn dry_run_shows_every_step_and_changes_nothing() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::installable();
    stage.output(&["local", "setup", "--dry-run"]).expect(0).record();
    assert_eq!((stage.ran().as_str(), fs::read_dir(stage.home()).expect("it is there").count()), ("", 0));
    stage.assert_nothing_started();
}

#[test]
fn setup_without_a_terminal_changes_nothing() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::installable();
    stage.output(&SETUP).expect_failure(69);
    assert_eq!((stage.ran().as_str(), fs::read_dir(stage.home()).expect("it is there").count()), ("", 0));
    stage.assert_nothing_started();
}

#[test]
fn declining_a_step_shows_the_manual_command() {
    if !needs_no_ollama() {
        return;
    }
    let stage = Stage::installable();
    let mut first = terminal(&stage, &SETUP);
    answer(&mut first, OLLAMA, "n");
    let said = stopped(first);
    assert!(said.contains(&format!("help: {OLLAMA}")), "{said}");
    assert_eq!(stage.ran(), "");

    let mut second = terminal(&stage, &SETUP);
    answer(&mut second, OLLAMA, "y");
    answer(&mut second, CLAUDE, "");
    let said = stopped(second);
    assert!(said.contains("npm install -g"), "{said}");

    let mut third = terminal(&stage, &SETUP);
    answer(&mut third, CLAUDE, "y");
    answer(&mut third, "Download", "n");
    let said = stopped(third);
    assert!(said.contains(&format!("-- ollama pull {MODEL}")), "{said}");
    assert_eq!(configuration(&stage), "");
    stage.assert_nothing_started();
    // Each setup continued where the previous one stopped.
    assert_eq!(stage.ran().lines().count(), 2, "{}", stage.ran());
}

#[test]
fn declining_an_installer_offers_the_next() {
    let stage = Stage::installable();
    let server = stage.fake_package("fake-llama-server", "llama-server");
    stage.program("brew", &server);
    let mut terminal = terminal(&stage, &["local", "setup", "--model", "tiny.gguf"]);
    // A GGUF file requires llama.cpp.
    answer(&mut terminal, "Run `brew install llama.cpp`?", "y");
    answer(&mut terminal, CLAUDE, "n");
    stopped(terminal);

    let installed = stage.fake_package("fake-claude", "claude-of-npm");
    stage.program("npm", &installed.replace("/bin/claude-of-npm", "/bin/claude"));
    let mut terminal = self::terminal(&stage, &["local", "setup", "--model", "tiny.gguf"]);
    answer(&mut terminal, CLAUDE, "n");
    answer(&mut terminal, "Run `npm install -g @anthropic-ai/claude-code`?", "y");
    stage.carry_out();
    terminal.wait_for("Ready. Start a session with: lclaude\r\n");
    terminal.wait_to_the_end(0);
    let model = stage.model().canonicalize().expect("it is there");
    assert_eq!(configuration(&stage), format!("backend = \"llamacpp\"\nmodel = {model:?}\n"));
}

#[test]
fn system_packages_are_offered_if_available() {
    let stage = Stage::with(&["fake-claude"]);
    stage.program("apt-get", "exit 0");
    stage.program("sudo", "exit 0");
    let offered =
        |stage: &Stage| stage.output(&["local", "setup", "--backend", "llamacpp", "--dry-run"]).expect(0).stdout;
    stage.program("apt-cache", "exit 100");
    assert!(!offered(&stage).contains("apt-get"), "an unavailable package was offered");
    stage.program("apt-cache", "test \"$1 $2\" = 'show llama.cpp'");
    let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
    assert!(offered(&stage).contains(&format!("\n      {sudo}apt-get install -y llama.cpp\n")), "{}", offered(&stage));
    assert!(!stage.ran().contains("install"), "{}", stage.ran());
}

#[test]
fn failed_installer_ends_setup_and_the_next_continues() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::installable();
    let curl = fs::read(stage.bin().join("curl")).expect("a script");
    for script in ["echo out of luck >&2; exit 3", "true"] {
        messages::note(script);
        let claude = stage.fake_package("fake-claude", &format!("claude-{}", script.len()));
        stage.curl(&[("ollama.com", script), ("claude.ai", &claude)]);
        stage.output(&["local", "setup", "--yes"]).expect_failure(69);
        stage.assert_nothing_started();
    }
    support::write_program(&stage.bin().join("curl"), &curl);
    whole(&stage, &["local", "setup", "--yes"]);
}

#[test]
fn failed_download_is_resumed_by_the_next_setup() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let mut stage = Stage::installable();
    stage.set("FAKE_OLLAMA_PULL", "controlled");
    let setup = Session::start(&mut stage.lclaude(&["local", "setup", "--yes"]));
    let ollama = stage.events.next("ollama");
    ollama.wait_event("pull");
    ollama.send(json!({"do": "pull_progress", "completed": 400_000}));
    ollama.send(json!({"do": "pull_error", "error": "max retries exceeded: EOF"}));
    setup.wait().expect_failure(69);
    stage.assert_nothing_left();
    assert_eq!(configuration(&stage), "");

    let setup = Session::start(&mut stage.lclaude(&["local", "setup", "--yes"]));
    let ollama = stage.events.next("ollama");
    assert_eq!(ollama.wait_event("pull")["completed"], 400_000);
    ollama.send(json!({"do": "pull_finish"}));
    stage.carry_out();
    setup.wait().expect(0);
}

#[test]
fn failed_backend_is_reported_and_the_next_setup_continues() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_FAIL", "oom");
    stage.output(&LLAMA).expect_failure(69);
    let starts = stage.root().join("starts");
    stage.set("FAKE_LLAMA_FAIL_TIMES", 0).set("FAKE_LLAMA_STATE", starts.display());
    assert_ne!(configuration(&stage), "", "the choice is kept");
    whole(&stage, &SETUP);
}

#[test]
fn failed_turn_is_reported() {
    messages!();
    let stage = Stage::new();
    let setup = Session::start(&mut stage.lclaude(&LLAMA));
    let claude = stage.events.next("claude");
    claude.send(json!({"do": "exit", "code": 5}));
    setup.wait().expect_failure(69);
    stage.assert_nothing_left();
}

#[test]
fn failed_turn_is_reported_without_the_key() {
    messages!();
    let stage = Stage::new();
    let setup = Session::start(&mut stage.lclaude(&LLAMA));
    let claude = stage.events.next("claude");
    let key = &claude.env["ANTHROPIC_AUTH_TOKEN"];
    let words = json!({"is_error": true, "result": format!("wrong key {key}")});
    claude.send(json!({"do": "print", "text": words.to_string()}));
    claude.send(json!({"do": "exit", "code": 1}));
    let ended = setup.wait().expect_failure(69);
    assert!(!ended.stderr.contains(key), "{}", ended.stderr);
}

#[test]
fn configuration_keeps_comments_order_mode_and_symlink() {
    let stage = Stage::new();
    let file = stage.config("");
    let dotfiles = stage.home().join("dotfiles.toml");
    let before = "# mine\ncontext = 70000   # what fits\n\n[lifetime]\nlinger = \"0s\" # at once\n";
    fs::write(&dotfiles, before).expect("a file");
    fs::set_permissions(&dotfiles, fs::Permissions::from_mode(0o640)).expect("it is ours");
    fs::remove_file(&file).expect("it is there");
    symlink("../../dotfiles.toml", &file).expect("a link");

    whole(&stage, &LLAMA);
    let model = stage.model().canonicalize().expect("it is there");
    let lines = format!("context = 70000   # what fits\nbackend = \"llamacpp\"\nmodel = {model:?}\n");
    assert_eq!(configuration(&stage), before.replace("context = 70000   # what fits\n", &lines));
    assert!(file.is_symlink());
    assert_eq!(fs::metadata(&dotfiles).expect("it is there").permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(file.parent().expect("a directory")).expect("it is there").count(), 1);
}

#[test]
fn existing_value_is_changed_only_with_consent() {
    messages!();
    let stage = Stage::new();
    fs::copy(stage.model(), stage.project().join("other.gguf")).expect("a file");
    let other = stage.project().join("other.gguf").canonicalize().expect("it is there");
    let before = format!("backend = \"llamacpp\"\nmodel = {other:?} # the good one\n");
    stage.config(&before);
    let model = stage.model().canonicalize().expect("it is there");

    // Without a terminal there is no consent.
    stage.output(&LLAMA).expect_failure(69);
    stage.assert_nothing_started();
    let mut declined = terminal(&stage, &LLAMA);
    answer(&mut declined, "Change it?", "n");
    stage.carry_out();
    // The suggested command then needs the option.
    declined.wait_for(&format!("Ready. Start a session with: lclaude --model {}\r\n", model.display()));
    declined.wait_to_the_end(0);
    assert_eq!(configuration(&stage), before);

    let mut agreed = terminal(&stage, &LLAMA);
    answer(&mut agreed, "Change it?", "y");
    stage.carry_out();
    agreed.wait_for("Ready. Start a session with: lclaude\r\n");
    agreed.wait_to_the_end(0);
    assert_eq!(configuration(&stage), format!("backend = \"llamacpp\"\nmodel = {model:?} # the good one\n"));
}

#[test]
fn given_file_and_context_are_used() {
    let stage = Stage::new();
    let file = stage.project().join("deep/own.toml");
    let options = ["--context", "50000", "--config", "deep/own.toml"];
    let ended = whole(&stage, &[&LLAMA[..], &options].concat());
    let model = stage.model().canonicalize().expect("it is there");
    let written = fs::read_to_string(&file).expect("it is there");
    assert_eq!(written, format!("backend = \"llamacpp\"\nmodel = {model:?}\ncontext = 50000\n"));
    assert!(ended.stderr.contains(&format!("lclaude --config {}\n", file.display())), "{}", ended.stderr);
    assert_eq!(configuration(&stage), "");
}

#[test]
fn project_settings_are_not_written_to_the_user_configuration() {
    let stage = Stage::new();
    fs::write(stage.project().join(".lclaude.toml"), "context = 33333\n").expect("a file");
    whole(&stage, &LLAMA);
    assert!(!configuration(&stage).contains("33333"), "{}", configuration(&stage));
}

#[test]
fn unusable_model_is_not_written() {
    messages!();
    let stage = Stage::new();
    let script = Script { context: 8192, ..Script::default() };
    scripted_model::write(&stage.model(), &script).expect("a model");
    stage.output(&LLAMA).expect_failure(69);
    assert_eq!(configuration(&stage), "");
    stage.assert_nothing_started();
}

#[test]
fn ctrl_c_at_a_question_ends_setup() {
    let stage = Stage::installable();
    let mut terminal = terminal(&stage, &SETUP);
    terminal.wait_for("[y/N] ");
    terminal.type_in(CTRL_C);
    terminal.wait_for("lclaude: interrupted; to continue: lclaude local setup\r\n");
    terminal.wait_to_the_end(130);
    assert_eq!(stage.ran(), "");
}

#[test]
fn ctrl_c_stops_an_installer() {
    if !needs_no_ollama() {
        return;
    }
    let stage = Stage::installable();
    stage.curl(&[("ollama.com", "echo at work; exec sleep 1000")]);
    let mut terminal = terminal(&stage, &SETUP);
    answer(&mut terminal, OLLAMA, "y");
    terminal.wait_for("at work");
    terminal.type_in(CTRL_C);
    terminal.wait_for("interrupted; to continue: lclaude local setup\r\n");
    terminal.wait_to_the_end(130);
}

#[test]
fn download_stopped_by_ctrl_c_is_resumed() {
    if !needs_no_ollama() {
        return;
    }
    let mut stage = Stage::installable();
    stage.set("FAKE_OLLAMA_PULL", "controlled");
    let mut setup = terminal(&stage, &["local", "setup", "--yes"]);
    let ollama = stage.events.next("ollama");
    ollama.wait_event("pull");
    ollama.send(json!({"do": "pull_progress", "completed": 400_000}));
    setup.wait_for("40%");
    setup.type_in(CTRL_C);
    setup.wait_for("interrupted; to continue: lclaude local setup");
    setup.wait_to_the_end(130);
    stage.assert_nothing_left();
    let mut again = terminal(&stage, &["local", "setup", "--yes"]);
    assert_eq!(stage.events.next("ollama").wait_event("pull")["completed"], 400_000);
    again.type_in(CTRL_C);
    again.wait_for("interrupted; to continue: lclaude local setup");
    again.wait_to_the_end(130);
}

#[test]
fn ctrl_c_before_a_change_leaves_the_value() {
    let stage = Stage::new();
    stage.config("backend = \"llamacpp\"\nmodel = \"a/b\"\n");
    let mut setup = terminal(&stage, &LLAMA);
    setup.wait_for("Change it? [y/N] ");
    setup.type_in(CTRL_C);
    setup.wait_for("interrupted; to continue: lclaude local setup");
    setup.wait_to_the_end(130);
    assert_eq!(configuration(&stage), "backend = \"llamacpp\"\nmodel = \"a/b\"\n");
    stage.assert_nothing_started();
}

#[test]
fn ctrl_c_and_signals_stop_the_verification() {
    let stage = Stage::new();
    let mut setup = terminal(&stage, &LLAMA);
    let claude = stage.events.next("claude");
    setup.type_in(CTRL_C);
    setup.wait_for("lclaude: interrupted; to continue: lclaude local setup --backend llamacpp --model tiny.gguf\r\n");
    setup.wait_to_the_end(130);
    assert!(claude.is_gone());
    stage.assert_nothing_left();

    let setup = Session::start(&mut stage.lclaude(&SETUP));
    let claude = stage.events.next("claude");
    setup.signal(Signal::TERM);
    setup.wait().expect(143);
    assert!(claude.is_gone());
    stage.assert_nothing_left();
}

/// LM Studio's models are known only while it runs.
#[test]
fn lm_studio_model_is_downloaded_once_lm_studio_runs() {
    messages!();
    let mut stage = Stage::with(&["fake-claude", "fake-lms"]);
    let models = json!([{"modelKey": "org/later", "type": "llm", "sizeBytes": 1_000_000, "trainedForToolUse": true,
        "maxContextLength": 131_072, "installed": false}]);
    fs::create_dir(stage.home().join(".lmstudio")).expect("a directory");
    fs::write(stage.home().join(".lmstudio/models.json"), models.to_string()).expect("a file");
    let state = stage.home().join(".lmstudio");
    stage.set("FAKE_LMS_STATE", state.display());
    let arguments = ["local", "setup", "--backend", "lmstudio", "--model", "org/later"];
    stage.output(&arguments).expect_failure(69);

    let mut setup = terminal(&stage, &arguments);
    answer(&mut setup, "org/later is not installed. Download it?", "y");
    stage.carry_out();
    setup.wait_for("Ready. Start a session with: lclaude\r\n");
    setup.wait_to_the_end(0);
    assert_eq!(configuration(&stage), "backend = \"lmstudio\"\nmodel = \"org/later\"\n");
    stage.wait_for_nothing_left();
}
