//! Descriptors over the link, by `SCM_RIGHTS`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most descriptors that go over at once: the library, the board, and the host's pidfd where it has one.
const FDS_MAX: usize = 3;

/// Descriptors that a worker begins with.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) library: OwnedFd,
    pub(crate) board: OwnedFd,
    /// A pidfd of the host; `None`: its kernel has none.
    pub(crate) host: Option<OwnedFd>,
}

/// Sends the library, the board, and the host's pidfd. The link must be fresh: the one byte that carries them never blocks
/// then.
pub(crate) fn send(
    link: BorrowedFd<'_>,
    library: BorrowedFd<'_>,
    board: BorrowedFd<'_>,
    host: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = [Some(library), Some(board), host]
        .into_iter()
        .flatten()
        .collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for the descriptors"));
    }
    sendmsg(
        link,
        &[IoSlice::new(&[0])],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives what [`send`] sent; blocks until it has come.
pub(crate) fn receive(link: BorrowedFd<'_>) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let message = recvmsg(
        link,
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
    match (fds.next(), fds.next()) {
        (Some(library), Some(board)) => Ok(Received {
            library,
            board,
            host: fds.next(),
        }),
        _ => Err(io::Error::other("the host sent no descriptors")),
    }
}
