//! A client of Ollama's API.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    plan::{DEFAULT_MODEL, SMALLER_CACHE, client_command, download_command, runs_in_cloud, usual_install},
    store,
    unknown::not_installed,
    variables,
};
use crate::{
    backend::{
        context::SMALLER_MODEL,
        diagnosis::{Cause, diagnose},
        http,
        log::LogExcerpt,
        starting::{Health, Presence, Starting, unexpected_response},
        undo::Undo,
    },
    base::{
        error::{Code, Failure, RETRY_HELP, Result},
        ui,
    },
};

/// The first release with `/v1/messages`.
const LEAST_VERSION: [u32; 3] = [0, 14, 0];
/// Effectively no timeout for a load: the keeper enforces its own.
const LOAD_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// The timeout of a health check. Ollama listens before it serves, so an early request may never be answered.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

/// Characters of an error message that are kept. A runner's log may be part of it.
const MAX_ERROR: usize = 4000;

/// A running Ollama server.
pub(crate) struct Server<'a> {
    pub client: &'a Client,
    pub url: &'a str,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct ServerModels {
    models: Vec<ServerModel>,
}

/// A model as `/api/tags` and `/api/ps` list it.
#[derive(Deserialize)]
pub(crate) struct ServerModel {
    pub name: String,
    #[serde(default)]
    pub context_length: u32,
    /// Bytes of the files, or of memory for a loaded model.
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub size_vram: u64,
    #[serde(default)]
    pub details: Details,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Details {
    pub quantization_level: String,
}

/// The details of a model from `/api/show`.
#[derive(Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    model_info: serde_json::Map<String, Value>,
    /// The `PARAMETER`s of its Modelfile, one per line.
    #[serde(default)]
    parameters: String,
    /// The host that runs it, if this is only an alias of a remote model.
    #[serde(default)]
    pub remote_host: String,
    #[serde(default)]
    pub remote_model: String,
}

impl Shown {
    pub(crate) fn can(&self, ability: &str) -> bool {
        self.capabilities.iter().any(|capability| capability == ability)
    }

    /// Returns the tokens that it was trained for.
    pub(crate) fn context(&self) -> Option<u32> {
        let length = self.model_info.iter().find(|(key, _)| key.ends_with(".context_length"))?.1.as_u64()?;
        u32::try_from(length).ok()
    }

    /// Returns the context in tokens that its Modelfile sets, which overrides the server's settings.
    pub(crate) fn fixed_context(&self) -> Option<u32> {
        self.parameters.lines().find_map(|line| line.trim().strip_prefix("num_ctx")?.trim().parse().ok())
    }
}

