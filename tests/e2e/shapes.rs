//! The scripted models in the shapes of real ones, on the real llama-server: what it answers, and what it reuses of a
//! restored slot. The warm start relies on the latter.

use std::fmt::Write;

use lclaude_fakes::scripted_model::{self, Script, Shape, Weights};
use support::{Stage, Value, json, plain_server::PlainServer, real};

/// A stage with a server for a model, whose slots are saved in the stage's root.
fn server(script: &Script) -> Option<(Stage, PlainServer)> {
    real::programs()?;
    let stage = Stage::bare();
    scripted_model::write(&stage.model(), script).expect("the model is written");
    let server = start(&stage);
    Some((stage, server))
}

fn start(stage: &Stage) -> PlainServer {
    PlainServer::start(stage, &stage.model(), &["--slot-save-path", &format!("{}/", stage.root().display())])
}

/// A text of about 900 tokens, more than the window of [`Shape::Sliding`].
fn prefix() -> String {
    let mut text = String::new();
    (0..150).for_each(|number| write!(text, "{number} files of the project. ").expect("a String takes everything"));
    text
}

#[test]
fn every_shape_answers_by_script() {
    for shape in [Shape::Tiny, Shape::Full, Shape::Mla, Shape::Hybrid, Shape::Sliding] {
        let Some((_stage, server)) = server(&Script { shape, ..Script::default() }) else { return };
        let schema = json!({"type": "object", "properties": {"command": {"type": "string"}}});
        let response = server.post(
            "/v1/messages",
            &json!({
                "model": "tiny", "max_tokens": 50,
                "tools": [{"name": "Bash", "description": "Run a command", "input_schema": schema}],
                "messages": [{"role": "user", "content": format!("{} Create the proof.", prefix())}],
            }),
        );
        assert_eq!(response["content"][0]["name"], "Bash", "{shape:?}: {response}");
        let plain = server.post(
            "/v1/messages",
            &json!({"model": "tiny", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}),
        );
        assert_eq!(plain["content"][0]["text"], "Hello from the tiny local model.", "{shape:?}: {plain}");
    }
}

#[test]
fn restored_prefix_gives_the_same_probabilities_as_one_in_memory() {
    for shape in [Shape::Full, Shape::Mla, Shape::Hybrid, Shape::Sliding] {
        let script = Script { shape, weights: Weights::Random(7), ..Script::default() };
        let Some((stage, server)) = server(&script) else { return };
        let tokens = |text: &str| -> Vec<Value> {
            server.post("/tokenize", &json!({"content": text}))["tokens"].as_array().expect("tokens").clone()
        };
        let prefix = tokens(&prefix());
        let whole = [&prefix[..], &tokens("Describe the project.")].concat();
        server.post("/completion", &json!({"prompt": prefix, "n_predict": 0, "cache_prompt": true}));
        assert_eq!(server.slot("save", "prefix"), prefix.len() as u64, "{shape:?}");
        let (from_memory, reused) = server.first_token(&whole);
        assert_eq!(reused, prefix.len() as u64, "{shape:?}");
        drop(server);

        let server = start(&stage);
        server.slot("restore", "prefix");
        let (restored, reused) = server.first_token(&whole);
        // A restored slot with sliding windows isn't reused.
        assert_eq!(reused, if shape == Shape::Sliding { 0 } else { prefix.len() as u64 }, "{shape:?}");
        if shape != Shape::Sliding {
            assert_eq!(restored, from_memory, "{shape:?}");
        }
    }
}
