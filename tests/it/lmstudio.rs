//! The LM Studio backend: loads its own instance of exactly the requested model, and restores LM Studio's state.

use std::{fs, path::PathBuf, process::Stdio};

use rustix::process::Signal;
use support::{
    Fake, Session, Stage, Value, json, kill, kill_all, kill_both, machine::needs_no_ollama, messages,
    terminal::Terminal, turn,
};

fn run(stage: &Stage, arguments: &[&str]) -> (Session, Fake) {
    let session = Session::start(stage.lclaude(arguments).args(["-p", "x"]));
    (session, stage.events.next("claude"))
}

fn end(stage: &Stage, session: Session, claude: &Fake) {
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0);
    stage.assert_nothing_left();
}

#[test]
fn session_starts_and_stops_everything() {
    let stage = Stage::lmstudio();
    let (session, claude) = run(&stage, &[]);
    let studio = stage.events.next("lmstudio");
    assert_eq!(
        claude.env["ANTHROPIC_DEFAULT_OPUS_MODEL"], "lclaude/zai-org/glm-4.7-flash",
        "another model whose key looks similar was used"
    );
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "65536");
    assert_eq!(studio.env.keys().find(|name| name.starts_with("ANTHROPIC_")), None);
    turn(&claude);
    end(&stage, session, &claude);
    assert!(studio.is_gone());
    // LM Studio never ran before, so only the fake's own record of processes is left.
    let left = stage.studio_state();
    let files: Vec<&PathBuf> = left.keys().collect();
    assert!(files.iter().all(|file| file.ends_with("running.json")), "{left:#?}");
}

#[test]
fn running_lm_studio_is_used_and_left_unchanged() {
    let stage = Stage::lmstudio();
    stage.lms(
        &["server", "start", "-p", "1", "--bind", "127.0.0.1"].map(|word| if word == "1" { free_port() } else { word }),
    );
    stage.lms(&["load", "zai-org/glm-4.7-flash", "-c", "8192", "-y"]);
    let before = stage.studio_state();
    let given = stage.lms_commands().len();
    let (session, claude) = run(&stage, &[]);
    end(&stage, session, &claude);
    assert_eq!(stage.studio_state(), before);
    let ours = &stage.lms_commands()[given..];
    assert!(!ours.iter().any(|line| line.starts_with("server st") && !line.starts_with("server status")), "{ours:#?}");
    assert!(ours.contains(&"unload lclaude/zai-org/glm-4.7-flash".to_owned()), "{ours:#?}");
    assert!(!ours.iter().any(|line| line.starts_with("daemon up") || line.starts_with("daemon down")), "{ours:#?}");
    stage.lms(&["daemon", "down"]);
}

/// Returns a free port as a static string for use in an argument list.
fn free_port() -> &'static str {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    port.to_string().leak()
}

#[test]
fn remembered_port_is_restored() {
    let stage = Stage::lmstudio();
    stage.lms(&["server", "start", "-p", free_port()]);
    stage.lms(&["server", "stop"]);
    let before = stage.studio_state();
    let (session, claude) = run(&stage, &[]);
    end(&stage, session, &claude);
    assert_eq!(stage.studio_state(), before);
    stage.lms(&["daemon", "down"]);
}

#[test]
fn state_is_restored_after_kills() {
    for killed in ["the keeper", "keeper and session", "keeper, session and guard"] {
        let stage = Stage::lmstudio();
        stage.lms(&["server", "start", "-p", free_port()]);
        let before = stage.studio_state();
        let (session, claude) = run(&stage, &[]);
        if killed == "the keeper" {
            kill(stage.keeper(), Signal::KILL);
            turn(&claude);
            end(&stage, session, &claude);
        } else {
            match killed {
                "keeper and session" => kill_both(&stage, session, &claude),
                _ => kill_all(&stage, session, &claude),
            }
            // The guard or the next session cleans up, even with another context.
            let (session, claude) = run(&stage, &["--context", "50000"]);
            end(&stage, session, &claude);
        }
        assert_eq!(stage.studio_state(), before, "killed: {killed}");
        stage.lms(&["daemon", "down"]);
    }
}

#[test]
fn conflicting_second_session_is_rejected() {
    messages!();
    let stage = Stage::lmstudio();
    let (session, claude) = run(&stage, &[]);
    let ended = stage.output(&["--context", "50000", "-p", "x"]);
    ended.expect_failure(69);
    let (second, second_claude) = run(&stage, &[]);
    second_claude.send(json!({"do": "exit", "code": 0}));
    second.wait().expect(0);
    end(&stage, session, &claude);
}

