//! The settings and their validation. `layers` reads and merges them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    endpoint::EndpointSettings, kind::Kind, llamacpp::LlamaCppSettings, ranges, source::Source, tier::Tier,
    tools::ToolSet, warm::WarmSettings,
};
use crate::base::{
    context::{CONTEXT_LIMITS, DEFAULT_CONTEXT, MIN_CONTEXT},
    environment::Environment,
    error::{Code, Failure, Result},
};

/// The merged settings. `None` means unset.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub backend: Option<Kind>,
    pub model: Option<String>,
    #[serde(deserialize_with = "ranges::tokens")]
    pub context: Option<u32>,
    pub profile: Option<String>,
    /// Whether to refuse a context window too small for Claude Code.
    pub context_check: Option<bool>,
    /// Whether to refuse a model that doesn't fit in memory.
    pub memory_check: Option<bool>,
    /// `true` is another name of `[claude] tools = "lean"`; `false` turns lean off, also where the
    /// context is small.
    pub(super) lean: Option<bool>,
    /// Whether each session gets an empty home that is deleted afterwards.
    pub throwaway: Option<bool>,
    pub models: Models,
    pub claude: ClaudeSettings,
    pub lifetime: Lifetime,
    pub warm: WarmSettings,
    pub ollama: OllamaSettings,
    pub lmstudio: LmStudioSettings,
    pub llamacpp: LlamaCppSettings,
    pub command: CommandSettings,
    pub endpoint: EndpointSettings,
    /// Only declared so that a file may contain it; `layers` selects and merges profiles.
    pub profiles: BTreeMap<String, toml::Table>,
    #[serde(skip)]
    pub(super) sources: Sources,
    /// The merged layers as they are written, without what options set.
    #[serde(skip)]
    pub(super) merged: toml::Table,
    /// The project file among the layers, if it is untrusted.
    #[serde(skip)]
    pub(super) untrusted: Option<PathBuf>,
}

/// `[models]`: separate models for Claude Code's tiers.
pub(crate) type Models = BTreeMap<Tier, String>;

/// `[ollama]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OllamaSettings {
    pub path: Option<PathBuf>,
    pub instance: OllamaInstance,
    /// The shared server's address. Defaults to `OLLAMA_HOST`, then to Ollama's own default.
    pub host: Option<String>,
    pub models_dir: Option<PathBuf>,
    pub kv_cache_type: Option<String>,
    pub env: BTreeMap<String, String>,
}

/// Which Ollama server to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OllamaInstance {
    /// A private server that uses the user's models.
    #[default]
    Private,
    /// The server that is already running.
    Shared,
}

/// `[lmstudio]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LmStudioSettings {
    /// The path of `lms`.
    pub path: Option<PathBuf>,
    /// `max`, `off`, or a number from 0 to 1.
    pub gpu: Option<String>,
    pub parallel: Option<u32>,
}

/// `[command]`: any server that speaks `/v1/messages`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CommandSettings {
    /// The command line, which may contain `{port}`, `{model}`, `{context}`, `{host}` and `{token}`, as `env` may.
    pub run: Vec<String>,
    pub health: Option<String>,
    /// The command line that ends a server which a signal to `run` doesn't end, with the same placeholders.
    pub stop: Vec<String>,
    /// How long `stop` may take.
    #[serde(with = "humantime_serde")]
    pub stop_timeout: Option<Duration>,
    pub env: BTreeMap<String, String>,
}

/// `[claude]`: how to run Claude Code.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClaudeSettings {
    pub path: Option<PathBuf>,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub max_output_tokens: Option<u32>,
    pub thinking: Thinking,
    /// Whether sessions get a status line; by default they do.
    pub status_line: Option<bool>,
    /// Which tools Claude Code gets. If unset, the context window decides.
    pub tools: Option<ToolSet>,
}

/// Whether Claude Code asks the model to think. `auto` does so if the model is known to support it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(crate) enum Thinking {
    #[default]
    Auto,
    On,
    Off,
}

impl TryFrom<toml::Value> for Thinking {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Boolean(true) => Ok(Thinking::On),
            toml::Value::Boolean(false) => Ok(Thinking::Off),
            toml::Value::String(word) if word == "auto" => Ok(Thinking::Auto),
            other => Err(format!("expected \"auto\", true or false, found {other}")),
        }
    }
}

/// `[lifetime]`: how long to wait for a backend, keep it, and how often to restart it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Lifetime {
    /// How long a backend stays up after its last session.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// How long a start may take without progress.
    #[serde(with = "humantime_serde")]
    pub startup_timeout: Duration,
    /// How often to restart a crashed backend.
    pub restarts: u32,
}

