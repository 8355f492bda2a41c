//! Prompts and credentials go only to the backend, whatever the environment contains, and no global state changes.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use support::{
    Stage, Value, finish, json, messages,
    system::command_line,
    told::{overlay_env, session, value},
};

/// The child's variables, except address, key and tiers.
const CONSTANT: &[(&str, &str)] = &[
    ("ANTHROPIC_MODEL", "sonnet"),
    ("CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST", "1"),
    ("CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS", "1"),
    ("CLAUDE_CODE_MODEL_CAPABILITIES", "-mid_conv_system,-mid_conv_tool_change,-adaptive_thinking,-effort"),
    ("CLAUDE_CODE_DISABLE_THINKING", "1"),
    ("CLAUDE_CODE_DISABLE_1M_CONTEXT", "1"),
    ("CLAUDE_CODE_MAX_CONTEXT_TOKENS", "65536"),
    ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", "8192"),
    ("CLAUDE_CODE_ATTRIBUTION_HEADER", "0"),
    ("CLAUDE_CODE_TOTAL_TOKENS_REMINDER", "off"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL", "1"),
    ("CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP", "1"),
    ("CLAUDE_CODE_RESUME_HINT_COMMAND", "lclaude"),
    ("DISABLE_INSTALLATION_CHECKS", "1"),
    ("CLAUDE_CODE_ENABLE_AWAY_SUMMARY", "0"),
    ("CLAUDE_CODE_FOOTER_INDICATOR", "local"),
    ("CLAUDE_CODE_DISABLE_CRON", "1"),
    ("CLAUDE_CODE_DISABLE_WORKFLOWS", "1"),
    ("CLAUDE_CODE_DISABLE_AGENT_VIEW", "1"),
    ("CLAUDE_STREAM_IDLE_TIMEOUT_MS", "1800000"),
    ("API_TIMEOUT_MS", "3600000"),
    ("NO_PROXY", "127.0.0.1,localhost"),
    ("no_proxy", "127.0.0.1,localhost"),
];

const TIERS: [&str; 4] = ["OPUS", "SONNET", "HAIKU", "FABLE"];

/// Variables that would send requests, credentials or prompts elsewhere, and that settings files can set too.
const HIJACKERS: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_BETAS",
    "ANTHROPIC_PROFILE",
    "ANTHROPIC_CONFIG_DIR",
    "ANTHROPIC_FEDERATION_RULE_ID",
    "ANTHROPIC_ORGANIZATION_ID",
    "ANTHROPIC_WORKSPACE_ID",
    "ANTHROPIC_UNIX_SOCKET",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_BEDROCK_MANTLE_BASE_URL",
    "ANTHROPIC_VERTEX_BASE_URL",
    "ANTHROPIC_VERTEX_PROJECT_ID",
    "ANTHROPIC_FOUNDRY_API_KEY",
    "ANTHROPIC_FOUNDRY_BASE_URL",
    "ANTHROPIC_AWS_BASE_URL",
    "ANTHROPIC_GOOGLE_CLOUD_BASE_URL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_CUSTOM_MODEL_OPTION",
    "AWS_BEARER_TOKEN_BEDROCK",
    "CLOUD_ML_REGION",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_MANTLE",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_API_BASE_URL",
    "CLAUDE_CODE_GB_BASE_URL",
    "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL_FORCE",
    "CLAUDE_CODE_WORKFLOW_SUBAGENT_MODEL",
    "CLAUDE_CODE_AUTO_MODE_MODEL",
    "CLAUDE_CODE_EXTRA_BODY",
    "CLAUDE_CODE_ENABLE_TELEMETRY",
    "CLAUDE_CODE_REMOTE",
    "CLAUDE_CODE_REMOTE_ENVIRONMENT_TYPE",
    "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY",
    "CLAUDE_CODE_ENABLE_TOKEN_USAGE_ATTACHMENT",
    "CLAUDE_CODE_SIMULATE_PROXY_USAGE",
    "OTEL_LOGS_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_TRACES_EXPORTER",
    "OTEL_LOG_USER_PROMPTS",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
];

/// More hijackers: variables that another Claude Code passes to its children, and names with the same prefixes.
const INHERITED: &[&str] = &[
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_REMOTE_SESSION_ID",
    "CLAUDE_CODE_SESSION_ACCESS_TOKEN",
    "CLAUDE_CODE_SKIP_BEDROCK_AUTH",
    "CLAUDE_CODE_SKIP_VERTEX_AUTH",
    "CLAUDE_CODE_HOST_HTTP_PROXY_PORT",
    "CLAUDE_CODE_OAUTH_REFRESH_TOKEN",
    "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR",
    "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR",
    "CLAUDE_CODE_USE_A_CLOUD_OF_TOMORROW",
    "ANTHROPIC_BEDROCK_SERVICE_TIER",
    "ANTHROPIC_MODEL_OF_TOMORROW",
    "OTEL_SERVICE_NAME",
];

