//! `lclaude local doctor`: each test makes a problem, checks the diagnosis and runs the suggested fix. For problems of
//! backends, see `doctor_backends.rs`.

use std::{fs, os::unix::fs::symlink};

use support::{
    Stage, Value,
    doctor::{
        EDIT_CONFIG, HEALTHY, MakeStage, Problem, assert_fixes, assert_unique_checks, check_text, configured,
        find_check, not_executable, problems, repairable, with_variable, write_file,
    },
    json,
    machine::needs_no_ollama,
    messages,
};

const INSTALL_CLAUDE: &str = "npm install -g @anthropic-ai/claude-code";

#[test]
fn healthy_machine_passes_and_stays_unchanged() {
    let stage = Stage::healthy();
    let before = stage.home_files();
    let (ended, report) = stage.doctor("");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{:#?}", problems(&report));
    assert_eq!(problems(&report), Vec::<&Value>::new());
    assert_eq!((&report["format"], &report["ok"], &report["failures"]), (&json!(1), &json!(true), &json!(0)));
    assert_eq!(find_check(&report, "claude", "version")["found"], "2.1.331");
    assert_eq!(find_check(&report, "backends", "model")["found"], stage.expand_paths("tiny from @PROJECT/tiny.gguf"));
    assert_eq!(stage.home_files(), before);
    assert!(!stage.home().join(".local").exists() && !stage.runtime().exists(), "doctor created a directory");
    stage.assert_nothing_started();
}

#[test]
fn checks_have_unique_names_and_documented_fields() {
    let stage = Stage::healthy();
    let (_, report) = stage.doctor("");
    assert_unique_checks(&report);
    for check in report["checks"].as_array().expect("a list") {
        let keys: Vec<&String> = check.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["area", "name", "state", "found", "why", "log", "help"]);
    }
}

#[test]
fn text_report_shows_problems_and_fixes() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let mut stage = Stage::healthy_without(&["claude"]);
    stage.set("LCLAUDE_MODLE", "x").set("OLLAMA_HOST", "127.0.0.1:1");
    let ended = stage.output(&["local", "doctor"]).expect(1);
    assert_eq!(ended.stderr, "");
    ended.record();
}

#[test]
fn missing_or_broken_claude_code_is_diagnosed() {
    messages!();
    assert_fixes(
        &[
            Problem {
                name: "not installed",
                stage: || {
                    let stage = Stage::healthy_without(&["claude"]);
                    stage.installer("npm", "fake-claude", "claude");
                    stage
                },
                check: ("claude", "program", "failure"),
                fix: INSTALL_CLAUDE,
                edited: "",
            },
            Problem {
                name: "claude is a link to lclaude",
                stage: || {
                    let stage = Stage::healthy_without(&["claude"]);
                    symlink(support::lclaude(), stage.bin().join("claude")).expect("a link");
                    stage.installer("npm", "fake-claude", "claude");
                    stage
                },
                check: ("claude", "program", "failure"),
                fix: INSTALL_CLAUDE,
                edited: "",
            },
            Problem {
                name: "configured path does not exist",
                stage: || configured(&format!("{HEALTHY}[claude]\npath = \"/nowhere/claude\"\n")),
                check: ("claude", "program", "failure"),
                fix: EDIT_CONFIG,
                edited: HEALTHY,
            },
            Problem {
                name: "not executable",
                stage: || {
                    let config = format!("{HEALTHY}[claude]\npath = \"@ROOT/mine\"\n");
                    not_executable(&config, "mine", "echo '2.1.331 (Claude Code)'")
                },
                check: ("claude", "program", "failure"),
                fix: "chmod +x @ROOT/mine",
                edited: "",
            },
            Problem {
                name: "broken",
                stage: || repairable("claude", "echo 'no such library' >&2; exit 127", "npm"),
                check: ("claude", "version", "failure"),
                fix: INSTALL_CLAUDE,
                edited: "",
            },
            Problem {
                name: "built for another processor",
                stage: || repairable("claude", "kill -ILL $$", "npm"),
                check: ("claude", "version", "failure"),
                fix: INSTALL_CLAUDE,
                edited: "",
            },
            Problem {
                name: "prints no version",
                stage: || repairable("claude", "echo hello", "npm"),
                check: ("claude", "version", "warning"),
                fix: INSTALL_CLAUDE,
                edited: "",
            },
            Problem {
                name: "too old",
                stage: || {
                    let stage = Stage::healthy();
                    let now =
                        "test \"$1\" = update && echo '#!/bin/sh\necho 2.1.331' > \"$0\" || echo '2.0.9 (Claude Code)'";
                    stage.script("claude", now);
                    stage
                },
                check: ("claude", "version", "warning"),
                fix: "@BIN/claude update",
                edited: "",
            },
        ],
        "",
    );
}

