//! Switching to another model of a private Ollama in Claude Code's model picker.

use support::{Fake, Stage, Value, json, models::Head};

const TOOLS: &str = "{{ .Tools }}";

/// Returns a stage with complete models in the store: two that a session can switch between, and others.
fn stage() -> Stage {
    let stage = Stage::ollama();
    std::fs::remove_dir_all(stage.home().join(".ollama/models/manifests")).expect("a directory");
    stage.fill("small:latest", &Head::small(), TOOLS, "{}");
    stage.fill("Big:30b", &Head::small(), TOOLS, "{}");
    // A context that a session can't use, and more memory than any machine has.
    stage.fill("fixed:latest", &Head::small(), TOOLS, r#"{"num_ctx": 30000}"#);
    stage.fill("quiet:latest", &Head::huge(), TOOLS, "{}");
    // Not a model with weights.
    stage.fill("x:cloud", &Head::small(), TOOLS, "{}");
    stage
}

fn rows(claude: &Fake) -> Vec<(String, String)> {
    let rows = claude.settings["modelPicker"]["options"].as_array().expect("rows");
    let text = |row: &Value, key: &str| row[key].as_str().expect("text").to_owned();
    rows.iter().map(|row| (text(row, "model"), text(row, "label"))).collect()
}

#[test]
fn installed_models_that_fit_can_be_picked() {
    let stage = stage();
    let (session, claude, backend) = stage.up("small");
    assert_eq!(rows(&claude), [("opus".into(), "small:latest".into()), ("Big:30b".into(), "Big:30b".into())]);
    assert_eq!(claude.settings["availableModels"], json!(["small:latest", "Big:30b"]));
    // The pick is loaded in place of the first model, with the same context.
    claude.send(json!({"do": "request", "path": "/v1/messages", "body": {
        "model": "Big:30b", "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}],
    }}));
    assert_eq!(claude.wait_event("response")["status"], 200);
    assert_eq!(backend.env["OLLAMA_MAX_LOADED_MODELS"], "1");
    let ended = stage.ended(&mut stage.lclaude(&["local", "status", "--json"])).expect(0);
    let status: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(status["backends"][0]["loaded"], json!(["Big:30b"]), "{status:#}");
    let ended = stage.ended(&mut stage.lclaude(&["local", "status"])).expect(0);
    assert!(ended.stdout.contains("\n  loaded    Big:30b\n"), "{}", ended.stdout);
    // A session that joins gets the same rows.
    let joining = stage.on("small", &[]);
    let second = stage.events.next("claude");
    assert_eq!(rows(&second), rows(&claude));
    for claude in [&claude, &second] {
        claude.send(json!({"do": "exit", "code": 0}));
    }
    joining.wait().expect(0);
    session.wait().expect(0);
}