#[test]
fn model_key_must_match_exactly() {
    messages!();
    let stage = Stage::lmstudio();
    let ended = stage.output(&["--model", "glm-4.7-flash", "-p", "x"]);
    ended.expect_failure(69);
    let ended = stage.output(&["--model", "talker", "-p", "x"]);
    ended.expect_failure(69);
    assert!(!stage.lms_commands().iter().any(|line| line.starts_with("load")), "{:#?}", stage.lms_commands());
}

#[test]
fn evicted_model_is_reloaded() {
    let stage = Stage::lmstudio();
    let (session, claude) = run(&stage, &[]);
    let studio = stage.events.next("lmstudio");
    studio.wait_event("loaded");
    studio.send(json!({"do": "evict", "identifier": "lclaude/zai-org/glm-4.7-flash"}));
    assert_eq!(studio.wait_event("loaded")["identifier"], "lclaude/zai-org/glm-4.7-flash");
    end(&stage, session, &claude);
}

#[test]
fn crashed_lm_studio_restarts_on_its_port() {
    let stage = Stage::lmstudio();
    let (session, claude) = run(&stage, &[]);
    let studio = stage.events.next("lmstudio");
    kill(studio.pid, Signal::KILL);
    let restarted = stage.events.next("lmstudio");
    let port = restarted.wait_event("listening")["port"].clone();
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], format!("http://127.0.0.1:{port}"));
    turn(&claude);
    end(&stage, session, &claude);
}

#[test]
fn missing_model_is_downloaded_with_yes() {
    let stage = Stage::lmstudio();
    let (session, claude) = run(&stage, &["--yes", "--model", "org/later"]);
    end(&stage, session, &claude);
    assert!(stage.lms_commands().contains(&"get org/later -y".to_owned()));
}

#[test]
fn terminal_session_asks_before_downloading_a_missing_model() {
    let is_downloaded = |stage: &Stage| stage.lms_commands().contains(&"get org/later -y".to_owned());
    for (answer, code) in [("n\n", 69), ("\x03", 130)] {
        let stage = Stage::lmstudio();
        let mut terminal = Terminal::start(stage.lclaude(&["--model", "org/later"]));
        terminal.wait_for("org/later is not installed. Download it now?");
        terminal.type_in(answer);
        let shown = terminal.wait_to_the_end(code);
        assert!(!is_downloaded(&stage) && (code == 130 || shown.contains("help: lms get org/later")), "{shown}");
        stage.wait_for_nothing_left();
    }
    let stage = Stage::lmstudio();
    let mut terminal = Terminal::start(stage.lclaude(&["--model", "org/later"]));
    terminal.wait_for("Download it now?");
    terminal.type_in("y\n");
    let claude = stage.events.next("claude");
    assert!(is_downloaded(&stage));
    claude.send(json!({"do": "exit", "code": 0}));
    terminal.wait_to_the_end(0);
    stage.wait_for_nothing_left();
}

#[test]
fn download_shows_progress() {
    let mut stage = Stage::lmstudio();
    stage.set("FAKE_LMS_GET", "controlled");
    let mut terminal = Terminal::start(stage.lclaude(&["--yes", "--model", "org/later"]));
    let studio = stage.events.next("lmstudio");
    studio.wait_event("getting");
    terminal.wait_for("downloading org/later");
    studio.send(json!({"do": "get_progress", "completed": 400_000_000}));
    let words = "downloading org/later 40% ████░░░░░░░░ (400.00 MB / 1.00 GB";
    terminal.wait_for_screen(|lines| lines.iter().any(|line| line.contains(words)));
    studio.send(json!({"do": "get_finish"}));
    stage.events.next("claude").send(json!({"do": "exit", "code": 0}));
    terminal.wait_to_the_end(0);
    stage.assert_nothing_left();
}

#[test]
fn ambiguous_model_name_is_not_downloaded() {
    messages!();
    let stage = Stage::lmstudio();
    stage.ended(&mut stage.lclaude(&["--yes", "--model", "later", "-p", "x"])).expect_failure(69);
    let terminal = Terminal::start(stage.lclaude(&["--model", "later"]));
    let shown = terminal.wait_to_the_end(69);
    assert!(!shown.contains("[y/N]") && shown.contains("lms get later"), "{shown}");
    assert!(!stage.lms_commands().iter().any(|line| line.starts_with("get")), "{:#?}", stage.lms_commands());
}

