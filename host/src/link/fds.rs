//! Descriptors over the link, by `SCM_RIGHTS`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most descriptors that go over at once: those of [`Begin`].
const FDS_MAX: usize = 5;

/// Descriptors that a worker begins with.
#[derive(Debug)]
pub(crate) struct Begin<Fd> {
    pub(crate) library: Fd,
    pub(crate) board: Fd,
    pub(crate) rings: Fd,
    pub(crate) bell: Fd,
    /// A pidfd of the host; `None`: its kernel has none.
    pub(crate) host: Option<Fd>,
}

/// Sends what a worker begins with. The socket must be fresh: the one byte that carries it never blocks then.
pub(crate) fn send(socket: BorrowedFd<'_>, begin: &Begin<BorrowedFd<'_>>) -> io::Result<()> {
    let Begin {
        library,
        board,
        rings,
        bell,
        host,
    } = begin;
    let fds: Vec<BorrowedFd<'_>> = [library, board, rings, bell]
        .into_iter()
        .chain(host)
        .copied()
        .collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for the descriptors"));
    }
    sendmsg(
        socket,
        &[IoSlice::new(&[0])],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives what [`send`] sent; blocks until it has come.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<Begin<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let message = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if message.bytes == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the host has gone",
        ));
    }
    let mut fds = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten();
    let mut next = || {
        let missing = || io::Error::other("the host sent too few descriptors");
        fds.next().ok_or_else(missing)
    };
    Ok(Begin {
        library: next()?,
        board: next()?,
        rings: next()?,
        bell: next()?,
        host: next().ok(),
    })
}
