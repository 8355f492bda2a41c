//! `lclaude local doctor` with backends that are missing, too old or broken, or have no usable model: each test checks
//! the diagnosis and runs the suggested fix.

use std::fs;

use lclaude_fakes::scripted_model::{self, Script};
use support::{
    Stage,
    doctor::{
        EDIT_CONFIG, HEALTHY, MakeStage, Problem, assert_fixes, check_text, configured, find_check, not_executable,
        problems, repairable, write_file,
    },
    json,
    machine::needs_no_ollama,
    messages,
    messages::record,
    ollama::Own,
};

#[test]
fn missing_or_broken_backends_are_diagnosed() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    assert_fixes(
        &[
            Problem {
                name: "no backend is installed",
                stage: || {
                    let stage = Stage::healthy_without(&["llama-server"]);
                    stage.config("[ollama]\nmodels_dir = \"/nowhere\"\n");
                    stage.installer("curl", "fake-ollama", "ollama");
                    let manifest = "home/.ollama/models/manifests/registry.ollama.ai/library/glm-4.7-flash/latest";
                    stage.config("");
                    write_file(&stage, manifest, "{}");
                    stage
                },
                check: ("backends", "choice", "failure"),
                fix: "curl -fsSL https://ollama.com/install.sh | sh  # Ollama",
                edited: "",
            },
            Problem {
                name: "the selected backend is not installed",
                stage: || {
                    let stage = Stage::healthy_without(&["llama-server"]);
                    stage.installer("brew", "fake-llama-server", "llama-server");
                    stage
                },
                check: ("backends", "llamacpp program", "failure"),
                fix: "brew install llama.cpp",
                edited: "",
            },
            Problem {
                name: "the configured path does not exist",
                stage: || configured(&format!("{HEALTHY}[llamacpp]\npath = \"/nowhere/llama-server\"\n")),
                check: ("backends", "llamacpp program", "failure"),
                fix: EDIT_CONFIG,
                edited: HEALTHY,
            },
            Problem {
                name: "the program is not executable",
                stage: || {
                    let config = format!("{HEALTHY}[llamacpp]\npath = \"@ROOT/server\"\n");
                    not_executable(&config, "server", "echo 'version: 1 --reuse-port'")
                },
                check: ("backends", "llamacpp program", "failure"),
                fix: "chmod +x @ROOT/server",
                edited: "",
            },
            Problem {
                name: "a shared library is missing",
                stage: || {
                    let error = "error while loading shared libraries: libllama.so.0";
                    repairable("llama-server", &format!("echo '{error}' >&2; exit 127"), "brew")
                },
                check: ("backends", "llamacpp version", "failure"),
                fix: "brew install llama.cpp",
                edited: "",
            },
            Problem {
                name: "built for another processor",
                stage: || repairable("llama-server", "kill -ILL $$", "brew"),
                check: ("backends", "llamacpp version", "failure"),
                fix: "brew install llama.cpp",
                edited: "",
            },
            Problem {
                name: "llama-server is too old",
                stage: || {
                    let script =
                        "case \"$1\" in --version) echo 'version: 4000 (abc)' >&2;; --help) echo '--port N';; esac";
                    repairable("llama-server", script, "brew")
                },
                check: ("backends", "llamacpp version", "failure"),
                fix: "brew install llama.cpp",
                edited: "",
            },
            Problem {
                name: "Ollama is too old",
                stage: || {
                    let mut stage = Stage::ollama();
                    stage.set("LCLAUDE_MODEL", "small");
                    stage.script("ollama", "echo 'ollama version is 0.13.5'");
                    stage.installer("curl", "fake-ollama", "ollama");
                    stage
                },
                check: ("backends", "ollama version", "failure"),
                fix: "curl -fsSL https://ollama.com/install.sh | sh",
                edited: "",
            },
            Problem {
                name: "LM Studio is not installed",
                stage: || {
                    let mut stage = configured("backend = \"lmstudio\"\n");
                    stage.set("FAKE_LMS_STATE", stage.home().join(".lmstudio").display());
                    stage.installer("curl", "fake-lms", "lms");
                    stage
                },
                check: ("backends", "lmstudio program", "failure"),
                fix: "curl -fsSL https://lmstudio.ai/install.sh | bash",
                edited: "",
            },
            Problem {
                name: "the shared Ollama server is not running",
                stage: || {
                    let mut stage = configured("backend = \"ollama\"\n[ollama]\ninstance = \"shared\"\n");
                    stage.set("OLLAMA_HOST", "127.0.0.1:1");
                    stage
                },
                check: ("backends", "ollama server", "failure"),
                fix: EDIT_CONFIG,
                edited: HEALTHY,
            },
        ],
        "",
    );
}

/// Returns a stage whose backend is a fake Ollama on PATH, with this additional configuration.
fn with_ollama(more: &str) -> Stage {
    let stage = configured(&format!("backend = \"ollama\"\n{more}"));
    stage.install("fake-ollama", &stage.bin().join("ollama"));
    stage
}

