//! The proxy for requests to another machine, chosen as Claude Code chooses its own, so that lclaude's checks use
//! the same route as the prompts.
//!
//! Seen with Claude Code 2.1.331: the first of [`FIRST`] is used for http and https URLs alike; an `HTTPS_PROXY`
//! without a scheme gets `http://`; a SOCKS proxy there fails with `UnsupportedProxyProtocol`. `ALL_PROXY` comes last,
//! and there a SOCKS proxy is ignored.

use reqwest::{NoProxy, Proxy, Url};

use super::address::is_remote;
use crate::base::{
    error::{Code, Failure, Result},
    variables::Variables,
};

/// The variables in the order in which Claude Code reads them.
const FIRST: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"];
const LAST: [&str; 2] = ["all_proxy", "ALL_PROXY"];

/// Returns the proxy for requests to `url`, or `None` without one. This machine is never reached through a proxy.
///
/// # Errors
/// `Config` for a proxy that Claude Code can't use.
pub(crate) fn find(url: &str, variables: &Variables) -> Result<Option<Proxy>> {
    if !is_remote(url) {
        return Ok(None);
    }
    let mut set = FIRST.into_iter().chain(LAST).filter_map(|name| Some((name, variables.text(name)?)));
    let Some((name, value)) = set.next() else {
        return Ok(None);
    };
    let except = exceptions(variables);
    let except = except.as_deref();
    if except.is_some_and(|except| is_excepted(url, except)) {
        return Ok(None);
    }
    let repaired = name.eq_ignore_ascii_case("https_proxy") && !value.contains("://");
    let value = if repaired { format!("http://{value}") } else { value.to_owned() };
    let scheme = Url::parse(&value).ok().filter(Url::has_host).map(|proxy| proxy.scheme().to_owned());
    let proxy = match scheme.as_deref() {
        Some("http" | "https") => Proxy::all(&value).ok(),
        Some(_) if LAST.contains(&name) => return Ok(None),
        Some(scheme) if scheme.starts_with("socks") => return Err(unusable(name, url, "is a SOCKS proxy")),
        _ => None,
    };
    // The value isn't shown, since it may contain a password.
    let proxy = proxy.ok_or_else(|| unusable(name, url, "is not an http or https URL"))?;
    Ok(Some(proxy.no_proxy(except.and_then(NoProxy::from_string))))
}

/// Returns the hosts that are reached without a proxy, joined as Claude Code joins them.
fn exceptions(variables: &Variables) -> Option<String> {
    let hosts: Vec<&str> = ["no_proxy", "NO_PROXY"].into_iter().filter_map(|name| variables.text(name)).collect();
    (!hosts.is_empty()).then(|| hosts.join(","))
}

/// Returns whether a list of hosts excepts the host of `url`: `*`, the host, the host with its port, or a domain above
/// it that starts with a dot.
fn is_excepted(url: &str, except: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_lowercase();
    let port = url.port_or_known_default().unwrap_or_default();
    let entries = except.split([',', ' ', '\t']).map(str::to_lowercase).filter(|entry| !entry.is_empty());
    entries.into_iter().any(|entry| {
        let plain = entry.trim_matches(['[', ']']);
        entry == "*"
            || plain == host
            || entry == format!("{host}:{port}")
            || entry == format!("[{host}]:{port}")
            || entry.starts_with('.') && (host.ends_with(&entry) || entry[1..] == host)
    })
}

fn unusable(name: &str, url: &str, what: &str) -> Failure {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    Failure::new(Code::Config, format!("Claude Code cannot use the proxy in {name}"))
        .cause(format!("{name} {what}; Claude Code supports only http and https proxies"))
        .help(format!("unset {name}"))
        .help(format!("export NO_PROXY={host}  # to reach {host} without a proxy"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether a proxy is used, or why it can't be.
    fn find(url: &str, variables: &[(&str, &str)]) -> Result<bool, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        super::find(url, &Variables::of(variables)).map(|proxy| proxy.is_some()).map_err(|failure| failure.to_string())
    }

    const REMOTE: &str = "http://203.0.113.7:8000";

    #[test]
    fn proxy_is_chosen_as_claude_code_chooses_it() {
        assert_eq!(find(REMOTE, &[]), Ok(false));
        for name in FIRST.into_iter().chain(LAST) {
            assert_eq!(find(REMOTE, &[(name, "http://proxy:3128")]), Ok(true), "{name}");
            assert_eq!(find("http://127.0.0.1:8000", &[(name, "socks5://proxy:1080")]), Ok(false), "{name}");
            assert_eq!(find(REMOTE, &[(name, "socks5://proxy:1080"), ("NO_PROXY", "203.0.113.7")]), Ok(false));
        }
        for name in FIRST {
            for socks in ["socks5://me:secret@proxy:1080", "socks5h://proxy:1080"] {
                let said = find(REMOTE, &[(name, socks)]).expect_err("a SOCKS proxy");
                assert!(said.contains(&format!("{name} is a SOCKS proxy")) && !said.contains("secret"), "{said}");
            }
            assert!(find(REMOTE, &[(name, "nonsense://secret")]).is_err_and(|said| !said.contains("secret")));
        }
        for name in LAST {
            assert_eq!(find(REMOTE, &[(name, "socks5://proxy:1080")]), Ok(false), "{name}");
        }
        assert_eq!(find(REMOTE, &[("HTTPS_PROXY", "proxy:3128")]), Ok(true));
        assert!(find(REMOTE, &[("HTTP_PROXY", "proxy:3128")]).is_err());
        assert!(find(REMOTE, &[("HTTPS_PROXY", "socks5://a:1"), ("HTTP_PROXY", "http://a:1")]).is_err());
    }

    #[test]
    fn exceptions_match_as_in_claude_code() {
        let excepts = |except| is_excepted("https://gpu.example.net:8443/v1", except);
        for except in ["*", "gpu.example.net", "x, GPU.example.net", ".example.net", "a gpu.example.net:8443"] {
            assert!(excepts(except), "{except}");
        }
        for except in ["", "example.net", "gpu.example.net:80", ".other.net", "pu.example.net"] {
            assert!(!excepts(except), "{except}");
        }
        assert!(is_excepted("http://[fd00::7]:80", "fd00::7") && is_excepted("http://[fd00::7]:80", "[fd00::7]"));
    }
}
