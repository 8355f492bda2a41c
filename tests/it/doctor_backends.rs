//! `lclaude local doctor` on backends that are missing, too old, broken, or have no model that will do: each illness here is
//! caught, and the command that stands beside it is run.

use std::{fs, os::unix::fs::PermissionsExt};

use lclaude_fakes::scripted_model::{self, Script};
use support::{
    Stage,
    doctor::{EDIT, Ill, Illness, WELL, complaints, configured, cure, line, write},
    json,
    machine::has_an_ollama,
    ollama::Own,
};

#[test]
fn without_a_backend_that_runs() {
    if has_an_ollama() {
        return;
    }
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
                line: ("backends", "choice", "failure", &["no backend is installed"]),
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
                line: ("backends", "llamacpp program", "failure", &["llama-server was not found", "not on PATH"]),
                mend: "brew install llama.cpp",
                edited: "",
            },
            Illness {
                name: "it is not where it is said to be",
                ill: || configured(&format!("{WELL}[llamacpp]\npath = \"/nowhere/llama-server\"\n")),
                line: ("backends", "llamacpp program", "failure", &["no llama-server at /nowhere/llama-server"]),
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
                line: ("backends", "llamacpp program", "failure", &["it is not executable"]),
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
                line: ("backends", "llamacpp version", "failure", &["a missing shared library"]),
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
                line: ("backends", "llamacpp version", "failure", &["illegal instruction"]),
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
                line: ("backends", "llamacpp version", "failure", &["@BIN/llama-server is too old", "--reuse-port"]),
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
                line: ("backends", "ollama version", "failure", &["Ollama 0.13.5 is too old"]),
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
                line: ("backends", "lmstudio program", "failure", &["LM Studio was not found"]),
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
                line: ("backends", "ollama server", "failure", &["no Ollama answers at http://127.0.0.1:1"]),
                mend: EDIT,
                edited: WELL,
            },
        ],
        "",
    );
}

#[test]
fn with_a_model_that_cannot_be_used() {
    if has_an_ollama() {
        return;
    }
    let ill: [(Ill, &str, &[&str]); 9] = [
        (|| configured(&WELL.replace("tiny", "gone")), "choice", &["@PROJECT/gone.gguf cannot be used as a model"]),
        (
            || {
                let stage = configured(&WELL.replace("tiny", "text"));
                write(&stage, "project/text.gguf", "version https://git-lfs.github.com/spec/v1");
                stage
            },
            "choice",
            &["is not a GGUF model"],
        ),
        (|| configured(&WELL.replace("/tiny.gguf", "")), "choice", &["@PROJECT is a directory"]),
        (|| configured("backend = \"llamacpp\"\n"), "model", &["no model is chosen for llama.cpp"]),
        (
            || configured(&format!("{WELL}[llamacpp]\nargs = [\"--port\", \"1\"]\n")),
            "choice",
            &["[llamacpp] args cannot have --port"],
        ),
        (
            || {
                let stage = configured("backend = \"ollama\"\nmodel = \"a b\"\n");
                stage.install("fake-ollama", &stage.bin().join("ollama"));
                stage
            },
            "choice",
            &["is not a model of Ollama's"],
        ),
        (
            || {
                let mut stage = configured("backend = \"ollama\"\n");
                stage.install("fake-ollama", &stage.bin().join("ollama"));
                stage.set("OLLAMA_HOST", "127.0.0.1:1");
                stage
            },
            "model",
            &["Ollama has no model glm-4.7-flash:latest"],
        ),
        (
            || {
                let stage = configured("backend = \"ollama\"\nmodel = \"smal\"\n");
                stage.install("fake-ollama", &stage.bin().join("ollama"));
                write(&stage, "home/.ollama/models/manifests/registry.ollama.ai/library/small/latest", "{}");
                stage
            },
            "model",
            &["Ollama has no model smal:latest", "installed are small:latest"],
        ),
        (
            || {
                let stage = configured("backend = \"ollama\"\n[ollama]\nmodels_dir = \"/nope\"\n");
                stage.install("fake-ollama", &stage.bin().join("ollama"));
                stage
            },
            "model",
            &["Ollama has no model glm-4.7-flash:latest", "/nope does not exist"],
        ),
    ];
    for (ill, name, words) in ill {
        let line = ("backends", name, "failure", words);
        cure(&[Illness { name: "a model", ill, line, mend: EDIT, edited: WELL }], "");
    }
    let ill: [(Ill, &str, &[&str]); 3] = [
        (
            || {
                let stage = configured(&WELL.replace("tiny", "mute"));
                let template = "{% for message in messages %}{{ message.content }}{% endfor %}";
                let script = Script { template: template.into(), ..Script::default() };
                scripted_model::write(&stage.project().join("mute.gguf"), &script).expect("a model");
                stage
            },
            "tools",
            &["mute cannot call tools", "neither read nor write files"],
        ),
        (
            || {
                let stage = configured(&WELL.replace("tiny", "short"));
                let whole = fs::read(stage.model()).expect("the model");
                fs::write(stage.project().join("short.gguf"), &whole[..500]).expect("a file");
                stage
            },
            "tools",
            &["cannot be read as a model", "broken off"],
        ),
        (
            || {
                let stage = configured(&WELL.replace("tiny", "small"));
                let script = Script { context: 32_768, ..Script::default() };
                scripted_model::write(&stage.project().join("small.gguf"), &script).expect("a model");
                stage
            },
            "model context",
            &["65536 tokens are asked for, 32768 is all it can"],
        ),
    ];
    for (ill, name, words) in ill {
        let line = ("backends", name, "warning", words);
        cure(&[Illness { name: "a model", ill, line, mend: EDIT, edited: WELL }], "");
    }
}

