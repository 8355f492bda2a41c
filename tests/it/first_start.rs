//! The first start on a machine: setup is offered if something is missing, and the session starts after it.

use std::fs;

use rustix::process::Signal;
use support::{
    Session, Stage, finish,
    installers::{CLAUDE, MODEL, OLLAMA},
    json,
    machine::needs_no_ollama,
    messages,
    models::Head,
    terminal::Terminal,
};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const OFFER: &str = "Run lclaude local setup now? [Y/n] ";

fn configuration(stage: &Stage) -> String {
    fs::read_to_string(stage.home().join(".config/lclaude/config.toml")).unwrap_or_default()
}

#[track_caller]
fn answer(terminal: &mut Terminal, question: &str, keys: &str) {
    terminal.wait_for(question);
    terminal.type_in(keys);
}

#[test]
fn session_starts_after_the_offered_setup() {
    if !needs_no_ollama() {
        return;
    }
    let stage = Stage::installable();
    let mut terminal = Terminal::start(stage.lclaude(&["--lean", "hello"]));
    terminal.wait_for("error: no backend is installed");
    answer(&mut terminal, OFFER, "\n");
    answer(&mut terminal, &format!("Run `{OLLAMA}`? [y/N] "), "y\n");
    answer(&mut terminal, &format!("Run `{CLAUDE}`? [y/N] "), "y\n");
    answer(&mut terminal, &format!("Download {MODEL}? [y/N] "), "y\n");
    stage.carry_out();
    terminal.wait_for("Ready. Start a session with: lclaude\r\n");
    let claude = stage.events.next("claude");
    assert!(claude.argv.iter().any(|argument| argument == "hello"), "{:?}", claude.argv);
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], MODEL);
    claude.send(json!({"do": "exit", "code": 3}));
    terminal.wait_to_the_end(3);
    stage.assert_nothing_left();
}

#[test]
fn declined_setup_changes_nothing() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::installable();
    for keys in ["n\n", CTRL_D] {
        let mut terminal = Terminal::start(stage.lclaude(&[]));
        answer(&mut terminal, OFFER, keys);
        terminal.wait_to_the_end(69);
    }
    let mut terminal = Terminal::start(stage.lclaude(&[]));
    answer(&mut terminal, OFFER, CTRL_C);
    assert_eq!(terminal.wait_for_signal(), Some(Signal::INT.as_raw()));
    // Setup itself was interrupted, so no session starts.
    let mut terminal = Terminal::start(stage.lclaude(&[]));
    answer(&mut terminal, OFFER, "y\n");
    answer(&mut terminal, &format!("Run `{OLLAMA}`? [y/N] "), CTRL_C);
    assert_eq!(terminal.wait_for_signal(), Some(Signal::INT.as_raw()));
    // Neither `--yes` nor a dry run asks, and a missing terminal can't.
    for arguments in [&["--yes"][..], &["--dry-run"], &["--context", "70000", "--model", "qwen3"]] {
        let shown = Terminal::start(stage.lclaude(&[arguments, &["-p", "x"]].concat()));
        if arguments.len() == 1 {
            let shown = shown.wait_to_the_end(69);
            assert!(shown.contains("  help: lclaude local setup\r\n") && !shown.contains("now?"), "{shown}");
        } else {
            let mut asked = shown;
            answer(&mut asked, "Run lclaude local setup --model qwen3 --context 70000 now? [Y/n] ", "n\n");
            asked.wait_to_the_end(69);
        }
    }
    stage.output(&["-p", "x"]).expect_failure(69);
    assert_eq!((stage.ran().as_str(), fs::read_dir(stage.home()).expect("it is there").count()), ("", 0));
    stage.assert_nothing_started();
}

#[test]
fn setup_is_offered_if_claude_code_is_missing() {
    messages!();
    let mut stage = Stage::ollama();
    stage.set("PATH", format!("{}:/usr/bin:/bin", stage.bin().display()));
    fs::remove_file(stage.bin().join("claude")).expect("a link");
    let mut terminal = Terminal::start(stage.lclaude(&["--model", "small"]));
    terminal.wait_for("error: Claude Code was not found");
    answer(&mut terminal, "Run lclaude local setup --model small now? [Y/n] ", "n\n");
    terminal.wait_to_the_end(127);
    stage.output(&["-p", "x"]).expect_failure(127);
    stage.assert_nothing_started();
}

#[test]
fn declined_download_suggests_setup() {
    let stage = Stage::ollama();
    stage.ample_memory();
    let mut terminal = Terminal::start(stage.lclaude(&[]));
    answer(&mut terminal, "is not installed. Download it now? [y/N] ", "n\n");
    let shown = terminal.wait_to_the_end(69);
    let first = shown.lines().find(|line| line.contains("help: ")).expect("help");
    assert_eq!(first.trim(), "help: lclaude local setup");
}

/// A machine with Ollama and two models, neither of which is the default.
fn with_models() -> Stage {
    let stage = Stage::ollama();
    fs::remove_dir_all(stage.home().join(".ollama/models/manifests")).expect("a directory");
    fs::remove_file(stage.bin().join("nvidia-smi")).expect("a link");
    stage.ample_memory();
    stage.fill_sized("Big:30b", &Head::small(), 19_000_000_000, "{{ .Tools }}", "{}");
    stage.fill("small:latest", &Head::small(), "{{ .Tools }}", "{}");
    stage
}

