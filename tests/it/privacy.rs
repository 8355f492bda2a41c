//! `lclaude local doctor --privacy`: where requests go, what is switched off and what stays on disk.

use std::{collections::BTreeSet, fs, io::ErrorKind, net::TcpListener, os::unix::fs::symlink};

use support::{Stage, Value, finish, lclaude, repository};

const LOCAL: [&str; 4] = ["--backend", "llamacpp", "--model", "tiny.gguf"];

fn report(stage: &Stage, arguments: &[&str]) -> Value {
    let all = [&["local", "doctor", "--privacy", "--json"], arguments].concat();
    serde_json::from_str(&stage.output(&all).expect(0).stdout).expect("JSON and nothing else on stdout")
}

/// The check of an area and a name.
fn check<'a>(report: &'a Value, area: &str, name: &str) -> &'a Value {
    let all = report["checks"].as_array().expect("a list");
    all.iter().find(|check| check["area"] == area && check["name"] == name).unwrap_or_else(|| panic!("{report:#}"))
}

/// The commands that show connections differ between systems.
#[cfg(target_os = "linux")]
#[test]
fn privacy_report_shows_each_line_with_its_check() {
    support::messages!();
    let mut stage = Stage::new();
    stage.set("ANTHROPIC_API_KEY", "sk-inherited").set("OTEL_LOGS_EXPORTER", "otlp");
    let home = stage.home_files();
    let ended = stage.output(&[&["local", "doctor", "--privacy"], &LOCAL[..]].concat()).expect(0).record();
    assert!(!ended.stdout.contains("sk-inherited"), "{}", ended.stdout);
    assert_eq!(stage.home_files(), home);
    stage.assert_nothing_started();
}

#[test]
fn code_that_leaves_the_machine_is_a_warning() {
    let stage = Stage::new();
    let local = report(&stage, &LOCAL);
    assert_eq!(check(&local, "requests", "backend")["state"], "ok");
    assert!(check(&local, "requests", "access")["found"].to_string().contains("random key"));
    stage.config("backend = 'endpoint'\nmodel = 'm'\n[endpoint]\nurl = 'https://models.example.net'\n");
    let remote = report(&stage, &[]);
    let backend = check(&remote, "requests", "backend");
    assert_eq!(backend["state"], "warning", "{backend:#}");
    assert!(backend["found"].to_string().contains("https://models.example.net"), "{backend:#}");
    assert_eq!(backend["help"][0], "lclaude --dry-run");
}

/// Only the server knows the model, and the report doesn't ask it.
#[test]
fn url_without_a_model_is_shown_alone() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    for config in ["", "backend = 'llamacpp'\nmodel = 'tiny.gguf'\n"] {
        stage.config(config);
        let report = report(&stage, &["--url", &url]);
        let backend = check(&report, "requests", "backend");
        let found = backend["found"].as_str().expect("a text");
        assert!(found.starts_with(&format!("prompts go to {url}, on this machine")), "{found}");
        assert_eq!(
            (&backend["state"], &backend["help"][0]),
            (&"ok".into(), &format!("lclaude --url {url} --dry-run").into())
        );
    }
    assert_eq!(listener.accept().expect_err("no connection").kind(), ErrorKind::WouldBlock);
    let report = report(&stage, &["--url", "https://models.example.net"]);
    let backend = check(&report, "requests", "backend");
    assert_eq!(backend["found"], "prompts go to https://models.example.net, on another machine");
    assert_eq!(backend["state"], "warning");
}

#[test]
fn checks_have_the_given_options_and_the_directory_of_claude_code() {
    let mut stage = Stage::new();
    let directory = stage.root().join("claude of mine");
    stage.set("CLAUDE_CONFIG_DIR", directory.display());
    let report = report(&stage, &LOCAL);
    let helps =
        report["checks"].as_array().expect("a list").iter().flat_map(|check| check["help"].as_array().expect("a list"));
    let helps: Vec<&str> = helps.filter_map(Value::as_str).collect();
    let own = |end: &str| {
        let help = helps.iter().find(|help| help.contains(end)).unwrap_or_else(|| panic!("{end}: {helps:#?}"));
        &help[help.find("lclaude").expect("a command of lclaude")..]
    };
    let session = format!("lclaude {}", LOCAL.join(" "));
    assert!(own(" --throwaway -p hi").starts_with(&session));
    assert!(own(" --disallowedTools").starts_with(&session));
    // Claude Code lists its servers without a model.
    assert_eq!(own(" mcp list"), "lclaude --backend llamacpp mcp list");
    assert!(!helps.iter().any(|help| help.contains(".claude/projects") || help.contains("~/")), "{helps:#?}");
    for file in ["settings.json", "projects", "history.jsonl"] {
        let quoted = format!("'{}'", directory.join(file).display());
        assert!(helps.iter().any(|help| help.contains(&quoted)), "{quoted}: {helps:#?}");
    }
}

