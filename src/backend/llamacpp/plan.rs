//! Builds the plan of `llama-server`: its command line, or a preset file for several models.

use std::path::PathBuf;

use super::{
    memory,
    model::{ModelSource, models},
};
use crate::{
    backend::{
        install,
        plan::{BackendPlan, CacheDirectory, HOST, Program, Service},
        program::{self, MissingProgram},
    },
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        fingerprint::Fingerprint,
        process::Ending,
    },
    config::{Kind, Settings},
    warm::Store,
};

const PROGRAM: &str = "llama-server";

/// How much of a prompt the slot must already hold, or else the server looks in its prompt cache (`--cache-ram`) for a
/// better one. A subagent shares tools with the conversation, so with the default of 0.1 the server doesn't look when the
/// conversation comes back from a short subagent. Measured with b11434 and a model of the Llama kind, for a conversation
/// of 14,561 tokens of which a subagent shares 5,411: 9,150 tokens were read again (57 s); with 0.5, 10 tokens (6 s).
/// So a subagent costs its own prompt only, and the one slot stays.
const SIMILARITY: (&str, &str) = ("--slot-prompt-similarity", "0.5");
/// The newest of the options that lclaude always passes.
pub(crate) const NEWEST_OPTION: &str = "--reuse-port";

/// Returns the plan.
///
/// # Errors
/// `Unavailable` if llama-server is missing, `Config` or `Usage` if a model is missing or isn't a model.
pub(crate) fn plan(settings: &Settings, environment: &Environment) -> Result<BackendPlan> {
    let models = models(settings, environment)?;
    refuse_reserved(settings)?;
    let mut server = Program::new(program(settings)?);
    server.fingerprints.extend(models.iter().filter_map(ModelSource::file).map(Fingerprint::of));
    let options = &settings.llamacpp;
    let context = settings.context().to_string();

    let mut arguments: Vec<String> = Vec::new();
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    let mut preset = String::new();
    if let [model] = &models[..] {
        match model {
            ModelSource::File(path) => option("--model", path.display().to_string()),
            ModelSource::HuggingFace(name) => option("-hf", name.clone()),
        }
        option("--alias", model.name());
        // Without `-c` the server may silently reduce the context to 4096.
        option("-c", context);
        // Without `-np` it divides the context among four slots.
        option("-np", "1".into());
        option(SIMILARITY.0, SIMILARITY.1.into());
    } else {
        // The router starts one server for each model.
        preset = preset_file(&models, &context);
        option("--models-preset", "{file}".into());
        option("--models-max", models.len().to_string());
    }
    option("--host", HOST.into());
    option("--port", "{port}".into());
    let numbers =
        [("--threads", options.threads), ("--batch-size", options.batch_size), ("--ubatch-size", options.ubatch_size)];
    for (name, value) in numbers {
        if let Some(value) = value {
            option(name, value.to_string());
        }
    }
    if let Some(layers) = &options.gpu_layers {
        option("--gpu-layers", layers.to_string());
    }
    for (name, value) in [("--cache-type-k", &options.cache_type_k), ("--cache-type-v", &options.cache_type_v)] {
        if let Some(value) = value {
            option(name, value.clone());
        }
    }
    if let Some(limit) = memory::limit(settings, models.len()) {
        option("--cache-ram", limit.to_string());
    }
    // Together with the keeper's socket this limits the port to this user's programs, even while the server is down.
    arguments.push(NEWEST_OPTION.into());
    let downloads = models.iter().any(|model| matches!(model, ModelSource::HuggingFace(_)));
    if downloads && settings.untrusted_choice().is_some() {
        // An untrusted project file must not cause a download if the cached file is missing or old.
        arguments.push("--offline".into());
    }
    // `lclaude local status` reads the metrics, which require the API key.
    arguments.push("--metrics".into());
    arguments.extend(options.args.iter().cloned());

    let cache = snapshots_directory(settings, environment, models.len());
    // A download runs in a terminal to get its progress bar; `NO_COLOR` keeps colors out of the log.
    let mut environment = options.env.clone();
    if downloads {
        environment.entry("NO_COLOR".into()).or_insert("1".into());
    }
    let origins = models.iter().map(|model| match model {
        ModelSource::File(path) => path.display().to_string(),
        ModelSource::HuggingFace(name) => format!("{name} on Hugging Face"),
    });

    Ok(BackendPlan {
        kind: Kind::LlamaCpp,
        origin: origins.collect::<Vec<_>>().join(", "),
        service: Service::Program(Program {
            arguments,
            environment,
            // These would override options such as the port.
            removed: ["LLAMA_ARG_*", "LLAMA_API_KEY", "LLAMA_SERVER_*", "AIP_*"].map(str::to_owned).into(),
            key_variable: Some("LLAMA_API_KEY".into()),
            file: Some(preset).filter(|preset| !preset.is_empty()),
            shares_port: true,
            terminal: downloads,
            ending: Ending::Kill,
            cache,
            ..server
        }),
        models: models.iter().map(ModelSource::name).collect(),
        context: settings.context(),
    })
}

