//! A port that stays ours from the first start of a backend to the last lease.
//!
//! While a backend is down, any user of the machine could take its port and receive the next prompt and the key. A
//! bound socket that never listens prevents that: without a listener every connection is refused, and nobody else can
//! bind the port. The backend can bind it in one of two ways:
//!
//! - Shared: `SO_REUSEPORT` on both sockets, which lets only programs of the same user bind the port (socket(7)).
//! - Lent: Linux checks these options when another socket binds or listens. [`ReservedPort::lend`] sets them on the held
//!   socket, and any program that sets one of them can bind the port; [`ReservedPort::close`] clears them again, which
//!   leaves that program listening and keeps out everybody else, also after it crashes. Between the two calls the port
//!   is open to all users, so whoever listens then must be checked.
//!
//! On other systems a bound socket that doesn't listen may receive the backend's connections, so there a lent port is
//! released, and taken back when it's free.

use std::{
    cell::Cell,
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr},
    os::fd::{AsFd, OwnedFd},
};

use socket2::{Domain, Socket, Type};

use super::{
    commands,
    error::{Code, Failure, Result},
};

/// Attempts to find a free port. Another program may take the one that was found.
const MAX_ATTEMPTS: u32 = 8;
/// Whether a held socket can lend its port: it never receives the backend's connections.
pub(crate) const LENDS: bool = cfg!(target_os = "linux");

/// A port that stays taken until this value is dropped.
pub(crate) struct ReservedPort {
    pub port: u16,
    is_shared: bool,
    /// Whether it is lent, and not yet closed behind its program or taken back.
    is_open: Cell<bool>,
    /// `None` while the port is released.
    socket: Option<Socket>,
}

/// Reserves `wanted`, or any free port. A program that sets `SO_REUSEPORT` can bind it meanwhile.
pub(crate) fn reserve_shared(wanted: Option<u16>) -> io::Result<ReservedPort> {
    take(wanted, true)
}

/// Reserves `wanted`, or any free port. No program can bind it until it is lent or released.
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
    Failure::new(Code::Unavailable, "no free port on 127.0.0.1").cause(error).help(commands::list_listeners())
}

impl ReservedPort {
    /// Returns the port that another process reserved and passed on; `Err` if the descriptor isn't such a socket.
    pub(crate) fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        let is_open = Cell::new(socket.reuse_address()?);
        Ok(ReservedPort { port: address.port(), is_shared: false, is_open, socket: Some(socket) })
    }

    /// Returns a second descriptor of the held socket, which keeps the port taken if this process is killed. `None` if
    /// the port is shared or released, or if this system can't hold it while another program listens.
    pub(crate) fn descriptor(&self) -> Option<OwnedFd> {
        let socket = self.socket.as_ref().filter(|_| LENDS && !self.is_shared)?;
        socket.as_fd().try_clone_to_owned().ok()
    }

    /// Lets a program bind the port. A shared port stays as it is.
    pub(crate) fn lend(&mut self) {
        match &self.socket {
            Some(socket) if LENDS && !self.is_shared => {
                self.is_open.set(true);
                // A port that stays closed makes the start fail, and the failure says that the port is in use.
                let _ = socket.set_reuse_address(true).and_then(|()| socket.set_reuse_port(true));
            }
            _ => self.release(),
        }
    }

    /// Gives up an exclusive port, for a program that sets neither option, or on a system that can't lend it.
    pub(crate) fn release(&mut self) {
        if !self.is_shared {
            self.socket = None;
        }
    }

    /// Returns whether the held socket keeps out a program that sets neither option.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.socket.is_some() && !self.is_shared
    }

    /// Keeps every other program off a lent port, apart from the one that listens there now.
    pub(crate) fn close(&self) {
        if let Some(socket) = self.socket.as_ref().filter(|_| !self.is_shared) {
            let _ = socket.set_reuse_port(false).and_then(|()| socket.set_reuse_address(false));
            self.is_open.set(false);
        }
    }

    /// Takes a lent or released port back after its program has ended.
    ///
    /// # Errors
    /// `AddrInUse` if another program listens there.
    pub(crate) fn take_back(&mut self) -> io::Result<()> {
        match &self.socket {
            Some(socket) if self.is_open.get() => {
                close_and_forget(socket)?;
                self.is_open.set(false);
            }
            // It is shared, or was closed behind its program: opening it even for a moment would let others in.
            Some(_) => {}
            None => self.socket = bind(self.port, false)?.socket,
        }
        Ok(())
    }
}