#[test]
fn report_without_a_backend_says_why_and_goes_on() {
    let stage = Stage::bare();
    let all = ["local", "doctor", "--privacy", "--json", "--backend", "llamacpp", "--model", "tiny.gguf"];
    let report: Value = serde_json::from_str(&stage.output(&all).expect(1).stdout).expect("JSON");
    assert_eq!(check(&report, "requests", "backend")["state"], "failure");
    assert_eq!(check(&report, "off", "telemetry")["state"], "ok");
    stage.config("contxt = 3\n");
    let report: Value = serde_json::from_str(&stage.output(&all).expect(1).stdout).expect("JSON");
    assert_eq!(check(&report, "configuration", "file")["state"], "failure");
}

#[test]
fn names_are_unique() {
    let report = report(&Stage::new(), &LOCAL);
    let all = report["checks"].as_array().expect("a list");
    let names: BTreeSet<String> = all.iter().map(|check| format!("{}/{}", check["area"], check["name"])).collect();
    assert_eq!(names.len(), all.len(), "{names:?}");
}

/// What the report calls switched off is what a session gets.
#[test]
fn switched_off_variables_are_those_of_a_session() {
    let mut stage = Stage::new();
    stage.set("OTEL_LOGS_EXPORTER", "otlp").set("ANTHROPIC_BEDROCK_BASE_URL", "https://example.net");
    let (session, claude, _) = stage.started(stage.lclaude(&LOCAL).args(["-p", "x"]));
    finish(session, &claude);
    let report = report(&stage, &LOCAL);
    for name in ["telemetry", "marketplace"] {
        let help = check(&report, "off", name)["help"][0].as_str().expect("a command").to_owned();
        let (variable, value) = help.rsplit(' ').next().and_then(|word| word.split_once('=')).expect("a variable");
        assert_eq!(claude.env.get(variable).map(String::as_str), Some(value), "{name}");
    }
    for (group, variable) in [("own telemetry", "OTEL_LOGS_EXPORTER"), ("providers", "ANTHROPIC_BEDROCK_BASE_URL")] {
        let found = check(&report, "off", group)["found"].as_str().expect("a text").to_owned();
        assert!(found.ends_with(&format!("set here: {variable}")), "{found}");
        assert!(!claude.env.contains_key(variable), "{variable}");
    }
}

/// The checks of the report that start nothing are run, and show what the report says.
#[test]
fn checks_show_what_the_report_says() {
    let stage = Stage::new();
    symlink(lclaude(), stage.bin().join("lclaude")).expect("a link");
    let report = report(&stage, &LOCAL);
    let mut ran = 0;
    for check in report["checks"].as_array().expect("a list") {
        for help in check["help"].as_array().expect("a list").iter().filter_map(Value::as_str) {
            if !help.contains(" --dry-run") || help.contains("'^  - '") {
                continue;
            }
            let mut shell = stage.command("sh");
            let ended = stage.ended(shell.args(["-c", help])).expect(0);
            assert!(!ended.stdout.is_empty(), "{help}");
            ran += 1;
        }
    }
    assert!(ran >= 5, "{report:#}");
}

#[test]
fn sizes_are_those_of_the_files() {
    let stage = Stage::new();
    let projects = stage.home().join(".claude/projects/x");
    fs::create_dir_all(&projects).expect("a directory");
    fs::write(projects.join("a.jsonl"), vec![b'x'; 3_000_000]).expect("a file");
    symlink(repository(), projects.join("link")).expect("a link");
    let report = report(&stage, &LOCAL);
    let history = check(&report, "disk", "history")["found"].as_str().expect("a text").to_owned();
    assert!(history.ends_with(".claude/projects, 3 MB"), "{history}");
    assert!(check(&report, "disk", "snapshots")["found"].to_string().contains("nothing yet"));
    // The logs have a line of their own.
    let logs = stage.home().join(".local/state/lclaude/logs");
    fs::create_dir_all(&logs).expect("a directory");
    fs::write(logs.join("server.log"), vec![b'x'; 2_000_000]).expect("a file");
    fs::write(logs.with_file_name("trust.json"), vec![b'x'; 4_000]).expect("a file");
    let report = self::report(&stage, &LOCAL);
    let found = |name| check(&report, "disk", name)["found"].as_str().expect("a text");
    assert!(found("server logs").ends_with("/logs, 2 MB"), "{}", found("server logs"));
    for name in ["history", "server logs", "state"] {
        let help = check(&report, "disk", name)["help"][0].as_str().expect("a command");
        let listed = stage.ended(stage.command("sh").args(["-c", help])).expect(0).stdout;
        assert!(help.starts_with("du -sh ") && listed.contains('/'), "{help}: {listed}");
    }
    assert!(found("state").ends_with("lclaude, 4 kB"), "{}", found("state"));
}
