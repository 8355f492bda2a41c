//! Builds the plan of `llama-server`: its command line, or a preset file for several models.

use std::path::{Path, PathBuf};

use super::{
    files, memory,
    model::{ModelSource, models},
    program,
};
use crate::{
    backend::plan::{BackendPlan, CacheDirectory, HOST, Program, Service},
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        fingerprint::Fingerprint,
        process::Ending,
    },
    config::{Kind, LlamaCppSettings, Settings},
    warm::Store,
};

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
    files::check_model_files(settings)?;
    let options = &settings.llamacpp;
    let mut server = program::new(program::find(settings)?);
    let others = options.model_files().map(|(_, _, path)| path);
    server.fingerprints.extend(models.iter().filter_map(ModelSource::file).chain(others).map(Fingerprint::of));
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
        for (_, name, path) in options.model_files() {
            option(name, path.display().to_string());
        }
    } else {
        // The router starts one server for each model.
        preset = preset_file(&models, &context, options);
        option("--models-preset", "{file}".into());
        option("--models-max", models.len().to_string());
    }
    option("--host", HOST.into());
    option("--port", "{port}".into());
    for (name, value) in tuning(options) {
        option(name, value);
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
    arguments.extend(options.arguments().cloned());

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
            removed: ["LLAMA_ARG_*", "LLAMA_API_KEY", "LLAMA_APP_CMD", "LLAMA_SERVER_*", "AIP_*"]
                .map(str::to_owned)
                .into(),
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

/// Returns the options that the keys of `[llamacpp]` set for every model.
fn tuning(options: &LlamaCppSettings) -> Vec<(&'static str, String)> {
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let set = [
        ("--threads", number(options.threads)),
        ("--batch-size", number(options.batch_size)),
        ("--ubatch-size", number(options.ubatch_size)),
        ("--gpu-layers", options.gpu_layers.as_ref().map(ToString::to_string)),
        ("--n-cpu-moe", number(options.n_cpu_moe)),
        ("--split-mode", options.split_mode.map(|mode| mode.name().to_owned())),
        ("--tensor-split", options.tensor_split.as_ref().map(|split| split.0.clone())),
        ("--main-gpu", number(options.main_gpu)),
        ("--flash-attn", options.flash_attention.map(|use_it| use_it.name().to_owned())),
        ("--cache-type-k", options.cache_type_k.clone()),
        ("--cache-type-v", options.cache_type_v.clone()),
    ];
    let set = set.into_iter().filter_map(|(name, value)| Some((name, value?)));
    set.chain(options.sampling.options()).collect()
}

/// Returns where the slot of the only model is saved, or `None` if it isn't.
fn snapshots_directory(settings: &Settings, environment: &Environment, models: usize) -> Option<CacheDirectory> {
    let store = Store::of_session(settings, &environment.places, true).filter(|_| models == 1)?;
    let option = "--slot-save-path";
    let is_own = settings.llamacpp.arguments().any(|argument| argument.starts_with(option));
    (!is_own).then(|| CacheDirectory { option: option.into(), path: store.directory().to_owned() })
}

/// Returns the preset file (INI) that lists the router's models. The first is the main one, which has files of its own;
/// the router drops `--mmproj` of its command line (`unset_reserved_args` in `tools/server/server-models.cpp`).
fn preset_file(models: &[ModelSource], context: &str, options: &LlamaCppSettings) -> String {
    let section = |(at, model): (usize, &ModelSource)| {
        let (name, value) = model.preset_key();
        let similarity = format!("{} = {}", SIMILARITY.0.trim_start_matches('-'), SIMILARITY.1);
        let file = |(_, name, path): (_, &str, &Path)| format!("{} = {}\n", &name[2..], path.display());
        let files: String = options.model_files().filter(|_| at == 0).map(file).collect();
        format!(
            "[{}]\n{name} = {value}\nctx-size = {context}\nparallel = 1\n{similarity}\n{files}load-on-startup = true\n",
            model.name()
        )
    };
    format!("version = 1\n{}", models.iter().enumerate().map(section).collect::<String>())
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
    let keys = ["llamacpp.args", "llamacpp.args_append"];
    let lists = [&settings.llamacpp.args, &settings.llamacpp.args_append];
    for (key, argument) in keys.iter().zip(lists).flat_map(|(key, list)| list.iter().map(move |word| (key, word))) {
        let name = argument.split('=').next().unwrap_or(argument);
        // Options such as `--gpt-oss-20b-default` select a model and download it.
        let is_model = name.ends_with("-default") && name != "--spec-default";
        let own = RESERVED.iter().find(|(names, _)| names.contains(&name)).map(|(_, instead)| *instead);
        if let Some(instead) = own.or(is_model.then_some(" and set [llamacpp] gguf or hf instead")) {
            let list = key.trim_start_matches("llamacpp.");
            return Err(Failure::new(Code::Config, format!("[llamacpp] {list} cannot have {name}"))
                .cause(format!("{} sets it, but lclaude sets this option itself", settings.source(key)))
                .help(format!("remove it{instead}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preset_file_gives_the_main_model_its_files() {
        let options = LlamaCppSettings {
            mmproj: Some("/m/p.gguf".into()),
            draft_model: Some("/m/d.gguf".into()),
            chat_template_file: Some("/m/t.jinja".into()),
            ..LlamaCppSettings::default()
        };
        let models = ["/m/a.gguf", "/m/b.gguf"].map(|path| ModelSource::File(path.into()));
        assert_eq!(
            preset_file(&models, "4096", &options),
            "version = 1\n[a]\nmodel = /m/a.gguf\nctx-size = 4096\nparallel = 1\nslot-prompt-similarity = 0.5\n\
             mmproj = /m/p.gguf\nmodel-draft = /m/d.gguf\nchat-template-file = /m/t.jinja\nload-on-startup = true\n\
             [b]\nmodel = /m/b.gguf\nctx-size = 4096\nparallel = 1\nslot-prompt-similarity = 0.5\n\
             load-on-startup = true\n"
        );
    }
}