fn take(wanted: Option<u16>, shared: bool) -> io::Result<ReservedPort> {
    if let Some(port) = wanted {
        return bind(port, shared);
    }
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..MAX_ATTEMPTS {
        // portpicker finds nothing on a machine without IPv6; the kernel always finds a port. Only a port that was
        // bound by its number stays bound in `close_and_forget`.
        let port = match portpicker::pick_unused_port() {
            Some(port) => port,
            None => Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|socket| bind_to(&socket, 0))?,
        };
        match bind(port, shared) {
            Ok(reserved) => return Ok(reserved),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind(port: u16, is_shared: bool) -> io::Result<ReservedPort> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if is_shared {
        socket.set_reuse_port(true)?;
        bind_to(&socket, port)?;
    } else {
        // Connections of the previous server linger on its port.
        socket.set_reuse_address(true)?;
        bind_to(&socket, port)?;
        close_and_forget(&socket)?;
    }
    Ok(ReservedPort { port, is_shared, is_open: Cell::new(false), socket: Some(socket) })
}

fn bind_to(socket: &Socket, port: u16) -> io::Result<u16> {
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(address.port())
}

/// Closes the port to every program, whatever was bound to it while it was open.
///
/// Clearing the options isn't enough on Linux: the port remembers that a socket with `SO_REUSEPORT` was bound, and lets
/// the same user bind and listen again without a check (`fastreuseport` in `inet_connection_sock.c` of Linux 6.18). A
/// socket that listens makes it forget, and shuts out the others until the options are cleared.
fn close_and_forget(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(false)?;
    if !LENDS {
        return socket.set_reuse_address(false);
    }
    socket.set_reuse_address(true)?;
    let listens = socket.listen(0);
    socket.set_reuse_address(false)?;
    listens?;
    // Stops listening. A port that was bound by its number stays bound.
    socket.shutdown(Shutdown::Read)
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

    /// Returns a socket with these options, bound to the port.
    fn bound(port: u16, reuse_address: bool, reuse_port: bool) -> io::Result<Socket> {
        let other = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        other.set_reuse_address(reuse_address)?;
        other.set_reuse_port(reuse_port)?;
        bind_to(&other, port)?;
        Ok(other)
    }

    fn listening(port: u16, reuse_address: bool, reuse_port: bool) -> io::Result<Socket> {
        let other = bound(port, reuse_address, reuse_port)?;
        other.listen(1)?;
        Ok(other)
    }

    #[track_caller]
    fn assert_closed(port: u16) {
        for (address, reuse) in [(false, false), (true, false), (false, true), (true, true)] {
            let other = listening(port, address, reuse).map_err(|error| error.kind()).err();
            assert_eq!(other, Some(io::ErrorKind::AddrInUse), "SO_REUSEADDR {address}, SO_REUSEPORT {reuse}");
        }
    }

    #[test]
    fn held_port_rejects_every_program() {
        assert_closed(reserve_exclusive(None).expect("a free port").port);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn lent_port_is_closed_behind_its_program() {
        for (address, reuse) in [(true, false), (false, true), (true, true)] {
            let mut held = reserve_exclusive(None).expect("a free port");
            held.lend();
            let program = listening(held.port, address, reuse).expect("the port is lent");
            held.close();
            let client = TcpStream::connect((Ipv4Addr::LOCALHOST, held.port)).expect("the program listens");
            drop(program);
            drop(client);
            // All sockets of this test belong to one user, whom a program with SO_REUSEPORT lets in.
            if !reuse {
                assert_closed(held.port);
            }
            held.lend();
            drop(listening(held.port, address, reuse).expect("it can start again"));
            held.take_back().expect("nobody listens");
            assert_closed(held.port);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn port_taken_back_forgets_who_was_bound() {
        let mut held = reserve_exclusive(None).expect("a free port");
        held.lend();
        let other = bound(held.port, true, true).expect("the port is lent");
        held.take_back().expect("nobody listens");
        assert_eq!(other.listen(1).map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
        drop(other);
        assert_closed(held.port);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn port_with_a_listener_cannot_be_taken_back() {
        let mut held = reserve_exclusive(None).expect("a free port");
        held.lend();
        let other = listening(held.port, true, true).expect("the port is lent");
        assert!(held.take_back().is_err());
        drop(other);
        held.take_back().expect("nobody listens");
        assert_closed(held.port);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn port_is_held_as_long_as_any_descriptor_of_it() {
        let held = reserve_exclusive(None).expect("a free port");
        let (port, descriptor) = (held.port, held.descriptor().expect("a descriptor"));
        drop(held);
        assert_closed(port);
        let mut adopted = ReservedPort::adopt(descriptor).expect("a bound socket");
        assert_eq!(adopted.port, port);
        adopted.lend();
        drop(listening(port, true, false).expect("the port is lent"));
    }

    #[test]
    fn released_port_can_be_bound_by_any_program() {
        let mut held = reserve_exclusive(None).expect("a free port");
        held.release();
        drop(listening(held.port, false, false).expect("it is free"));
        held.take_back().expect("nobody listens");
        assert_closed(held.port);
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
