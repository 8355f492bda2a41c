//! `lclaude local models` lists the models of every backend in one table, and starts nothing.

use std::{fs, path::Path};

use support::{
    Stage, Value, json, machine::needs_no_ollama, messages, models::Head, ollama::Own, server, terminal::Terminal,
};

fn table(stage: &Stage, arguments: &[&str]) -> String {
    let ended = stage.output(&[&["local", "models"], arguments].concat()).expect(0);
    assert_eq!(ended.stderr, "");
    ended.record().stdout
}

fn as_json(stage: &Stage, arguments: &[&str]) -> Value {
    let ended = stage.output(&[&["local", "models", "--json"], arguments].concat()).expect(0);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

/// The models without the figures that differ from machine to machine.
fn models(json: &Value) -> Value {
    let mut models = json["models"].clone();
    for model in models.as_array_mut().expect("a list") {
        assert!(model["needs_bytes"].take().as_u64().is_none_or(|need| need > 0), "{model}");
    }
    models
}

#[test]
fn ollama_models_are_read_from_the_store() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::ollama();
    stage.fill("small:latest", &Head::small(), "{{ .Tools }}", "{}");
    // Its template has no tools, so the template in its GGUF file is used.
    stage.fill("talker:latest", &Head::huge(), "{{ .Thinking }}", "{}");
    stage.config("model = \"small\"\n[models]\nhaiku = \"Big:30b\"\n");
    table(&stage, &[]);
    stage.assert_nothing_started();
}

#[test]
fn shared_ollama_server_is_queried() {
    let stage = Stage::ollama();
    let own = Own::start(&stage, &[]);
    stage.config(&format!("[ollama]\ninstance = \"shared\"\nhost = \"{}\"\n", own.url));
    let listed = models(&as_json(&stage, &["--model", "small"]));
    let find = |name: &str| {
        let mut models = listed.as_array().expect("a list").iter();
        models.find(|model| model["name"] == name).unwrap_or_else(|| panic!("no {name} in {listed:#}")).clone()
    };
    let small = find("small:latest");
    assert_eq!((&small["trained_context"], &small["tools"]), (&json!(131_072), &json!(true)), "{small}");
    assert_eq!(small["tiers"], json!(["opus", "sonnet", "haiku", "fable"]));
    // /api/tags lists tools for this model, but /api/show does not.
    assert_eq!(find("talker:latest")["tools"], false);
}

/// A stage whose LM Studio has these models.
fn lm_studio(models: &str) -> Stage {
    let mut stage = Stage::bare();
    let home = stage.home().join(".lmstudio");
    fs::create_dir_all(home.join("bin")).expect("a directory");
    stage.install("fake-lms", &home.join("bin/lms"));
    fs::write(home.join("models.json"), models).expect("a file");
    stage.set("FAKE_LMS_STATE", home.display()).set("LCLAUDE_BACKEND", "lmstudio");
    stage
}

/// Runs lms as the user would. Its daemon does not count as a process of the stage.
fn lms(stage: &Stage, arguments: &[&str]) {
    let lms = stage.home().join(".lmstudio/bin/lms");
    let status = stage.command(lms).args(arguments).env("HOME", "/nonexistent").status().expect("lms runs");
    assert!(status.success(), "{arguments:?}");
}

#[test]
fn lm_studio_models_are_listed_while_it_runs() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let models = r#"[
        {"modelKey": "org/able", "sizeBytes": 9000000000, "maxContextLength": 131072},
        {"modelKey": "talker", "sizeBytes": 1000000000, "trainedForToolUse": false, "maxContextLength": 32768}
    ]"#;
    let stage = lm_studio(models);
    // The header of a model file in LM Studio's directory decides whether the model fits.
    Head::small().write(&stage.home().join(".lmstudio/models/talker/talker.gguf"));
    lms(&stage, &["daemon", "up"]);
    table(&stage, &["--model", "org/able"]);
    lms(&stage, &["daemon", "down"]);
}

#[test]
fn lm_studio_is_not_started_for_the_listing() {
    messages!();
    let stage = lm_studio(r#"[{"modelKey": "org/able"}]"#);
    stage.output(&["local", "models", "--backend", "lmstudio"]).expect_failure(69);
    stage.assert_nothing_started();
}

#[test]
fn llama_cpp_models_come_from_configuration_and_cache() {
    messages!();
    let mut stage = Stage::bare();
    let cache = stage.root().join("cache");
    stage.set("LLAMA_CACHE", cache.display());
    let snapshot = cache.join("models--me--x-GGUF/snapshots/abc");
    for file in ["x-Q4_K_M.gguf", "mmproj-x.gguf", "big/x-Q8_0-00001-of-00002.gguf", "big/x-Q8_0-00002-of-00002.gguf"] {
        Head::small().write(&snapshot.join(file));
    }
    Head::huge().write(&stage.model());
    table(&stage, &["--backend", "llamacpp", "--model", "tiny.gguf"]);
    // Tiers come from the plan, which requires the program.
    stage.install("fake-llama-server", &stage.bin().join("llama-server"));
    stage.config("[llamacpp]\nhf = \"me/x-GGUF\"\n");
    let listed = models(&as_json(&stage, &["--backend", "llamacpp"]));
    let tiers = |name: &str| {
        let mut models = listed.as_array().expect("a list").iter();
        models.find(|model| model["name"] == name).expect(name)["tiers"].clone()
    };
    assert_eq!(tiers("me/x-GGUF"), json!(["opus", "sonnet", "haiku", "fable"]));
    assert_eq!(tiers("me/x-GGUF:Q8_0"), json!([]));
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed:#}");
}

#[test]
fn invalid_model_file_is_listed_with_a_warning() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let mut stage = Stage::bare();
    let cache = stage.root().join("cache");
    stage.set("LLAMA_CACHE", cache.display());
    let file = cache.join("models--me--x-GGUF/snapshots/abc/x-Q4_K_M.gguf");
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    fs::write(&file, "GGUF, cut short").expect("a file");
    stage.output(&["local", "models"]).expect(0).record();
}

