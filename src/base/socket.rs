//! Sockets between lclaude's processes: paths in the runtime directory, which only this user can enter. A system without
//! unix sockets needs another version of this file and of `descriptor.rs`.

use std::{fs::File, io, os::fd::AsFd, path::Path};

use rustix::{
    io::Errno,
    net::{SendFlags, send},
};

pub(crate) use std::os::unix::net::UnixStream as BlockingStream;
pub(crate) use tokio::net::{
    UnixListener as Listener, UnixStream as Stream,
    unix::{OwnedReadHalf as ReadHalf, OwnedWriteHalf as WriteHalf},
};

/// Connects to the socket at `path`.
pub(crate) async fn connect(path: &Path) -> io::Result<Stream> {
    Stream::connect(path).await
}

/// Listens at `path`, which must be free.
pub(crate) fn listen(path: &Path) -> io::Result<Listener> {
    Listener::bind(path)
}

/// Returns the two ends of a connection. The second one is for another process.
pub(crate) fn pair() -> io::Result<(Stream, BlockingStream)> {
    let (ours, theirs) = BlockingStream::pair()?;
    Ok((into_async(ours)?, theirs))
}

/// Returns the stream for the event loop.
pub(crate) fn into_async(stream: BlockingStream) -> io::Result<Stream> {
    stream.set_nonblocking(true)?;
    Stream::from_std(stream)
}

/// Takes the socket that this process got as its standard input, and replaces that with `/dev/null`, as daemons do.
pub(crate) fn take_stdin() -> io::Result<BlockingStream> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(BlockingStream::from(socket))
}

/// Sends what a non-blocking socket takes at once, and returns how many bytes that were.
pub(crate) fn send_now(socket: impl AsFd, bytes: &[u8]) -> usize {
    send(socket, bytes, SendFlags::empty()).unwrap_or(0)
}

/// Returns whether the other end is closed: nobody can receive from it any more.
pub(crate) fn is_closed(connection: impl AsFd) -> bool {
    // Nothing is sent, but the kernel still checks whether anybody could receive it.
    send(connection, &[], SendFlags::DONTWAIT) == Err(Errno::PIPE)
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;

    #[test]
    fn half_closed_connection_is_not_closed() {
        let (ours, theirs) = BlockingStream::pair().expect("a pair");
        assert!(!is_closed(&ours));
        theirs.shutdown(Shutdown::Write).expect("it is connected");
        assert!(!is_closed(&ours));
        drop(theirs);
        assert!(is_closed(&ours));
    }
}