const HOSTILE: &str = "hostile-value";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn child_gets_all_variables_in_environment_and_overlay() {
    let stage = Stage::new();
    let (claude, backend) = session(&stage, &[]);
    let overlay = overlay_env(&claude);
    let mut table: BTreeMap<String, String> =
        CONSTANT.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    table.insert("ANTHROPIC_BASE_URL".into(), format!("http://127.0.0.1:{}", value(&backend, "--port")));
    table.insert("ANTHROPIC_AUTH_TOKEN".into(), backend.env["LLAMA_API_KEY"].clone());
    for tier in TIERS {
        for name in ["MODEL", "MODEL_NAME"] {
            table.insert(format!("ANTHROPIC_DEFAULT_{tier}_{name}"), "tiny".into());
        }
        let description = format!("ANTHROPIC_DEFAULT_{tier}_MODEL_DESCRIPTION");
        let words = "on this machine, by llamacpp; a context of 65536 tokens granted, 65536 requested";
        assert!(claude.env[&description].starts_with(words), "{}", claude.env[&description]);
        table.insert(description.clone(), claude.env[&description].clone());
    }
    // In the session's private directory.
    let requests = &claude.env["OTEL_LOG_RAW_API_BODIES"];
    assert!(requests.starts_with(&format!("file:{}/", stage.runtime().display())), "{requests}");
    table.insert("OTEL_LOG_RAW_API_BODIES".into(), requests.clone());
    for (name, value) in &table {
        assert_eq!(claude.env.get(name), Some(value), "{name} in the environment");
        assert_eq!(overlay.get(name), Some(value), "{name} in the overlay");
    }
    // There are no other variables.
    let known = |name: &str| {
        let own = [
            "HOME",
            "PATH",
            "TERM",
            "NO_COLOR",
            "PAGER",
            "XDG_RUNTIME_DIR",
            "XDG_CACHE_HOME",
            "CLAUDE_CODE_TMPDIR",
            "FAKE_EVENTS",
            "LCLAUDE_DEPTH",
            "USUAL_LCLAUDE_PLACES",
        ];
        table.contains_key(name) || own.contains(&name)
    };
    assert_eq!(claude.env.keys().find(|name| !known(name)), None);
    assert_eq!(overlay.iter().find(|(name, value)| !known(name) && !value.is_empty()), None);
}

#[test]
fn key_is_long_and_new_in_each_session() {
    let stage = Stage::new();
    let keys = [(); 2].map(|()| session(&stage, &[]).0.env["ANTHROPIC_AUTH_TOKEN"].clone());
    assert!(keys.iter().all(|key| key.len() >= 32), "{keys:?}");
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn inherited_hijackers_do_not_reach_the_child() {
    let mut stage = Stage::new();
    for name in HIJACKERS.iter().chain(INHERITED) {
        stage.set(name, HOSTILE);
    }
    // lclaude replaces the values of these.
    for (name, _) in CONSTANT.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("no_proxy")) {
        stage.set(name, HOSTILE);
    }
    for name in ["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_DEFAULT_OPUS_MODEL"] {
        stage.set(name, HOSTILE);
    }
    let (claude, _) = session(&stage, &[]);
    assert_eq!(claude.env.iter().find(|(_, value)| *value == HOSTILE), None);
    for (name, value) in CONSTANT {
        assert_eq!(claude.env[*name], *value, "{name}");
    }
}

#[test]
fn overlay_neutralizes_hijackers_in_settings_files() {
    let stage = Stage::new();
    let (claude, _) = session(&stage, &[]);
    let overlay = overlay_env(&claude);
    let left: Vec<&&str> = HIJACKERS.iter().filter(|name| overlay.get(**name).is_none_or(|v| !v.is_empty())).collect();
    assert!(left.is_empty(), "not neutralized: {left:?}");
}

#[test]
fn settings_option_cannot_restore_a_hijacker() {
    let stage = Stage::new();
    let names = HIJACKERS.iter().chain(INHERITED).chain(&["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"]);
    let env: BTreeMap<&str, &str> = names.map(|name| (*name, HOSTILE)).collect();
    let (claude, _) = session(&stage, &["--settings", &json!({"env": env, "apiKeyHelper": "echo key"}).to_string()]);
    let overlay = overlay_env(&claude);
    assert_eq!(overlay.iter().find(|(_, value)| *value == HOSTILE), None);
    assert_eq!(claude.settings["apiKeyHelper"], Value::Null);
}

