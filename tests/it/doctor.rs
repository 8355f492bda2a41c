//! `lclaude local doctor` finds what is wrong, names it, and gives a command that mends it: each illness here is caught, and
//! the command is run. Those of backends are in `doctor_backends.rs`.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use support::{
    Stage, Value,
    doctor::{EDIT, Ill, Illness, WELL, assert_unique, complaints, configured, cure, line, told, with, write},
    json,
    machine::needs_no_ollama,
    messages,
};

const INSTALL_CLAUDE: &str = "npm install -g @anthropic-ai/claude-code";

#[test]
fn healthy_machine_passes_and_stays_unchanged() {
    let stage = Stage::well();
    let before = stage.home_files();
    let (ended, report) = stage.doctor("");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{:#?}", complaints(&report));
    assert_eq!(complaints(&report), Vec::<&Value>::new());
    assert_eq!((&report["format"], &report["ok"], &report["failures"]), (&json!(1), &json!(true), &json!(0)));
    assert_eq!(line(&report, "claude", "version")["found"], "2.1.331");
    assert_eq!(line(&report, "backends", "model")["found"], stage.filled("tiny from @PROJECT/tiny.gguf"));
    assert_eq!(stage.home_files(), before);
    assert!(!stage.home().join(".local").exists() && !stage.runtime().exists(), "something was made");
    stage.assert_nothing_started();
}

#[test]
fn checks_have_unique_names_and_documented_fields() {
    let stage = Stage::well();
    let (_, report) = stage.doctor("");
    assert_unique(&report);
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
    let mut stage = Stage::well_without(&["claude"]);
    stage.set("LCLAUDE_MODLE", "x").set("OLLAMA_HOST", "127.0.0.1:1");
    let ended = stage.output(&["local", "doctor"]).expect(1);
    assert_eq!(ended.stderr, "");
    ended.record();
}

#[test]
fn missing_or_broken_claude_code_is_diagnosed() {
    messages!();
    cure(
        &[
            Illness {
                name: "none",
                ill: || {
                    let stage = Stage::well_without(&["claude"]);
                    stage.installer("npm", "fake-claude", "claude");
                    stage
                },
                line: ("claude", "program", "failure"),
                mend: INSTALL_CLAUDE,
                edited: "",
            },
            Illness {
                name: "lclaude under its name",
                ill: || {
                    let stage = Stage::well_without(&["claude"]);
                    symlink(support::lclaude(), stage.bin().join("claude")).expect("a link");
                    stage.installer("npm", "fake-claude", "claude");
                    stage
                },
                line: ("claude", "program", "failure"),
                mend: INSTALL_CLAUDE,
                edited: "",
            },
            Illness {
                name: "named where it is not",
                ill: || configured(&format!("{WELL}[claude]\npath = \"/nowhere/claude\"\n")),
                line: ("claude", "program", "failure"),
                mend: EDIT,
                edited: WELL,
            },
            Illness {
                name: "not executable",
                ill: || {
                    let stage = configured(&format!("{WELL}[claude]\npath = \"@ROOT/mine\"\n"));
                    stage.script("mine", "echo '2.1.331 (Claude Code)'");
                    fs::rename(stage.bin().join("mine"), stage.root().join("mine")).expect("moved");
                    fs::set_permissions(stage.root().join("mine"), fs::Permissions::from_mode(0o644)).expect("closed");
                    stage
                },
                line: ("claude", "program", "failure"),
                mend: "chmod +x @ROOT/mine",
                edited: "",
            },
            Illness {
                name: "broken",
                ill: || {
                    let stage = Stage::well();
                    stage.script("claude", "echo 'no such library' >&2; exit 127");
                    stage.installer("npm", "fake-claude", "claude");
                    stage
                },
                line: ("claude", "version", "failure"),
                mend: INSTALL_CLAUDE,
                edited: "",
            },
            Illness {
                name: "for another processor",
                ill: || {
                    let stage = Stage::well();
                    stage.script("claude", "kill -ILL $$");
                    stage.installer("npm", "fake-claude", "claude");
                    stage
                },
                line: ("claude", "version", "failure"),
                mend: INSTALL_CLAUDE,
                edited: "",
            },
            Illness {
                name: "without a version",
                ill: || {
                    let stage = Stage::well();
                    stage.script("claude", "echo hello");
                    stage.installer("npm", "fake-claude", "claude");
                    stage
                },
                line: ("claude", "version", "warning"),
                mend: INSTALL_CLAUDE,
                edited: "",
            },
            Illness {
                name: "old",
                ill: || {
                    let stage = Stage::well();
                    let now =
                        "test \"$1\" = update && echo '#!/bin/sh\necho 2.1.331' > \"$0\" || echo '2.0.9 (Claude Code)'";
                    stage.script("claude", now);
                    stage
                },
                line: ("claude", "version", "warning"),
                mend: "@BIN/claude update",
                edited: "",
            },
        ],
        "",
    );
}

#[test]
fn settings_that_break_sessions_are_diagnosed() {
    messages!();
    cure(
        &[
            Illness {
                name: "[claude] env that routes",
                ill: || configured(&format!("{WELL}[claude.env]\nANTHROPIC_BASE_URL = \"http://x\"\n")),
                line: ("claude", "own settings", "failure"),
                mend: EDIT,
                edited: WELL,
            },
            Illness {
                name: "[claude] args with a model",
                ill: || configured(&format!("{WELL}[claude]\nargs = [\"--model\", \"mine\"]\n")),
                line: ("claude", "own settings", "failure"),
                mend: EDIT,
                edited: WELL,
            },
            Illness {
                name: "the user's settings are no JSON",
                ill: || {
                    let stage = Stage::well();
                    write(&stage, "home/.claude/settings.json", "{");
                    stage
                },
                line: ("claude", "settings files", "warning"),
                mend: "${EDITOR:-vi} @HOME/.claude/settings.json",
                edited: "{}",
            },
            Illness {
                name: "a directory in the place of the user's settings",
                ill: || {
                    let stage = Stage::well();
                    fs::create_dir_all(stage.home().join(".claude/settings.json")).expect("a directory");
                    stage
                },
                line: ("claude", "settings files", "warning"),
                mend: "mv @HOME/.claude/settings.json @HOME/.claude/settings.json.old",
                edited: "",
            },
            Illness {
                name: "a variable that the overlay cannot name",
                ill: || {
                    let stage = Stage::well();
                    write(&stage, "project/.claude/settings.json", r#"{"env": {"CLAUDE_CODE_USE_NEWCLOUD": "1"}}"#);
                    stage
                },
                line: ("claude", "settings files", "warning"),
                mend: "${EDITOR:-vi} @PROJECT/.claude/settings.json",
                edited: "{}",
            },
        ],
        "",
    );
}

#[test]
fn invalid_configuration_is_diagnosed() {
    messages!();
    let ill: [Ill; 9] = [
        || configured("backend = \n"),
        || configured("modle = \"x\"\n"),
        || configured("backend = \"olama\"\n"),
        || configured(&format!("context = 5\n{WELL}")),
        || configured("[llamacpp]\ngguf = \"x.gguf\"\nhf = \"a/b\"\n"),
        || configured(&format!("{WELL}[claude]\nmax_output_tokens = 0\n")),
        || configured(&format!("{WELL}[llamacpp.env]\n\"A=B\" = \"x\"\n")),
        || {
            let stage = Stage::well();
            fs::write(stage.config(""), b"model = \"\xff\"").expect("a file");
            stage
        },
        || configured(&"#".repeat(2_000_000)),
    ];
    for ill in ill {
        let line = ("configuration", "file", "failure");
        cure(&[Illness { name: "a configuration", ill, line, mend: EDIT, edited: WELL }], "");
    }
    cure(
        &[
            Illness {
                name: "a directory in the file's place",
                ill: || {
                    let stage = Stage::well();
                    let file = stage.config("");
                    fs::remove_file(&file).and_then(|()| fs::create_dir(file)).expect("a directory");
                    stage
                },
                line: ("configuration", "file", "failure"),
                mend: "mv @HOME/.config/lclaude/config.toml @HOME/.config/lclaude/config.toml.old",
                edited: "",
            },
            Illness {
                name: "a context too small for Claude Code",
                ill: || configured(&format!("context = 8000\n{WELL}")),
                line: ("configuration", "context", "failure"),
                mend: EDIT,
                edited: WELL,
            },
        ],
        "--model tiny.gguf --backend llamacpp",
    );
}

#[test]
fn invalid_variables_are_diagnosed() {
    messages!();
    let ill: [(Ill, &str, &str, &str); 6] = [
        (|| with("LCLAUDE_CONTEXT", "many"), "file", "failure", "unset LCLAUDE_CONTEXT"),
        (|| with("LCLAUDE_BACKEND", "olama"), "file", "failure", "unset LCLAUDE_BACKEND"),
        (|| with("LCLAUDE_PROFILE", "none"), "file", "failure", "unset LCLAUDE_PROFILE"),
        (|| with("LCLAUDE_MODLE", "x"), "variables", "warning", "unset LCLAUDE_MODLE"),
        (|| with("LCLAUDE_LOG", "loud"), "variables", "warning", "unset LCLAUDE_LOG"),
        (|| with("HOME", "@ROOT/none"), "home", "failure", "mkdir -p @ROOT/none"),
    ];
    for (ill, name, state, mend) in ill {
        // In a home that was just made there is no configuration.
        let arguments = if name == "home" { "--model tiny.gguf --backend llamacpp" } else { "" };
        let line = ("configuration", name, state);
        if name == "home" {
            // Once it is there, the check is no longer worth a line.
            let stage = ill();
            let (_, report) = stage.doctor(arguments);
            let found = support::doctor::line(&report, "configuration", "home");
            messages::record(mend, told(found));
            let (ended, report) = stage.doctor_after(&stage.filled(mend), "", arguments);
            assert_eq!(ended.code, Some(0), "{:#?}", complaints(&report));
        } else {
            cure(&[Illness { name: mend, ill, line, mend, edited: "" }], arguments);
        }
    }
}

#[test]
fn home_that_is_a_file_is_diagnosed_without_mkdir() {
    messages!();
    let stage = with("HOME", "@PROJECT/tiny.gguf");
    let (ended, report) = stage.doctor("");
    let found = line(&report, "configuration", "home");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    messages::record("doctor", told(found));
}

#[test]
fn graphics_memory_is_reported() {
    let stage = Stage::well();
    stage.script("nvidia-smi", "echo '24564, 23900'");
    let (_, report) = stage.doctor("");
    let found = line(&report, "machine", "memory")["found"].to_string();
    assert!(found.contains("graphics 25.8 GB, 25.1 GB free"), "{found}");
}

#[test]
fn untrusted_project_is_diagnosed() {
    messages!();
    let mut stage = Stage::well();
    let lclaude = support::lclaude().parent().expect("a directory").display().to_string();
    let path = format!("{}:{lclaude}:/usr/bin:/bin", stage.bin().display());
    stage.set("PATH", path);
    write(&stage, "project/.lclaude.toml", "[llamacpp]\nthreads = 2\n");
    let (ended, report) = stage.doctor("");
    let found = line(&report, "configuration", "project");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    messages::record("before", told(found));
    assert_eq!(found["help"][0], "lclaude local trust");
    // Without a terminal to ask on it wants to be told.
    let (ended, report) = stage.doctor_after("lclaude local trust --yes", "", "");
    assert_eq!(ended.code, Some(0), "{:#?}", complaints(&report));
    messages::record("after", told(line(&report, "configuration", "project")));
}

/// The file that is to blame is opened, not the user's own.
#[test]
fn invalid_setting_in_a_trusted_project_is_diagnosed() {
    messages!();
    let illness = Illness {
        name: "a program that is not there",
        ill: || {
            let stage = Stage::well();
            write(&stage, "project/.lclaude.toml", "[claude]\npath = \"/nowhere/claude\"\n");
            stage.output(&["local", "trust", "--yes"]);
            stage
        },
        line: ("claude", "program", "failure"),
        mend: "${EDITOR:-vi} @PROJECT/.lclaude.toml",
        edited: "context = 30000\n",
    };
    cure(&[illness], "");
}

#[test]
fn invalid_project_file_is_diagnosed() {
    messages!();
    let illness = Illness {
        name: "broken",
        ill: || {
            let stage = Stage::well();
            write(&stage, "project/.lclaude.toml", "context = \n");
            stage
        },
        line: ("configuration", "project", "failure"),
        mend: "${EDITOR:-vi} @PROJECT/.lclaude.toml",
        edited: "context = 30000\n",
    };
    cure(&[illness], "");
}

#[test]
fn unusable_directories_are_diagnosed() {
    messages!();
    cure(
        &[
            Illness {
                name: "a link in the runtime directory's place",
                ill: || {
                    let stage = Stage::well();
                    symlink("/tmp", stage.runtime()).expect("a link");
                    stage
                },
                line: ("machine", "runtime directory", "failure"),
                mend: "rm @RUN/lclaude",
                edited: "",
            },
            Illness {
                name: "a path that is too long for a socket",
                ill: || {
                    let stage = Stage::well();
                    let long = format!("run/{}", "long".repeat(25));
                    fs::create_dir(stage.root().join(&long)).expect("a directory");
                    let mut stage = stage;
                    let long = stage.root().join(long).display().to_string();
                    stage.set("XDG_RUNTIME_DIR", long);
                    stage
                },
                line: ("machine", "runtime directory", "failure"),
                mend: "unset XDG_RUNTIME_DIR",
                edited: "",
            },
            Illness {
                name: "a runtime directory that cannot be made",
                ill: || with("XDG_RUNTIME_DIR", "/proc/self"),
                line: ("machine", "runtime directory", "failure"),
                mend: "unset XDG_RUNTIME_DIR",
                edited: "",
            },
            Illness {
                name: "a file in the state directory's place",
                ill: || {
                    let stage = Stage::well();
                    write(&stage, "home/.local/state/lclaude", "");
                    stage
                },
                line: ("machine", "state directory", "failure"),
                mend: "mv @HOME/.local/state/lclaude @HOME/.local/state/lclaude.old",
                edited: "",
            },
        ],
        "",
    );
}

#[test]
fn overridden_settings_are_listed_without_values() {
    messages!();
    let mut stage = Stage::well();
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
    write(&stage, "home/.claude/settings.json", settings);
    write(&stage, "home/.claude.json", r#"{"env": {"ANTHROPIC_BASE_URL": "http://SECRET-9"}}"#);
    let (ended, report) = stage.doctor("");
    assert_eq!(complaints(&report), Vec::<&Value>::new());
    assert!(!ended.stdout.contains("SECRET"), "{}", ended.stdout);
    for name in ["environment", "proxy", "settings files"] {
        messages::record("doctor", told(line(&report, "claude", name)));
    }
}

#[test]
fn one_failure_does_not_stop_other_checks() {
    messages!();
    let stage = Stage::well_without(&["claude"]);
    stage.config("nonsense");
    let (_, report) = stage.doctor("");
    let failed: Vec<&Value> = complaints(&report).iter().map(|check| &check["name"]).collect();
    assert!(failed.contains(&&json!("file")) && failed.contains(&&json!("program")), "{failed:?}");
    for (area, name) in [("machine", "memory"), ("machine", "port"), ("backends", "ollama program")] {
        line(&report, area, name);
    }
    let (ended, report) = stage.doctor("--live");
    assert_eq!(ended.code, Some(1));
    messages::record("doctor --live", told(line(&report, "live", "backend")));
    stage.assert_nothing_started();
}
