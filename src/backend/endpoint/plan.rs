//! Builds the plan of an `[endpoint]`: its URL, its token and its models.

use reqwest::header::HeaderValue;

use crate::{
    backend::{
        certificates, http,
        listed::ListedModel,
        messages,
        model_list::{self, ModelEntry},
        names,
        plan::{BackendPlan, Endpoint, Header, NO_TOKEN, Service},
        proxy,
        served::Served,
        starting::{StartError, Starting},
    },
    base::{
        error::{Code, Failure, Result},
        variables::Variables,
        wsl,
    },
    config::{self, Auth, Kind, Settings},
};

const X_API_KEY: &str = "x-api-key";

/// The most models that are listed.
const MAX_LISTED: usize = 10_000;

/// The help for a server that rejects the token.
const TOKEN_HELP: &str = "lclaude local config set endpoint.token_env NAME  # the variable that holds the token";

/// Returns the plan.
///
/// # Errors
/// `Config` if the URL is missing or invalid.
pub(crate) fn plan(settings: &Settings, models: &[String]) -> Result<BackendPlan> {
    let url = url(settings)?;
    Ok(BackendPlan {
        kind: Kind::Endpoint,
        service: Service::Running(url.clone()),
        models: models.to_vec(),
        origin: url,
        context: settings.context(),
    })
}

/// Returns the URL of the configured endpoint.
///
/// # Errors
/// `Config` if it is missing.
pub(crate) fn url(settings: &Settings) -> Result<String> {
    settings.endpoint_url()?.ok_or_else(|| {
        Failure::new(Code::Config, "[endpoint] url is not set")
            .cause("the endpoint backend needs the URL of a server")
            .help("lclaude --url http://localhost:8000")
            .help("lclaude local config set endpoint.url https://models.example.net")
    })
}

/// Returns the typed URL, to be written to a file.
///
/// # Errors
/// Those of [`url`], and `Usage` if the configured token and headers, which are for another URL, would then be sent to
/// this one.
pub(crate) fn url_to_write(settings: &Settings, command: &str) -> Result<String> {
    let url = url(settings)?;
    if !settings.endpoint.withholds_credentials {
        return Ok(url);
    }
    Err(Failure::new(Code::Usage, "[endpoint] has a token or headers for another URL")
        .cause(format!("with {url} in the configuration, they would be sent there"))
        .help(format!("{command} {url}  # to send them there"))
        .help("lclaude local config edit  # to remove them")
        .help(format!("lclaude --url {url}  # to use it without them")))
}

/// Returns what the user should know about a URL that was typed.
pub(crate) fn notes(settings: &Settings) -> Vec<String> {
    let Some(written) = settings.endpoint.url.as_deref().filter(|_| settings.backend == Some(Kind::Endpoint)) else {
        return Vec::new();
    };
    let source = settings.source("endpoint.url");
    let Some(url) = config::server_url(written).ok().filter(|_| source.is_typed()) else {
        return Vec::new();
    };
    let mut notes = Vec::new();
    if written.contains("/v1") && !url.contains("/v1") {
        notes.push(format!("using {url}, since Claude Code adds /v1/messages"));
    }
    if settings.endpoint.withholds_credentials {
        notes.push(format!(
            "the token and headers of [endpoint] are not sent to {url}, since they are configured for another URL"
        ));
    }
    notes
}

/// Returns the endpoint: its URL, its token and the headers of its requests.
///
/// # Errors
/// `Config` if any of them is invalid, or if it is reached through a proxy that Claude Code can't use.
pub(crate) fn of(settings: &Settings, variables: &Variables) -> Result<Endpoint> {
    let url = url(settings)?;
    proxy::find(&url, variables)?;
    let mut headers = headers(settings, variables)?;
    let token = token(settings, variables)?;
    if let (Auth::XApiKey, Some(token)) = (settings.endpoint.auth, &token) {
        // Claude Code asks the user to approve a key in ANTHROPIC_API_KEY, and remembers the answer. It sends a header
        // without asking. The token goes beside it, since Claude Code always sends one, and gateways such as LiteLLM
        // read that first (seen with 2.1.331 and 1.106).
        headers.insert(0, Header { name: X_API_KEY.into(), value: token.clone(), is_secret: true });
    }
    let token = token.unwrap_or_else(|| NO_TOKEN.into());
    Ok(Endpoint { token_variable: settings.endpoint.token_env.clone(), headers, ..Endpoint::new(url, 0, token) })
}

/// Returns the token from the variable that `token_env` names, or `None` without one.
///
/// # Errors
/// `Config` if the variable isn't set or isn't a valid header value.
fn token(settings: &Settings, variables: &Variables) -> Result<Option<String>> {
    let Some(name) = &settings.endpoint.token_env else {
        return Ok(None);
    };
    let token =
        secret(name, &format!("{} sets it as the endpoint's token", settings.source("endpoint.token_env")), variables)?;
    if token.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(Failure::new(Code::Config, format!("{name} is not a valid token"))
            .cause(format!(
                "{} sets it as the token, but it has characters that are not allowed in a header",
                settings.source("endpoint.token_env")
            ))
            .help(format!("export {name}=…")));
    }
    Ok(Some(token))
}