impl Server<'_> {
    async fn get<T: DeserializeOwned>(&self, route: &str) -> Option<T> {
        http::get_json(self.client.get(format!("{}/api/{route}", self.url))).await
    }

    async fn version(&self) -> Option<String> {
        let request = self.client.get(format!("{}/api/version", self.url)).timeout(HEALTH_TIMEOUT);
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        http::read_json(answer, http::ANSWER_BYTES).await.ok().map(|Version { version }| version)
    }

    /// Returns whether it is there. It loads an unloaded model again on the next request.
    pub(crate) async fn presence(&self) -> Presence {
        http::presence(self.client.get(format!("{}/api/version", self.url)), |_: Version| true).await
    }

    pub(crate) async fn look(&self) -> Health {
        match self.version().await {
            Some(_) => Health::Up,
            None => Health::Unreachable,
        }
    }

    /// Checks that Ollama answers at the URL of a shared server.
    ///
    /// # Errors
    /// `Unavailable` if nothing answers, or another server does.
    pub(crate) async fn check_is_ollama(&self) -> Result<()> {
        // A server that is loading a model answers late.
        let request = self.client.get(format!("{}/api/version", self.url)).timeout(http::ANSWER_TIMEOUT);
        let got = match request.send().await {
            Ok(answer) if !answer.status().is_success() => Some(format!("status {}", answer.status())),
            Ok(answer) => http::read_json::<Version>(answer, http::ANSWER_BYTES)
                .await
                .err()
                .map(|_| "a body without a version".to_owned()),
            Err(error) => {
                let failure =
                    Failure::new(Code::Unavailable, format!("no Ollama answers at {}", self.url)).cause(format!(
                        "[ollama] instance = \"shared\" requires a running server: {}",
                        http::describe_error(&error)
                    ));
                return Err(failure
                    .helps(variables::use_windows(self.url))
                    .help("ollama serve")
                    .help("lclaude local config set ollama.instance private  # lets lclaude start one"));
            }
        };
        let Some(got) = got else {
            return Ok(());
        };
        Err(Failure::new(Code::Unavailable, format!("the server at {} is not Ollama", self.url))
            .cause(format!("/api/version returned {got}"))
            .help(format!("curl {}/api/version", self.url))
            .help("lclaude local config set ollama.host HOST:PORT  # the address of Ollama"))
    }

    /// Checks that its version is supported.
    ///
    /// # Errors
    /// `Unavailable` if it is too old or doesn't report a version.
    pub(crate) async fn check_version(&self) -> Result<()> {
        let Some(Version { version }) = self.get("version").await else {
            return Err(unexpected_response("Ollama", self.url));
        };
        check_release(&version)
    }

    /// Returns the installed models, or `None` if it doesn't answer.
    pub(crate) async fn tags(&self) -> Option<Vec<ServerModel>> {
        self.get::<ServerModels>("tags").await.map(|tags| tags.models)
    }

    /// Returns the names of the installed models.
    pub(crate) async fn installed(&self) -> Vec<String> {
        self.tags().await.unwrap_or_default().into_iter().map(|model| model.name).collect()
    }

    /// Returns the loaded models.
    pub(crate) async fn loaded(&self) -> Vec<ServerModel> {
        self.get::<ServerModels>("ps").await.map(|ps| ps.models).unwrap_or_default()
    }

    /// Downloads a model unless it is installed.
    ///
    /// # Errors
    /// `Unavailable` if the download fails, or the model is missing and the user didn't agree to downloads.
    pub(crate) async fn install(&self, model: &str, starting: &Starting<'_>) -> Result<()> {
        let installed = self.installed().await;
        if installed.iter().any(|name| store::is_same(name, model)) {
            return Ok(());
        }
        if !starting.may_pull {
            return Err(not_installed(model, &installed));
        }
        self.pull(model, starting).await
    }

    /// Returns a model's details.
    ///
    /// # Errors
    /// `Unavailable` for a missing or damaged model, `Refused` for a model that runs in Ollama's cloud.
    pub(crate) async fn show(&self, model: &str) -> Result<Shown> {
        let request = self.client.post(format!("{}/api/show", self.url)).timeout(http::ANSWER_TIMEOUT);
        let no_answer = |why: String| {
            Failure::new(Code::Unavailable, format!("Ollama did not describe {model}"))
                .cause(why)
                .help("lclaude local doctor")
                .help(RETRY_HELP)
        };
        let answer = request.json(&json!({"model": model})).send().await;
        let answer = answer.map_err(|error| no_answer(http::describe_error(&error)))?;
        match answer.status() {
            status if status.is_success() => http::read_json(answer, http::LIST_BYTES).await.map_err(no_answer),
            StatusCode::NOT_FOUND => Err(not_installed(model, &self.installed().await)),
            // A private server is started with cloud models disabled.
            StatusCode::FORBIDDEN => Err(runs_in_cloud(model, None)),
            _ => Err(not_loaded(model, &error_message(answer).await)),
        }
    }

    /// Returns the failure for a model without tool support, with the installed models that have it.
    pub(crate) async fn cannot_call_tools(&self, model: &str) -> Failure {
        let mut capable = Vec::new();
        for name in self.installed().await {
            // `/api/tags` lists capabilities too, but was seen to omit some.
            if self.show(&name).await.is_ok_and(|shown| shown.can("tools")) {
                capable.push(name);
            }
        }
        let failure = Failure::new(Code::Unavailable, format!("{model} cannot call tools"))
            .cause("Claude Code reads and writes files with tools, which Ollama does not support for this model");
        match capable.first() {
            Some(first) => failure
                .help(format!("lclaude --backend ollama --model {first}"))
                .help(format!("installed models with tool support: {}", capable.join(", "))),
            None => failure.help(format!("{}  # downloads a model that can", download_command(DEFAULT_MODEL))),
        }
    }

    /// Loads a model with the settings that Claude Code's requests will use. On a shared server it is unloaded at the
    /// end, unless it was already loaded.
    ///
    /// # Errors
    /// `Unavailable` if the load fails.
    pub(crate) async fn load(&self, model: &str, is_shared: bool, starting: &Starting<'_>) -> Result<()> {
        // A context here would force a second load.
        let mut body = json!({"model": model, "stream": false});
        if is_shared && self.loaded().await.iter().any(|loaded| store::is_same(&loaded.name, model)) {
            // Still requested: a model loaded with an explicit context is reloaded for the first request without one,
            // such as Claude Code's. Without `keep_alive` here, the server's own setting stays in effect.
        } else {
            if is_shared {
                starting.record_undo(Undo::Unload { url: self.url.to_owned(), model: model.to_owned() }).await;
            }
            body["keep_alive"] = json!(-1);
        }
        starting.report(&format!("loading {model}"), None, "");
        let request = self.client.post(format!("{}/api/generate", self.url)).timeout(LOAD_TIMEOUT);
        let why = match request.json(&body).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => error_message(answer).await,
            Err(error) => http::describe_error(&error),
        };
        Err(not_loaded(model, &why))
    }

    /// Unloads a model.
    pub(crate) async fn unload(&self, model: &str) {
        let request = self.client.post(format!("{}/api/generate", self.url)).timeout(http::ANSWER_TIMEOUT);
        // A server that is gone has unloaded everything.
        let _ = request.json(&json!({"model": model, "keep_alive": 0})).send().await;
    }
}

