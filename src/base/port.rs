//! A port that stays ours from the first start of a backend to the last lease.
//!
//! While a backend is down, any user of the machine could take its port and receive the next prompt and the key. A
//! bound socket that never listens prevents that: with `SO_REUSEPORT` on both sockets, only a program of the same user
//! can bind the port too (socket(7)), and without a listener every connection is refused.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use socket2::{Domain, Socket, Type};

use super::error::{Code, Failure, Result};

/// A port that stays taken until this value is dropped.
pub(crate) struct ReservedPort {
    pub port: u16,
    _socket: Socket,
}

/// Reserves `wanted`, or any free port. A program that sets `SO_REUSEPORT` can bind it meanwhile.
pub(crate) fn reserve_shared(wanted: Option<u16>) -> io::Result<ReservedPort> {
    take(wanted, true)
}

/// Reserves `wanted`, or any free port, exclusively. Drop it just before the program that is to use the port starts.
pub(crate) fn reserve_exclusive(wanted: Option<u16>) -> io::Result<ReservedPort> {
    take(wanted, false)
}

/// Returns a port that is free now, for a server that binds it at once and for which it can't be reserved.
///
/// # Errors
/// `Unavailable` when no port is free.
pub(crate) fn free_port() -> Result<u16> {
    reserve_exclusive(None).map(|held| held.port).map_err(no_free_port)
}

/// Returns the failure for a port that could not be reserved.
pub(crate) fn no_free_port(error: io::Error) -> Failure {
    Failure::new(Code::Unavailable, "no free port on 127.0.0.1").cause(error).help("ss -tln  # lists the ports in use")
}

fn take(wanted: Option<u16>, shared: bool) -> io::Result<ReservedPort> {
    match wanted {
        Some(port) => bind(port, shared),
        // portpicker finds nothing on a machine without IPv6; the kernel always finds a port.
        None => match portpicker::pick_unused_port() {
            Some(port) => bind(port, shared).or_else(|_| bind(0, shared)),
            None => bind(0, shared),
        },
    }
}

fn bind(port: u16, shared: bool) -> io::Result<ReservedPort> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if shared {
        socket.set_reuse_port(true)?;
    } else {
        // Connections of the previous server linger on its port.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    // Off again, or any program that sets it could bind the port too, and listen.
    socket.set_reuse_address(false)?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(ReservedPort { port: address.port(), _socket: socket })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn reserved_port_rejects_programs_without_reuse_port() {
        let reserved = reserve_shared(None).expect("a free port");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, reserved.port));
        assert_eq!(taken.map_err(|error| error.kind()).err(), Some(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn held_port_rejects_every_program() {
        let held = reserve_exclusive(None).expect("a free port");
        for (address, port) in [(false, false), (true, false), (false, true), (true, true)] {
            let other = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            other.set_reuse_address(address).and_then(|()| other.set_reuse_port(port)).expect("options");
            let bound = other.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, held.port)).into());
            let bound = bound.map_err(|error| error.kind());
            assert_eq!(bound, Err(io::ErrorKind::AddrInUse), "SO_REUSEADDR {address}, SO_REUSEPORT {port}");
        }
    }

    #[test]
    fn reserved_port_refuses_connections() {
        let reserved = reserve_shared(None).expect("a free port");
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, reserved.port));
        assert_eq!(refused.map_err(|error| error.kind()).err(), Some(io::ErrorKind::ConnectionRefused));
    }

    #[test]
    fn reserved_port_can_be_reserved_again() {
        let first = reserve_shared(None).expect("a free port");
        let port = first.port;
        assert_eq!(reserve_shared(Some(port)).expect("shared with ourselves").port, port);
    }
}
