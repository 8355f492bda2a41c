//! Ollama: a private `ollama serve` on the user's own model store, or the server that runs already.
//!
//! Answers as of Ollama 0.14 and later (`server/routes.go`, `docs/api.md`), seen in runs of 0.33. At its first start it
//! makes itself a key pair, `~/.ollama/id_ed25519`; that is its own business, and nothing here needs it.

use std::path::{Path, PathBuf};

use super::store;
use crate::{
    backend::{
        install::{self, IS_MACOS},
        names,
        plan::{BackendPlan, HOST, Program, Service},
        program::{self, Absent},
    },
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        variables::Variables,
    },
    config::{Instance, Kind, Settings},
};

/// What is used where nobody names a model: small enough for 32 GB, and able to call tools.
pub const DEFAULT_MODEL: &str = "glm-4.7-flash";
const SCRIPT: &str = "curl -fsSL https://ollama.com/install.sh | sh";

/// Where `ollama` is when it is not on PATH.
const USUAL: &[&str] =
    &["/usr/local/bin/ollama", "/opt/homebrew/bin/ollama", "/Applications/Ollama.app/Contents/Resources/ollama"];

/// # Errors
/// `Unavailable` when there is no ollama, `Config` or `Usage` for a model that cannot be named, `Refused` for one that
/// runs in Ollama's cloud.
pub fn plan(settings: &Settings, wanted: &[String], environment: &Environment) -> Result<BackendPlan> {
    let mut models: Vec<String> = Vec::new();
    for model in wanted {
        if !store::is_name(model) {
            return Err(not_a_name(settings, model));
        }
        if !models.iter().any(|known| store::is_same(known, model)) {
            models.push(store::full_name(model));
        }
    }
    refuse_cloud(settings, &models)?;
    let (service, origin) = match settings.ollama.instance {
        Instance::Shared => {
            let url = shared_url(settings.ollama.host.as_deref(), &environment.variables);
            (Service::Running(url.clone()), url)
        }
        Instance::Private => {
            let path = program(settings)?;
            let named = store::choose(settings, &models, environment)?;
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
        if let Some(spelt) = store::find(&place, model) {
            *model = spelt;
        }
    }
    let mut program = Program::new(path);
    program.arguments.push("serve".into());
    // Each would change one of those below, or where models are pulled from; its runner, a llama-server, reads the
    // others, and with a key of the user's nobody could speak to it.
    program.removed = ["OLLAMA_*", "LLAMA_*"].map(str::to_owned).into();
    let own = [
        ("OLLAMA_HOST", format!("{HOST}:{{port}}")),
        // The default is 4096 on most machines, and a longer prompt loses its beginning without a word.
        ("OLLAMA_CONTEXT_LENGTH", settings.context().to_string()),
        ("OLLAMA_KEEP_ALIVE", "-1".into()),
        ("OLLAMA_NUM_PARALLEL", "1".into()),
        ("OLLAMA_MAX_LOADED_MODELS", models.len().to_string()),
        // Else its start may delete files that another server is pulling.
        ("OLLAMA_NOPRUNE", "1".into()),
    ];
    program.environment = own.map(|(name, value)| (name.to_owned(), value)).into();
    let mut set = |name: &str, value: String| program.environment.insert(name.into(), value);
    if !models.iter().any(|model| store::is_cloud(model)) {
        set("OLLAMA_NO_CLOUD", "1".into());
    }
    if let Some(store) = named {
        set("OLLAMA_MODELS", store.display().to_string());
    }
    if let Some(kind) = &settings.ollama.kv_cache_type {
        set("OLLAMA_KV_CACHE_TYPE", kind.clone());
        // Without it the setting above is ignored.
        set("OLLAMA_FLASH_ATTENTION", "1".into());
    }
    if let Some((name, setting)) = OWN.iter().find(|(name, _)| settings.ollama.env.contains_key(*name)) {
        return Err(Failure::new(Code::Config, format!("[ollama] env cannot have {name}"))
            .why(format!("{} sets it, and lclaude gives it itself", settings.source(&format!("ollama.env.{name}"))))
            .help(format!("remove it; its setting is {setting}")));
    }
    program.environment.extend(settings.ollama.env.clone());
    Ok((program, place.display().to_string()))
}

/// Variables that lclaude gives Ollama itself, with the setting that each belongs to.
const OWN: &[(&str, &str)] = &[
    ("OLLAMA_HOST", "nothing: the port is lclaude's to choose, on 127.0.0.1"),
    ("OLLAMA_CONTEXT_LENGTH", "context"),
    ("OLLAMA_MODELS", "[ollama] models_dir"),
];

/// # Errors
/// `Unavailable` when there is none.
pub fn program(settings: &Settings) -> Result<PathBuf> {
    let named = settings.ollama.path.as_deref();
    let usual = || USUAL.iter().find_map(|path| program::find(Some(Path::new(path)), ""));
    let found = program::find(named, "ollama").or_else(|| if named.is_none() { usual() } else { None });
    found.ok_or_else(|| {
        let absent = Absent {
            kind: Kind::Ollama,
            program: "ollama",
            name: "ollama",
            install: install_hint(),
            why: "it is not on PATH".into(),
        };
        absent.failure(settings, named)
    })
}

/// The command lines that install it on this machine.
pub fn install_commands() -> Vec<String> {
    let mut commands = at_once();
    if !IS_MACOS {
        commands.extend(install::packages("ollama", "ollama", "ollama"));
    }
    commands
}

/// The first of them that needs no package manager's word, or what one types to install it on this kind of system.
pub fn install_hint() -> String {
    at_once().into_iter().next().unwrap_or_else(|| usual_install().to_owned())
}

/// Those that are there wherever their program is.
fn at_once() -> Vec<String> {
    let script = (!IS_MACOS && install::has("curl")).then(|| SCRIPT.to_owned());
    script.into_iter().chain(install::brew("ollama")).collect()
}

/// What one types to install Ollama on this kind of system, whatever is on this very machine.
pub fn usual_install() -> &'static str {
    if IS_MACOS { "brew install ollama" } else { SCRIPT }
}

