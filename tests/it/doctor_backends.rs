//! `lclaude local doctor` on backends that are missing, too old, broken, or have no model that will do: each illness here is
//! caught, and the command that stands beside it is run.

use std::{fs, os::unix::fs::PermissionsExt};

use lclaude_fakes::scripted_model::{self, Script};
use support::{
    Stage,
    doctor::{EDIT, Ill, Illness, WELL, complaints, configured, cure, line, told, write},
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
    cure(
        &[
            Illness {
                name: "none at all",
                ill: || {
                    let stage = Stage::well_without(&["llama-server"]);
                    stage.config("[ollama]\nmodels_dir = \"/nowhere\"\n");
                    stage.installer("curl", "fake-ollama", "ollama");
                    let manifest = "home/.ollama/models/manifests/registry.ollama.ai/library/glm-4.7-flash/latest";
                    stage.config("");
                    write(&stage, manifest, "{}");
                    stage
                },
                line: ("backends", "choice", "failure"),
                mend: "curl -fsSL https://ollama.com/install.sh | sh",
                edited: "",
            },
            Illness {
                name: "the chosen one is missing",
                ill: || {
                    let stage = Stage::well_without(&["llama-server"]);
                    stage.installer("brew", "fake-llama-server", "llama-server");
                    stage
                },
                line: ("backends", "llamacpp program", "failure"),
                mend: "brew install llama.cpp",
                edited: "",
            },
            Illness {
                name: "it is not where it is said to be",
                ill: || configured(&format!("{WELL}[llamacpp]\npath = \"/nowhere/llama-server\"\n")),
                line: ("backends", "llamacpp program", "failure"),
                mend: EDIT,
                edited: WELL,
            },
            Illness {
                name: "it is not executable",
                ill: || {
                    let stage = configured(&format!("{WELL}[llamacpp]\npath = \"@ROOT/server\"\n"));
                    stage.script("server", "echo 'version: 1 --reuse-port'");
                    fs::rename(stage.bin().join("server"), stage.root().join("server")).expect("moved");
                    fs::set_permissions(stage.root().join("server"), fs::Permissions::from_mode(0o644))
                        .expect("closed");
                    stage
                },
                line: ("backends", "llamacpp program", "failure"),
                mend: "chmod +x @ROOT/server",
                edited: "",
            },
            Illness {
                name: "a library is missing",
                ill: || {
                    let stage = Stage::well();
                    let words = "error while loading shared libraries: libllama.so.0";
                    stage.script("llama-server", &format!("echo '{words}' >&2; exit 127"));
                    stage.installer("brew", "fake-llama-server", "llama-server");
                    stage
                },
                line: ("backends", "llamacpp version", "failure"),
                mend: "brew install llama.cpp",
                edited: "",
            },
            Illness {
                name: "built for another processor",
                ill: || {
                    let stage = Stage::well();
                    stage.script("llama-server", "kill -ILL $$");
                    stage.installer("brew", "fake-llama-server", "llama-server");
                    stage
                },
                line: ("backends", "llamacpp version", "failure"),
                mend: "brew install llama.cpp",
                edited: "",
            },
            Illness {
                name: "a llama-server that is too old",
                ill: || {
                    let stage = Stage::well();
                    let says =
                        "case \"$1\" in --version) echo 'version: 4000 (abc)' >&2;; --help) echo '--port N';; esac";
                    stage.script("llama-server", says);
                    stage.installer("brew", "fake-llama-server", "llama-server");
                    stage
                },
                line: ("backends", "llamacpp version", "failure"),
                mend: "brew install llama.cpp",
                edited: "",
            },
            Illness {
                name: "an Ollama that is too old",
                ill: || {
                    let mut stage = Stage::ollama();
                    stage.set("LCLAUDE_MODEL", "small");
                    stage.script("ollama", "echo 'ollama version is 0.13.5'");
                    stage.installer("curl", "fake-ollama", "ollama");
                    stage
                },
                line: ("backends", "ollama version", "failure"),
                mend: "curl -fsSL https://ollama.com/install.sh | sh",
                edited: "",
            },
            Illness {
                name: "no LM Studio",
                ill: || {
                    let mut stage = configured("backend = \"lmstudio\"\n");
                    stage.set("FAKE_LMS_STATE", stage.home().join(".lmstudio").display());
                    stage.installer("curl", "fake-lms", "lms");
                    stage
                },
                line: ("backends", "lmstudio program", "failure"),
                mend: "curl -fsSL https://lmstudio.ai/install.sh | bash",
                edited: "",
            },
            Illness {
                name: "no server at the shared Ollama's address",
                ill: || {
                    let mut stage = configured("backend = \"ollama\"\n[ollama]\ninstance = \"shared\"\n");
                    stage.set("OLLAMA_HOST", "127.0.0.1:1");
                    stage
                },
                line: ("backends", "ollama server", "failure"),
                mend: EDIT,
                edited: WELL,
            },
        ],
        "",
    );
}