#[test]
fn settings_that_break_sessions_are_diagnosed() {
    messages!();
    assert_fixes(
        &[
            Problem {
                name: "[claude] env with a routing variable",
                stage: || configured(&format!("{HEALTHY}[claude.env]\nANTHROPIC_BASE_URL = \"http://x\"\n")),
                check: ("claude", "own settings", "failure"),
                fix: EDIT_CONFIG,
                edited: HEALTHY,
            },
            Problem {
                name: "[claude] args with a model",
                stage: || configured(&format!("{HEALTHY}[claude]\nargs = [\"--model\", \"mine\"]\n")),
                check: ("claude", "own settings", "failure"),
                fix: EDIT_CONFIG,
                edited: HEALTHY,
            },
            Problem {
                name: "user settings are not valid JSON",
                stage: || {
                    let stage = Stage::healthy();
                    write_file(&stage, "home/.claude/settings.json", "{");
                    stage
                },
                check: ("claude", "settings files", "warning"),
                fix: "${EDITOR:-vi} @HOME/.claude/settings.json",
                edited: "{}",
            },
            Problem {
                name: "user settings path is a directory",
                stage: || {
                    let stage = Stage::healthy();
                    fs::create_dir_all(stage.home().join(".claude/settings.json")).expect("a directory");
                    stage
                },
                check: ("claude", "settings files", "warning"),
                fix: "mv @HOME/.claude/settings.json @HOME/.claude/settings.json.old",
                edited: "",
            },
            Problem {
                name: "variable that the overlay cannot override",
                stage: || {
                    let stage = Stage::healthy();
                    write_file(
                        &stage,
                        "project/.claude/settings.json",
                        r#"{"env": {"CLAUDE_CODE_USE_NEWCLOUD": "1"}}"#,
                    );
                    stage
                },
                check: ("claude", "settings files", "warning"),
                fix: "${EDITOR:-vi} @PROJECT/.claude/settings.json",
                edited: "{}",
            },
        ],
        "",
    );
}

#[test]
fn invalid_configuration_is_diagnosed() {
    messages!();
    let stages: [MakeStage; 9] = [
        || configured("backend = \n"),
        || configured("modle = \"x\"\n"),
        || configured("backend = \"olama\"\n"),
        || configured(&format!("context = 5\n{HEALTHY}")),
        || configured("[llamacpp]\ngguf = \"x.gguf\"\nhf = \"a/b\"\n"),
        || configured(&format!("{HEALTHY}[claude]\nmax_output_tokens = 0\n")),
        || configured(&format!("{HEALTHY}[llamacpp.env]\n\"A=B\" = \"x\"\n")),
        || {
            let stage = Stage::healthy();
            fs::write(stage.config(""), b"model = \"\xff\"").expect("a file");
            stage
        },
        || configured(&"#".repeat(2_000_000)),
    ];
    for stage in stages {
        let check = ("configuration", "file", "failure");
        assert_fixes(&[Problem { name: "invalid configuration", stage, check, fix: EDIT_CONFIG, edited: HEALTHY }], "");
    }
    assert_fixes(
        &[
            Problem {
                name: "configuration path is a directory",
                stage: || {
                    let stage = Stage::healthy();
                    let file = stage.config("");
                    fs::remove_file(&file).and_then(|()| fs::create_dir(file)).expect("a directory");
                    stage
                },
                check: ("configuration", "file", "failure"),
                fix: "mv @HOME/.config/lclaude/config.toml @HOME/.config/lclaude/config.toml.old",
                edited: "",
            },
            Problem {
                name: "context too small for Claude Code",
                stage: || configured(&format!("context = 8000\n{HEALTHY}")),
                check: ("configuration", "context", "failure"),
                fix: EDIT_CONFIG,
                edited: HEALTHY,
            },
        ],
        "--model tiny.gguf --backend llamacpp",
    );
}