/// Checks that a version of Ollama is supported.
///
/// # Errors
/// `Unavailable` if it is too old.
pub(crate) fn check_release(version: &str) -> Result<()> {
    let found = http::parse_version(version);
    // A build from source reports 0.0.0.
    if found >= LEAST_VERSION || found == [0, 0, 0] {
        return Ok(());
    }
    let failure = http::too_old(&format!("Ollama {version}"), "0.14.0 (January 2026)");
    Err(failure.help(usual_install()))
}

/// Returns the message of an error response.
async fn error_message(answer: Response) -> String {
    match http::read_json::<Value>(answer, http::ANSWER_BYTES).await {
        Ok(body) => ui::shorten(body["error"].as_str().unwrap_or("no error message"), MAX_ERROR),
        Err(why) => why,
    }
}

/// Ollama's own error messages for a damaged model file (`fs/ggml/gguf.go`).
const DAMAGED: &[&str] = &["exceeds file size", "invalid file magic", "no such file or directory"];

/// Returns the failure for a load error. Ollama passes on the output of its runner, llama.cpp's `llama-server`.
fn not_loaded(model: &str, error_message: &str) -> Failure {
    let log: Vec<String> = error_message.lines().map(str::to_owned).collect();
    let excerpt: LogExcerpt = log.iter().collect();
    let cause = match diagnose(None, &excerpt) {
        // While a runner loads, only the kernel's out-of-memory killer sends it SIGKILL.
        Cause::Unknown if error_message.contains("signal: killed") || error_message.contains("more system memory") => {
            Cause::OutOfMemory
        }
        Cause::Unknown if error_message.contains("signal: illegal instruction") => Cause::IllegalInstruction,
        Cause::Unknown if DAMAGED.iter().any(|sign| error_message.contains(sign)) => Cause::CutShort,
        cause => cause,
    };
    let line = cause.line(&excerpt).or_else(|| log.first().cloned()).unwrap_or_default();
    let failed = |why: &str| {
        let failure =
            Failure::new(Code::Unavailable, format!("Ollama could not load {model}")).cause(format!("{why}: {line}"));
        failure.log_tail(log.clone())
    };
    match cause {
        Cause::OutOfMemory => failed("out of memory")
            .help(SMALLER_MODEL)
            .help("lclaude local status  # shows the models of other sessions")
            .help(SMALLER_CACHE),
        Cause::UnknownArchitecture => failed("unknown architecture: this Ollama is older than the model")
            .help(format!("{}  # upgrades Ollama", usual_install())),
        Cause::IllegalInstruction => {
            failed("illegal instruction: this Ollama was built for a different processor").help(usual_install())
        }
        Cause::CutShort | Cause::NotGguf | Cause::FileNotFound => {
            let remove = client_command(model, &format!("rm {model}"));
            failed("the model file is damaged or missing").help(format!("{remove} && {}", download_command(model)))
        }
        _ => failed("its runner failed")
            .help(format!("{}  # shows the error", client_command(model, &format!("run {model}")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_context_is_read_from_modelfile_parameters() {
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
    fn load_errors_are_diagnosed_from_runner_output() {
        for (error_message, why) in [
            ("llama-server process has terminated: signal: killed", "out of memory"),
            ("llama-server process has terminated: exit status 1: x: insufficient memory (…)", "out of memory"),
            ("model requires more system memory (20 GiB) than is available (8 GiB)", "out of memory"),
            ("llama-server process has terminated: signal: illegal instruction", "illegal instruction"),
            ("… error loading model: unknown model architecture: 'newarch'", "unknown architecture"),
            ("tensor \"x\" offset+size (9) exceeds file size (8)", "the model file is damaged"),
            ("something new", "its runner failed"),
        ] {
            let failure = not_loaded("m:latest", error_message);
            assert!(failure.why.as_deref().is_some_and(|said| said.starts_with(why)), "{failure}");
            assert_eq!(failure.log_tail, [error_message]);
        }
    }
}