#[test]
fn unusable_models_are_diagnosed() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let ill: [(Ill, &str); 9] = [
        (|| configured(&WELL.replace("tiny", "gone")), "choice"),
        (
            || {
                let stage = configured(&WELL.replace("tiny", "text"));
                write(&stage, "project/text.gguf", "version https://git-lfs.github.com/spec/v1");
                stage
            },
            "choice",
        ),
        (|| configured(&WELL.replace("/tiny.gguf", "")), "choice"),
        (|| configured("backend = \"llamacpp\"\n"), "model"),
        (|| configured(&format!("{WELL}[llamacpp]\nargs = [\"--port\", \"1\"]\n")), "choice"),
        (
            || {
                let stage = configured("backend = \"ollama\"\nmodel = \"a b\"\n");
                stage.install("fake-ollama", &stage.bin().join("ollama"));
                stage
            },
            "choice",
        ),
        (
            || {
                let mut stage = configured("backend = \"ollama\"\n");
                stage.install("fake-ollama", &stage.bin().join("ollama"));
                stage.set("OLLAMA_HOST", "127.0.0.1:1");
                stage
            },
            "model",
        ),
        (
            || {
                let stage = configured("backend = \"ollama\"\nmodel = \"smal\"\n");
                stage.install("fake-ollama", &stage.bin().join("ollama"));
                write(&stage, "home/.ollama/models/manifests/registry.ollama.ai/library/small/latest", "{}");
                stage
            },
            "model",
        ),
        (
            || {
                let stage = configured("backend = \"ollama\"\n[ollama]\nmodels_dir = \"/nope\"\n");
                stage.install("fake-ollama", &stage.bin().join("ollama"));
                stage
            },
            "model",
        ),
    ];
    for (ill, name) in ill {
        let line = ("backends", name, "failure");
        cure(&[Illness { name: "a model", ill, line, mend: EDIT, edited: WELL }], "");
    }
    let ill: [(Ill, &str); 3] = [
        (
            || {
                let stage = configured(&WELL.replace("tiny", "mute"));
                let template = "{% for message in messages %}{{ message.content }}{% endfor %}";
                let script = Script { template: template.into(), ..Script::default() };
                scripted_model::write(&stage.project().join("mute.gguf"), &script).expect("a model");
                stage
            },
            "tools",
        ),
        (
            || {
                let stage = configured(&WELL.replace("tiny", "short"));
                let whole = fs::read(stage.model()).expect("the model");
                fs::write(stage.project().join("short.gguf"), &whole[..500]).expect("a file");
                stage
            },
            "tools",
        ),
        (
            || {
                let stage = configured(&WELL.replace("tiny", "small"));
                let script = Script { context: 32_768, ..Script::default() };
                scripted_model::write(&stage.project().join("small.gguf"), &script).expect("a model");
                stage
            },
            "model context",
        ),
    ];
    for (ill, name) in ill {
        let line = ("backends", name, "warning");
        cure(&[Illness { name: "a model", ill, line, mend: EDIT, edited: WELL }], "");
    }
}

