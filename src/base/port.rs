//! A port that stays ours from the pick to the last lease.
//!
//! While a backend is down, any user of the machine could take its port and be sent the next prompt and the token. A
//! socket of ours that is bound and never listens prevents that: with `SO_REUSEPORT` on both, only a program of the
//! same user can bind the port too (socket(7)), and without a listener every connection is refused.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use socket2::{Domain, Socket, Type};

use super::error::{Code, Failure, Result};

pub struct Reserved {
    pub port: u16,
    _socket: Socket,
}

/// Reserves `wanted`, or any free port, beside a program that binds it with `SO_REUSEPORT` too.
pub fn reserve(wanted: Option<u16>) -> io::Result<Reserved> {
    take(wanted, true)
}

/// Holds `wanted`, or any free port, against everybody; to be let go of just before a program binds it.
pub fn hold(wanted: Option<u16>) -> io::Result<Reserved> {
    take(wanted, false)
}

/// A port that is free now, for a server that takes it at once and is not ours to hold it for.
///
/// # Errors
/// `Unavailable` when there is none.
pub fn free_port() -> Result<u16> {
    hold(None).map(|held| held.port).map_err(none_free)
}

/// The failure for a port that could not be had.
pub fn none_free(error: io::Error) -> Failure {
    Failure::new(Code::Unavailable, "no port could be had on 127.0.0.1").why(error).help("ss -tln shows what is taken")
}

fn take(wanted: Option<u16>, shared: bool) -> io::Result<Reserved> {
    match wanted {
        Some(port) => bind(port, shared),
        // portpicker finds nothing on a machine without IPv6; the kernel always does.
        None => match portpicker::pick_unused_port() {
            Some(port) => bind(port, shared).or_else(|_| bind(0, shared)),
            None => bind(0, shared),
        },
    }
}

fn bind(port: u16, shared: bool) -> io::Result<Reserved> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if shared {
        socket.set_reuse_port(true)?;
    } else {
        // Connections of the server that has gone linger on its port.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    // Off again, or anybody who sets it could bind the port too, and listen.
    socket.set_reuse_address(false)?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(Reserved { port: address.port(), _socket: socket })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_reserved_port_is_closed_to_programs_that_do_not_share() {
        let reserved = reserve(None).expect("a free port");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, reserved.port));
        assert_eq!(taken.map_err(|error| error.kind()).err(), Some(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn a_held_port_is_closed_to_everybody() {
        let held = hold(None).expect("a free port");
        for (address, port) in [(false, false), (true, false), (false, true), (true, true)] {
            let other = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            other.set_reuse_address(address).and_then(|()| other.set_reuse_port(port)).expect("options");
            let bound = other.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, held.port)).into());
            let bound = bound.map_err(|error| error.kind());
            assert_eq!(bound, Err(io::ErrorKind::AddrInUse), "SO_REUSEADDR {address}, SO_REUSEPORT {port}");
        }
    }

    #[test]
    fn a_reserved_port_refuses_connections() {
        let reserved = reserve(None).expect("a free port");
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, reserved.port));
        assert_eq!(refused.map_err(|error| error.kind()).err(), Some(io::ErrorKind::ConnectionRefused));
    }

    #[test]
    fn the_same_port_can_be_had_again() {
        let first = reserve(None).expect("a free port");
        let port = first.port;
        assert_eq!(reserve(Some(port)).expect("shared with ourselves").port, port);
    }
}