#[test]
fn with_a_model_that_was_trained_for_too_little() {
    let ill: Ill = || {
        let stage = configured(&WELL.replace("tiny", "least"));
        let script = Script { context: 8192, ..Script::default() };
        scripted_model::write(&stage.project().join("least.gguf"), &script).expect("a model");
        stage
    };
    let words = &["least has too small a context for Claude Code", "trained for 8192 tokens", "24000 is the least"];
    let line = ("backends", "model context", "failure", &words[..]);
    cure(&[Illness { name: "8192", ill, line, mend: EDIT, edited: WELL }], "");
    let stage = ill();
    let (_, report) = stage.doctor("");
    let found = support::doctor::line(&report, "backends", "model context");
    let help = found["help"].to_string();
    assert!(help.contains("--model NAME, one that was trained for more") && !help.contains("--context"), "{found:#}");
    // As a session is then.
    stage.config(&format!("context_check = false\n{}", stage.filled(&WELL.replace("tiny", "least"))));
    let (ended, _) = stage.doctor("");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn a_model_that_the_first_session_fetches_is_not_called_here() {
    let stage = configured("backend = \"llamacpp\"\n[llamacpp]\nhf = \"me/x-GGUF:Q4_K_M\"\n");
    let model = || line(&stage.doctor("").1, "backends", "model")["found"].clone();
    assert_eq!(model(), "me/x-GGUF:Q4_K_M is not here yet; the first session downloads it");
    write(&stage, "home/.cache/huggingface/hub/models--me--x-GGUF/snapshots/1/x-Q4_K_M.gguf", "GGUF");
    assert_eq!(model(), "me/x-GGUF:Q4_K_M from me/x-GGUF:Q4_K_M on Hugging Face");
}

#[test]
fn with_a_command_that_cannot_be_run() {
    let ill: [(Ill, &[&str]); 4] = [
        (|| configured("backend = \"command\"\nmodel = \"m\"\n"), &["the backend is a command, and none is given"]),
        (
            || configured("backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"sh\", \"{prot}\"]\n"),
            &["unknown {prot}"],
        ),
        (|| configured("backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"sh\"]\n"), &["has no {port}"]),
        (
            || configured("backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"no-such-server\", \"{port}\"]\n"),
            &["no-such-server was not found"],
        ),
    ];
    for (ill, words) in ill {
        let line = ("backends", "choice", "failure", words);
        let edited = "backend = \"command\"\nmodel = \"m\"\n[command]\nrun = [\"sh\", \"{port}\"]\n";
        cure(&[Illness { name: "a command", ill, line, mend: EDIT, edited }], "");
    }
}

#[test]
fn the_users_own_ollama_is_asked_what_a_model_can() {
    let mut stage = Stage::ollama();
    stage.with_editor();
    let own = Own::start(&stage, &[]);
    stage.set("OLLAMA_HOST", &own.url);
    stage.config("model = \"talker\"\n");
    let (ended, report) = stage.doctor("");
    let found = line(&report, "backends", "tools");
    assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
    assert_eq!(found["found"], "talker:latest cannot call tools");
    let (ended, report) = stage.doctor_after(&stage.filled(EDIT), "model = \"small\"\n", "");
    assert_eq!(ended.code, Some(0), "{:#?}", complaints(&report));
    assert_eq!(line(&report, "backends", "tools")["found"], "small:latest can call tools");
    assert_eq!(line(&report, "backends", "model context")["found"], "65536 tokens asked for, 131072 possible");
    stage.config("model = \"fixed\"\n");
    let (_, report) = stage.doctor("");
    let found = line(&report, "backends", "model context");
    assert!(found["state"] == "warning" && found["help"][0].to_string().contains("ollama create"), "{found:#}");
    // Looked at, and no more.
    assert_eq!(own.loaded(), Vec::<String>::new());
}

#[test]
fn an_lm_studio_that_runs_is_asked_and_one_that_does_not_is_not_started() {
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
    assert!(line(&report, "backends", "lmstudio server")["found"].to_string().contains("does not run"));
    stage.assert_nothing_started();

    let lms = |words: &[&str]| {
        let status = stage.command(home.join("bin/lms")).args(words).env("HOME", "/nonexistent").status();
        assert!(status.expect("lms runs").success(), "{words:?}");
    };
    lms(&["daemon", "up", "--json"]);
    let (_, report) = stage.doctor("");
    let found = line(&report, "backends", "model");
    assert_eq!(
        (&found["state"], &found["found"]),
        (&json!("failure"), &json!("talker cannot call tools")),
        "{found:#}"
    );
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
fn with_an_endpoint_that_will_not_do() {
    let ill: [(Ill, &str, &[&str]); 10] = [
        (|| configured("backend = \"endpoint\"\nmodel = \"m\"\n"), "choice", &["no URL is given"]),
        (|| endpoint("no url", ""), "choice", &["is not a URL"]),
        (|| endpoint("http://me:secret@127.0.0.1:1", ""), "choice", &["has a password in it"]),
        (|| endpoint("http://127.0.0.1:1?key=secret", ""), "choice", &["has a query in it"]),
        (
            || configured("backend = \"endpoint\"\n[endpoint]\nurl = \"http://127.0.0.1:1\"\n"),
            "choice",
            &["no model is chosen"],
        ),
        (|| endpoint("http://127.0.0.1:1", ""), "endpoint server", &["nothing answers at http://127.0.0.1:1"]),
        (|| endpoint("http://127.0.0.1:1", "token_env = \"UNSET\"\n"), "endpoint server", &["UNSET is not set"]),
        (|| endpoint(&server("404 Not Found", "m"), ""), "endpoint server", &["it has no route"]),
        (|| endpoint(&server("401 Unauthorized", "m"), ""), "endpoint server", &["does not take the token"]),
        (|| endpoint(&server("400 Bad Request", "other"), ""), "endpoint server", &["has no model"]),
    ];
    for (ill, name, words) in ill {
        let stage = ill();
        let (ended, report) = stage.doctor("");
        let found = line(&report, "backends", name);
        let said = found.to_string();
        assert_eq!((ended.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
        assert!(words.iter().all(|word| said.contains(word)) && !said.contains("secret"), "{words:?}: {found:#}");
        // Any of them is mended by another endpoint in the file.
        let edit = stage.filled(EDIT);
        assert!(found["help"].as_array().is_some_and(|helps| helps.contains(&json!(edit))), "{found:#}");
        let url = server("400 Bad Request", "m");
        let edited = format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{url}\"\n");
        let (ended, report) = stage.doctor_after(&edit, &edited, "");
        assert_eq!(ended.code, Some(0), "{:#?}", complaints(&report));
        let context = &line(&report, "backends", "model context")["found"];
        assert_eq!(context, "65536 tokens asked for, 65536 possible");
    }
}
