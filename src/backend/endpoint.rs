//! A server that somebody else runs: vLLM over several nodes, a gateway in front of many models, a cluster's address.
//! Nothing is started and nothing is stopped.

use std::env;

use super::{
    command, http,
    plan::{BackendPlan, Endpoint, NO_TOKEN, Service, Starting, Unfit},
    served::Served,
};
use crate::config::Kind;
use crate::{
    base::error::{Code, Failure, Result},
    config::Settings,
};

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
pub fn of(settings: &Settings) -> Result<Endpoint> {
    Ok(Endpoint { url: url(settings)?, port: 0, token: token(settings)? })
}

/// The token from the variable that `token_env` names.
///
/// # Errors
/// `Config` when the variable is not set.
fn token(settings: &Settings) -> Result<String> {
    let Some(name) = &settings.endpoint.token_env else {
        return Ok(NO_TOKEN.into());
    };
    match env::var(name) {
        Ok(token) if !token.trim().is_empty() => {
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

/// Whether requests to it leave this machine.
pub fn is_remote(url: &str) -> bool {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host != "localhost" && !address.is_ok_and(|address| address.is_loopback())
}

/// The host of a URL that is this machine's, if it is neither `127.0.0.1` nor `localhost`.
pub fn other_name_of_this_machine(url: &str) -> Option<String> {
    let host = reqwest::Url::parse(url).ok()?.host_str()?.trim_matches(['[', ']']).to_owned();
    (!is_remote(url) && host != crate::backend::plan::HOST && host != "localhost").then_some(host)
}

pub async fn bring_up(plan: &BackendPlan, starting: &Starting<'_>) -> Result<Served, Unfit> {
    let Starting { client, endpoint, .. } = starting;
    if let Err(error) = client.get(&endpoint.url).timeout(http::PROMPT).send().await {
        return Err(no_answer(&endpoint.url, &http::in_words(&error)).into());
    }
    command::check(plan, starting).await
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

#[cfg(test)]
mod tests {
    use super::is_remote;

    #[test]
    fn only_loopback_is_this_machine() {
        for url in ["http://127.0.0.1:8000", "http://localhost", "https://[::1]:1/x", "http://127.9.9.9"] {
            assert!(!is_remote(url), "{url}");
        }
        for url in ["http://192.168.0.2", "https://localhost.example.net", "http://[fe80::1]", "https://box"] {
            assert!(is_remote(url), "{url}");
        }
    }
}