#[test]
fn configured_variables_cannot_restore_a_hijacker() {
    messages!();
    for name in ["ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "ANTHROPIC_BASE_URL", "OTEL_LOGS_EXPORTER"] {
        let stage = Stage::new();
        stage.config(&format!("[claude.env]\nMINE = '1'\n{name} = '{HOSTILE}'\n"));
        let ended = stage.output(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]);
        let ended = ended.expect_failure(65);
        assert!(!ended.stderr.contains(HOSTILE), "{}", ended.stderr);
    }
    let stage = Stage::new();
    stage.config("[claude.env]\nMINE = '1'\nAPI_TIMEOUT_MS = '1'\n");
    let (claude, _) = session(&stage, &[]);
    assert_eq!((claude.env["MINE"].as_str(), claude.env["API_TIMEOUT_MS"].as_str()), ("1", "3600000"));
}

#[test]
fn other_user_variables_are_kept() {
    let mut stage = Stage::new();
    let own = [
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_REGION", "eu-central-1"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/a/file"),
        ("CLAUDE_CONFIG_DIR", "/a/directory"),
        ("EDITOR", "vi"),
        ("EMPTY", ""),
    ];
    for (name, value) in own {
        stage.set(name, value);
    }
    let (claude, _) = session(&stage, &[]);
    for (name, value) in own {
        assert_eq!(claude.env.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(claude.cwd, stage.project().display().to_string());
}

#[test]
fn loopback_is_added_to_no_proxy() {
    let ours = "127.0.0.1,localhost";
    for (upper, lower, expected) in [
        (Some("corp.example,10.0.0.0/8"), None, ["corp.example,10.0.0.0/8"; 2]),
        (None, Some("corp.example"), ["corp.example"; 2]),
        (Some("upper"), Some("lower"), ["upper", "lower"]),
        (Some("upper"), Some("upper"), ["upper"; 2]),
    ] {
        let mut stage = Stage::new();
        for (name, value) in [("NO_PROXY", upper), ("no_proxy", lower)] {
            if let Some(value) = value {
                stage.set(name, value);
            }
        }
        let (claude, _) = session(&stage, &[]);
        for (name, expected) in [("NO_PROXY", expected[0]), ("no_proxy", expected[1])] {
            assert_eq!(claude.env[name], format!("{expected},{ours}"), "{name} of {upper:?} and {lower:?}");
            assert_eq!(overlay_env(&claude)[name], claude.env[name], "{name}");
        }
    }
}

#[test]
fn overlay_is_private_and_removed_with_the_session() {
    let stage = Stage::new();
    // A directory that others can read is made private first.
    fs::create_dir(stage.runtime()).expect("a directory");
    fs::set_permissions(stage.runtime(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let (session, claude, _backend) = stage.running();
    let overlay = PathBuf::from(claude.settings_path.as_ref().expect("a file"));
    assert_eq!(claude.settings_mode.as_deref(), Some("600"));
    let directory = overlay.parent().expect("a directory");
    assert_eq!(directory.parent(), Some(&*stage.runtime()));
    assert_eq!((mode(directory), mode(&stage.runtime())), (0o700, 0o700));
    assert!(overlay.exists());
    finish(session, &claude);
    assert!(!overlay.exists() && !directory.exists());
}

#[test]
fn overlay_has_settings_that_variables_cannot_set() {
    let stage = Stage::new();
    let (claude, _) = session(&stage, &[]);
    let settings = &claude.settings;
    assert_eq!(settings["permissions"]["disableAutoMode"], "disable");
    assert_eq!(settings["skipWebFetchPreflight"], true);
    let announcements = settings["companyAnnouncements"].as_array().expect("a list");
    assert_eq!(announcements, &[json!("local: tiny on llamacpp, 65k context")]);
    // A teammate in a tmux pane would have no token.
    assert_eq!(settings["teammateMode"], "in-process");
}

/// Claude Code takes the session's model for a name in an agent, skill or command that isn't available.
#[test]
fn only_models_of_the_backend_are_available() {
    let typed =
        r#"{"availableModels": ["haiku"], "modelOverrides": {"claude-opus-5": "x"}, "modelPicker": {"options": []}}"#;
    let stage = Stage::new();
    let (claude, _) = session(&stage, &["--settings", typed]);
    let settings = &claude.settings;
    assert_eq!(settings["availableModels"], json!(["tiny"]));
    assert_eq!(settings["modelOverrides"], Value::Null);
    let options = settings["modelPicker"]["options"].as_array().expect("rows");
    assert_eq!(settings["modelPicker"]["replaceBuiltInOptions"], true);
    assert_eq!((options.len(), &options[0]["model"], &options[0]["label"]), (1, &json!("opus"), &json!("tiny")));
}

#[test]
fn key_does_not_leak() {
    let mut stage = Stage::new();
    stage.set("LCLAUDE_LOG", "trace");
    let (session, claude, backend) = stage.running();
    let token = claude.env["ANTHROPIC_AUTH_TOKEN"].clone();
    // The private overlay contains it.
    assert_eq!(claude.settings["env"]["ANTHROPIC_AUTH_TOKEN"], token.as_str());
    for pid in [session.pid(), stage.keeper(), backend.pid, claude.pid] {
        let line = command_line(pid);
        assert!(!line.is_empty() && !line.contains(&token), "{line}");
        // The plan contains variables, so the keeper's command line must not show it.
        assert!(!line.contains("tiny.gguf") || pid != stage.keeper(), "{line}");
    }
    // A new keeper needs it if this one is killed.
    let record = stage.runtime_files("json").pop().expect("a record");
    assert!(fs::read_to_string(&record).expect("text").contains(&token));
    assert_eq!((mode(&record), mode(&stage.runtime())), (0o600, 0o700));
    // Requests are logged, and the end of the log is shown after a crash.
    claude.send(json!({"do": "request", "path": "/v1/messages", "body": {"messages": []}}));
    assert_eq!(claude.wait_event("response")["status"], 200);
    let ended = finish(session, &claude);
    assert!(!ended.stderr.contains(&token) && !ended.stdout.contains(&token), "{ended:#?}");
    assert!(!fs::read_to_string(&record).expect("text").contains(&token), "nobody needs it any more");

    let state = stage.home().join(".local/state/lclaude");
    let backends = files(&state.join("logs")).into_iter().map(|log| (log, "listening on"));
    let logs: Vec<(PathBuf, &str)> = backends.chain([(state.join("lclaude.log"), "backend ready")]).collect();
    assert_eq!(logs.len(), 2);
    for (log, words) in logs {
        let text = fs::read_to_string(&log).expect("text");
        assert!(text.contains(words) && !text.contains(&token), "{text}");
        assert_eq!(mode(&log), 0o600);
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn backend_gets_no_credentials_or_foreign_options() {
    let mut stage = Stage::new();
    for name in [
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_ANYTHING",
        "CLAUDECODE",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CONFIG_DIR",
        "LCLAUDE_PROFILE_OF_TOMORROW",
        // Each of these sets an option or the keys of llama-server.
        "LLAMA_API_KEY",
        "LLAMA_ARG_HOST",
        "LLAMA_ARG_CTX_SIZE",
        "LLAMA_ARG_OF_TOMORROW",
        "LLAMA_SERVER_ROUTER_PORT",
        "AIP_HTTP_PORT",
    ] {
        stage.set(name, HOSTILE);
    }
    stage.set("LCLAUDE_CONTEXT", 40_000).set("CUDA_VISIBLE_DEVICES", "0").set("HF_TOKEN", "theirs");
    let (claude, backend) = session(&stage, &[]);
    assert_eq!(backend.env.iter().find(|(_, value)| *value == HOSTILE), None);
    let foreign = |name: &&String| {
        ["ANTHROPIC_", "CLAUDE", "LCLAUDE_", "LLAMA_ARG_"].iter().any(|prefix| name.starts_with(prefix))
    };
    assert_eq!(backend.env.keys().find(foreign), None);
    assert_eq!(backend.env["LLAMA_API_KEY"], claude.env["ANTHROPIC_AUTH_TOKEN"]);
    assert_eq!((&*backend.env["CUDA_VISIBLE_DEVICES"], &*backend.env["HF_TOKEN"]), ("0", "theirs"));
}

#[test]
fn home_directory_is_unchanged() {
    let stage = Stage::new();
    let home = stage.home();
    for (file, text) in [
        (
            ".claude/settings.json",
            r#"{"env": {"ANTHROPIC_BASE_URL": "http://192.0.2.1", "ANTHROPIC_AUTH_TOKEN": "t", "OTEL_LOGS_EXPORTER": "otlp"},
                "model": "claude-opus-4-5", "apiKeyHelper": "echo key", "availableModels": ["haiku"]}"#,
        ),
        (".claude/.credentials.json", r#"{"claudeAiOauth": {"accessToken": "secret"}}"#),
        (".claude.json", r#"{"env": {"ANTHROPIC_API_KEY": "k"}, "hasCompletedOnboarding": true}"#),
        (".bashrc", "export EDITOR=vi\n"),
        (".profile", ""),
    ] {
        let path = home.join(file);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    stage.config("backend = 'llamacpp'\nmodel = '../../../project/tiny.gguf'\n");
    let before = stage.home_files();
    assert!(before.len() == 6, "{before:?}");

    let (session, claude, _backend) = stage.started(&mut stage.lclaude(&["--settings", "{}", "-p", "x"]));
    assert_eq!(stage.home_files(), before, "while it runs");
    assert_eq!(overlay_env(&claude)["OTEL_LOGS_EXPORTER"], "");
    finish(session, &claude);
    assert_eq!(stage.home_files(), before);
    stage.output(&["--backend", "nonsense"]).expect(64);
    assert_eq!(stage.home_files(), before, "after a failure");
}
