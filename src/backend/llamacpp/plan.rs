//! llama.cpp's `llama-server`: a GGUF model, or several behind its router, one slot each, and an API key of its own.
//!
//! Options and answers as of release b11434 (`common/arg.cpp`, `tools/server`), seen in runs of it.

use std::path::PathBuf;

use super::{
    memory,
    model::{Model, models},
};
use crate::{
    backend::{
        install,
        plan::{BackendPlan, HOST, Program, Service},
        program::{self, Absent},
    },
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        process::Ending,
    },
    config::{Kind, Settings},
};

const PROGRAM: &str = "llama-server";
/// Of the options that it is always given, the one that came last.
pub const NEWEST_OPTION: &str = "--reuse-port";

/// # Errors
/// `Unavailable` when there is no llama-server, `Config` or `Usage` when a model is missing or cannot be one.
pub fn plan(settings: &Settings, environment: &Environment) -> Result<BackendPlan> {
    let models = models(settings, environment)?;
    refuse_own(settings)?;
    let server = Program::new(program(settings)?);
    let options = &settings.llamacpp;
    let context = settings.context().to_string();

    let mut arguments: Vec<String> = Vec::new();
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    let mut preset = String::new();
    if let [model] = &models[..] {
        match model {
            Model::File(path) => option("--model", path.display().to_string()),
            Model::HuggingFace(name) => option("-hf", name.clone()),
        }
        option("--alias", model.name());
        // Without it the server may shrink its context to 4096 in silence …
        option("-c", context);
        // … and divides it among four slots without this.
        option("-np", "1".into());
    } else {
        // One server in front, which starts one for each model.
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
    // With the keeper's own socket on the port, only this user's programs can bind it, also while the server is down.
    arguments.push(NEWEST_OPTION.into());
    let fetches = models.iter().any(|model| matches!(model, Model::HuggingFace(_)));
    if fetches && settings.untrusted_choice().is_some() {
        // The cache may have another file of that repository, or an older one.
        arguments.push("--offline".into());
    }
    // For `lclaude local status`: it counts all the same, and this lets it say so to those who have its key.
    arguments.push("--metrics".into());
    arguments.extend(options.args.iter().cloned());

    // The download's bar is drawn only on a terminal; what else it would do there is colour its log.
    let mut environment = options.env.clone();
    if fetches {
        environment.entry("NO_COLOR".into()).or_insert("1".into());
    }
    let origins = models.iter().map(|model| match model {
        Model::File(path) => path.display().to_string(),
        Model::HuggingFace(name) => format!("{name} on Hugging Face"),
    });

    Ok(BackendPlan {
        kind: Kind::LlamaCpp,
        origin: origins.collect::<Vec<_>>().join(", "),
        service: Service::Program(Program {
            arguments,
            environment,
            // Each changes an option behind the back of the ones above, the port included.
            removed: ["LLAMA_ARG_*", "LLAMA_API_KEY", "LLAMA_SERVER_*", "AIP_*"].map(str::to_owned).into(),
            key_variable: Some("LLAMA_API_KEY".into()),
            file: Some(preset).filter(|preset| !preset.is_empty()),
            shares_port: true,
            terminal: fetches,
            ending: Ending::Kill,
            ..server
        }),
        models: models.iter().map(Model::name).collect(),
        context: settings.context(),
    })
}

/// What llama-server's router is told of its models (INI).
fn preset_file(models: &[Model], context: &str) -> String {
    let section = |model: &Model| {
        let (name, value) = model.preset_key();
        format!("[{}]\n{name} = {value}\nctx-size = {context}\nparallel = 1\nload-on-startup = true\n", model.name())
    };
    format!("version = 1\n{}", models.iter().map(section).collect::<String>())
}

/// The models of a plan that are files, as its command line or its preset names them.
pub fn files(plan: &BackendPlan) -> Vec<PathBuf> {
    let Service::Program(program) = &plan.service else {
        return Vec::new();
    };
    let alone = program.arguments.iter().skip_while(|argument| *argument != "--model").nth(1).map(String::as_str);
    let preset = program.file.as_deref().unwrap_or_default().lines();
    alone.into_iter().chain(preset.filter_map(|line| line.strip_prefix("model = "))).map(PathBuf::from).collect()
}

/// Options of llama-server's that lclaude gives itself, with the setting that each belongs to.
const OWN: &[(&[&str], &str)] = &[
    (&["--model", "-m"], "[llamacpp] gguf"),
    (&["-hf", "-hfr", "--hf-repo"], "[llamacpp] hf"),
    (&["--ctx-size", "-c"], "context"),
    (&["--host", "--port", NEWEST_OPTION, "--api-prefix"], "nothing: the port is lclaude's to choose, on 127.0.0.1"),
    (&["--api-key", "--api-key-file"], "nothing: each run has a key of its own"),
    (&["--alias", "-a"], "nothing: Claude Code asks by the name lclaude gives"),
    (&["--hf-token", "-hft"], "[llamacpp] env = { HF_TOKEN = \"…\" }, which other users of the machine cannot see"),
    (&["--parallel", "-np"], "nothing: one session is served at a time, and its prefix stays cached"),
];

/// A second value would win over ours, and the server would not be where it is waited for.
fn refuse_own(settings: &Settings) -> Result<()> {
    for argument in &settings.llamacpp.args {
        let name = argument.split('=').next().unwrap_or(argument);
        // `--gpt-oss-20b-default` and its like choose a model, and download it.
        let is_model = name.ends_with("-default") && name != "--spec-default";
        let own = OWN.iter().find(|(names, _)| names.contains(&name)).map(|(_, setting)| *setting);
        if let Some(setting) = own.or(is_model.then_some("[llamacpp] gguf or hf")) {
            return Err(Failure::new(Code::Config, format!("[llamacpp] args cannot have {name}"))
                .why(format!("{} has it, and lclaude sees to that itself", settings.source("llamacpp.args")))
                .help(format!("remove it; its setting is {setting}")));
        }
    }
    Ok(())
}

/// # Errors
/// `Unavailable` when there is none.
pub fn program(settings: &Settings) -> Result<PathBuf> {
    let named = settings.llamacpp.path.as_deref();
    program::find(named, PROGRAM).ok_or_else(|| {
        let absent = Absent {
            kind: Kind::LlamaCpp,
            program: PROGRAM,
            name: PROGRAM,
            install: install_hint(),
            why: "it is not on PATH".into(),
        };
        absent.failure(settings, named)
    })
}

/// The command lines that install it wherever their program is.
pub fn install_commands() -> Vec<String> {
    let nix = install::has("nix").then(|| "nix profile install nixpkgs#llama-cpp".to_owned());
    install::brew("llama.cpp").into_iter().chain(nix).collect()
}

/// The first of them, or where else it is to be had.
pub fn install_hint() -> String {
    let elsewhere = "a release from https://github.com/ggml-org/llama.cpp/releases, with llama-server on PATH";
    install_commands().into_iter().next().unwrap_or_else(|| elsewhere.to_owned())
}
