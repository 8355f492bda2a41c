//! Builds the plan of Ollama, and finds its program and URL.
//!
//! At its first start Ollama creates a key pair, `~/.ollama/id_ed25519`, which lclaude doesn't use.

use std::path::{Path, PathBuf};

use super::{store, variables};
use crate::{
    backend::{
        install::{self, IS_MACOS},
        names,
        plan::{BackendPlan, HOST, Program, Service},
        program::{self, MissingProgram},
    },
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        pattern::is_gguf,
        ui,
    },
    config::{Kind, OllamaInstance, Settings},
};

/// The model if none is configured. It fits in 32 GB and supports tools.
pub(crate) const DEFAULT_MODEL: &str = "glm-4.7-flash";
/// The help that makes the KV cache smaller.
pub(crate) const SMALLER_CACHE: &str =
    "lclaude local config set ollama.kv_cache_type q8_0  # halves the memory of the context";
const SCRIPT: &str = "curl -fsSL https://ollama.com/install.sh | sh";

/// Where Ollama's app for macOS has the program, which the app links to only if the user agrees. In `/Applications`, or in
/// the directory of the same name in the home directory.
const IN_APP: &str = "Applications/Ollama.app/Contents/Resources/ollama";

/// Returns the plan.
///
/// # Errors
/// `Unavailable` if ollama is missing, `Config` or `Usage` for an invalid model name, `Refused` for a model that runs
/// in Ollama's cloud.
pub(crate) fn plan(settings: &Settings, wanted: &[String], environment: &Environment) -> Result<BackendPlan> {
    let mut models: Vec<String> = Vec::new();
    for model in wanted {
        if !store::is_name(model) {
            return Err(invalid_name(settings, model));
        }
        if !models.iter().any(|known| store::is_same(known, model)) {
            models.push(store::full_name(model));
        }
    }
    refuse_cloud(settings, &models)?;
    let (service, origin) = match settings.ollama.instance {
        OllamaInstance::Shared => {
            let url = variables::url(settings.ollama.host.as_deref(), &environment.variables);
            (Service::Running(url.clone()), url)
        }
        OllamaInstance::Private => {
            let path = program(settings, environment.home())?;
            let named = store::choose(settings, &models, environment);
            let (service, origin) = private(settings, &mut models, path, named, environment.home())?;
            (Service::Program(service), origin)
        }
    };
    Ok(BackendPlan { kind: Kind::Ollama, service, models, origin, context: settings.context() })
}

fn private(
    settings: &Settings,
    models: &mut [String],
    path: PathBuf,
    named: Option<PathBuf>,
    home: &Path,
) -> Result<(Program, String)> {
    let place = named.clone().unwrap_or_else(|| home.join(".ollama/models"));
    for model in models.iter_mut() {
        if let Some(name) = store::find(&place, model) {
            *model = name;
        }
    }
    let mut program = Program::new(path);
    program.arguments.push("serve".into());
    // `OLLAMA_*` would override the settings below or the registry. `LLAMA_*` affects the runner, a llama-server: with
    // the user's own API key it would reject Ollama's requests.
    program.removed = ["OLLAMA_*", "LLAMA_*"].map(str::to_owned).into();
    let own = [
        (variables::ADDRESS, format!("{HOST}:{{port}}")),
        // The default is 4096 on most machines, and longer prompts are silently truncated.
        ("OLLAMA_CONTEXT_LENGTH", settings.context().to_string()),
        ("OLLAMA_KEEP_ALIVE", "-1".into()),
        ("OLLAMA_NUM_PARALLEL", "1".into()),
        ("OLLAMA_MAX_LOADED_MODELS", models.len().to_string()),
        // Otherwise its start may delete files that another server is downloading.
        ("OLLAMA_NOPRUNE", "1".into()),
    ];
    program.environment = own.map(|(name, value)| (name.to_owned(), value)).into();
    let mut set = |name: &str, value: String| program.environment.insert(name.into(), value);
    if !models.iter().any(|model| store::is_cloud(model)) {
        set("OLLAMA_NO_CLOUD", "1".into());
    }
    if let Some(store) = named {
        set(variables::MODELS, store.display().to_string());
    }
    if let Some(kind) = &settings.ollama.kv_cache_type {
        set("OLLAMA_KV_CACHE_TYPE", kind.clone());
        // Without flash attention the cache type is ignored.
        set("OLLAMA_FLASH_ATTENTION", "1".into());
    }
    if let Some((name, instead)) = RESERVED.iter().find(|(name, _)| settings.ollama.env.contains_key(*name)) {
        return Err(Failure::new(Code::Config, format!("[ollama] env cannot set {name}"))
            .cause(format!(
                "{} sets it, but lclaude sets this variable itself",
                settings.source(&format!("ollama.env.{name}"))
            ))
            .help(format!("remove it{instead}")));
    }
    program.environment.extend(settings.ollama.env.clone());
    Ok((program, place.display().to_string()))
}

