//! llama.cpp's `llama-server`: a GGUF model, or several behind its router, one slot each, and an API key of its own.
//!
//! Options and answers as of release b11434 (`common/arg.cpp`, `tools/server`), seen in runs of it.

use super::model::to_be_downloaded;
use super::{cache, memory};
use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use reqwest::StatusCode;
use serde::Deserialize;

use super::model::{Model, models};
use crate::backend::{
    http,
    plan::{Absent, BackendPlan, HOST, Health, Program, Progress, Service, Starting, Unfit},
    served::Served,
};
use crate::config::Kind;
use crate::{
    base::{
        error::{Code, Failure, Result},
        process::Ending,
    },
    config::Settings,
};

const PROGRAM: &str = "llama-server";
/// Of the options that it is always given, the one that came last.
pub const NEWEST_OPTION: &str = "--reuse-port";

/// # Errors
/// `Unavailable` when there is no llama-server, `Config` or `Usage` when a model is missing or cannot be one.
pub fn plan(settings: &Settings, home: &Path, here: &Path) -> Result<BackendPlan> {
    let models = models(settings, home, here)?;
    refuse_own(settings)?;
    let program = Program::new(program(settings, home, here)?);
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
        preset = self::preset(&models, &context);
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
            ..program
        }),
        models: models.iter().map(Model::name).collect(),
        context: settings.context(),
    })
}

/// What llama-server's router is told of its models (INI).
fn preset(models: &[Model], context: &str) -> String {
    let section = |model: &Model| {
        let (name, value) = model.preset_key();
        format!("[{}]\n{name} = {value}\nctx-size = {context}\nparallel = 1\nload-on-startup = true\n", model.name())
    };
    format!("version = 1\n{}", models.iter().map(section).collect::<String>())
}

