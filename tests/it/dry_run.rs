//! `--dry-run`: every value with its source, as text and as JSON, and no secret.

use std::fs;

use support::{Stage, Value, json, messages};

/// The columns that a line takes where it can be broken.
const WIDTH: usize = 80;
/// What no output may contain.
const SECRET: &str = "sk-";

/// A configuration with secrets and with profiles, of which `fast` is used.
fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.set("LCLAUDE_CONTEXT", 40_000).set("ANTHROPIC_API_KEY", "sk-inherited");
    stage.config(
        "model = 'general.gguf'\n[claude]\nargs = ['--verbose']\nenv = { 'MY.KEY' = 'sk-mine' }\n\
         [llamacpp]\nthreads = 2\nargs = ['--override-kv', 'tokenizer.ggml.add_bos_token=bool:false', '--no-webui']\n\
         env = { HF_TOKEN = 'sk-hf' }\nsampling.temperature = 0.7\n\
         [endpoint]\nurl = 'https://models.example.net'\nheaders = { X-Team = 'sk-header' }\n\
         headers_env = { X-Secret = 'MY_SECRET' }\n\
         [profiles.fast.llamacpp]\nbatch_size = 64\n[profiles.slow]\ncontext = 30000\n",
    );
    stage
}

const TYPED: [&str; 7] = ["--dry-run", "--backend", "llamacpp", "--profile=fast", "--model", "tiny.gguf", "--lean"];

#[test]
fn values_are_shown_with_their_sources() {
    messages!();
    let stage = stage();
    let shown = stage.output(&[&TYPED[..], &["-p", "hello world"]].concat()).expect(0).record().stdout;
    assert!(!shown.contains(SECRET) && !shown.contains("profiles.slow"), "{shown}");
    stage.assert_nothing_started();
}

