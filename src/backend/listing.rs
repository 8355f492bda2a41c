//! Which models there are: each backend's own list, made without starting anything.

use std::path::Path;

use super::{
    endpoint, find,
    http::{self, Offered, Offers},
    llamacpp, lmstudio, ollama,
};
use crate::config::Kind;
use crate::{
    base::error::{Code, Failure, Result},
    config::Settings,
    memory::{self, Layout, gguf::Header},
};

pub const ALL: [Kind; 5] = [Kind::Ollama, Kind::LmStudio, Kind::LlamaCpp, Kind::Command, Kind::Endpoint];

/// A model that a backend has. `None` stands for what cannot be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// As it is written after `--model`.
    pub name: String,
    /// As Claude Code asks for it.
    pub served: String,
    pub size: Option<u64>,
    pub quantisation: Option<String>,
    /// Tokens it was trained for.
    pub trained: Option<u32>,
    pub tools: Option<bool>,
    pub thinking: Option<bool>,
    /// What it takes of memory; none for one that runs elsewhere.
    pub model: Option<memory::Model>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl Listed {
    /// A model of which nothing is known but its name.
    pub fn named(name: &str) -> Self {
        Listed {
            name: name.to_owned(),
            served: name.to_owned(),
            size: None,
            quantisation: None,
            trained: None,
            tools: None,
            thinking: None,
            model: None,
            problem: None,
        }
    }

    /// The same with what its GGUF file says.
    #[must_use]
    pub fn with_file(self, file: &Path, layout: Layout) -> Self {
        let header = match Header::read(file) {
            Ok(header) => header,
            Err(error) => {
                let problem = format!("{} cannot be read as a model: {error}", file.display());
                return Listed { problem: Some(problem), ..self };
            }
        };
        let model = memory::Model::of(self.name.clone(), &header, file, layout);
        let template = header.text("tokenizer.chat_template");
        Listed {
            size: memory::gguf::size(file),
            quantisation: header.quantisation().map(str::to_owned),
            trained: model.shape.as_ref().and_then(|shape| shape.trained),
            tools: template.map(|template| template.contains("tools")),
            thinking: template.map(llamacpp::thinks),
            model: Some(model),
            ..self
        }
    }
}

/// The models of one backend, and `None` for a backend that is not there and that nobody has asked for.
///
/// # Errors
/// When it is there, or was asked for, and cannot say what it has.
pub async fn of(kind: Kind, settings: &Settings, home: &Path, here: &Path) -> Result<Option<Vec<Listed>>> {
    // By name, or by naming none.
    let asked = find::kind(settings, home, here) == Some(kind);
    let listed = match kind {
        Kind::Ollama if asked || ollama::is_installed(settings, home, here) => {
            ollama::listing::list(settings, home, here).await?
        }
        Kind::LmStudio if asked || lmstudio::is_installed(settings, home, here) => {
            lmstudio::listing::list(settings, home, here).await?
        }
        Kind::LlamaCpp => llamacpp::memory::list(settings, home, here, asked)?,
        Kind::Command if asked || !settings.command.run.is_empty() => of_command(settings),
        Kind::Endpoint if asked || settings.endpoint.url.is_some() => of_endpoint(settings).await?,
        _ => return Ok(None),
    };
    Ok(Some(listed))
}

/// What it may be asked for: only the server itself knows what it has, and it does not run.
fn of_command(settings: &Settings) -> Vec<Listed> {
    let mut listed: Vec<Listed> = Vec::new();
    for name in settings.model.as_deref().into_iter().chain(settings.models.named().map(|(_, name)| name)) {
        if !listed.iter().any(|known| known.name == name) {
            listed.push(Listed::named(name));
        }
    }
    listed
}

/// What a server says at `/v1/models`.
async fn of_endpoint(settings: &Settings) -> Result<Vec<Listed>> {
    let endpoint = endpoint::of(settings)?;
    let url = &endpoint.url;
    let request = http::models_route(&http::client_for(url), &endpoint);
    let answer = request.timeout(http::LOOK).send().await.and_then(reqwest::Response::error_for_status);
    let failed = |error: &reqwest::Error| {
        Failure::new(Code::Unavailable, format!("{url} does not say which models it has"))
            .why(error.status().map_or_else(|| http::in_words(error), |status| format!("it answers {status}")))
            .help(format!("curl -v {url}/v1/models"))
    };
    let Offers { data } = match answer {
        Ok(answer) => answer.json().await.map_err(|error| failed(&error))?,
        Err(error) => return Err(failed(&error)),
    };
    let listed =
        |model: Offered| Listed { trained: model.max_model_len.or(model.trained()), ..Listed::named(&model.id) };
    Ok(data.into_iter().map(listed).collect())
}