#[test]
fn invalid_variables_are_diagnosed() {
    messages!();
    let stages: [(MakeStage, &str, &str, &str); 6] = [
        (|| with_variable("LCLAUDE_CONTEXT", "many"), "file", "failure", "unset LCLAUDE_CONTEXT"),
        (|| with_variable("LCLAUDE_BACKEND", "olama"), "file", "failure", "unset LCLAUDE_BACKEND"),
        (|| with_variable("LCLAUDE_PROFILE", "none"), "file", "failure", "unset LCLAUDE_PROFILE"),
        (|| with_variable("LCLAUDE_MODLE", "x"), "variables", "warning", "unset LCLAUDE_MODLE"),
        (|| with_variable("LCLAUDE_LOG", "loud"), "variables", "warning", "unset LCLAUDE_LOG"),
        (|| with_variable("HOME", "@ROOT/none"), "home", "failure", "mkdir -p @ROOT/none"),
    ];
    for (stage, name, state, fix) in stages {
        // A home that was just created has no configuration.
        let arguments = if name == "home" { "--model tiny.gguf --backend llamacpp" } else { "" };
        let check = ("configuration", name, state);
        if name == "home" {
            // The check is reported only if it fails.
            let stage = stage();
            let (_, report) = stage.doctor(arguments);
            let found = find_check(&report, "configuration", "home");
            messages::record(fix, check_text(found));
            let (ended, report) = stage.doctor_after(&stage.expand_paths(fix), "", arguments);
            assert_eq!(ended.code, Some(0), "{:#?}", problems(&report));
        } else {
            assert_fixes(&[Problem { name: fix, stage, check, fix, edited: "" }], arguments);
        }
    }
}

#[test]
fn home_that_is_a_file_is_diagnosed_without_mkdir() {
    messages!();
    let stage = with_variable("HOME", "@PROJECT/tiny.gguf");
    let (ended, report) = stage.doctor("");
    let found = find_check(&report, "configuration", "home");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    messages::record("doctor", check_text(found));
}

#[test]
fn graphics_memory_is_reported() {
    let stage = Stage::healthy();
    stage.script("nvidia-smi", "echo '24564, 23900'");
    let (_, report) = stage.doctor("");
    let found = find_check(&report, "machine", "memory")["found"].to_string();
    assert!(found.contains("graphics 25.8 GB, 25.1 GB free"), "{found}");
}

#[test]
fn untrusted_project_is_diagnosed() {
    messages!();
    let mut stage = Stage::healthy();
    let lclaude = support::lclaude().parent().expect("a directory").display().to_string();
    let path = format!("{}:{lclaude}:/usr/bin:/bin", stage.bin().display());
    stage.set("PATH", path);
    write_file(&stage, "project/.lclaude.toml", "[llamacpp]\nthreads = 2\n");
    let (ended, report) = stage.doctor("");
    let found = find_check(&report, "configuration", "project");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    messages::record("before", check_text(found));
    assert_eq!(found["help"][0], "lclaude local trust");
    // Without a terminal, trust needs --yes.
    let (ended, report) = stage.doctor_after("lclaude local trust --yes", "", "");
    assert_eq!(ended.code, Some(0), "{:#?}", problems(&report));
    messages::record("after", check_text(find_check(&report, "configuration", "project")));
}