/// Variables that lclaude sets itself, with the help on what to use instead.
const RESERVED: &[(&str, &str)] = &[
    ("OLLAMA_HOST", "; lclaude chooses a free port on 127.0.0.1"),
    ("OLLAMA_CONTEXT_LENGTH", " and set context instead"),
    ("OLLAMA_MODELS", " and set [ollama] models_dir instead"),
];

/// Returns the path of `ollama`.
///
/// # Errors
/// `Unavailable` if it isn't found.
pub(crate) fn program(settings: &Settings, home: &Path) -> Result<PathBuf> {
    let named = settings.ollama.path.as_deref();
    let in_app = || [Path::new("/"), home].into_iter().find_map(|place| program::find(Some(&place.join(IN_APP)), ""));
    let found = program::find(named, "ollama").or_else(|| if named.is_none() { in_app() } else { None });
    found.ok_or_else(|| {
        let absent = MissingProgram {
            kind: Kind::Ollama,
            program: "ollama",
            name: "ollama",
            install: install_hint(),
            why: "it is not on PATH".into(),
        };
        absent.failure(settings, named)
    })
}

/// Returns the command that runs Ollama's own client with a server for this model, since usually none is running.
pub(crate) fn client_command(model: &str, arguments: &str) -> String {
    format!("lclaude local run --backend ollama --model {model} -- ollama {arguments}")
}

/// Returns the command that downloads a model and starts a session with it.
pub(crate) fn download_command(model: &str) -> String {
    format!("lclaude --backend ollama --model {model} --yes")
}

/// Returns the commands that can install it on this machine.
pub(crate) fn install_commands() -> Vec<String> {
    let mut commands = direct_install_commands();
    if !IS_MACOS {
        commands.extend(install::packages("ollama", "ollama", "ollama"));
    }
    commands
}

/// Returns the first install command that needs no query of a package manager, or else this system's usual one.
pub(crate) fn install_hint() -> String {
    direct_install_commands().into_iter().next().unwrap_or_else(|| usual_install().to_owned())
}

/// Returns the install commands that need no query of a package manager.
fn direct_install_commands() -> Vec<String> {
    let script = (!IS_MACOS && install::is_on_path("curl")).then(|| SCRIPT.to_owned());
    script.into_iter().chain(install::brew("ollama")).collect()
}

/// Returns the usual install command on this operating system, without checking that this machine can run it.
pub(crate) fn usual_install() -> &'static str {
    if IS_MACOS { "brew install ollama" } else { SCRIPT }
}

fn invalid_name(settings: &Settings, model: &str) -> Failure {
    let failure = Failure::new(settings.source("model").code(), format!("{model:?} is not an Ollama model name"))
        .cause("its models have names like qwen3:4b")
        .help("lclaude local models --backend ollama  # shows installed models");
    if is_gguf(model) {
        failure.help(format!("lclaude --backend llamacpp --model {}", ui::quote_path(Path::new(model))))
    } else {
        failure
    }
}

/// Refuses a cloud model, which sends the code away, unless the user's own configuration names it.
fn refuse_cloud(settings: &Settings, models: &[String]) -> Result<()> {
    let models = models.iter().filter(|model| store::is_cloud(model));
    match models.into_iter().find(|model| !names::is_in_own_file(settings, |name| store::is_same(name, model))) {
        Some(model) => Err(runs_in_cloud(model, Some(model))),
        None => Ok(()),
    }
}

/// Returns the failure for a cloud model. `named` is its name in the cloud, if known.
pub(crate) fn runs_in_cloud(model: &str, named: Option<&str>) -> Failure {
    let failure = Failure::new(Code::Refused, format!("{model} does not run on this machine"))
        .cause("it runs on Ollama's servers, like all models named …:cloud, so your code would be sent there")
        .help("lclaude local models --backend ollama  # choose a model that runs on this machine");
    match named {
        Some(name) => failure.help(format!("lclaude local config set model {name}  # uses it anyway")),
        None => failure,
    }
}