#[test]
fn model_with_too_small_a_context_is_diagnosed() {
    messages!();
    let ill: Ill = || {
        let stage = configured(&WELL.replace("tiny", "least"));
        let script = Script { context: 8192, ..Script::default() };
        scripted_model::write(&stage.project().join("least.gguf"), &script).expect("a model");
        stage
    };
    let line = ("backends", "model context", "failure");
    cure(&[Illness { name: "8192", ill, line, mend: EDIT, edited: WELL }], "");
    let stage = ill();
    let (_, report) = stage.doctor("");
    let found = support::doctor::line(&report, "backends", "model context");
    assert!(!found["help"].to_string().contains("--context"), "{found:#}");
    // As a session is then.
    stage.config(&format!("context_check = false\n{}", stage.filled(&WELL.replace("tiny", "least"))));
    let (ended, _) = stage.doctor("");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn model_to_be_downloaded_is_not_reported_as_present() {
    messages!();
    let stage = configured("backend = \"llamacpp\"\n[llamacpp]\nhf = \"me/x-GGUF:Q4_K_M\"\n");
    let model = || told(line(&stage.doctor("").1, "backends", "model"));
    record("not here", model());
    write(&stage, "home/.cache/huggingface/hub/models--me--x-GGUF/snapshots/1/x-Q4_K_M.gguf", "GGUF");
    record("here", model());
}

#[test]
fn unusable_command_is_diagnosed() {
    messages!();
    let ill: [Ill; 4] = [
        || configured("backend = \"command\"\nmodel = \"m\"\n"),
        || configured("backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"sh\", \"{prot}\"]\n"),
        || configured("backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"sh\"]\n"),
        || configured("backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"no-such-server\", \"{port}\"]\n"),
    ];
    for ill in ill {
        let line = ("backends", "choice", "failure");
        let edited = "backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"sh\", \"{port}\"]\n";
        cure(&[Illness { name: "a command", ill, line, mend: EDIT, edited }], "");
    }
}

#[test]
fn running_ollama_is_asked_for_model_capabilities() {
    messages!();
    let mut stage = Stage::ollama();
    stage.with_editor();
    let own = Own::start(&stage, &[]);
    stage.set("OLLAMA_HOST", &own.url);
    stage.config("model = \"talker\"\n");
    let (ended, report) = stage.doctor("");
    let found = line(&report, "backends", "tools");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    record("talker", told(found));
    let (ended, report) = stage.doctor_after(&stage.filled(EDIT), "model = \"small\"\n", "");
    assert_eq!(ended.code, Some(0), "{:#?}", complaints(&report));
    record("small", told(line(&report, "backends", "tools")));
    record("small", told(line(&report, "backends", "model context")));
    stage.config("model = \"fixed\"\n");
    let (_, report) = stage.doctor("");
    let found = line(&report, "backends", "model context");
    assert_eq!(found["state"], "warning", "{found:#}");
    record("fixed", told(found));
    // Looked at, and no more.
    assert_eq!(own.loaded(), Vec::<String>::new());
}

#[test]
fn lm_studio_is_queried_if_running_and_never_started() {
    messages!();
    let mut stage = Stage::well();
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
    assert_eq!(ended.code, Some(0), "{:#?}", complaints(&report));
    record("not started", told(line(&report, "backends", "lmstudio server")));
    stage.assert_nothing_started();

    let lms = |words: &[&str]| {
        let status = stage.command(home.join("bin/lms")).args(words).env("HOME", "/nonexistent").status();
        assert!(status.expect("lms runs").success(), "{words:?}");
    };
    lms(&["daemon", "up", "--json"]);
    let (_, report) = stage.doctor("");
    let found = line(&report, "backends", "model");
    assert_eq!(found["state"], "failure", "{found:#}");
    record("talker", told(found));
    let (ended, report) = stage.doctor_after(&stage.filled(EDIT), "backend = \"lmstudio\"\nmodel = \"able\"\n", "");
    assert_eq!(ended.code, Some(0), "{:#?}", complaints(&report));
    lms(&["daemon", "down"]);
}

/// A server that answers every POST with this status, and lists this model.
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
    let ill: [(Ill, &str); 10] = [
        (|| configured("backend = \"endpoint\"\nmodel = \"m\"\n"), "choice"),
        (|| endpoint("no url", ""), "choice"),
        (|| endpoint("http://me:secret@127.0.0.1:1", ""), "choice"),
        (|| endpoint("http://127.0.0.1:1?key=secret", ""), "choice"),
        (|| configured("backend = \"endpoint\"\n[endpoint]\nurl = \"http://127.0.0.1:1\"\n"), "choice"),
        (|| endpoint("http://127.0.0.1:1", ""), "endpoint server"),
        (|| endpoint("http://127.0.0.1:1", "token_env = \"UNSET\"\n"), "endpoint server"),
        (|| endpoint(&server("404 Not Found", "m"), ""), "endpoint server"),
        (|| endpoint(&server("401 Unauthorized", "m"), ""), "endpoint server"),
        (|| endpoint(&server("400 Bad Request", "other"), ""), "endpoint server"),
    ];
    for (ill, name) in ill {
        let stage = ill();
        let (ended, report) = stage.doctor("");
        let found = line(&report, "backends", name);
        assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
        assert!(!found.to_string().contains("secret"), "{found:#}");
        record(name, told(found));
        // Any of them is mended by another endpoint in the file.
        let edit = stage.filled(EDIT);
        assert!(found["help"].as_array().is_some_and(|helps| helps.contains(&json!(edit))), "{found:#}");
        let url = server("400 Bad Request", "m");
        let edited = format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{url}\"\n");
        let (ended, report) = stage.doctor_after(&edit, &edited, "");
        assert_eq!(ended.code, Some(0), "{:#?}", complaints(&report));
        assert_eq!(line(&report, "backends", "model context")["state"], "ok", "{report:#}");
    }
}