/// The help opens the project file, not the user's configuration.
#[test]
fn invalid_setting_in_a_trusted_project_is_diagnosed() {
    messages!();
    let illness = Problem {
        name: "program does not exist",
        stage: || {
            let stage = Stage::healthy();
            write_file(&stage, "project/.lclaude.toml", "[claude]\npath = \"/nowhere/claude\"\n");
            stage.output(&["local", "trust", "--yes"]);
            stage
        },
        check: ("claude", "program", "failure"),
        fix: "${EDITOR:-vi} @PROJECT/.lclaude.toml",
        edited: "context = 30000\n",
    };
    assert_fixes(&[illness], "");
}

#[test]
fn invalid_project_file_is_diagnosed() {
    messages!();
    let illness = Problem {
        name: "invalid TOML",
        stage: || {
            let stage = Stage::healthy();
            write_file(&stage, "project/.lclaude.toml", "context = \n");
            stage
        },
        check: ("configuration", "project", "failure"),
        fix: "${EDITOR:-vi} @PROJECT/.lclaude.toml",
        edited: "context = 30000\n",
    };
    assert_fixes(&[illness], "");
}

#[test]
fn unusable_directories_are_diagnosed() {
    messages!();
    assert_fixes(
        &[Problem {
            name: "state directory is a file",
            stage: || {
                let stage = Stage::healthy();
                write_file(&stage, "home/.local/state/lclaude", "");
                stage
            },
            check: ("machine", "state directory", "failure"),
            fix: "mv @HOME/.local/state/lclaude @HOME/.local/state/lclaude.old",
            edited: "",
        }],
        "",
    );
}

#[test]
fn overridden_settings_are_listed_without_values() {
    messages!();
    let mut stage = Stage::healthy();
    for (name, value) in [
        ("ANTHROPIC_API_KEY", "sk-SECRET-1"),
        ("ANTHROPIC_BASE_URL", "http://SECRET-2"),
        ("CLAUDE_CODE_USE_BEDROCK", "SECRET-3"),
        ("HTTPS_PROXY", "http://me:SECRET-4@proxy"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "SECRET-5"),
    ] {
        stage.set(name, value);
    }
    let settings = r#"{"env": {"ANTHROPIC_AUTH_TOKEN": "SECRET-6", "OTEL_LOGS_EXPORTER": "SECRET-7"},
        "apiKeyHelper": "echo SECRET-8", "model": "opus", "availableModels": ["opus"]}"#;
    write_file(&stage, "home/.claude/settings.json", settings);
    write_file(&stage, "home/.claude.json", r#"{"env": {"ANTHROPIC_BASE_URL": "http://SECRET-9"}}"#);
    let (ended, report) = stage.doctor("");
    assert_eq!(problems(&report), Vec::<&Value>::new());
    assert!(!ended.stdout.contains("SECRET"), "{}", ended.stdout);
    for name in ["environment", "proxy", "settings files"] {
        messages::record("doctor", check_text(find_check(&report, "claude", name)));
    }
}

#[test]
fn one_failure_does_not_stop_other_checks() {
    messages!();
    let stage = Stage::healthy_without(&["claude"]);
    stage.config("nonsense");
    let (_, report) = stage.doctor("");
    let failed: Vec<&Value> = problems(&report).iter().map(|check| &check["name"]).collect();
    assert!(failed.contains(&&json!("file")) && failed.contains(&&json!("program")), "{failed:?}");
    for (area, name) in [("machine", "memory"), ("machine", "port"), ("backends", "ollama program")] {
        find_check(&report, area, name);
    }
    let (ended, report) = stage.doctor("--live");
    assert_eq!(ended.code, Some(1));
    messages::record("doctor --live", check_text(find_check(&report, "live", "backend")));
    stage.assert_nothing_started();
}
