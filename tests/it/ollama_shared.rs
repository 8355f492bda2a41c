//! On the user's own Ollama server: it is used as it is, and left as it was.

use rustix::process::Signal;
use support::{Stage, finish, has_ended, kill, messages, ollama::shared, turn};

#[test]
fn a_shared_server_loses_nothing_but_what_we_had_it_load() {
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
    assert!(!has_ended(&theirs) && !own.fake.is_gone());
    assert!(stage.events.rest().iter().all(|fake| fake.who == "runner"), "another Ollama was started");
}

#[test]
fn a_shared_server_is_left_as_it_was_whatever_is_killed() {
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
            // Nobody is left to do it; the next one does.
            let session = stage.on("fixed", &[]);
            finish(session, &stage.events.next("claude"));
        }
        stage.wait_for_nothing_left();
        assert_eq!(own.loaded(), [""; 0], "session killed: {session_dies}, keeper: {keeper_dies}");
    }
}

#[test]
fn a_shared_servers_context_that_is_too_small_comes_with_what_mends_it() {
    messages!();
    let (stage, own) = shared(&[("OLLAMA_CONTEXT_LENGTH", "32768")]);
    let session = stage.on("small", &[]);
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "32768");
    finish(session, &claude).record();
    drop(own);
}

/// Another client's `num_ctx` holds until the first request that names none, which Claude Code's are.
#[test]
fn a_shared_servers_context_is_what_claude_code_will_get_and_not_what_somebody_else_asked_for() {
    messages!();
    let models = r#"[{"name": "small:latest", "loaded": true, "loaded_context": 65536}]"#;
    let (stage, own) = shared(&[("OLLAMA_CONTEXT_LENGTH", "32768"), ("FAKE_OLLAMA_MODELS", models)]);
    let session = stage.on("small", &[]);
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "32768");
    turn(&claude);
    finish(session, &claude).record();
    assert_eq!(own.loaded(), ["small:latest"], "the user's own was unloaded");
}

#[test]
fn a_shared_server_pulls_only_when_the_user_says_so() {
    messages!();
    let (stage, own) = shared(&[]);
    stage.on("far:1b", &[]).wait().expect_failure(69);
    let session = stage.on("far:1b", &["--yes"]);
    own.fake.wait_event("pulled");
    finish(session, &stage.events.next("claude"));
}

#[test]
fn a_shared_server_that_is_not_there_or_something_else_is_said_to_be() {
    messages!();
    let mut stage = Stage::ollama();
    stage.config("[ollama]\ninstance = \"shared\"\n");
    stage.on("small", &[]).wait().expect_failure(69);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            use std::io::{BufRead, BufReader, Write};
            BufReader::new(&stream).lines().map_while(Result::ok).find(String::is_empty);
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    stage.set("OLLAMA_HOST", address);
    stage.on("small", &[]).wait().expect_failure(69);
}