#[test]
fn setup_chooses_among_installed_models_and_remembers_its_proof() {
    let mut stage = with_models();
    stage.set("LCLAUDE_BACKEND", "");
    let proof = |stage: &Stage| {
        let text = stage.output(&["local", "doctor"]).stdout;
        text.lines().find(|line| line.contains("last proof")).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert!(proof(&stage).contains("none"), "{}", proof(&stage));
    let mut terminal = Terminal::start(stage.lclaude(&["local", "setup"]));
    answer(&mut terminal, "Which one? [1-3, Enter for 1, q to quit] ", "2\n");
    terminal.wait_for("+ backend = \"ollama\"");
    terminal.wait_for("+ model = \"small:latest\"");
    stage.carry_out();
    terminal.wait_for("Ready. Start a session with: lclaude\r\n");
    let shown = terminal.wait_to_the_end(0);
    assert!(!shown.contains("Use it from now on?") && !shown.contains("Download"), "{shown}");
    assert_eq!(configuration(&stage), "backend = \"ollama\"\nmodel = \"small:latest\"\n");
    assert!(proof(&stage).contains("passed on"), "{}", proof(&stage));
}

#[test]
fn failed_proof_is_remembered_too() {
    let stage = with_models();
    let setup = Session::start(&mut stage.lclaude(&["local", "setup", "--yes"]));
    stage.events.next("claude").send(json!({"do": "exit", "code": 5}));
    let ended = setup.wait().expect(69);
    assert!(ended.stderr.contains("using Big:30b, the best installed model"), "{}", ended.stderr);
    let text = stage.output(&["local", "doctor"]).stdout;
    let proof = text.lines().find(|line| line.contains("last proof")).unwrap_or_else(|| panic!("{text}"));
    assert!(proof.contains("failed on") && proof.contains("Claude Code exited with code 5"), "{proof}");
    // A session warns.
    let session = Session::start(&mut stage.lclaude(&["-p", "hello"]));
    let ended = finish(session, &stage.events.next("claude"));
    assert!(ended.stderr.contains("doctor found on"), "{}", ended.stderr);
}

#[test]
fn leaving_setups_choice_starts_nothing() {
    let stage = with_models();
    let which = "Which one? [1-3, Enter for 1, q to quit] ";
    for keys in ["q\n", CTRL_D] {
        let mut terminal = Terminal::start(stage.lclaude(&["local", "setup"]));
        answer(&mut terminal, which, keys);
        let shown = terminal.wait_to_the_end(69);
        assert!(shown.contains("help: lclaude local setup --model Big:30b"), "{shown}");
    }
    let mut terminal = Terminal::start(stage.lclaude(&["local", "setup"]));
    answer(&mut terminal, which, CTRL_C);
    terminal.wait_for("interrupted; to continue: lclaude local setup");
    assert_eq!(terminal.wait_for_signal(), Some(Signal::INT.as_raw()));
    assert_eq!(configuration(&stage), "");
    stage.assert_nothing_started();
}

#[test]
fn setup_without_a_terminal_lists_the_models_to_choose_from() {
    messages!();
    let stage = with_models();
    stage.output(&["local", "setup"]).expect_failure(69);
    stage.assert_nothing_started();
}

#[test]
fn installer_that_fails_in_a_pipe_stops_setup() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::installable();
    // Without a network curl prints nothing, and an empty script succeeds.
    stage.curl(&[]);
    stage.output(&["local", "setup", "--yes"]).expect_failure(69);
    assert_eq!(stage.ran().lines().count(), 1, "{}", stage.ran());
    stage.assert_nothing_started();
}

#[test]
fn setup_offers_a_near_miss() {
    let stage = with_models();
    let mut terminal = Terminal::start(stage.lclaude(&["local", "setup", "--model", "big"]));
    answer(&mut terminal, "Use Big:30b? [Y/n, p to pull big:latest] ", "\n");
    stage.carry_out();
    terminal.wait_for("Ready. Start a session with: lclaude\r\n");
    terminal.wait_to_the_end(0);
    assert_eq!(configuration(&stage), "backend = \"ollama\"\nmodel = \"Big:30b\"\n");
}

#[test]
fn setup_offers_the_models_of_a_stopped_lm_studio() {
    let stage = Stage::lmstudio();
    let models = json!([
        {"modelKey": "able", "type": "llm", "sizeBytes": 1_000_000, "trainedForToolUse": true,
            "maxContextLength": 131_072},
        {"modelKey": "zai-org/glm-4.7-flash", "type": "llm", "sizeBytes": 1_000_000, "trainedForToolUse": true,
            "maxContextLength": 131_072, "installed": false},
    ]);
    fs::write(stage.studio().join("models.json"), models.to_string()).expect("a file");
    for (key, model) in [("1", "able"), ("2", "zai-org/glm-4.7-flash")] {
        let mut terminal = Terminal::start(stage.lclaude(&["local", "setup"]));
        answer(&mut terminal, "Which one? [1-2, Enter for 1, q to quit] ", &format!("{key}\n"));
        stage.carry_out();
        terminal.wait_for("Ready. Start a session with: lclaude\r\n");
        let shown = terminal.wait_to_the_end(0);
        assert!(!shown.contains("Download it?"), "{shown}");
        assert_eq!(configuration(&stage), format!("backend = \"lmstudio\"\nmodel = \"{model}\"\n"));
        fs::remove_file(stage.home().join(".config/lclaude/config.toml")).expect("a file");
        stage.wait_for_nothing_left();
    }
}
