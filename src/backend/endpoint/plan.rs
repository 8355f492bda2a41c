//! Builds the plan of an `[endpoint]`: its URL, its token and its models.

use reqwest::Response;

use crate::{
    backend::{
        http::{self, ModelEntry, ModelList},
        listed::ListedModel,
        messages,
        plan::{BackendPlan, Endpoint, NO_TOKEN, Service},
        served::Served,
        starting::{StartError, Starting},
    },
    base::{
        error::{Code, Failure, Result},
        variables::Variables,
    },
    config::{Kind, Settings, Source},
};

/// The help for a server that rejects the token.
const TOKEN_HELP: &str = "set [endpoint] token_env = \"NAME\" to the variable that holds the token";

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

fn url(settings: &Settings) -> Result<String> {
    let cause = match settings.source("endpoint.url") {
        Source::Default => "the endpoint backend needs the URL of a server".into(),
        source => format!("[endpoint] url comes from {source}"),
    };
    let bad = |what: &str| {
        Failure::new(Code::Config, what)
            .cause(cause.clone())
            .help("set [endpoint] url = \"https://models.example.net\"")
    };
    let url = settings.endpoint.url.as_deref().ok_or_else(|| bad("[endpoint] url is not set"))?;
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/v1").unwrap_or(url);
    // Each of these characters may introduce a secret.
    let shown = if url.contains(['@', '?', '#']) { "the endpoint's URL".into() } else { format!("{url:?}") };
    let parsed = reqwest::Url::parse(url).map_err(|error| bad(&format!("{shown} is not a URL: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad(&format!("{shown} is not an http or https URL")));
    }
    let secret = |what: &str| {
        bad(&format!("the endpoint's URL contains a {what}"))
            .help("set [endpoint] token_env = \"NAME\" to a variable that holds the token")
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(secret("password"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(secret("query"));
    }
    Ok(url.to_owned())
}

/// Returns the endpoint's URL and token.
///
/// # Errors
/// `Config` if either is invalid.
pub(crate) fn of(settings: &Settings, variables: &Variables) -> Result<Endpoint> {
    Ok(Endpoint { url: url(settings)?, port: 0, token: token(settings, variables)? })
}

/// Returns the token from the variable that `token_env` names.
///
/// # Errors
/// `Config` if the variable isn't set or isn't a valid header value.
fn token(settings: &Settings, variables: &Variables) -> Result<String> {
    let Some(name) = &settings.endpoint.token_env else {
        return Ok(NO_TOKEN.into());
    };
    match variables.text(name) {
        Some(token) if !token.trim().is_empty() => {
            // A token read from a file or a command often ends in a newline.
            let token = token.trim();
            if token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Ok(token.to_owned());
            }
            Err(Failure::new(Code::Config, format!("{name} is not a valid token"))
                .cause(format!(
                    "{} sets it as the token, but it has characters that are not allowed in a header",
                    settings.source("endpoint.token_env")
                ))
                .help(format!("export {name}=…")))
        }
        _ => Err(Failure::new(Code::Config, format!("{name} is not set"))
            .cause(format!("{} sets it as the endpoint's token", settings.source("endpoint.token_env")))
            .help(format!("export {name}=…"))),
    }
}

/// Checks that the server answers, and returns what it serves.
pub(crate) async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, StartError> {
    let Starting { client, endpoint, .. } = starting;
    if let Err(error) = client.get(&endpoint.url).timeout(http::ANSWER_TIMEOUT).send().await {
        return Err(no_answer(&endpoint.url, &http::describe_error(&error)).into());
    }
    messages::check(plan, starting, TOKEN_HELP).await
}

fn no_answer(url: &str, why: &str) -> Failure {
    let failure = Failure::new(Code::Unavailable, format!("nothing answers at {url}")).cause(why);
    if why.contains("certificate") {
        failure
            .help("sudo update-ca-certificates  # after adding your own certificate to the system")
            .help("export SSL_CERT_FILE=/path/to/ca.pem NODE_EXTRA_CA_CERTS=/path/to/ca.pem  # for both lclaude and Claude Code")
    } else {
        failure.help(format!("curl -v {url}"))
    }
}

/// Returns the models that the server lists at `/v1/models`.
///
/// # Errors
/// `Config` as for [`of`], `Unavailable` if the server doesn't list them.
pub(crate) async fn models(settings: &Settings, variables: &Variables) -> Result<Vec<ListedModel>> {
    let endpoint = of(settings, variables)?;
    let url = &endpoint.url;
    let request = http::models_request(&http::client_for(url), &endpoint);
    let answer = request.timeout(http::LIST_TIMEOUT).send().await.and_then(Response::error_for_status);
    let failed = |error: &reqwest::Error| {
        Failure::new(Code::Unavailable, format!("{url} does not list its models"))
            .cause(error.status().map_or_else(|| http::describe_error(error), |status| format!("it answered {status}")))
            .help(format!("curl -v {url}/v1/models"))
    };
    let ModelList { data } = match answer {
        Ok(answer) => answer.json().await.map_err(|error| failed(&error))?,
        Err(error) => return Err(failed(&error)),
    };
    let listed = |model: ModelEntry| ListedModel {
        trained: model.max_model_len.or(model.trained()),
        ..ListedModel::named(&model.id)
    };
    Ok(data.into_iter().map(listed).collect())
}
