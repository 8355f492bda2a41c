//! Passes an open file descriptor to another process, over a unix socket (`SCM_RIGHTS`, unix(7)).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg,
    },
};
use tokio::io::{AsyncRead, ReadBuf};

use super::socket::{ReadHalf, Stream};

/// Sends `bytes` together with a descriptor. Returns how many bytes were sent.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())?)
}

/// Reads into `buffer`. Returns how many bytes were read, and the descriptor that came with them.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let read = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::empty())?.bytes;
    let mut received = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            received = descriptors.last().or(received);
        }
    }
    if let Some(descriptor) = &received {
        // Not every system can set this in the call; no other thread starts a program meanwhile.
        fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    }
    Ok((read, received))
}

/// The reading half of a connection. Keeps the last descriptor that came with what was read.
pub(crate) struct DescriptorReader {
    half: ReadHalf,
    received: Option<OwnedFd>,
}

impl DescriptorReader {
    pub(crate) fn new(half: ReadHalf) -> Self {
        DescriptorReader { half, received: None }
    }

    /// Returns the last descriptor received, once.
    pub(crate) fn take(&mut self) -> Option<OwnedFd> {
        self.received.take()
    }
}

impl AsyncRead for DescriptorReader {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let stream: &Stream = this.half.as_ref();
        loop {
            ready!(stream.poll_read_ready(context))?;
            let read = stream.try_io(tokio::io::Interest::READABLE, || receive(stream, buffer.initialize_unfilled()));
            match read {
                Ok((read, descriptor)) => {
                    buffer.advance(read);
                    if descriptor.is_some() {
                        this.received = descriptor;
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read};

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    use super::*;

    #[tokio::test]
    async fn descriptor_arrives_with_its_line() {
        let (ours, theirs) = Stream::pair().expect("a pair");
        let (read, _write) = theirs.into_split();
        let mut lines = BufReader::new(DescriptorReader::new(read)).lines();
        let file = File::open("/proc/self/stat").or_else(|_| File::open("/dev/null")).expect("a file");
        let mut ours = ours;
        ours.write_all(b"first\n").await.expect("it is read");
        send(&ours, b"second\n", file.as_fd()).expect("it is read");
        assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("first"));
        assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("second"));
        let received = lines.get_mut().get_mut().take().expect("a descriptor");
        let flags = rustix::io::fcntl_getfd(&received).expect("it is open");
        assert!(flags.contains(FdFlags::CLOEXEC));
        let (mut original, mut copy) = (Vec::new(), Vec::new());
        File::from(received).read_to_end(&mut copy).expect("it can be read");
        // Both share one position.
        { file }.read_to_end(&mut original).expect("it can be read");
        assert!(original.is_empty());
        assert!(lines.get_mut().get_mut().take().is_none());
    }
}
