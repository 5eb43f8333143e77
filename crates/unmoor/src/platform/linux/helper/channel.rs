//! `sendmsg(2)`, `recvmsg(2)`: messages with descriptors (`SCM_RIGHTS`, unix(7)) over a socket pair.
//!
//! Both ends use these functions, the helper's without allocating.

use rustix::cmsg_space;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::mem::MaybeUninit;

/// Sends one message in two parts, with at most one descriptor.
pub fn send(
    socket: BorrowedFd<'_>,
    parts: [&[u8]; 2],
    fd: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    send_with(socket, parts, fd, SendFlags::empty())
}

/// Sends one message if the socket's buffer has room for it, else returns `EAGAIN`.
pub fn send_now(
    socket: BorrowedFd<'_>,
    parts: [&[u8]; 2],
    fd: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    send_with(socket, parts, fd, SendFlags::DONTWAIT)
}

fn send_with(
    socket: BorrowedFd<'_>,
    parts: [&[u8]; 2],
    fd: Option<BorrowedFd<'_>>,
    flags: SendFlags,
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(fd) = &fd {
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(fd)));
    }
    sendmsg(socket, &parts.map(IoSlice::new), &mut control, flags | SendFlags::NOSIGNAL).map(drop)
}

/// Receives one message: returns its length and its descriptor.
///
/// The length is 0 once the other end is closed. The descriptor is missing where the process may open no more.
pub fn receive(
    socket: BorrowedFd<'_>,
    message: &mut [u8],
) -> Result<(usize, Option<OwnedFd>), Errno> {
    retry_on_intr(|| receive_once(socket, message, RecvFlags::empty()))
}

/// Receives one message that is there. `EAGAIN` if there is none.
pub fn receive_now(
    socket: BorrowedFd<'_>,
    message: &mut [u8],
) -> Result<(usize, Option<OwnedFd>), Errno> {
    retry_on_intr(|| receive_once(socket, message, RecvFlags::DONTWAIT))
}

/// Receives one message. `EINTR` after a signal.
pub fn receive_once(
    socket: BorrowedFd<'_>,
    message: &mut [u8],
    flags: RecvFlags,
) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(message)];
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut parts, &mut control, flags)?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((received.bytes, fd))
}