impl Default for Lifetime {
    fn default() -> Self {
        Lifetime { linger: Duration::ZERO, startup_timeout: Duration::from_secs(600), restarts: 3 }
    }
}

pub(super) type Sources = BTreeMap<String, Source>;

impl Settings {
    /// Returns the source of a dotted key's value.
    pub(crate) fn source(&self, key: &str) -> Source {
        self.sources.get(key).cloned().unwrap_or(Source::Default)
    }

    /// Returns all keys that are set, with their sources.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.sources.iter().map(|(key, source)| (key.as_str(), source))
    }

    /// Returns whether any value under a key comes from the user's own file, including its profiles.
    pub(crate) fn is_from_own_file(&self, key: &str) -> bool {
        let is_under = |path: &str| path == key || path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        let is_own =
            |source: &Source| matches!(source, Source::File(_) | Source::Profile(..) | Source::SelectedProfile(..));
        self.sources().any(|(path, source)| is_under(path) && is_own(source))
    }

    /// Returns whether a value comes from an untrusted project file.
    pub(crate) fn is_untrusted(&self, key: &str) -> bool {
        self.untrusted.is_some() && matches!(self.source(key), Source::Project(_))
    }

    /// Returns whether an untrusted project file decides which model is used: it names the model, or it selects the
    /// backend, which may have another model of the name that the user configured.
    fn is_untrusted_model(&self, key: &str) -> bool {
        let is_typed = matches!(self.source(key), Source::Option(_));
        self.is_untrusted(key) || self.project_choice().is_some() && !is_typed
    }

    /// Returns the untrusted project file if it decides which model is used, since then nothing may be downloaded.
    pub(crate) fn untrusted_choice(&self) -> Option<&Path> {
        let mut keys = self.model_names().map(|(key, _)| key).chain(self.model.is_none().then_some("model"));
        self.untrusted.as_deref().filter(|_| keys.any(|key| self.is_untrusted_model(key)))
    }

    /// Returns the project file if it selects the backend or the profile.
    pub(crate) fn project_choice(&self) -> Option<PathBuf> {
        ["backend", "profile"].into_iter().find_map(|key| match self.source(key) {
            Source::Project(path) => Some(path),
            _ => None,
        })
    }

    /// Returns the key and name of every configured model.
    pub(crate) fn model_names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.model.as_deref().map(|name| ("model", name)).into_iter().chain(self.tier_models())
    }

    /// Returns the key and the name of every model that a tier has of its own.
    pub(crate) fn tier_models(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.models.iter().map(|(tier, name)| (tier.key(), name.as_str()))
    }

    /// Returns whether a kind of backend has the configuration it requires.
    pub(crate) fn describes(&self, kind: Kind) -> bool {
        // An empty command line is as good as none.
        let is_empty = |key| key == "command.run" && self.command.run.is_empty();
        kind.required_key().is_none_or(|key| self.sources.contains_key(key) && !is_empty(key))
    }

    /// Returns the path that a model name may be, made absolute: a relative one is resolved against the directory of
    /// the file that sets it, or the working directory if no file does.
    pub(crate) fn model_path(&self, key: &str, written: &str, environment: &Environment) -> PathBuf {
        self.absolute(key, Path::new(written), environment)
    }

    fn absolute(&self, key: &str, written: &Path, environment: &Environment) -> PathBuf {
        // Without a working directory only absolute paths can be found.
        let working_dir = environment.working_dir().unwrap_or(Path::new("/"));
        environment.absolute(written, &self.source(key).base_dir(working_dir))
    }

    /// Makes every configured path absolute, and expands `~` in arguments and in the values of variables.
    pub(super) fn resolve_paths(&mut self, environment: &Environment) {
        let absolute = |settings: &Self, key: &str, path: &Option<PathBuf>| {
            path.as_ref().map(|path| settings.absolute(key, path, environment))
        };
        self.claude.path = absolute(self, "claude.path", &self.claude.path);
        self.ollama.path = absolute(self, "ollama.path", &self.ollama.path);
        self.ollama.models_dir = absolute(self, "ollama.models_dir", &self.ollama.models_dir);
        self.lmstudio.path = absolute(self, "lmstudio.path", &self.lmstudio.path);
        self.llamacpp.path = absolute(self, "llamacpp.path", &self.llamacpp.path);
        self.llamacpp.gguf = absolute(self, "llamacpp.gguf", &self.llamacpp.gguf);
        self.llamacpp.mmproj = absolute(self, "llamacpp.mmproj", &self.llamacpp.mmproj);
        self.llamacpp.draft_model = absolute(self, "llamacpp.draft_model", &self.llamacpp.draft_model);
        let template = "llamacpp.chat_template_file";
        self.llamacpp.chat_template_file = absolute(self, template, &self.llamacpp.chat_template_file);
        let program = |settings: &Self, key: &str, words: &[String]| {
            // A bare name is looked up on PATH.
            let program = words.first().map(Path::new).filter(|program| program.components().count() > 1)?;
            settings.absolute(key, program, environment).to_str().map(str::to_owned)
        };
        if let Some(run) = program(self, "command.run", &self.command.run) {
            self.command.run[0] = run;
        }
        if let Some(stop) = program(self, "command.stop", &self.command.stop) {
            self.command.stop[0] = stop;
        }
        let lists = [
            &mut self.claude.args,
            &mut self.llamacpp.args,
            &mut self.llamacpp.args_append,
            &mut self.command.run,
            &mut self.command.stop,
        ];
        let words = lists.into_iter().flatten();
        let tables =
            [&mut self.claude.env, &mut self.ollama.env, &mut self.llamacpp.env, &mut self.command.env].into_iter();
        words.chain(tables.flat_map(BTreeMap::values_mut)).for_each(|word| environment.expand_tilde(word));
    }

    pub(crate) fn context(&self) -> u32 {
        self.context.unwrap_or(DEFAULT_CONTEXT)
    }

    pub(crate) fn checks_context(&self) -> bool {
        self.context_check.unwrap_or(true)
    }

    /// Removes the model of a tier if `model` comes from a later source, such as the command line.
    pub(super) fn drop_overridden_tiers(&mut self) {
        let general = self.source("model");
        let sources = &mut self.sources;
        self.models.retain(|tier, _| {
            let is_overruled = sources.get(tier.key()).is_some_and(|source| *source < general);
            if is_overruled {
                sources.remove(tier.key());
            }
            !is_overruled
        });
    }

    /// Checks ranges, and that values don't contradict each other, which needs all layers.
    pub(super) fn validate(&self) -> Result<()> {
        if let Some(context) = self.context.filter(|context| !CONTEXT_LIMITS.contains(context)) {
            let source = self.source("context");
            return Err(Failure::new(source.code(), format!("context {context} is out of range"))
                .cause(format!(
                    "set by {source}; it must be between {} and {} tokens, and Claude Code needs \
                     at least {MIN_CONTEXT}",
                    CONTEXT_LIMITS.start(),
                    CONTEXT_LIMITS.end()
                ))
                .help(format!("lclaude --context {DEFAULT_CONTEXT}")));
        }
        if let Some(most) = self.claude.max_output_tokens.filter(|most| !(1..self.context()).contains(most)) {
            return Err(Failure::new(Code::Config, format!("[claude] max_output_tokens = {most} is out of range"))
                .cause(format!(
                    "set by {}; it must be at least 1 and less than the context of {} tokens",
                    self.source("claude.max_output_tokens"),
                    self.context()
                ))
                .help("remove it to use the default, an eighth of the context"));
        }
        self.validate_strings()?;
        self.endpoint_url()?;
        self.endpoint.validate_headers(|key| self.source(key))?;
        let (gguf, hf) = (self.source("llamacpp.gguf"), self.source("llamacpp.hf"));
        if self.llamacpp.gguf.is_some() && self.llamacpp.hf.is_some() && gguf == hf {
            return Err(Failure::new(Code::Config, "[llamacpp] gguf and hf cannot be used together")
                .cause(format!("{gguf} sets both, but llama-server serves only one model"))
                .help("remove one of the two lines"));
        }
        Ok(())
    }

    /// Checks that the system can pass the arguments and environment variables to a program.
    fn validate_strings(&self) -> Result<()> {
        let failed = |key: &str, what: String| {
            Failure::new(Code::Config, format!("{key}: {what}"))
                .cause(format!("set by {}; the system cannot pass it to a program", self.source(key)))
                .help(format!("correct {key}"))
        };
        let tables = [
            ("claude.env", &self.claude.env),
            ("ollama.env", &self.ollama.env),
            ("llamacpp.env", &self.llamacpp.env),
            ("command.env", &self.command.env),
        ];
        for (table, env) in tables {
            for (name, value) in env {
                let key = format!("{table}.{name}");
                if name.is_empty() || name.contains(['=', '\0']) {
                    return Err(failed(&key, format!("{name:?} is not a valid variable name")));
                }
                if value.contains('\0') {
                    return Err(failed(&key, "its value contains a zero byte".into()));
                }
            }
        }
        let lists = [
            ("claude.args", &self.claude.args),
            ("llamacpp.args", &self.llamacpp.args),
            ("llamacpp.args_append", &self.llamacpp.args_append),
            ("command.run", &self.command.run),
            ("command.stop", &self.command.stop),
        ];
        for (key, args) in lists {
            if args.iter().any(|argument| argument.contains('\0')) {
                return Err(failed(key, "an argument contains a zero byte".into()));
            }
        }
        Ok(())
    }
}