/// Returns a stage with this scripted model, which its configuration selects.
fn with_model(name: &str, script: &Script) -> Stage {
    let stage = configured(&HEALTHY.replace("tiny", name));
    scripted_model::write(&stage.project().join(format!("{name}.gguf")), script).expect("a model");
    stage
}

#[test]
fn unusable_models_are_diagnosed() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stages: [(MakeStage, &str); 9] = [
        (|| configured(&HEALTHY.replace("tiny", "gone")), "choice"),
        (
            || {
                let stage = configured(&HEALTHY.replace("tiny", "text"));
                write_file(&stage, "project/text.gguf", "version https://git-lfs.github.com/spec/v1");
                stage
            },
            "choice",
        ),
        (|| configured(&HEALTHY.replace("/tiny.gguf", "")), "choice"),
        (|| configured("backend = \"llamacpp\"\n"), "model"),
        (|| configured(&format!("{HEALTHY}[llamacpp]\nargs = [\"--port\", \"1\"]\n")), "choice"),
        (|| with_ollama("model = \"a b\"\n"), "choice"),
        (
            || {
                let mut stage = with_ollama("");
                stage.set("OLLAMA_HOST", "127.0.0.1:1");
                stage
            },
            "model",
        ),
        (
            || {
                let stage = with_ollama("model = \"smal\"\n");
                write_file(&stage, "home/.ollama/models/manifests/registry.ollama.ai/library/small/latest", "{}");
                stage
            },
            "model",
        ),
        (|| with_ollama("[ollama]\nmodels_dir = \"/nope\"\n"), "model"),
    ];
    for (stage, name) in stages {
        let check = ("backends", name, "failure");
        assert_fixes(&[Problem { name: "unusable model", stage, check, fix: EDIT_CONFIG, edited: HEALTHY }], "");
    }
    let stages: [(MakeStage, &str); 3] = [
        (
            || {
                let template = "{% for message in messages %}{{ message.content }}{% endfor %}";
                with_model("mute", &Script { template: template.into(), ..Script::default() })
            },
            "tools",
        ),
        (
            || {
                let stage = configured(&HEALTHY.replace("tiny", "short"));
                let whole = fs::read(stage.model()).expect("the model");
                fs::write(stage.project().join("short.gguf"), &whole[..500]).expect("a file");
                stage
            },
            "tools",
        ),
        (|| with_model("small", &Script { context: 32_768, ..Script::default() }), "model context"),
    ];
    for (stage, name) in stages {
        let check = ("backends", name, "warning");
        assert_fixes(&[Problem { name: "unusable model", stage, check, fix: EDIT_CONFIG, edited: HEALTHY }], "");
    }
}

