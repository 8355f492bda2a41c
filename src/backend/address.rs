//! Tells addresses of this machine from others.

use super::plan::HOST;

/// Returns whether requests to this URL leave this machine.
pub(crate) fn is_remote(url: &str) -> bool {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host != "localhost" && !address.is_ok_and(|address| address.is_loopback())
}

/// Returns the host of a URL if it is a loopback address other than `127.0.0.1` and `localhost`.
pub(crate) fn unusual_loopback_host(url: &str) -> Option<String> {
    let host = reqwest::Url::parse(url).ok()?.host_str()?.trim_matches(['[', ']']).to_owned();
    (!is_remote(url) && host != HOST && host != "localhost").then_some(host)
}

#[cfg(test)]
mod tests {
    use super::is_remote;

    #[test]
    fn only_loopback_addresses_are_local() {
        for url in ["http://127.0.0.1:8000", "http://localhost", "https://[::1]:1/x", "http://127.9.9.9"] {
            assert!(!is_remote(url), "{url}");
        }
        for url in ["http://192.168.0.2", "https://localhost.example.net", "http://[fe80::1]", "https://box"] {
            assert!(is_remote(url), "{url}");
        }
    }
}
