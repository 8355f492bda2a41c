//! The user's own Ollama server is used as it is and left as it was.

use rustix::process::Signal;
use support::{Stage, finish, json, kill, messages, ollama::shared, server, turn};

#[test]
fn shared_server_unloads_only_what_lclaude_loaded() {
    let (stage, own) = shared(&[]);
    let theirs = own.load(&stage.events, "big:30b");
    for model in ["small", "Big:30b"] {
        let session = stage.on(model, &[]);
        let claude = stage.events.next("claude");
        assert_eq!(claude.env["ANTHROPIC_BASE_URL"], own.url);
        turn(&claude);
        finish(session, &claude);
        assert_eq!(own.loaded(), ["big:30b"]);
    }
    assert!(!theirs.is_gone() && !own.fake.is_gone());
    assert!(stage.events.rest().iter().all(|fake| fake.who == "runner"), "another Ollama was started");
}

#[test]
fn quoted_address_of_a_shared_server_is_read_like_ollama_does() {
    let (mut stage, own) = shared(&[]);
    stage.set("OLLAMA_HOST", format!(" \"{}\" ", own.url.trim_start_matches("http://")));
    let session = stage.on("small", &[]);
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], own.url);
    finish(session, &claude);
}

#[test]
fn shared_server_is_restored_whatever_is_killed() {
    let (stage, own) = shared(&[]);
    for (session_dies, keeper_dies) in [(true, false), (false, true), (true, true)] {
        let session = stage.on("small", &[]);
        let claude = stage.events.next("claude");
        assert_eq!(own.loaded(), ["small:latest"]);
        let keeper = stage.keeper();
        if keeper_dies {
            kill(keeper, Signal::KILL);
        }
        if session_dies {
            session.signal(Signal::KILL);
            claude.wait_gone();
        } else {
            finish(session, &claude);
        }
        if session_dies && keeper_dies {
            // No process is left to clean up, so the next session does.
            let session = stage.on("fixed", &[]);
            finish(session, &stage.events.next("claude"));
        }
        stage.wait_for_nothing_left();
        assert_eq!(own.loaded(), [""; 0], "session killed: {session_dies}, keeper: {keeper_dies}");
    }
}

#[test]
fn small_context_of_a_shared_server_is_explained() {
    messages!();
    let (stage, own) = shared(&[("OLLAMA_CONTEXT_LENGTH", "32768")]);
    let session = stage.on("small", &[]);
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "32768");
    finish(session, &claude).record();
    drop(own);
}

/// Another client's `num_ctx` lasts until the first request without one. Claude Code's requests have none.
#[test]
fn context_requested_by_another_client_is_ignored() {
    messages!();
    let models = r#"[{"name": "small:latest", "loaded": true, "loaded_context": 65536}]"#;
    let (stage, own) = shared(&[("OLLAMA_CONTEXT_LENGTH", "32768"), ("FAKE_OLLAMA_MODELS", models)]);
    let session = stage.on("small", &[]);
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "32768");
    turn(&claude);
    finish(session, &claude).record();
    assert_eq!(own.loaded(), ["small:latest"], "the user's own model was unloaded");
}

#[test]
fn shared_server_downloads_only_with_consent() {
    messages!();
    let (stage, own) = shared(&[]);
    stage.on("far:1b", &[]).wait().expect_failure(69);
    let session = stage.on("far:1b", &["--yes"]);
    own.fake.wait_event("pulled");
    finish(session, &stage.events.next("claude"));
}

#[test]
fn busy_shared_server_is_not_a_crashed_one() {
    let (stage, own) = shared(&[]);
    let session = stage.on("small", &[]);
    let claude = stage.events.next("claude");
    own.fake.send(json!({"do": "hang"}));
    own.fake.wait_event("done");
    // Two checks without an answer would count as a crash, and the third request as a restart.
    for _ in 0..3 {
        assert_eq!(own.fake.wait_event("hanging")["path"], "/api/version");
    }
    own.fake.send(json!({"do": "answer"}));
    own.fake.wait_event("done");
    turn(&claude);
    let ended = finish(session, &claude);
    assert!(!ended.stderr.contains("restarted"), "{}", ended.stderr);
}

#[test]
fn missing_shared_server_is_an_error() {
    messages!();
    let mut stage = Stage::ollama();
    stage.config("[ollama]\ninstance = \"shared\"\n");
    stage.on("small", &[]).wait().expect_failure(69);
    let other = server::start(|_| ("200 OK", "hello"));
    stage.set("OLLAMA_HOST", other.trim_start_matches("http://"));
    stage.on("small", &[]).wait().expect_failure(69);
}
