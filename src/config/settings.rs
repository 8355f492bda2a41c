//! What the user wants, from every place they can say it, and where each value came from.
//!
//! `layers` reads and merges; this file says what a setting is. Nothing here looks at the machine beyond the
//! configuration files themselves: whether a program or a model exists is for `plan` to find out.

use super::kind::Kind;
use super::source::Source;
use super::tier::Tier;
use crate::base::context::{CONTEXT_LIMITS, DEFAULT_CONTEXT, LEAST_CONTEXT};
use crate::base::environment::Environment;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::base::error::{Code, Failure, Result};

/// The merged settings. `None` means that nobody said anything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub backend: Option<Kind>,
    pub model: Option<String>,
    pub context: Option<u32>,
    pub profile: Option<String>,
    /// Whether a context too small for Claude Code is refused.
    pub context_check: Option<bool>,
    /// Whether a model that cannot fit into memory is refused.
    pub memory_check: Option<bool>,
    /// A small tool set and prompt, for small machines. `None`: where the context asks for it.
    pub lean: Option<bool>,
    /// An empty home for each session, gone at its end.
    pub throwaway: Option<bool>,
    pub models: Models,
    pub claude: Claude,
    pub lifetime: Lifetime,
    pub ollama: Ollama,
    pub lmstudio: LmStudio,
    pub llamacpp: LlamaCpp,
    pub command: Command,
    pub endpoint: Endpoint,
    /// Chosen and merged by `layers`; kept here only so that a file may have them.
    pub profiles: BTreeMap<String, toml::Table>,
    #[serde(skip)]
    pub(super) sources: Sources,
    /// The project's file among the layers, if it does not have the user's word.
    #[serde(skip)]
    pub(super) untrusted: Option<PathBuf>,
}

/// `[models]`: a model of its own for a tier of Claude Code's.
pub type Models = BTreeMap<Tier, String>;

/// `[ollama]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ollama {
    pub path: Option<PathBuf>,
    pub instance: Instance,
    /// Where the shared server is; else `OLLAMA_HOST`, else Ollama's own default.
    pub host: Option<String>,
    pub models_dir: Option<PathBuf>,
    pub kv_cache_type: Option<String>,
    pub env: BTreeMap<String, String>,
}

/// Whose Ollama server it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Instance {
    /// One of our own, on the user's models.
    #[default]
    Private,
    /// The one that runs already.
    Shared,
}

/// `[lmstudio]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LmStudio {
    /// The program `lms`.
    pub path: Option<PathBuf>,
    /// `max`, `off`, or a number from 0 to 1.
    pub gpu: Option<String>,
    pub parallel: Option<u32>,
}

/// `[command]`: any server that speaks `/v1/messages`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Command {
    /// With `{port}`, `{model}`, `{context}` and `{host}`.
    pub run: Vec<String>,
    pub health: Option<String>,
    pub env: BTreeMap<String, String>,
}

/// `[endpoint]`: a server that somebody else runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoint {
    pub url: Option<String>,
    /// The name of the variable that holds its token.
    pub token_env: Option<String>,
}

/// `[claude]`: the program lclaude runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Claude {
    pub path: Option<PathBuf>,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub max_output_tokens: Option<u32>,
    pub thinking: Thinking,
}

/// Whether Claude Code asks the model to think. `auto`: if the model is known to be able to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum Thinking {
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
            other => Err(format!("thinking is \"auto\", true or false, not {other}")),
        }
    }
}

/// `[lifetime]`: how long a backend is waited for, kept and revived.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifetime {
    /// How long a backend stays after its last session.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// How long a start may go on without a sign of progress.
    #[serde(with = "humantime_serde")]
    pub startup_timeout: Duration,
    /// How often a backend that crashed is started again.
    pub restarts: u32,
}

impl Default for Lifetime {
    fn default() -> Self {
        Lifetime { linger: Duration::ZERO, startup_timeout: Duration::from_secs(600), restarts: 3 }
    }
}