/// Returns where the slot of the only model is saved, or `None` if it isn't.
fn snapshots_directory(settings: &Settings, environment: &Environment, models: usize) -> Option<CacheDirectory> {
    let store = Store::of_session(settings, &environment.places, true).filter(|_| models == 1)?;
    let option = "--slot-save-path";
    let is_own = settings.llamacpp.args.iter().any(|argument| argument.starts_with(option));
    (!is_own).then(|| CacheDirectory { option: option.into(), path: store.directory().to_owned() })
}

/// Returns the preset file (INI) that lists the router's models.
fn preset_file(models: &[ModelSource], context: &str) -> String {
    let section = |model: &ModelSource| {
        let (name, value) = model.preset_key();
        let similarity = format!("{} = {}", SIMILARITY.0.trim_start_matches('-'), SIMILARITY.1);
        format!(
            "[{}]\n{name} = {value}\nctx-size = {context}\nparallel = 1\n{similarity}\nload-on-startup = true\n",
            model.name()
        )
    };
    format!("version = 1\n{}", models.iter().map(section).collect::<String>())
}

/// Returns the model files that a plan's command line or preset file names.
pub(crate) fn files(plan: &BackendPlan) -> Vec<PathBuf> {
    let Service::Program(program) = &plan.service else {
        return Vec::new();
    };
    let single = program.arguments.iter().skip_while(|argument| *argument != "--model").nth(1).map(String::as_str);
    let preset = program.file.as_deref().unwrap_or_default().lines();
    single.into_iter().chain(preset.filter_map(|line| line.strip_prefix("model = "))).map(PathBuf::from).collect()
}

/// Returns the Hugging Face repository that a plan's command line names.
pub(crate) fn repository(plan: &BackendPlan) -> Option<&str> {
    let Service::Program(program) = &plan.service else {
        return None;
    };
    program.arguments.iter().skip_while(|argument| *argument != "-hf").nth(1).map(String::as_str)
}

/// Options that lclaude sets itself, with the help on what to use instead.
const RESERVED: &[(&[&str], &str)] = &[
    (&["--model", "-m"], " and set [llamacpp] gguf instead"),
    (&["-hf", "-hfr", "--hf-repo"], " and set [llamacpp] hf instead"),
    (&["--ctx-size", "-c"], " and set context instead"),
    (&["--host", "--port", NEWEST_OPTION, "--api-prefix"], "; lclaude chooses a free port on 127.0.0.1"),
    (&["--api-key", "--api-key-file"], "; each run gets a new key"),
    (&["--alias", "-a"], "; lclaude chooses the name that Claude Code uses"),
    (&["--hf-token", "-hft"], " and set [llamacpp] env = { HF_TOKEN = \"…\" }, which other users cannot see"),
    (&["--parallel", "-np"], "; one slot keeps the session's prefix cached"),
];

/// Refuses arguments that would override lclaude's own options.
///
/// # Errors
/// `Config` if there is one.
fn refuse_reserved(settings: &Settings) -> Result<()> {
    for argument in &settings.llamacpp.args {
        let name = argument.split('=').next().unwrap_or(argument);
        // Options such as `--gpt-oss-20b-default` select a model and download it.
        let is_model = name.ends_with("-default") && name != "--spec-default";
        let own = RESERVED.iter().find(|(names, _)| names.contains(&name)).map(|(_, instead)| *instead);
        if let Some(instead) = own.or(is_model.then_some(" and set [llamacpp] gguf or hf instead")) {
            return Err(Failure::new(Code::Config, format!("[llamacpp] args cannot have {name}"))
                .cause(format!("{} sets it, but lclaude sets this option itself", settings.source("llamacpp.args")))
                .help(format!("remove it{instead}")));
        }
    }
    Ok(())
}

/// Returns the path of `llama-server`.
///
/// # Errors
/// `Unavailable` if it isn't found.
pub(crate) fn program(settings: &Settings) -> Result<PathBuf> {
    let named = settings.llamacpp.path.as_deref();
    program::find(named, PROGRAM).ok_or_else(|| {
        let absent = MissingProgram {
            kind: Kind::LlamaCpp,
            program: PROGRAM,
            name: PROGRAM,
            install: install_hint(),
            why: "it is not on PATH".into(),
        };
        absent.failure(settings, named)
    })
}

/// Returns the install commands that need no query of a package manager.
pub(crate) fn install_commands() -> Vec<String> {
    let nix = install::is_on_path("nix").then(|| "nix profile install nixpkgs#llama-cpp".to_owned());
    install::brew("llama.cpp").into_iter().chain(nix).collect()
}

/// Returns the first install command, or where to download it.
pub(crate) fn install_hint() -> String {
    let elsewhere =
        "download a release from https://github.com/ggml-org/llama.cpp/releases and put llama-server on PATH";
    install_commands().into_iter().next().unwrap_or_else(|| elsewhere.to_owned())
}