#[test]
fn model_with_too_small_a_context_is_diagnosed() {
    messages!();
    let stage: MakeStage = || with_model("least", &Script { context: 8192, ..Script::default() });
    let check = ("backends", "model context", "failure");
    assert_fixes(&[Problem { name: "trained for 8192 tokens", stage, check, fix: EDIT_CONFIG, edited: HEALTHY }], "");
    let stage = stage();
    let (_, report) = stage.doctor("");
    let found = find_check(&report, "backends", "model context");
    assert!(!found["help"].to_string().contains("--context"), "{found:#}");
    // A session starts then too.
    stage.config(&format!("context_check = false\n{}", stage.expand_paths(&HEALTHY.replace("tiny", "least"))));
    let (ended, _) = stage.doctor("");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn model_to_be_downloaded_is_not_reported_as_present() {
    messages!();
    let stage = configured("backend = \"llamacpp\"\n[llamacpp]\nhf = \"me/x-GGUF:Q4_K_M\"\n");
    let model = || check_text(find_check(&stage.doctor("").1, "backends", "model"));
    record("before the download", model());
    write_file(&stage, "cache/huggingface/hub/models--me--x-GGUF/snapshots/1/x-Q4_K_M.gguf", "GGUF");
    record("after the download", model());
}

#[test]
fn unusable_command_is_diagnosed() {
    messages!();
    let stages: [MakeStage; 4] = [
        || configured("backend = \"command\"\nmodel = \"m\"\n"),
        || configured("backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"sh\", \"{prot}\"]\n"),
        || configured("backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"sh\"]\n"),
        || configured("backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"no-such-server\", \"{port}\"]\n"),
    ];
    for stage in stages {
        let check = ("backends", "choice", "failure");
        let edited = "backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"sh\", \"{port}\"]\n";
        assert_fixes(&[Problem { name: "unusable command", stage, check, fix: EDIT_CONFIG, edited }], "");
    }
}

#[test]
fn running_ollama_is_asked_for_model_capabilities() {
    messages!();
    let mut stage = Stage::ollama();
    stage.install_editor();
    let own = Own::start(&stage, &[]);
    stage.set("OLLAMA_HOST", &own.url);
    stage.config("model = \"talker\"\n");
    let (ended, report) = stage.doctor("");
    let found = find_check(&report, "backends", "tools");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    record("talker", check_text(found));
    let (ended, report) = stage.doctor_after(&stage.expand_paths(EDIT_CONFIG), "model = \"small\"\n", "");
    assert_eq!(ended.code, Some(0), "{:#?}", problems(&report));
    record("small", check_text(find_check(&report, "backends", "tools")));
    record("small", check_text(find_check(&report, "backends", "model context")));
    stage.config("model = \"fixed\"\n");
    let (_, report) = stage.doctor("");
    let found = find_check(&report, "backends", "model context");
    assert_eq!(found["state"], "warning", "{found:#}");
    record("fixed", check_text(found));
    // Doctor loads no model.
    assert_eq!(own.loaded(), Vec::<String>::new());
}

#[test]
fn lm_studio_is_queried_if_running_and_never_started() {
    messages!();
    let mut stage = Stage::healthy();
    let home = stage.home().join(".lmstudio");
    fs::create_dir_all(home.join("bin")).expect("a directory");
    stage.install("fake-lms", &home.join("bin/lms"));
    let models = json!([
        {"modelKey": "able", "type": "llm", "trainedForToolUse": true, "maxContextLength": 131_072},
        {"modelKey": "talker", "type": "llm", "trainedForToolUse": false, "maxContextLength": 32_768},
    ]);
    fs::write(home.join("models.json"), models.to_string()).expect("a file");
    stage.set("FAKE_LMS_STATE", home.display());
    stage.config("backend = \"lmstudio\"\nmodel = \"talker\"\n");
    let (ended, report) = stage.doctor("");
    assert_eq!(ended.code, Some(0), "{:#?}", problems(&report));
    record("not running", check_text(find_check(&report, "backends", "lmstudio server")));
    stage.assert_nothing_started();

    let lms = |words: &[&str]| {
        let status = stage.command(home.join("bin/lms")).args(words).env("HOME", "/nonexistent").status();
        assert!(status.expect("lms runs").success(), "{words:?}");
    };
    lms(&["daemon", "up", "--json"]);
    let (_, report) = stage.doctor("");
    let found = find_check(&report, "backends", "model");
    assert_eq!(found["state"], "failure", "{found:#}");
    record("talker", check_text(found));
    let (ended, report) =
        stage.doctor_after(&stage.expand_paths(EDIT_CONFIG), "backend = \"lmstudio\"\nmodel = \"able\"\n", "");
    assert_eq!(ended.code, Some(0), "{:#?}", problems(&report));
    lms(&["daemon", "down"]);
}

/// Starts a server that answers every POST with this status and lists this model.
fn server(status: &'static str, model: &'static str) -> String {
    support::doctor::server(move |route, _| match route {
        post if post.starts_with("POST") => (status, json!({})),
        _ => ("200 OK", json!({"data": [{"id": model, "max_model_len": 70_000}]})),
    })
}

fn endpoint(url: &str, more: &str) -> Stage {
    configured(&format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{url}\"\n{more}"))
}

#[test]
fn unusable_endpoints_are_diagnosed() {
    messages!();
    let stages: [(MakeStage, &str); 10] = [
        (|| configured("backend = \"endpoint\"\nmodel = \"m\"\n"), "choice"),
        (|| endpoint("no url", ""), "file"),
        (|| endpoint("http://me:secret@127.0.0.1:1", ""), "file"),
        (|| endpoint("http://127.0.0.1:1?key=secret", ""), "file"),
        (|| configured("backend = \"endpoint\"\n[endpoint]\nurl = \"http://127.0.0.1:1\"\n"), "choice"),
        (|| endpoint("http://127.0.0.1:1", ""), "endpoint server"),
        (|| endpoint("http://127.0.0.1:1", "token_env = \"UNSET\"\n"), "endpoint server"),
        (|| endpoint(&server("404 Not Found", "m"), ""), "endpoint server"),
        (|| endpoint(&server("401 Unauthorized", "m"), ""), "endpoint server"),
        (|| endpoint(&server("400 Bad Request", "other"), ""), "endpoint server"),
    ];
    for (stage, name) in stages {
        let stage = stage();
        let (ended, report) = stage.doctor("");
        let area = if name == "file" { "configuration" } else { "backends" };
        let found = find_check(&report, area, name);
        assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
        assert!(!found.to_string().contains("secret"), "{found:#}");
        record(name, check_text(found));
        // Another endpoint in the configuration fixes each of these problems.
        let edit = stage.expand_paths(EDIT_CONFIG);
        assert!(found["help"].as_array().is_some_and(|helps| helps.contains(&json!(edit))), "{found:#}");
        let url = server("400 Bad Request", "m");
        let edited = format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{url}\"\n");
        let (ended, report) = stage.doctor_after(&edit, &edited, "");
        assert_eq!(ended.code, Some(0), "{:#?}", problems(&report));
        assert_eq!(find_check(&report, "backends", "model context")["state"], "ok", "{report:#}");
    }
}