#[test]
fn commands_are_broken_at_80_columns_and_can_be_pasted() {
    let stage = stage();
    let shown = stage.output(&[&TYPED[..], &["-p", "it's a long prompt that needs quotes", "x"]].concat()).expect(0);
    let rows: Vec<&str> = shown.stdout.lines().skip_while(|line| *line != "claude").skip(1).collect();
    let end = rows.iter().position(|row| !row.ends_with('\\')).expect("the end of the command");
    assert!(end > 0 && rows[..=end].iter().all(|row| row.chars().count() <= WIDTH), "{rows:#?}");
    let echo = format!("printf '%s\\n' {}", rows[..=end].join("\n").trim());
    let words = std::process::Command::new("sh").args(["-c", &echo]).output().expect("a shell").stdout;
    let words = String::from_utf8(words).expect("text");
    let json = stage.output(&[&TYPED[..], &["--json", "-p", "it's a long prompt that needs quotes", "x"]].concat());
    let json: Value = serde_json::from_str(&json.expect(0).stdout).expect("JSON");
    let arguments: Vec<&str> =
        json["claude"]["arguments"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(words.lines().skip(1).collect::<Vec<_>>(), arguments);
}

#[test]
fn json_has_settings_backend_and_claude() {
    let stage = stage();
    let project = stage.project().join(".lclaude.toml");
    fs::write(&project, "throwaway = false\n").expect("a project file");
    let ended = stage.output(&[&TYPED[..], &["--json", "-p", "hello"]].concat()).expect(0);
    assert!(!ended.stdout.contains(SECRET), "{}", ended.stdout);
    let shown: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let config = stage.home().join(".config/lclaude/config.toml").display().to_string();
    let setting = |key: &str| {
        let all = shown["settings"].as_array().expect("a list");
        all.iter().find(|setting| setting["key"] == key).cloned().unwrap_or_default()
    };
    for (key, value, source) in [
        ("backend", json!("llamacpp"), "--backend"),
        ("model", json!("tiny.gguf"), "--model"),
        ("lean", json!(true), "--lean"),
        ("context", json!(40_000), "LCLAUDE_CONTEXT"),
        ("profile", json!("fast"), "--profile"),
        ("throwaway", json!(false), &project.display().to_string()),
        ("llamacpp.threads", json!(2), &config),
        ("llamacpp.sampling.temperature", json!(0.7), &config),
        ("llamacpp.batch_size", json!(64), &format!("profile fast in {config}")),
        ("llamacpp.env.HF_TOKEN", json!("••••••••"), &config),
        ("claude.env.MY.KEY", json!("••••••••"), &config),
        ("claude.args", json!(["--verbose"]), &config),
        ("endpoint.headers.X-Team", json!("••••••••"), &config),
        ("endpoint.headers_env.X-Secret", json!("MY_SECRET"), &config),
    ] {
        assert_eq!(setting(key), json!({"key": key, "value": value, "source": source}));
    }
    assert_eq!(setting("profiles.slow.context"), Value::Null);

    let backend = &shown["backend"];
    assert_eq!((&backend["kind"], &backend["models"]), (&json!("llamacpp"), &json!(["tiny"])));
    assert_eq!((&backend["context"], &backend["url"]), (&json!(40_000), &json!("http://127.0.0.1:PORT")));
    assert_eq!(backend["program"], json!(stage.bin().join("llama-server")));
    assert_eq!(backend["environment"], json!({"HF_TOKEN": "••••••••"}));
    let has = |word: &str| backend["arguments"].as_array().expect("a list").contains(&json!(word));
    assert!(has("--temperature") && has("40000") && backend.get("memory").is_some(), "{backend:#}");

    let claude = &shown["claude"];
    assert_eq!(claude["program"], json!(stage.bin().join("claude")));
    assert!(claude["arguments"].as_array().expect("a list").ends_with(&[json!("-p"), json!("hello")]), "{claude:#}");
    assert_eq!(claude["environment"]["ANTHROPIC_BASE_URL"], "http://127.0.0.1:PORT");
    assert_eq!(claude["environment"]["MY.KEY"], "••••••••");
    assert_eq!(claude["removed"], json!(["ANTHROPIC_API_KEY"]));
    stage.assert_nothing_started();
}

#[test]
fn json_of_other_programs_and_commands() {
    let stage = Stage::new();
    let parsed = |arguments: &[&str]| -> Value {
        serde_json::from_str(&stage.output(arguments).expect(0).stdout).expect("JSON and nothing else on stdout")
    };
    let local = ["--backend", "llamacpp", "--model", "tiny.gguf", "--dry-run", "--json", "--", "claude", "--json"];
    let shown = parsed(&[&["local", "run"], &local[..]].concat());
    assert_eq!(shown["program"]["arguments"], json!(["--json"]));
    assert_eq!(shown["backend"]["kind"], "llamacpp");
    // A server that already runs has no program.
    stage.config("backend = 'endpoint'\nmodel = 'm'\n[endpoint]\nurl = 'https://models.example.net'\n");
    let shown = parsed(&["--dry-run", "--json", "-p", "x"]);
    assert_eq!(
        (&shown["backend"]["program"], &shown["backend"]["url"]),
        (&Value::Null, &json!("https://models.example.net"))
    );
    // Claude Code's commands need no backend.
    let ended = stage.output(&["--dry-run", "mcp", "list"]).expect(0);
    assert!(ended.stdout.contains("/claude mcp list\n") && ended.stdout.contains("\nno backend: "), "{}", ended.stdout);
    assert_eq!(ended.stderr, "");
    let shown = parsed(&["--dry-run", "--json", "mcp", "list"]);
    assert_eq!((&shown["backend"], &shown["claude"]["arguments"]), (&Value::Null, &json!(["mcp", "list"])));
    stage.assert_nothing_started();
}

#[test]
fn only_the_variables_of_the_user_are_masked() {
    let stage = Stage::ollama();
    stage.config("backend = 'ollama'\nmodel = 'small'\n[ollama]\nenv = { HTTPS_PROXY = 'http://me:sk-1@proxy' }\n");
    let shown: Value = serde_json::from_str(&stage.output(&["--dry-run", "--json"]).expect(0).stdout).expect("JSON");
    let environment = &shown["backend"]["environment"];
    for (name, value) in [
        ("OLLAMA_HOST", "127.0.0.1:PORT"),
        ("OLLAMA_NOPRUNE", "1"),
        ("OLLAMA_CONTEXT_LENGTH", "65536"),
        ("HTTPS_PROXY", "••••••••"),
    ] {
        assert_eq!(environment[name], value, "{environment:#}");
    }
}

#[test]
fn json_requires_a_dry_run() {
    messages!();
    let stage = Stage::new();
    for arguments in [
        &["--json"][..],
        &["--json", "--model", "x", "-p", "two words"],
        &["--backend", "llamacpp", "--json", "mcp", "list"],
        &["local", "run", "--json", "--", "true"],
    ] {
        stage.output(arguments).expect_failure(64);
    }
    stage.assert_nothing_started();
}