/// Returns the headers of `headers` and `headers_env`.
///
/// # Errors
/// `Config` if a variable isn't set or its value isn't a valid header value. The others were checked when they were
/// read.
fn headers(settings: &Settings, variables: &Variables) -> Result<Vec<Header>> {
    let shown = settings.endpoint.headers.iter();
    let shown = shown.map(|(name, value)| Ok(Header { name: name.clone(), value: value.clone(), is_secret: false }));
    let secret = settings.endpoint.headers_env.iter().map(|(name, variable)| {
        let source = settings.source(&format!("endpoint.headers_env.{name}"));
        let value = secret(variable, &format!("{source} sets it as the value of the header {name}"), variables)?;
        if HeaderValue::from_str(&value).is_err() {
            return Err(Failure::new(Code::Config, format!("{variable} is not a valid value for the header {name}"))
                .cause("it has characters that are not allowed in a header")
                .help(format!("export {variable}=…")));
        }
        Ok(Header { name: name.clone(), value, is_secret: true })
    });
    shown.chain(secret).collect()
}

/// Returns a variable's value. A secret read from a file or a command often ends in a newline.
///
/// # Errors
/// `Config` if it isn't set, with `use_of_it` as its cause.
fn secret(name: &str, use_of_it: &str, variables: &Variables) -> Result<String> {
    match variables.text(name).map(str::trim) {
        Some(value) if !value.is_empty() => Ok(value.to_owned()),
        _ => Err(Failure::new(Code::Config, format!("{name} is not set"))
            .cause(use_of_it)
            .help(format!("export {name}=…"))),
    }
}

/// Checks that the server answers, and returns what it serves.
pub(crate) async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
    let Starting { client, endpoint, .. } = starting;
    if let Err(error) = client.get(&endpoint.url).timeout(http::ANSWER_TIMEOUT).send().await {
        return Err(no_answer(&endpoint.url, &http::describe_error(&error)).into());
    }
    let mut served = messages::check(plan, starting, TOKEN_HELP).await?;
    if endpoint.url.starts_with("https:") {
        served.notes.extend(certificates::extra(starting.variables).err());
    }
    Ok(served)
}

fn no_answer(url: &str, why: &str) -> Failure {
    certificates::rejected(url, why).unwrap_or_else(|| {
        let failure = Failure::new(Code::Unavailable, format!("nothing answers at {url}")).cause(why);
        failure.helps(on_windows(url)).help(format!("curl -v {url}"))
    })
}

/// Returns the command that uses the same port of Windows, if Windows has an address of its own.
fn on_windows(url: &str) -> Option<String> {
    wsl::url_on_windows(url).map(|url| format!("lclaude --url {url}  # if the server runs on Windows"))
}

/// Returns the models that the server lists at `/v1/models`.
///
/// # Errors
/// `Config` as for [`of`], `Unavailable` if the server doesn't list them.
pub(crate) async fn models(settings: &Settings, variables: &Variables) -> Result<Vec<ListedModel>> {
    let endpoint = of(settings, variables)?;
    let url = &endpoint.url;
    let fail =
        |what: &str, why: &str| Failure::new(Code::Unavailable, format!("{url} {what}")).cause(endpoint.masked(why));
    let look = format!("curl -v {url}/v1/models");
    let failed = |why: String| fail("does not list its models", &why).help(&look);
    let request = model_list::request(&http::client_for(url), &endpoint).timeout(http::LIST_TIMEOUT);
    let answer = request.send().await.map_err(|error| {
        let why = http::describe_error(&error);
        let what = if error.is_connect() { "can't be reached" } else { "does not list its models" };
        let failed = || fail(what, &why).helps(on_windows(url)).help(&look);
        certificates::rejected(url, &why).unwrap_or_else(failed)
    })?;
    let status = answer.status();
    if !status.is_success() {
        let body = http::read_body(answer, http::ANSWER_BYTES).await.unwrap_or_default();
        let said = http::error_message(&body).map(|said| format!(": {said}")).unwrap_or_default();
        return Err(failed(format!("it answered {status}{said}")));
    }
    let listed =
        |model: ModelEntry| ListedModel { trained: model.context.or(model.trained), ..ListedModel::named(&model.id) };
    let entries = model_list::read_list(answer).await.map_err(failed)?.data;
    let more = entries.len().saturating_sub(MAX_LISTED);
    let mut models: Vec<ListedModel> = entries.into_iter().take(MAX_LISTED).map(listed).collect();
    if let Some(last) = models.last_mut().filter(|_| more > 0) {
        last.problem = Some(format!("{url} has {} more models, which are not listed", names::group_digits(more)));
    }
    Ok(models)
}