/// `[llamacpp]`: llama-server's options under the names of its long flags.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlamaCpp {
    pub path: Option<PathBuf>,
    pub gguf: Option<PathBuf>,
    pub hf: Option<String>,
    pub threads: Option<u32>,
    pub batch_size: Option<u32>,
    pub ubatch_size: Option<u32>,
    /// A number, or llama-server's own `auto` and `all`.
    pub gpu_layers: Option<GpuLayers>,
    pub cache_type_k: Option<String>,
    pub cache_type_v: Option<String>,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum GpuLayers {
    Number(u32),
    Word(String),
}

impl fmt::Display for GpuLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GpuLayers::Number(number) => number.fmt(f),
            GpuLayers::Word(word) => word.fmt(f),
        }
    }
}

pub(super) type Sources = BTreeMap<String, Source>;

impl Settings {
    /// Where the value of a dotted key came from.
    pub fn source(&self, key: &str) -> Source {
        self.sources.get(key).cloned().unwrap_or(Source::Default)
    }

    /// All keys that somebody set, with the source that won.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.sources.iter().map(|(key, source)| (key.as_str(), source))
    }

    /// Whether anything under a key was written into the user's own file, and not typed, exported or a project's.
    pub fn is_from_own_file(&self, key: &str) -> bool {
        let below = |path: &str| path == key || path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        let own = |source: &Source| matches!(source, Source::File(_) | Source::Profile(..) | Source::AskedProfile(..));
        self.sources().any(|(path, source)| below(path) && own(source))
    }

    /// Whether a value is that of a project's file without the user's word.
    pub fn is_untrusted(&self, key: &str) -> bool {
        self.untrusted.is_some() && matches!(self.source(key), Source::Project(_))
    }

    /// Whether a model is used because a project's file says so without the user's word: it names the model, or it chooses
    /// the backend, which may know another one by the name that the user wrote for theirs.
    fn is_strangers_choice(&self, key: &str) -> bool {
        let is_typed = matches!(self.source(key), Source::Option(_));
        self.is_untrusted(key) || self.project_choice().is_some() && !is_typed
    }

    /// The project's file that chooses what is used without the user's word: nothing may be downloaded for it.
    pub fn untrusted_choice(&self) -> Option<&Path> {
        let mut keys = self.model_names().map(|(key, _)| key).chain(self.model.is_none().then_some("model"));
        self.untrusted.as_deref().filter(|_| keys.any(|key| self.is_strangers_choice(key)))
    }

    /// The project's file, where it chose the backend, or the profile that did.
    pub fn project_choice(&self) -> Option<PathBuf> {
        ["backend", "profile"].into_iter().find_map(|key| match self.source(key) {
            Source::Project(path) => Some(path),
            _ => None,
        })
    }

    /// Every model that is named: its key, and the name.
    pub fn model_names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.model.as_deref().map(|name| ("model", name)).into_iter().chain(self.tier_models())
    }

    /// Returns the key and the name of every model that a tier has of its own.
    pub fn tier_models(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.models.iter().map(|(tier, name)| (tier.key(), name.as_str()))
    }

    /// Whether all is there that a kind of backend needs to be told.
    pub fn describes(&self, kind: Kind) -> bool {
        kind.required_key().is_none_or(|key| self.sources.contains_key(key))
    }

    /// Returns the path that the name of a model may be: absolute, and a relative one belongs to the place it was written
    /// in.
    pub fn model_path(&self, key: &str, written: &str, environment: &Environment) -> PathBuf {
        self.absolute(key, Path::new(written), environment)
    }

    fn absolute(&self, key: &str, written: &Path, environment: &Environment) -> PathBuf {
        // Without a working directory only what is absolute can be found.
        let working_dir = environment.working_dir().unwrap_or(Path::new("/"));
        environment.absolute(written, self.source(key).base(working_dir))
    }

    /// Makes every path that the user wrote absolute.
    pub(super) fn make_paths_absolute(&mut self, environment: &Environment) {
        let absolute = |settings: &Self, key: &str, path: &Option<PathBuf>| {
            path.as_ref().map(|path| settings.absolute(key, path, environment))
        };
        self.claude.path = absolute(self, "claude.path", &self.claude.path);
        self.ollama.path = absolute(self, "ollama.path", &self.ollama.path);
        self.ollama.models_dir = absolute(self, "ollama.models_dir", &self.ollama.models_dir);
        self.lmstudio.path = absolute(self, "lmstudio.path", &self.lmstudio.path);
        self.llamacpp.path = absolute(self, "llamacpp.path", &self.llamacpp.path);
        self.llamacpp.gguf = absolute(self, "llamacpp.gguf", &self.llamacpp.gguf);
        // A name alone is looked for on PATH.
        let program = self.command.run.first().map(PathBuf::from).filter(|program| program.components().count() > 1);
        if let Some(program) = program.map(|program| self.absolute("command.run", &program, environment))
            && let Some(text) = program.to_str()
        {
            self.command.run[0] = text.to_owned();
        }
    }

    pub fn context(&self) -> u32 {
        self.context.unwrap_or(DEFAULT_CONTEXT)
    }

    pub fn checks_context(&self) -> bool {
        self.context_check.unwrap_or(true)
    }

    /// A model that was chosen later than a tier's own, on the command line say, is the tier's too.
    pub(super) fn drop_overruled_tiers(&mut self) {
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

    /// What no single file can check: values out of range, and those that contradict each other.
    pub(super) fn validate(&self) -> Result<()> {
        if let Some(context) = self.context.filter(|context| !CONTEXT_LIMITS.contains(context)) {
            let source = self.source("context");
            return Err(Failure::new(source.code(), format!("a context of {context} tokens makes no sense"))
                .why(format!(
                    "{source} asks for it; it must be between {} and {}, and Claude Code needs {LEAST_CONTEXT} at the least",
                    CONTEXT_LIMITS.start(),
                    CONTEXT_LIMITS.end()
                ))
                .help(format!("context = {DEFAULT_CONTEXT} in the configuration, or --context {DEFAULT_CONTEXT}")));
        }
        if let Some(most) = self.claude.max_output_tokens.filter(|most| !(1..self.context()).contains(most)) {
            return Err(Failure::new(Code::Config, format!("[claude] max_output_tokens = {most} makes no sense"))
                .why(format!(
                    "{} sets it; an answer has at least one token and fits into the context of {}",
                    self.source("claude.max_output_tokens"),
                    self.context()
                ))
                .help("remove it: an eighth of the context is chosen by itself"));
        }
        self.passable()?;
        let (gguf, hf) = (self.source("llamacpp.gguf"), self.source("llamacpp.hf"));
        if self.llamacpp.gguf.is_some() && self.llamacpp.hf.is_some() && gguf == hf {
            return Err(Failure::new(Code::Config, "[llamacpp] gguf and hf contradict each other")
                .why(format!("{gguf} sets both, and llama-server serves one model"))
                .help("keep one of the two lines"));
        }
        Ok(())
    }

    /// Whether the system can hand the arguments and variables to a program at all.
    fn passable(&self) -> Result<()> {
        let failed = |key: &str, what: String| {
            Failure::new(Code::Config, format!("{key}: {what}"))
                .why(format!("{} sets it, and no program can be given that", self.source(key)))
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
                    return Err(failed(&key, format!("{name:?} is no name of a variable")));
                }
                if value.contains('\0') {
                    return Err(failed(&key, "its value has a zero byte".into()));
                }
            }
        }
        let lists = [
            ("claude.args", &self.claude.args),
            ("llamacpp.args", &self.llamacpp.args),
            ("command.run", &self.command.run),
        ];
        for (key, args) in lists {
            if args.iter().any(|argument| argument.contains('\0')) {
                return Err(failed(key, "an argument has a zero byte".into()));
            }
        }
        Ok(())
    }
}