#[test]
fn model_on_another_machine_is_rejected() {
    messages!();
    let mut stage = Stage::lmstudio();
    stage.ended(&mut stage.lclaude(&["--model", "org/far", "-p", "x"])).expect_failure(69);
    assert!(!stage.lms_commands().iter().any(|line| line.starts_with("load")), "{:#?}", stage.lms_commands());
    stage.lms(&["daemon", "up"]);
    let listed = stage.output(&["local", "models"]).expect(0).stdout;
    assert!(listed.contains("short") && !listed.contains("org/far"), "{listed}");
    stage.lms(&["daemon", "down"]);

    // A downloaded copy is used.
    let (session, claude) = run(&stage, &["--yes", "--model", "org/far"]);
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_OPUS_MODEL"], "lclaude/org/far");
    end(&stage, session, &claude);

    // It is rejected if LM Studio still routes it to the other machine.
    stage.set("FAKE_LMS_DEVICE", "attic");
    stage.ended(&mut stage.lclaude(&["--model", "org/far", "-p", "x"])).expect_failure(69);
    assert!(stage.events.rest().iter().all(|fake| fake.who != "claude"));
    assert!(stage.lms_commands().contains(&"unload lclaude/org/far".to_owned()));
}

#[test]
fn app_started_by_lms_is_terminated() {
    for both in [false, true] {
        let mut stage = Stage::lmstudio();
        stage.set("FAKE_LMS_APP", "1");
        let (session, claude) = run(&stage, &[]);
        let app = stage.events.next("lmstudio");
        if both {
            kill_all(&stage, session, &claude);
            // The next session cleans up, even with another context.
            let (session, claude) = run(&stage, &["--context", "50000"]);
            end(&stage, session, &claude);
        } else {
            end(&stage, session, &claude);
        }
        assert_eq!(app.wait_event("signal")["number"], Signal::TERM.as_raw());
        let left = stage.studio_state();
        assert!(left.keys().all(|file| file.ends_with("running.json")), "both: {both}, {left:#?}");
        let asked = stage.lms_commands();
        let at = |word: &str| asked.iter().rposition(|line| line.starts_with(word)).expect("the command was run");
        // `daemon down` wouldn't end the app.
        assert!(at("server stop") < at("unload") && !asked.contains(&"daemon down".to_owned()), "{asked:#?}");
    }
}

#[test]
fn users_own_app_keeps_running() {
    let mut stage = Stage::lmstudio();
    stage.set("FAKE_LMS_APP", "1");
    stage.lms(&["daemon", "up"]);
    let app = stage.events.next("lmstudio");
    let before = stage.studio_state();
    let (session, claude) = run(&stage, &[]);
    end(&stage, session, &claude);
    assert!(!app.is_gone());
    assert_eq!(stage.studio_state(), before);
}

#[test]
fn interrupted_startup_ends_a_starting_lm_studio() {
    for app in [false, true] {
        let mut stage = Stage::lmstudio();
        stage.set("FAKE_LMS_START", "controlled");
        if app {
            stage.set("FAKE_LMS_APP", "1");
        }
        let session = Session::start(stage.lclaude(&["-p", "x"]).stdin(Stdio::null()));
        let studio = stage.events.next("lmstudio");
        session.signal(Signal::INT);
        stage.wait_for_ending();
        studio.send(json!({"do": "started"}));
        session.wait().expect(130);
        assert!(studio.is_gone(), "app: {app}");
        stage.assert_nothing_left();
    }
}

