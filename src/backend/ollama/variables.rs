//! Ollama's own variables, read as Ollama reads them (`envconfig/config.go`, seen in 0.32).

use std::{ffi::OsString, net::IpAddr, path::PathBuf};

use crate::{
    backend::plan::HOST,
    base::{environment::Environment, variables::Variables, wsl},
};

/// The variable with the directory of the models.
pub(crate) const MODELS: &str = "OLLAMA_MODELS";
/// The variable with the address of the server, for the server and for its clients.
pub(crate) const ADDRESS: &str = "OLLAMA_HOST";

/// The address that Ollama listens on by default.
pub(crate) const LOCAL: &str = "http://127.0.0.1:11434";

/// Returns the store that `OLLAMA_MODELS` names, or `None` if it names none. Ollama starts a relative path at its
/// working directory, and `~` is a name like any other.
pub(crate) fn store(environment: &Environment) -> Option<PathBuf> {
    let value = environment.variables.get(MODELS)?;
    let value = value.to_str().map_or_else(|| value.to_owned(), |text| OsString::from(trim(text)));
    let working_dir = environment.working_dir().ok();
    (!value.is_empty()).then(|| working_dir.map_or_else(|| PathBuf::from(&value), |directory| directory.join(&value)))
}

/// Returns the URL of the user's own server: `host`, or else `OLLAMA_HOST`. In both, scheme, host and port are
/// optional.
pub(crate) fn url(host: Option<&str>, variables: &Variables) -> String {
    let text = trim(host.or_else(|| variables.text(ADDRESS)).unwrap_or_default()).trim();
    let (scheme, rest, default) = match text.split_once("://") {
        Some(("https", rest)) => ("https", rest, "443"),
        Some((_, rest)) => ("http", rest, "80"),
        None if text == "ollama.com" => ("https", text, "443"),
        None => ("http", text, "11434"),
    };
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = split_port(address).unwrap_or((address, default));
    let port = port.parse::<u16>().map_or_else(|_| default.to_owned(), |port| port.to_string());
    let host = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        // An address that listens on all interfaces can't be connected to.
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => HOST.to_owned(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ if host.is_empty() => HOST.to_owned(),
        _ => host.to_owned(),
    };
    let path = path.trim_end_matches('/');
    format!("{scheme}://{host}:{port}{}{path}", if path.is_empty() { "" } else { "/" })
}

/// Returns the command that sets the address of Ollama on Windows in place of `url`, or `None` if Windows has no address of
/// its own.
pub(crate) fn use_windows(url: &str) -> Option<String> {
    let url = wsl::url_on_windows(url)?;
    let host = url.trim_start_matches("http://");
    Some(format!("lclaude local config set ollama.host {host}  # Ollama on Windows; it may get another address"))
}

/// Returns the host and the port of an address that has a port. The colons of a bare IPv6 address don't introduce one.
fn split_port(address: &str) -> Option<(&str, &str)> {
    address.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.starts_with('[') && host.ends_with(']'))
}

/// Returns a value without the spaces and then the quotes around it, which service files and `.env` files often leave.
fn trim(value: &str) -> &str {
    value.trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_parsed_like_ollama_does() {
        for (written, url) in [
            ("", "http://127.0.0.1:11434"),
            ("\"127.0.0.1:1234\"", "http://127.0.0.1:1234"),
            (" '127.0.0.1:1234' ", "http://127.0.0.1:1234"),
            ("\" 127.0.0.1:1234 \"", "http://127.0.0.1:1234"),
            ("\"\"", "http://127.0.0.1:11434"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("[::]:1234", "http://[::1]:1234"),
            ("::", "http://[::1]:11434"),
            (":1234", "http://127.0.0.1:1234"),
            (":56789/", "http://127.0.0.1:56789"),
            ("box", "http://box:11434"),
            ("box:", "http://box:11434"),
            ("box:1234/", "http://box:1234"),
            ("box:66000", "http://box:11434"),
            ("box:ollama", "http://box:11434"),
            ("http://box", "http://box:80"),
            ("http://", "http://127.0.0.1:80"),
            ("https://box", "https://box:443"),
            ("https://box:1234", "https://box:1234"),
            ("https://box/ollama/", "https://box:443/ollama"),
            ("box/a/b", "http://box:11434/a/b"),
            ("ollama.com", "https://ollama.com:443"),
            ("[::1]:1234", "http://[::1]:1234"),
            ("[::1]", "http://[::1]:11434"),
            ("::1", "http://[::1]:11434"),
        ] {
            assert_eq!(super::url(Some(written), &Variables::default()), url, "{written}");
        }
    }
}
