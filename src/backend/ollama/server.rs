//! What Ollama's API is asked.

use crate::backend::http;
use crate::backend::starting::Health;
use crate::backend::starting::Starting;
use crate::backend::undo::Undo;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    plan::{DEFAULT_MODEL, in_the_cloud, usual_install},
    store,
    unknown::unknown,
};
use crate::{
    backend::diagnosis::{Cause, diagnose},
    base::error::{Code, Failure, Result},
};

/// The first release with `/v1/messages`.
const LEAST_VERSION: [u32; 3] = [0, 14, 0];
/// A load may take as long as the disk needs; the keeper's own deadline is what ends it.
const LOADING: Duration = Duration::from_secs(24 * 3600);
/// It listens before it serves: connections made in between are answered late, or never.
const LOOK: Duration = Duration::from_secs(1);

pub struct Server<'a> {
    pub client: &'a Client,
    pub url: &'a str,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Models {
    models: Vec<Model>,
}

#[derive(Deserialize)]
pub struct Model {
    pub name: String,
    #[serde(default)]
    pub context_length: u32,
    /// Bytes, where it is loaded those in memory.
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub size_vram: u64,
    #[serde(default)]
    pub details: Details,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Details {
    pub quantization_level: String,
}

#[derive(Deserialize)]
pub struct Shown {
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    model_info: serde_json::Map<String, Value>,
    /// The `PARAMETER`s of its Modelfile, one a line.
    #[serde(default)]
    parameters: String,
    /// Where it runs in truth, if this is no more than a name for it.
    #[serde(default)]
    pub remote_host: String,
    #[serde(default)]
    pub remote_model: String,
}

impl Shown {
    pub fn can(&self, ability: &str) -> bool {
        self.capabilities.iter().any(|capability| capability == ability)
    }

    /// Tokens it was trained for.
    pub fn context(&self) -> Option<u32> {
        let length = self.model_info.iter().find(|(key, _)| key.ends_with(".context_length"))?.1.as_u64()?;
        u32::try_from(length).ok()
    }

    /// Tokens its Modelfile fixes, which no setting of the server's changes.
    pub fn fixed_context(&self) -> Option<u32> {
        self.parameters.lines().find_map(|line| line.trim().strip_prefix("num_ctx")?.trim().parse().ok())
    }
}

impl Server<'_> {
    async fn get<T: DeserializeOwned>(&self, what: &str) -> Option<T> {
        http::json(self.client.get(format!("{}/api/{what}", self.url))).await
    }

    /// Whether it answers at all.
    pub async fn is_up(&self) -> bool {
        self.version().await.is_ok()
    }

    async fn version(&self) -> Result<String, reqwest::Error> {
        let answer = self.client.get(format!("{}/api/version", self.url)).timeout(LOOK).send().await?;
        answer.error_for_status()?.json().await.map(|Version { version }| version)
    }

    pub async fn look(&self) -> Health {
        match self.version().await {
            Ok(_) => Health::Up,
            Err(_) => Health::Silent,
        }
    }

    /// That a server which should run already does, and is Ollama.
    pub async fn is_there(&self) -> Result<()> {
        // One that is busy with a load may need longer than one of ours that starts.
        let request = self.client.get(format!("{}/api/version", self.url)).timeout(http::PROMPT);
        let what = match request.send().await {
            Ok(answer) if !answer.status().is_success() => Some(format!("status {}", answer.status())),
            Ok(answer) => answer.json::<Version>().await.err().map(|_| "something that Ollama would not".to_owned()),
            Err(error) => {
                return Err(Failure::new(Code::Unavailable, format!("no Ollama answers at {}", self.url))
                    .why(format!(
                        "[ollama] instance = \"shared\" uses the server that runs already: {}",
                        http::in_words(&error)
                    ))
                    .help("ollama serve")
                    .help("or [ollama] instance = \"private\", which starts one"));
            }
        };
        let Some(what) = what else {
            return Ok(());
        };
        Err(Failure::new(Code::Unavailable, format!("what runs at {} is not Ollama", self.url))
            .why(format!("asked for its version it answers {what}"))
            .help(format!("curl {}/api/version", self.url))
            .help("[ollama] host, or OLLAMA_HOST, says where Ollama is"))
    }