#[test]
fn lms_never_sees_credentials_or_the_project() {
    let mut stage = Stage::lmstudio();
    let (lms, seen) = (stage.studio().join("bin/lms"), stage.root().join("seen"));
    fs::rename(&lms, stage.studio().join("bin/real")).expect("lms existed");
    let wrapper = format!("#!/bin/sh\n(pwd -P; env) >>{}\nexec \"${{0%lms}}real\" \"$@\"\n", seen.display());
    support::write_program(&lms, wrapper);
    stage.set("ANTHROPIC_API_KEY", "sk-ant-secret").set("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-secret");
    let arguments = ["--yes", "--model", "org/later"];
    let (session, claude) = run(&stage, &arguments);
    stage.events.next("lmstudio");
    end(&stage, session, &claude);
    // It also holds when `local stop`, with the user's environment, cleans up after a killed keeper.
    let (session, claude) = run(&stage, &arguments);
    let studio = stage.events.next("lmstudio");
    kill_all(&stage, session, &claude);
    stage.output(&["local", "stop"]).expect(0);
    assert!(studio.is_gone());
    // This session cleans up.
    let (session, claude) = run(&stage, &arguments);
    end(&stage, session, &claude);

    let seen = fs::read_to_string(seen).expect("lms was run");
    let all = |word: &str| stage.lms_commands().iter().filter(|line| line.starts_with(word)).count();
    assert_eq!(["get", "unload", "server stop", "daemon down"].map(all), [1, 3, 3, 3]);
    assert_eq!(seen.lines().filter(|line| *line == "/").count(), stage.lms_commands().len(), "lms ran outside /");
    let secret = |line: &&str| ["ANTHROPIC_", "CLAUDE", "LCLAUDE_"].iter().any(|start| line.starts_with(start));
    assert_eq!(seen.lines().find(secret), None);
}

#[test]
fn actual_context_is_used() {
    let mut stage = Stage::lmstudio();
    let (session, claude) = run(&stage, &["--model", "short"]);
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "32768", "the context that the model was trained for");
    end(&stage, session, &claude);
    stage.set("FAKE_LMS_CONTEXT", 40_000);
    let (session, claude) = run(&stage, &[]);
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "40000");
    end(&stage, session, &claude);
}

#[test]
fn tiers_have_their_own_instances() {
    let stage = Stage::lmstudio();
    stage.config("[models]\nhaiku = \"short\"\n");
    let (session, claude) = run(&stage, &[]);
    let tier = |name: &str| claude.env[&format!("ANTHROPIC_DEFAULT_{name}_MODEL")].clone();
    assert_eq!((tier("OPUS"), tier("HAIKU")), ("lclaude/zai-org/glm-4.7-flash".into(), "lclaude/short".into()));
    end(&stage, session, &claude);
}

#[test]
fn token_is_used_and_never_shown() {
    let mut stage = Stage::lmstudio();
    stage.set("FAKE_LMS_TOKEN", "lms-secret").set("LM_API_TOKEN", "lms-secret");
    let (session, claude) = run(&stage, &[]);
    assert_eq!(claude.env["ANTHROPIC_AUTH_TOKEN"], "lms-secret");
    claude.send(json!({"do": "exit", "code": 0}));
    let ended = session.wait().expect(0);
    assert!(!ended.stderr.contains("lms-secret"));
    stage.wait_for_nothing_left();
    let shown: Value = stage.output(&["--dry-run", "-p", "x"]).expect(0).stdout.into();
    assert!(!shown.to_string().contains("lms-secret"));
}

#[test]
fn read_only_commands_do_not_wait_for_an_unresponsive_lms() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::lmstudio();
    let lms = stage.studio().join("bin/lms");
    fs::remove_file(&lms).expect("lms existed");
    support::write_program(&lms, b"#!/bin/sh\nexec sleep 1000\n");
    let looking =
        [&["local", "models"][..], &["local", "doctor"]].map(|words| Session::start(&mut stage.lclaude(words)));
    let [models, doctor] = looking.map(Session::wait);
    models.expect_failure(69);
    let report = doctor.expect(1).stdout;
    let silent = report.lines().find(|line| line.trim_start().starts_with("FAILURE  lmstudio"));
    messages::record("lclaude local doctor", silent.unwrap_or_else(|| panic!("{report}")));
    stage.assert_nothing_left();
}

#[test]
fn old_or_broken_lm_studio_is_explained() {
    messages!();
    for (variable, value) in [("FAKE_LMS_VERSION", "0.3.9+2"), ("FAKE_LMS_FAIL", "load"), ("FAKE_LMS_FAIL", "daemon")] {
        let mut stage = Stage::lmstudio();
        stage.set(variable, value);
        let before = stage.studio_state();
        messages::note(format!("{variable}={value}"));
        stage.output(&["-p", "x"]).expect_failure(69);
        assert!(stage.studio_state().len() <= before.len() + 1, "{:#?}", stage.studio_state());
    }
    let stage = Stage::with(&["fake-claude"]);
    stage.output(&["--backend", "lmstudio", "-p", "x"]).expect_failure(69);
}
