//! The listening sockets of Linux.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

/// The state of a listening socket in `/proc/net/tcp` (`TCP_LISTEN`).
const LISTEN: &str = "0A";

/// Returns the users of the sockets that may receive a connection to `port` of 127.0.0.1: those that listen on this
/// address or on all addresses.
///
/// A socket on `[::]` that takes only IPv6 is among them, since `/proc/net/tcp6` doesn't tell.
pub(crate) fn listener_owners(port: u16) -> Vec<u32> {
    // `/proc/net/tcp` takes milliseconds, because the kernel goes through its table of all connections.
    let sockets = ask_kernel(port).unwrap_or_else(|_| read_files(port));
    sockets.into_iter().filter(|(address, _)| takes_local(*address)).map(|(_, user)| user).collect()
}

fn takes_local(address: IpAddr) -> bool {
    let takes = |address: Ipv4Addr| address == Ipv4Addr::LOCALHOST || address.is_unspecified();
    match address {
        IpAddr::V4(address) => takes(address),
        IpAddr::V6(address) => address.is_unspecified() || address.to_ipv4_mapped().is_some_and(takes),
    }
}

/// Returns the address and the user of each socket that listens on `port` (`sock_diag(7)`).
///
/// # Errors
/// Any error of a kernel without this interface.
fn ask_kernel(port: u16) -> io::Result<Vec<(IpAddr, u32)>> {
    let mut found = ask_for(AF_INET, SocketId::new_v4())?;
    found.extend(ask_for(AF_INET6, SocketId::new_v6())?);
    found.retain(|(id, _)| id.source_port == port);
    Ok(found.into_iter().map(|(id, user)| (id.source_address, user)).collect())
}

/// Returns the listening sockets of one address family.
fn ask_for(family: u8, socket_id: SocketId) -> io::Result<Vec<(SocketId, u32)>> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id,
    };
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(SockDiagMessage::InetRequest(request)));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);

    let socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    // The kernel has answered when the call returns.
    socket.set_non_blocking(true)?;
    let mut found = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full()?;
        let mut rest = &answer[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(socket)) => {
                    found.push((socket.header.socket_id, socket.header.uid));
                }
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
            // Messages are aligned to four bytes.
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(1)..).unwrap_or_default();
        }
    }
}

/// Returns the address and the user of each socket that listens on `port`.
fn read_files(port: u16) -> Vec<(IpAddr, u32)> {
    let mut found = Vec::new();
    for file in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        // The file is missing without IPv6.
        let lines = File::open(file).into_iter().flat_map(|file| BufReader::new(file).lines()).map_while(Result::ok);
        for line in lines.skip(1) {
            // Number, local address, remote address, state, queues, timers, retransmits, user.
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (Some(local), Some(state), Some(user)) = (fields.get(1), fields.get(3), fields.get(7)) else {
                continue;
            };
            if *state != LISTEN {
                // Listening sockets come first; a busy machine has thousands of others.
                break;
            }
            if let Some((address, number)) = local.split_once(':')
                && u16::from_str_radix(number, 16) == Ok(port)
                && let Some(address) = parse_address(address)
            {
                found.push((address, user.parse().unwrap_or(u32::MAX)));
            }
        }
    }
    found
}

/// Parses an address as the kernel prints it: words of four bytes, each in the byte order of the machine.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn kernel_and_files_agree() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "127.0.0.2:0", "[::1]:0", "[::]:0", "[::ffff:127.0.0.1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                assert!(address.starts_with('['), "only IPv6 may be missing");
                continue;
            };
            let local = listener.local_addr().expect("an address");
            let user = rustix::process::geteuid().as_raw();
            let expected = vec![(local.ip(), user)];
            assert_eq!(read_files(local.port()), expected, "{address}");
            if let Ok(found) = ask_kernel(local.port()) {
                assert_eq!(found, expected, "{address}");
            }
        }
    }
}
