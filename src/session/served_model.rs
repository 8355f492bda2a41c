//! The model of an endpoint for which none is configured: the only one that its server lists, or the one that the user
//! chooses.

use crate::{
    backend::registry,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        question, ui,
    },
    config::{Settings, Source, url_kind},
};

/// Models that a failure names.
const SHOWN: usize = 5;
/// Longest name in a command, in bytes.
const MAX_NAME: usize = 256;

/// Returns whether the endpoint's server must be asked which model to use.
pub(crate) fn is_asked(settings: &Settings) -> bool {
    settings.backend == Some(url_kind()) && settings.endpoint.url.is_some() && !is_named(settings)
}

/// Returns whether the settings name the main model of this endpoint. If the URL was typed and isn't the configured one,
/// the configured models are those of another server.
fn is_named(settings: &Settings) -> bool {
    let is_other = settings.endpoint.is_other_server;
    let is_of_this = |key: &str| !is_other || settings.source(key).is_typed();
    let main = ["model", "models.sonnet", "models.opus"];
    settings.model_names().any(|(key, _)| main.contains(&key) && is_of_this(key))
}

/// Returns the settings with the model to use. Asks the server for its list within a few seconds. A configured model
/// that it serves stays.
///
/// `asks`: whether to ask the user which of several to use. `command`: returns the command that does the same with a given
/// model.
///
/// # Errors
/// `Config` or `Unavailable` if the server can't be asked, `Config` if it serves no model, or several and the user
/// doesn't choose one.
pub(crate) async fn choose(
    settings: Settings,
    environment: &Environment,
    asks: bool,
    command: impl Fn(&str) -> String,
) -> Result<Settings> {
    let listed = registry::backend(url_kind()).models(&settings, environment, true).await?.unwrap_or_default();
    let names: Vec<String> = listed.into_iter().map(|model| model.name).collect();
    if settings.model.as_ref().is_some_and(|model| names.contains(model)) {
        return Ok(settings);
    }
    let name = match &names[..] {
        [only] => only.clone(),
        [] => {
            let url = settings.endpoint.url.as_deref().unwrap_or_default();
            return Err(Failure::new(Code::Config, "no model is configured")
                .cause(format!("{url} lists no models, so its model must be named"))
                .help(command("NAME")));
        }
        several => choose_one(&settings, several, asks, command)?,
    };
    Ok(with_served(settings, &name))
}

/// Returns the settings with words in place of the model, for a server that isn't asked.
pub(crate) fn unasked(settings: Settings) -> Settings {
    let name = format!("(the model that {} serves)", settings.endpoint.url.as_deref().unwrap_or_default());
    with_served(settings, &name)
}

fn with_served(settings: Settings, name: &str) -> Settings {
    let source = settings.source("endpoint.url");
    // A file's URL is not the source of the model.
    let source = if source.is_typed() { source } else { Source::Default };
    settings.with_model(url_kind(), name, source)
}

/// Returns the command that lists the models of the server.
fn models_command(settings: &Settings, url: &str) -> String {
    let typed = match settings.source("endpoint.url") {
        Source::Option(option) => vec![option, url],
        Source::Variable(_) => Vec::new(),
        _ => vec!["--backend", "endpoint"],
    };
    ui::quote_command(["lclaude", "local", "models"].into_iter().chain(typed).map(str::to_owned))
}

fn choose_one(settings: &Settings, names: &[String], asks: bool, command: impl Fn(&str) -> String) -> Result<String> {
    let url = settings.endpoint.url.as_deref().unwrap_or_default();
    if asks && ui::can_ask() {
        let shown: Vec<String> = names.iter().map(|name| ui::shorten(name, MAX_NAME)).collect();
        question::list(&format!("{url} serves {} models:", names.len()), &shown, &models_command(settings, url));
        if let Some(chosen) = question::pick(names.len()) {
            return Ok(names[chosen].clone());
        }
    }
    let failure = Failure::new(Code::Config, "no model is configured")
        .cause(format!("{url} serves {} models, and none is chosen", names.len()));
    let short = names.iter().filter(|name| name.len() <= MAX_NAME);
    let failure = short.take(SHOWN).fold(failure, |failure, name| failure.help(command(name)));
    Err(match names.len() > SHOWN {
        true => failure.help(format!("{}  # lists all", models_command(settings, url))),
        false => failure,
    })
}
