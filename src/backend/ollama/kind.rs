//! Ollama: a private `ollama serve` on the user's own model store, or the server that runs already.
//!
//! Answers as of Ollama 0.14 and later (`server/routes.go`, `docs/api.md`), seen in runs of 0.33. At its first start it
//! makes itself a key pair, `~/.ollama/id_ed25519`; that is its own business, and nothing here needs it.

use super::store;
use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Client;
use tokio::time::timeout;

use super::server::{Server, Shown};
use crate::backend::{
    find, http,
    plan::{Absent, BackendPlan, HOST, Program, Service, Starting, Unfit},
    served::Served,
};
use crate::config::Kind;
use crate::{
    base::error::{Code, Failure, Result},
    config::{Instance, Settings},
};

/// How long the user's own server has to say what it has in memory: it is only a word on the side.
const ASIDE: Duration = Duration::from_millis(500);

/// Where `ollama` is when it is not on PATH.
const USUAL: &[&str] =
    &["/usr/local/bin/ollama", "/opt/homebrew/bin/ollama", "/Applications/Ollama.app/Contents/Resources/ollama"];

/// # Errors
/// `Unavailable` when there is no ollama, `Config` or `Usage` for a model that cannot be named, `Refused` for one that
/// runs in Ollama's cloud.
pub fn plan(settings: &Settings, wanted: &[String], home: &Path, here: &Path) -> Result<BackendPlan> {
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
            let url = shared_url(settings.ollama.host.clone());
            (Service::Running(url.clone()), url)
        }
        Instance::Private => {
            let path = program(settings, home, here)?;
            let named = store::choose(settings, &models, home, here)?;
            let (service, origin) = private(settings, &mut models, path, named, home)?;
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

/// Whether there is an `ollama` to run, or one that runs.
pub fn is_installed(settings: &Settings, home: &Path, here: &Path) -> bool {
    program(settings, home, here).is_ok()
}

/// # Errors
/// `Unavailable` when there is none.
pub fn program(settings: &Settings, home: &Path, here: &Path) -> Result<PathBuf> {
    let named = settings.ollama.path.as_ref().map(|path| settings.path("ollama.path", path, home, here));
    let usual = || USUAL.iter().find_map(|path| crate::backend::plan::program(Some(Path::new(path)), ""));
    let found = crate::backend::plan::program(named.as_deref(), "ollama")
        .or_else(|| if named.is_none() { usual() } else { None });
    found.ok_or_else(|| {
        Absent { kind: Kind::Ollama, program: "ollama", name: "ollama", why: "it is not on PATH".into() }
            .failure(settings, named.as_deref())
    })
}

/// Where a server runs already: `OLLAMA_HOST` in the forms Ollama takes, with or without scheme, host and port.
pub fn shared_url(host: Option<String>) -> String {
    let host = host.or_else(|| env::var("OLLAMA_HOST").ok()).unwrap_or_default();
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
    match models.into_iter().find(|model| !find::is_in_own_file(settings, |name| store::is_same(name, model))) {
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

/// Whether Ollama takes both for the same model.
pub fn is_same(one: &str, other: &str) -> bool {
    store::is_same(one, other)
}

/// Where a model of the plan sends what it is asked, if that is not this machine.
pub fn sends_away(plan: &BackendPlan) -> Option<&str> {
    let model = plan.models.iter().find(|model| store::is_cloud(model))?;
    (plan.kind == Kind::Ollama).then_some(model)
}

/// Those of the plan's models that are not there yet; `None` when only the server can tell.
pub fn missing(plan: &BackendPlan, home: &Path) -> Option<Vec<String>> {
    let place = store::of(plan, home)?;
    let models = plan.models.iter().filter(|model| !store::is_cloud(model));
    Some(models.filter(|model| store::find(&place, model).is_none()).cloned().collect())
}

/// Those that the server which runs at `url` does not have; none if it does not answer, which is for later to say.
pub async fn missing_at(url: &str, plan: &BackendPlan) -> Vec<String> {
    let client = http::client_for(url);
    let Some(installed) = (Server { client: &client, url }).tags().await else {
        return Vec::new();
    };
    let models = plan.models.iter().filter(|model| !store::is_cloud(model));
    models.filter(|model| !installed.iter().any(|known| store::is_same(&known.name, model))).cloned().collect()
}

/// Whether the user has this model, or any at all, without asking a server.
pub fn has(settings: &Settings, model: Option<&str>, home: &Path, here: &Path) -> bool {
    store::all(settings, home, here).iter().any(|stored| model.is_none_or(|model| store::is_same(stored, model)))
}

/// All models that can be used, without asking a server; not those that run on Ollama's own.
pub fn installed(settings: &Settings, home: &Path, here: &Path) -> Vec<String> {
    let mut stored = store::all(settings, home, here);
    stored.retain(|name| !store::is_cloud(name));
    stored
}

/// The failure for a model that is not there and may not be pulled, with the nearest that is. `None` when only the
/// server can tell.
pub fn not_installed(plan: &BackendPlan, model: &str, home: &Path) -> Option<Failure> {
    let place = store::of(plan, home)?;
    let failure = unknown(model, &store::stored(&place));
    if store::is_named(plan) && !place.exists() {
        let why = format!("{} does not exist, where models_dir or OLLAMA_MODELS says they are", place.display());
        let mut failure = failure.why(why);
        failure.help.insert(0, "correct [ollama] models_dir, or OLLAMA_MODELS where that names it".into());
        return Some(failure);
    }
    Some(match store::elsewhere(plan) {
        Some(help) => failure.help(help),
        None => failure,
    })
}

pub fn unknown(model: &str, installed: &[String]) -> Failure {
    let why = match installed {
        [] => "no model is installed yet".to_owned(),
        installed => format!("installed are {}", installed.join(", ")),
    };
    let failure = Failure::new(Code::Unavailable, format!("Ollama has no model {model}")).why(why);
    let failure = match find::nearest_model(model, installed.iter().map(String::as_str)) {
        Some(near) => failure.help(format!("did you mean --model {near}?")),
        None => failure,
    };
    // Its own command needs a server that runs; --yes does not.
    failure.help("lclaude --yes, with the other options you gave, pulls it").help(format!("ollama pull {model}"))
}

pub async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit> {
    let server = Server { client: starting.client, url: &starting.endpoint.url };
    let is_shared = matches!(plan.service, Service::Running(_));
    if is_shared {
        server.is_there().await?;
    } else {
        http::until_up(starting, async || server.look().await).await?;
    }
    server.check_version().await?;
    for model in plan.models.iter().filter(|model| !store::is_cloud(model)) {
        server.install(model, starting).await?;
    }
    let mut served = Served::new();
    if !is_shared {
        served.notes.extend(elsewhere(starting.client).await);
    }
    let mut has_shared_runner = false;
    // The main one last: should they not fit into memory together, it is the one that stays.
    for model in plan.models.iter().rev() {
        let shown = server.show(model).await?;
        if !shown.can("tools") {
            return Err(server.cannot_call_tools(model).await.into());
        }
        served.thinking = shown.can("thinking");
        if store::is_cloud(model) {
            served.grant(model, shown.context().unwrap_or(plan.context), shown.context());
            continue;
        }
        if !shown.remote_host.is_empty() {
            return Err(in_the_cloud(model, Some(&store::cloud_name(&shown.remote_model))).into());
        }
        server.load(model, is_shared, starting).await?;
        let loaded = server.loaded().await;
        let own = loaded.iter().find(|loaded| store::is_same(&loaded.name, model));
        if own.is_none() {
            // Two names for the same file share a runner, which is listed under one of them.
            has_shared_runner = true;
        }
        let Some(context) = own.or(loaded.iter().min_by_key(|one| one.context_length)).map(|one| one.context_length)
        else {
            return Err(not_kept(model).into());
        };
        // What was really allocated, which may be less than was asked for.
        let granted = if context > 0 { context } else { plan.context };
        served.grant(model, granted, shown.context());
        if granted < plan.context && served.of == *model {
            served.more_context = fixed(model, &shown, plan.context);
        }
    }
    let loaded = server.loaded().await;
    let stayed = |model: &String| store::is_cloud(model) || loaded.iter().any(|one| store::is_same(&one.name, model));
    // Where a runner has several names, which of them is listed says nothing.
    if !has_shared_runner && !plan.models.iter().all(stayed) {
        served.notes.push(format!(
            "warning: {} do not fit into memory together, so each change between them loads one anew\n  \
             help: one model for every tier, smaller ones, or a smaller --context",
            plan.models.join(" and ")
        ));
    }
    Ok(served)
}

/// What mends a context that the model's own Modelfile keeps small: a model like it.
pub fn fixed(model: &str, shown: &Shown, asked: u32) -> Option<String> {
    let context = shown.fixed_context().filter(|context| *context < asked)?;
    let larger = format!("{}-{}k", model.replace([':', '/'], "-").trim_end_matches("-latest"), asked / 1024);
    Some(format!(
        "its Modelfile has PARAMETER num_ctx {context}, which counts more than any setting; a model without it:\n    \
         printf 'FROM {model}\\nPARAMETER num_ctx {asked}\\n' | ollama create {larger} -f /dev/stdin, then --model {larger}"
    ))
}

fn not_kept(model: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("Ollama did not keep {model} in memory"))
        .why("it was loaded, and is not among what ollama ps shows")
        .help("a smaller --context, or a smaller model")
}

/// Whether a server answers. A model that it unloads meanwhile it loads again by itself.
pub async fn is_there(client: &Client, url: &str) -> bool {
    Server { client, url }.is_up().await
}

/// The bytes that those of `models` have that are loaded, and how many of them are on a graphics card.
pub async fn in_memory(client: &Client, url: &str, models: &[String]) -> Option<(u64, u64)> {
    let loaded = Server { client, url }.loaded().await;
    let ours = loaded.iter().filter(|loaded| models.iter().any(|model| store::is_same(model, &loaded.name)));
    ours.map(|model| (model.size, model.size_vram)).reduce(|(a, b), (c, d)| (a + c, b + d))
}

/// Ends what we had a server load that goes on without us.
pub async fn unload(client: &Client, url: &str, model: &str) {
    Server { client, url }.unload(model).await;
}

/// A word of warning when the user's own server holds memory that a private one will need.
async fn elsewhere(client: &Client) -> Option<String> {
    let url = shared_url(None);
    if crate::backend::endpoint::is_remote(&url) {
        return None;
    }
    let loaded = timeout(ASIDE, Server { client, url: &url }.loaded()).await.ok()?;
    let names: Vec<&str> = loaded.iter().map(|model| model.name.as_str()).collect();
    let first = names.first()?;
    Some(format!(
        "your own Ollama server has {} in memory, which the private one may need; ollama stop {first} frees it",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_as_ollama_reads_it() {
        let url = |host: &str| shared_url(Some(host.into()));
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
