//! The URL of an endpoint: how it is written, and which server it means.

use std::net::IpAddr;

use reqwest::Url;
use toml::{Table, Value};

use super::{
    settings::{Settings, Sources},
    source::Source,
};
use crate::base::{
    error::{Failure, Result},
    ui,
};

/// The URL of an example.
const EXAMPLE: &str = "https://models.example.net";

/// The key of the URL.
pub(super) const KEY: &str = "endpoint.url";

/// Why a text is not the URL of a server.
pub(crate) struct InvalidUrl {
    pub what: String,
    /// Whether the URL contains a secret.
    pub is_secret: bool,
    /// URLs that may be meant.
    pub meant: Vec<String>,
}

/// Returns the URL of a server as people write it, without the path of the Messages API, which Claude Code adds. A URL
/// without a scheme gets `http` if it names this machine, where nobody can listen on the way.
///
/// # Errors
/// If it isn't an `http` or `https` URL, or if it contains a secret.
pub(crate) fn server_url(written: &str) -> Result<String, InvalidUrl> {
    // Each of these characters may introduce a secret.
    let has_secret = written.contains(['@', '?', '#']);
    let shown = if has_secret { "the endpoint's URL".to_owned() } else { format!("{:?}", ui::shorten(written, 200)) };
    let invalid = |what: String| InvalidUrl { what, is_secret: false, meant: Vec::new() };
    // The parser would drop them.
    if written.trim().contains(char::is_control) {
        return Err(invalid(format!("{shown} is not a URL: it contains a control character")));
    }
    let trimmed = written.trim().trim_end_matches('/');
    let trimmed = trimmed.strip_suffix("/messages").filter(|rest| rest.ends_with("/v1")).unwrap_or(trimmed);
    let trimmed = trimmed.strip_suffix("/v1").unwrap_or(trimmed).trim_end_matches('/');
    let url = match written.contains("://") {
        true => trimmed.to_owned(),
        false if is_own_name(trimmed) => format!("http://{trimmed}"),
        false => {
            let meant = ["https", "http"].map(|scheme| format!("{scheme}://{trimmed}"));
            let is_host = !has_secret && meant.iter().all(|url| Url::parse(url).is_ok());
            let meant = meant.into_iter().filter(|_| is_host).collect();
            return Err(InvalidUrl { meant, ..invalid(format!("{shown} does not start with http:// or https://")) });
        }
    };
    let parsed = Url::parse(&url).map_err(|error| invalid(format!("{shown} is not a URL: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(invalid(format!("{shown} is not an http or https URL")));
    }
    let secret = |what| InvalidUrl { is_secret: true, ..invalid(format!("the endpoint's URL contains a {what}")) };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(secret("password"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(secret("query"));
    }
    Ok(url)
}

impl Settings {
    /// Returns the URL of the configured endpoint, or `None` if none is set.
    ///
    /// # Errors
    /// `Config` if it is invalid or contains a secret, `Usage` if it was typed.
    pub(crate) fn endpoint_url(&self) -> Result<Option<String>> {
        let Some(written) = self.endpoint.url.as_deref() else {
            return Ok(None);
        };
        let source = self.source(KEY);
        let set = |url: &str| match source {
            Source::Option(option) => format!("lclaude {option} {url}"),
            Source::Variable(variable) => format!("export {variable}={url}"),
            _ => format!("lclaude local config set {KEY} {url}"),
        };
        server_url(written).map(Some).map_err(|InvalidUrl { what, is_secret, meant }| {
            let failure = Failure::new(source.code(), what).cause(format!("set by {source}"));
            let failure = match &meant[..] {
                [] => failure.help(set(EXAMPLE)),
                meant => meant.iter().fold(failure, |failure, url| failure.help(set(url))),
            };
            match is_secret {
                true => {
                    failure.help("lclaude local config set endpoint.token_env NAME  # a variable that holds the token")
                }
                false => failure,
            }
        })
    }
}

/// Returns whether a URL without a scheme names this machine, by a name or an address that always does.
fn is_own_name(url: &str) -> bool {
    let authority = url.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback() || address.is_unspecified())
}

/// Returns whether two URLs, as people write them, are those of the same server.
pub(super) fn is_same_server(one: &str, other: &str) -> bool {
    let parsed = |written: &str| Url::parse(&server_url(written).ok()?).ok();
    parsed(one).is_some_and(|one| parsed(other) == Some(one))
}

/// Returns the URL that a layer sets for the endpoint.
pub(super) fn of_table(table: &Table) -> Option<String> {
    Some(table.get("endpoint")?.get("url")?.as_str()?.to_owned())
}

/// Returns whether any profile sets a URL.
pub(super) fn is_in_profile(user_table: &Table) -> bool {
    let profiles = user_table.get("profiles").and_then(Value::as_table);
    let mut profiles = profiles.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    profiles.any(|profile| of_table(profile).is_some())
}

/// Removes the token and the headers, which belong to the configured server and must not be sent to another one.
/// Returns whether there were any.
pub(super) fn remove_credentials(merged: &mut Table, sources: &mut Sources) -> bool {
    if let Some(Value::Table(endpoint)) = merged.get_mut("endpoint") {
        endpoint.retain(|key, _| key == "url");
    }
    let before = sources.len();
    sources.retain(|key, _| !key.starts_with("endpoint.") || key == KEY);
    sources.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(written: &str) -> Result<String, String> {
        server_url(written).map_err(|invalid| invalid.what)
    }

    #[test]
    fn urls_are_taken_as_people_write_them() {
        for (written, expected) in [
            ("http://gpu-box:8000", "http://gpu-box:8000"),
            ("https://gw.example.net/team/", "https://gw.example.net/team"),
            ("http://gpu-box:8000/v1", "http://gpu-box:8000"),
            ("http://gpu-box:8000/v1/messages/", "http://gpu-box:8000"),
            (" localhost:8000 ", "http://localhost:8000"),
            ("localhost", "http://localhost"),
            ("127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
            ("[::1]:8000", "http://[::1]:8000"),
            ("0.0.0.0:8000", "http://0.0.0.0:8000"),
        ] {
            assert_eq!(url(written).as_deref(), Ok(expected), "{written}");
        }
    }

    #[test]
    fn url_of_another_machine_needs_a_scheme() {
        for written in ["gpu-box:8080", "gpu-box", "192.168.1.5:8000", "localhost.example.net:80"] {
            let invalid = server_url(written).expect_err(written);
            assert_eq!(invalid.meant, [format!("https://{written}"), format!("http://{written}")]);
        }
        for written in ["", "ftp://host", "https://", "a b", "http://a\nb", "http://a/\tb"] {
            let invalid = server_url(written).expect_err(written);
            assert!(invalid.meant.is_empty(), "{written}: {:?}", invalid.meant);
        }
    }

    #[test]
    fn secrets_in_a_url_are_rejected_and_not_shown() {
        for written in ["https://me:secret@host", "https://host?key=secret", "host:80#secret", "me:secret@host:80"] {
            let invalid = server_url(written).expect_err(written);
            assert!(!invalid.what.contains("secret"), "{}", invalid.what);
            assert!(invalid.meant.is_empty(), "{:?}", invalid.meant);
        }
    }

    #[test]
    fn same_server_has_the_same_scheme_host_port_and_path() {
        for same in ["https://gw.example.net/a/v1", "https://GW.example.net:443/a/"] {
            assert!(is_same_server("https://gw.example.net/a", same), "{same}");
        }
        for other in [
            "http://gw.example.net/a",
            "https://gw.example.net/b",
            "https://gw.example.net:444/a",
            "https://gw.example.net.evil.net/a",
            "gw.example.net/a",
            "",
        ] {
            assert!(!is_same_server("https://gw.example.net/a", other), "{other}");
        }
        assert!(!is_same_server("", ""));
    }
}