    pub async fn check_version(&self) -> Result<()> {
        let Some(Version { version }) = self.get("version").await else {
            return Err(crate::backend::starting::unexpected_response("Ollama", self.url));
        };
        check_release(&version)
    }

    /// The installed models; `None` if it does not say.
    pub async fn tags(&self) -> Option<Vec<Model>> {
        self.get::<Models>("tags").await.map(|tags| tags.models)
    }

    /// Their names.
    pub async fn installed(&self) -> Vec<String> {
        self.tags().await.unwrap_or_default().into_iter().map(|model| model.name).collect()
    }

    /// What is in memory.
    pub async fn loaded(&self) -> Vec<Model> {
        self.get::<Models>("ps").await.map(|ps| ps.models).unwrap_or_default()
    }

    pub async fn install(&self, model: &str, starting: &Starting<'_>) -> Result<()> {
        let installed = self.installed().await;
        if installed.iter().any(|name| store::is_same(name, model)) {
            return Ok(());
        }
        if !starting.may_pull {
            return Err(unknown(model, &installed));
        }
        self.pull(model, starting).await
    }

    /// # Errors
    /// `Unavailable` for a model that is not there or cannot be read, `Refused` for one that runs in Ollama's cloud.
    pub async fn show(&self, model: &str) -> Result<Shown> {
        let request = self.client.post(format!("{}/api/show", self.url)).timeout(http::PROMPT);
        let silent = |error: reqwest::Error| {
            Failure::new(Code::Unavailable, format!("Ollama does not say what {model} is"))
                .why(http::in_words(&error))
                .help("run the same command again; ollama ps shows what it is busy with")
        };
        let answer = request.json(&json!({"model": model})).send().await.map_err(silent)?;
        match answer.status() {
            status if status.is_success() => answer.json().await.map_err(silent),
            StatusCode::NOT_FOUND => Err(unknown(model, &self.installed().await)),
            // A private server is told to let nothing run elsewhere.
            StatusCode::FORBIDDEN => Err(in_the_cloud(model, None)),
            _ => Err(not_loaded(model, &words(answer).await)),
        }
    }

    pub async fn cannot_call_tools(&self, model: &str) -> Failure {
        let mut able = Vec::new();
        for name in self.installed().await {
            // The list of the installed has abilities too, and was seen to leave some out.
            if self.show(&name).await.is_ok_and(|shown| shown.can("tools")) {
                able.push(name);
            }
        }
        let failure = Failure::new(Code::Unavailable, format!("{model} cannot call tools"))
            .why("Claude Code reads and writes files through tools, and Ollama refuses them for this model");
        match able.first() {
            Some(first) => failure.help(format!("--model {first}; installed and able are {}", able.join(", "))),
            None => failure.help(format!("ollama pull {}, which can", DEFAULT_MODEL)),
        }
    }

    /// Has the model in memory as Claude Code's requests will want it. In a server that goes on without us it is unloaded
    /// at the end, unless it was loaded before.
    pub async fn load(&self, model: &str, is_shared: bool, starting: &Starting<'_>) -> Result<()> {
        // Nothing about the context here: it would force a second load.
        let mut body = json!({"model": model, "stream": false});
        if is_shared && self.loaded().await.iter().any(|loaded| store::is_same(&loaded.name, model)) {
            // Asked again all the same: one that somebody had loaded with a context of their own is loaded anew for any
            // request that names none, and Claude Code's do not. How long the server keeps it stays as it is.
        } else {
            if is_shared {
                starting.will_undo(Undo::Unload { url: self.url.to_owned(), model: model.to_owned() });
            }
            body["keep_alive"] = json!(-1);
        }
        starting.tell(&format!("loading {model}"), None, "");
        let request = self.client.post(format!("{}/api/generate", self.url)).timeout(LOADING);
        let why = match request.json(&body).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => words(answer).await,
            Err(error) => http::in_words(&error),
        };
        Err(not_loaded(model, &why))
    }

    pub async fn unload(&self, model: &str) {
        let request = self.client.post(format!("{}/api/generate", self.url)).timeout(http::PROMPT);
        // A server that has gone has unloaded everything.
        let _ = request.json(&json!({"model": model, "keep_alive": 0})).send().await;
    }
}

