//! The plan of an `[endpoint]`: where it is, the token it wants, and what it has.

use reqwest::Response;

use crate::{
    backend::{
        http::{self, Offered, Offers},
        listed::Listed,
        messages,
        plan::{BackendPlan, Endpoint, NO_TOKEN, Service},
        served::Served,
        starting::{Starting, Unfit},
    },
    base::{
        error::{Code, Failure, Result},
        variables::Variables,
    },
    config::{Kind, Settings},
};

/// What helps where the server does not take the token.
const TOKEN_HELP: &str = "[endpoint] token_env = \"NAME\" names the variable that holds its token";

/// # Errors
/// `Config` for a URL that is missing or not one.
pub fn plan(settings: &Settings, models: &[String]) -> Result<BackendPlan> {
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
    let source = settings.source("endpoint.url");
    let bad = |what: &str| {
        Failure::new(Code::Config, what)
            .why(format!("{source} describes the endpoint"))
            .help("[endpoint] url = \"https://models.example.net\", without /v1")
    };
    let url = settings.endpoint.url.as_deref().ok_or_else(|| bad("the backend is an endpoint, and no URL is given"))?;
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/v1").unwrap_or(url);
    // Each of them may begin a secret.
    let shown = if url.contains(['@', '?', '#']) { "the endpoint's URL".into() } else { format!("{url:?}") };
    let parsed = reqwest::Url::parse(url).map_err(|error| bad(&format!("{shown} is not a URL: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad(&format!("{shown} is neither http nor https")));
    }
    let secret = |what: &str| {
        bad(&format!("the endpoint's URL has a {what} in it")).help("put a key into a variable: token_env = \"NAME\"")
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(secret("password"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(secret("query"));
    }
    Ok(url.to_owned())
}

/// Where it is, and the token it wants.
///
/// # Errors
/// As of its parts.
pub fn of(settings: &Settings, variables: &Variables) -> Result<Endpoint> {
    Ok(Endpoint { url: url(settings)?, port: 0, token: token(settings, variables)? })
}

/// The token from the variable that `token_env` names.
///
/// # Errors
/// `Config` when the variable is not set.
fn token(settings: &Settings, variables: &Variables) -> Result<String> {
    let Some(name) = &settings.endpoint.token_env else {
        return Ok(NO_TOKEN.into());
    };
    match variables.text(name) {
        Some(token) if !token.trim().is_empty() => {
            // What a file or a command adds to it cannot be part of a header.
            let token = token.trim();
            if token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Ok(token.to_owned());
            }
            Err(Failure::new(Code::Config, format!("{name} cannot be a token"))
                .why(format!(
                    "{} names it, and it has spaces or characters that no header can have",
                    settings.source("endpoint.token_env")
                ))
                .help(format!("export {name}=…")))
        }
        _ => Err(Failure::new(Code::Config, format!("{name} is not set"))
            .why(format!("{} names it as the endpoint's token", settings.source("endpoint.token_env")))
            .help(format!("export {name}=…"))),
    }
}

pub async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit> {
    let Starting { client, endpoint, .. } = starting;
    if let Err(error) = client.get(&endpoint.url).timeout(http::PROMPT).send().await {
        return Err(no_answer(&endpoint.url, &http::in_words(&error)).into());
    }
    messages::check(plan, starting, TOKEN_HELP).await
}

fn no_answer(url: &str, why: &str) -> Failure {
    let failure = Failure::new(Code::Unavailable, format!("nothing answers at {url}")).why(why);
    if why.contains("certificate") {
        failure
            .help("a certificate of your own has to be known to the system (update-ca-certificates), or named in")
            .help("SSL_CERT_FILE=/path/to/ca.pem for lclaude and NODE_EXTRA_CA_CERTS=/path/to/ca.pem for Claude Code")
    } else {
        failure.help(format!("curl -v {url}"))
    }
}

/// What a server says at `/v1/models`.
pub async fn models(settings: &Settings, variables: &Variables) -> Result<Vec<Listed>> {
    let endpoint = of(settings, variables)?;
    let url = &endpoint.url;
    let request = http::models_route(&http::client_for(url), &endpoint);
    let answer = request.timeout(http::LOOK).send().await.and_then(Response::error_for_status);
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