/// A server that returns this list for every request with the right token.
fn endpoint(models: &'static str) -> String {
    server::start(move |request| match request.header("authorization") {
        Some("Bearer sk-mine") => ("200 OK", models),
        _ => ("401 Unauthorized", "{}"),
    })
}

#[test]
fn endpoint_models_come_from_its_own_listing() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let mut stage = Stage::bare();
    let url = endpoint(r#"{"data": [{"id": "org/model", "max_model_len": 50000}, {"id": "a\u001b]0;owned\u0007b"}]}"#);
    stage.config(&format!("backend = \"endpoint\"\n[endpoint]\nurl = \"{url}\"\ntoken_env = \"MINE\"\n"));
    stage.set("MINE", "sk-mine");
    let shown = table(&stage, &["--model", "org/model"]);
    // Control characters in a name do not reach the terminal.
    assert!(shown.contains("\na\\u{1b}]0;owned\\u{7}b\t"), "{shown}");
    stage.set("MINE", "sk-another");
    let ended = stage.output(&["local", "models"]).expect_failure(69);
    assert!(!ended.stderr.contains("sk-another"), "{}", ended.stderr);
}

#[test]
fn command_models_come_from_the_configuration() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::bare();
    stage.config(
        "backend = \"command\"\nmodel = \"org/one\"\n[models]\nhaiku = \"org/one\"\n[command]\nrun = [\"true\", \"{port}\"]\n",
    );
    table(&stage, &[]);
}

#[test]
fn failing_backend_does_not_hide_the_others() {
    messages!();
    let stage = Stage::ollama();
    stage.fill("small:latest", &Head::small(), "{{ .Tools }}", "{}");
    stage.config("[endpoint]\nurl = \"http://127.0.0.1:1\"\n");
    let ended = stage.output(&["local", "models"]).expect(0).record();
    assert!(ended.stdout.contains("\nsmall:latest\tollama\t"), "{}", ended.stdout);
    let all = as_json(&stage, &[]);
    assert_eq!(all["errors"][0]["backend"], "endpoint", "{all:#}");
    // With --backend, errors of other backends are not reported.
    assert!(table(&stage, &["--backend", "ollama"]).contains("small:latest"));
}

#[test]
fn json_contains_all_figures() {
    if !needs_no_ollama() {
        return;
    }
    let stage = Stage::ollama();
    let store = stage.home().join(".ollama/models");
    fs::remove_dir_all(store.join("manifests")).expect("a directory");
    stage.fill("small:latest", &Head::small(), "{{ .Tools }}", "{}");
    let all = as_json(&stage, &["--context", "32768", "--model", "small"]);
    assert_eq!(all["context"], 32_768);
    for figure in ["total_bytes", "free_bytes", "graphics_total_bytes", "graphics_free_bytes"] {
        assert!(all["memory"][figure].is_u64(), "{all:#}");
    }
    // 16 MiB of cache, plus the attention mask and the other buffers.
    let need = all["models"][0]["needs_bytes"].as_u64().expect("a figure");
    assert!((16 << 20..64 << 20).contains(&need), "{need}");
    let mut listed = models(&all);
    let size = listed[0]["size_bytes"].take();
    assert!(size.as_u64().is_some_and(|size| size < 2000), "{size}");
    assert_eq!(
        listed,
        json!([{
            "name": "small:latest",
            "backend": "ollama",
            "size_bytes": null,
            "quantization": "Q4_K_M",
            "trained_context": 131_072,
            "tools": true,
            "thinking": false,
            "needs_bytes": null,
            "fits": "yes",
            "tiers": ["opus", "sonnet", "haiku", "fable"],
            "problem": null,
        }])
    );
    assert_eq!(all["errors"], json!([]));
}

#[test]
fn table_has_aligned_columns_on_a_terminal() {
    let stage = Stage::ollama();
    stage.fill("small:latest", &Head::small(), "{{ .Tools }}", "{}");
    let terminal = Terminal::start(stage.lclaude(&["local", "models", "--model", "small"]));
    let shown = terminal.wait_to_the_end(0);
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    let backend = lines[0].find("BACKEND").expect("a head");
    assert!(lines[1..].iter().filter(|line| !line.is_empty()).all(|line| line[backend..].starts_with("ollama  ")));
    assert!(lines.iter().any(|line| line.starts_with("small:latest    ollama   1 kB")), "{shown}");
}

#[test]
fn no_models_is_an_error() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::bare();
    let ended = stage.output(&["local", "models"]);
    ended.expect_failure(69);
    assert!(!Path::new(&stage.runtime()).exists());
}