/// Where a server runs already: `OLLAMA_HOST` in the forms Ollama takes, with or without scheme, host and port.
pub fn shared_url(host: Option<&str>, variables: &Variables) -> String {
    let host = host.or_else(|| variables.text("OLLAMA_HOST")).unwrap_or_default();
    let host = host.trim().trim_end_matches('/');
    let (scheme, rest, default) = match host.split_once("://") {
        Some(("https", rest)) => ("https", rest, "443"),
        Some((_, rest)) => ("http", rest, "80"),
        None => ("http", host, "11434"),
    };
    let (rest, path) = rest.split_once('/').map_or((rest, String::new()), |(rest, path)| (rest, format!("/{path}")));
    // The colons of a bare IPv6 address are no port's.
    let split = rest.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
    let (name, port) = split.unwrap_or((rest, default));
    let name = match name {
        // The address to listen on everywhere is no address to connect to.
        "" | "0.0.0.0" | "[::]" | "::" => HOST.to_owned(),
        name if name.contains(':') && !name.starts_with('[') => format!("[{name}]"),
        name => name.to_owned(),
    };
    format!("{scheme}://{name}:{port}{path}")
}

fn not_a_name(settings: &Settings, model: &str) -> Failure {
    let failure = Failure::new(settings.source("model").code(), format!("{model:?} is not a model of Ollama's"))
        .why("its models have names like qwen3:4b")
        .help("ollama list shows those that are installed");
    if model.ends_with(".gguf") { failure.help("--backend llamacpp runs a GGUF file as it is") } else { failure }
}

/// A cloud model sends the code away, so only the user's own configuration may ask for one, by its name.
fn refuse_cloud(settings: &Settings, models: &[String]) -> Result<()> {
    let models = models.iter().filter(|model| store::is_cloud(model));
    match models.into_iter().find(|model| !names::is_in_own_file(settings, |name| store::is_same(name, model))) {
        Some(model) => Err(in_the_cloud(model, Some(model))),
        None => Ok(()),
    }
}

/// `named`: the name by which it is asked for in the cloud, where that is known.
pub fn in_the_cloud(model: &str, named: Option<&str>) -> Failure {
    let failure = Failure::new(Code::Refused, format!("{model} does not run on this machine"))
        .why("it runs on Ollama's servers, as all models named …:cloud do, and your code would go there")
        .help("choose a model that runs here; ollama list shows what is installed");
    match named {
        Some(name) => failure.help(format!("to use it all the same, put model = {name:?} into your own configuration")),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_as_ollama_reads_it() {
        let url = |host: &str| shared_url(Some(host), &Variables::default());
        assert_eq!(url(""), "http://127.0.0.1:11434");
        assert_eq!(url("0.0.0.0"), "http://127.0.0.1:11434");
        assert_eq!(url(":1234"), "http://127.0.0.1:1234");
        assert_eq!(url("box:1234/"), "http://box:1234");
        assert_eq!(url("http://box"), "http://box:80");
        assert_eq!(url("https://box/ollama"), "https://box:443/ollama");
        assert_eq!(url("[::1]:1234"), "http://[::1]:1234");
        assert_eq!(url("::1"), "http://[::1]:11434");
    }
}