/// The models of a plan that are files, as its command line or its preset names them.
pub fn files(plan: &BackendPlan) -> Vec<&Path> {
    let Service::Program(program) = &plan.service else {
        return Vec::new();
    };
    if plan.kind != Kind::LlamaCpp {
        return Vec::new();
    }
    let alone = program.arguments.iter().skip_while(|argument| *argument != "--model").nth(1).map(String::as_str);
    let preset = program.file.as_deref().unwrap_or_default().lines();
    alone.into_iter().chain(preset.filter_map(|line| line.strip_prefix("model = "))).map(Path::new).collect()
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

/// The models that the settings mean, or the default one, if all of them are on this machine.
pub fn at_hand(settings: &Settings, home: &Path, here: &Path) -> Option<Vec<String>> {
    let names: Vec<String> = models(settings, home, here).ok()?.iter().map(Model::name).collect();
    to_be_downloaded(&names, home).is_empty().then_some(names)
}

/// Whether it has fetched any model before.
pub fn has_any(home: &Path) -> bool {
    !cache::all(home).is_empty()
}

/// # Errors
/// `Unavailable` when there is none.
pub fn program(settings: &Settings, home: &Path, here: &Path) -> Result<PathBuf> {
    let named = settings.llamacpp.path.as_ref().map(|path| settings.path("llamacpp.path", path, home, here));
    crate::backend::plan::program(named.as_deref(), PROGRAM).ok_or_else(|| {
        Absent { kind: Kind::LlamaCpp, program: PROGRAM, name: PROGRAM, why: "it is not on PATH".into() }
            .failure(settings, named.as_deref())
    })
}

#[derive(Deserialize)]
struct Props {
    default_generation_settings: GenerationSettings,
    model_alias: String,
    #[serde(default)]
    chat_template: String,
    #[serde(default)]
    chat_template_caps: TemplateCaps,
}

#[derive(Deserialize)]
struct GenerationSettings {
    n_ctx: u32,
}

/// Absent in older releases, which says nothing about the model.
#[derive(Deserialize)]
#[serde(default)]
struct TemplateCaps {
    supports_tools: bool,
}

impl Default for TemplateCaps {
    fn default() -> Self {
        TemplateCaps { supports_tools: true }
    }
}

pub async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit> {
    let Starting { client, endpoint, .. } = starting;
    let health = format!("{}/health", endpoint.url);
    http::until_up(starting, async || {
        match client.get(&health).timeout(http::PROMPT).send().await.map(|answer| answer.status()) {
            Ok(StatusCode::OK) => Health::Up,
            Ok(StatusCode::SERVICE_UNAVAILABLE) => Health::Loading,
            Ok(_) => Health::Stranger,
            Err(_) => Health::Silent,
        }
    })
    .await?;
    let routes = plan.models.len() > 1;
    if routes {
        until_loaded(plan, starting).await?;
    }
    let offered = http::models(client, endpoint).await.unwrap_or_default();
    let mut served = Served::new();
    for (at, model) in plan.models.iter().enumerate() {
        // `/health` needs no key, so only this proves that the server behind the port is ours.
        let which = if routes { format!("?model={model}") } else { String::new() };
        let props = client.get(format!("{}/props{which}", endpoint.url)).bearer_auth(&endpoint.token);
        let props: Props = http::json(props).await.ok_or(Unfit::Stranger)?;
        if props.model_alias != *model {
            return Err(Unfit::Stranger);
        }
        let trained = offered.iter().find(|known| known.id == *model).and_then(http::Offered::trained);
        served.grant(model, props.default_generation_settings.n_ctx, trained);
        served.tools &= props.chat_template_caps.supports_tools;
        if at == 0 {
            served.thinking = thinks(&props.chat_template);
        }
    }
    if !http::speaks_messages(client, endpoint).await {
        return Err(http::too_old(&plan.name(), "the end of 2025").help("brew upgrade llama.cpp").into());
    }
    Ok(served)
}

/// Whether a model thinks, by what the templates of such models have in common; llama-server does not say it in so many
/// words.
pub fn thinks(template: &str) -> bool {
    ["enable_thinking", "<think>"].iter().any(|mark| template.contains(mark))
}

/// The router is healthy at once; its models are what takes time.
async fn until_loaded(plan: &BackendPlan, starting: &Starting<'_>) -> Result<(), Unfit> {
    let Starting { client, endpoint, .. } = starting;
    let failed = Cell::new(None);
    http::until_up(starting, async || {
        let models = http::models(client, endpoint).await.unwrap_or_default();
        let up = |name: &String| models.iter().any(|model| model.id == *name && model.status["value"] == "loaded");
        if let Some(ended) = models.iter().find(|model| model.status["exit_code"].as_i64().unwrap_or(0) != 0) {
            // The end of the wait, if not a good one.
            failed.set(Some(ended.id.clone()));
            return Health::Up;
        }
        if plan.models.iter().all(up) { Health::Up } else { Health::Loading }
    })
    .await?;
    match failed.take() {
        None => Ok(()),
        Some(name) => Err(Failure::new(Code::Unavailable, format!("llama-server could not load {name}"))
            .why("the server it started for that model ended")
            .help("lclaude with that model alone says more; with several, memory must do for all of them")
            .into()),
    }
}

/// Reads the download bar of `-hf` and the dots of a load out of the log.
pub fn progress(line: &str) -> Option<Progress> {
    let stage = |stage: &str, fraction, detail: &str| Progress { stage: stage.into(), fraction, detail: detail.into() };
    if let Some(percent) = percentage(line).filter(|_| line.contains("Downloading")) {
        return Some(stage("downloading the model", Some(percent), ""));
    }
    if line.contains("load_model: loading model") {
        return Some(stage("loading the model", None, ""));
    }
    if line.contains("warming up") {
        return Some(stage("warming up", None, ""));
    }
    None
}

fn percentage(line: &str) -> Option<f32> {
    let before = &line[..line.find('%')?];
    let digits = before.trim_end().rsplit(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let percent: f32 = digits.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}
