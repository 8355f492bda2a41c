//! Tells addresses of this machine from others, as the kernel routes them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use reqwest::Url;

use super::plan::HOST;

/// How long a name may take to resolve. A name that takes longer counts as another machine's.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The names that were resolved, and whether they are remote. A name is resolved once in the life of a process, so that
/// a plan, its messages and its requests agree.
static RESOLVED: Mutex<Option<HashMap<String, bool>>> = Mutex::new(None);

/// Returns whether requests to this URL leave this machine. Resolves a host name, which may take a moment; an IP
/// address takes no time.
pub(crate) fn is_remote(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return true };
    let Some(host) = url.host_str() else { return true };
    let port = url.port_or_known_default().unwrap_or(80);
    if let Some(address) = literal(host) {
        return !is_own(SocketAddr::new(address, port));
    }
    // No resolver is needed for the usual name.
    if host == "localhost" {
        return false;
    }
    let name = format!("{host}:{port}");
    let mut resolved = RESOLVED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = resolved.get_or_insert_default();
    *known.entry(name).or_insert_with_key(|name| !is_own_name(name))
}

/// Returns the host of a URL if it means this machine and is neither `127.0.0.1` nor `localhost`.
pub(crate) fn unusual_own_host(url: &str) -> Option<String> {
    let host = Url::parse(url).ok()?.host_str()?.trim_matches(['[', ']']).to_owned();
    (host != HOST && host != "localhost" && !is_remote(url)).then_some(host)
}

/// Returns the IP address that a URL names as its host.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// Returns whether a name with a port resolves only to addresses of this machine.
fn is_own_name(name: &str) -> bool {
    let (sender, resolved) = mpsc::channel();
    let name = name.to_owned();
    // The system's resolver can't be canceled, so a thread waits for it.
    thread::spawn(move || {
        let found = name.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let _ = sender.send(found.unwrap_or_default());
    });
    let addresses = resolved.recv_timeout(RESOLVE_TIMEOUT).unwrap_or_default();
    !addresses.is_empty() && addresses.into_iter().all(is_own)
}

/// Returns whether the kernel delivers packets for `address` to this machine: it then uses the same address as the
/// source. Connecting a datagram socket only chooses a route and sends nothing.
fn is_own(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    // The kernel takes an unspecified address for this machine.
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    let (any, address): (IpAddr, _) = match ip {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), SocketAddr::new(ip, address.port())),
        // Keeps the zone of a link-local address.
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), address),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns this machine's address in its network, if it has one.
    fn lan_address() -> Option<IpAddr> {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
        socket.connect(("203.0.113.1", 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }

    #[test]
    fn every_spelling_of_this_machine_is_local() {
        for url in [
            "http://127.0.0.1:8000",
            "http://localhost",
            "https://[::1]:1/x",
            "http://127.9.9.9",
            "http://127.0.1.1:8000",
            "http://0.0.0.0:8000",
            "http://[::]:8000",
            "http://[::ffff:127.0.0.1]:8000",
            "http://[::ffff:0.0.0.0]:8000",
            "http://LOCALHOST:80",
        ] {
            assert!(!is_remote(url), "{url}");
        }
        if let Some(own) = lan_address() {
            assert!(!is_remote(&format!("http://{own}:8000")), "{own}");
            assert!(!is_remote(&format!("http://[::ffff:{own}]:8000")), "{own}");
        }
    }

    #[test]
    fn other_machines_are_remote() {
        for url in
            ["http://203.0.113.7", "https://name.invalid", "http://[2001:db8::1]", "http://[fe80::1%25x]", "no url"]
        {
            assert!(is_remote(url), "{url}");
        }
    }

    #[test]
    fn name_is_local_if_all_its_addresses_are() {
        assert!(is_own_name("localhost:80"));
        assert!(!is_own_name("name.invalid:80"));
        let host = std::process::Command::new("uname").arg("-n").output().expect("every system has uname").stdout;
        let host = String::from_utf8_lossy(&host).trim().to_owned();
        let Ok(addresses) = (host.as_str(), 80).to_socket_addrs() else { return };
        assert_eq!(is_own_name(&format!("{host}:80")), addresses.into_iter().all(is_own), "{host}");
    }

    #[test]
    fn only_unusual_names_of_this_machine_are_added_to_the_proxy_exceptions() {
        let host = |url| unusual_own_host(url);
        assert_eq!(host("http://127.0.0.1:8000"), None);
        assert_eq!(host("http://localhost"), None);
        assert_eq!(host("http://203.0.113.7"), None);
        assert_eq!(host("http://0.0.0.0:8000").as_deref(), Some("0.0.0.0"));
        assert_eq!(host("http://[::1]:8000").as_deref(), Some("::1"));
    }
}