/// Whether this release of Ollama will do.
///
/// # Errors
/// `Unavailable`.
pub fn check_release(version: &str) -> Result<()> {
    let found = http::release(version);
    // A build from source calls itself 0.0.0.
    if found >= LEAST_VERSION || found == [0, 0, 0] {
        return Ok(());
    }
    let failure = http::too_old(&format!("Ollama {version}"), "0.14.0, of January 2026");
    Err(failure.help(usual_install()))
}

/// What an answer that is no success says.
async fn words(answer: Response) -> String {
    match answer.json::<Value>().await {
        Ok(body) => body["error"].as_str().unwrap_or("it did not say why").to_owned(),
        Err(error) => http::in_words(&error),
    }
}

/// What Ollama itself says of a model's file that is not what it should be (`fs/ggml/gguf.go`).
const DAMAGED: &[&str] = &["exceeds file size", "invalid file magic", "no such file or directory"];

/// Ollama passes on the last words of its runner, which is llama.cpp's `llama-server`.
fn not_loaded(model: &str, words: &str) -> Failure {
    let log: Vec<String> = words.lines().map(str::to_owned).collect();
    let cause = match diagnose(None, &log) {
        // Nobody else sends KILL to a loading runner than the kernel that is out of memory.
        Cause::Unknown if words.contains("signal: killed") || words.contains("more system memory") => {
            Cause::OutOfMemory
        }
        Cause::Unknown if words.contains("signal: illegal instruction") => Cause::IllegalInstruction,
        Cause::Unknown if DAMAGED.iter().any(|sign| words.contains(sign)) => Cause::CutShort,
        cause => cause,
    };
    let failed = |why: &str| {
        let failure = Failure::new(Code::Unavailable, format!("Ollama could not load {model}")).why(why);
        failure.log_tail(log.clone())
    };
    match cause {
        Cause::OutOfMemory => failed("out of memory")
            .help("a smaller --context, or a smaller model; ollama ps shows what else is loaded")
            .help("[ollama] kv_cache_type = \"q8_0\" halves the memory that context takes"),
        Cause::UnknownArchitecture => failed("unknown architecture: this Ollama is older than the model")
            .help(format!("upgrade Ollama: {}", usual_install())),
        Cause::IllegalInstruction => {
            failed("illegal instruction: this Ollama was built for another processor").help(usual_install())
        }
        Cause::CutShort | Cause::NotGguf | Cause::FileNotFound => {
            failed("the model's file is damaged or missing").help(format!("ollama rm {model} && ollama pull {model}"))
        }
        _ => failed("its runner failed").help(format!("ollama run {model} shows more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_a_modelfile_fixes_is_among_its_parameters() {
        let shown = |parameters: &str| Shown {
            capabilities: Vec::new(),
            model_info: serde_json::Map::new(),
            parameters: parameters.into(),
            remote_host: String::new(),
            remote_model: String::new(),
        };
        assert_eq!(shown("stop    \"<|end|>\"\nnum_ctx                        4096").fixed_context(), Some(4096));
        assert_eq!(shown("temperature 1\nnum_ctx_x 1").fixed_context(), None);
    }

    #[test]
    fn a_runners_last_words_are_read() {
        for (words, why) in [
            ("llama-server process has terminated: signal: killed", "out of memory"),
            ("llama-server process has terminated: exit status 1: x: insufficient memory (…)", "out of memory"),
            ("model requires more system memory (20 GiB) than is available (8 GiB)", "out of memory"),
            ("llama-server process has terminated: signal: illegal instruction", "illegal instruction"),
            ("… error loading model: unknown model architecture: 'newarch'", "unknown architecture"),
            ("tensor \"x\" offset+size (9) exceeds file size (8)", "the model's file is damaged"),
            ("something new", "its runner failed"),
        ] {
            let failure = not_loaded("m:latest", words);
            assert!(failure.why.as_deref().is_some_and(|said| said.starts_with(why)), "{failure}");
            assert_eq!(failure.log_tail, [words]);
        }
    }
}
