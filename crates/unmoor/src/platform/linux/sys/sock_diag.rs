//! sock_diag(7): the sockets of this network namespace that are bound to a file (`linux/unix_diag.h`).
//!
//! Such a socket keeps the mount of that file busy, and nothing in proc leads from the one to the other:
//! `/proc/net/unix` has the name that was given to `bind(2)`, which may be relative, or renamed since.

use crate::platform::linux::sys::device_number::number;
use crate::platform::linux::sys::procfs::Result;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};
use std::time::Duration;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const AF_UNIX: u8 = 1;
const UDIAG_SHOW_NAME: u32 = 0x1;
const UDIAG_SHOW_VFS: u32 = 0x2;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;

/// Timeout for the kernel, which answers from memory.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// A socket that is bound to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundSocket {
    /// The number in `socket:[…]`.
    pub socket: u64,
    /// The device of the file, as mount tables have it.
    pub(crate) device: u64,
    /// The name that was given; relative to wherever its process was then.
    pub name: Vec<u8>,
}

/// Kind of a datagram of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// There is more to come.
    More,
    /// The last datagram.
    Last,
    /// The kernel refuses.
    Refused,
}

/// Opens a socket to ask; its file is on the same file system as every socket's.
pub(crate) fn open() -> Result<OwnedFd> {
    let kind = (AddressFamily::NETLINK, SocketType::RAW, Some(netlink::SOCK_DIAG));
    let socket = rustix::net::socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, kind.2)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(REPLY_TIMEOUT))?;
    Ok(socket)
}

/// Every socket that is bound to a file; `go_on` is asked before each wait.
///
/// # Errors
/// ENOENT where the kernel was built without it; EAGAIN, ETIMEDOUT when it did not answer in time.
pub(crate) fn bound_sockets(
    socket: &OwnedFd,
    go_on: impl Fn() -> bool,
) -> Result<Vec<BoundSocket>> {
    rustix::net::send(socket, &request(), SendFlags::empty())?;
    let mut found = Vec::new();
    // The kernel fills datagrams of 32 KiB at the most (`netlink_recvmsg`).
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if !go_on() {
            return Err(Errno::TIMEDOUT);
        }
        let length = match rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _)) => length,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        match parse(&buffer[..length], |bound| found.push(bound)) {
            Part::More => {}
            Part::Last => return Ok(found),
            Part::Refused => return Err(Errno::NOENT),
        }
    }
}

/// `struct nlmsghdr` and `struct unix_diag_req`: every socket, in whatever state.
fn request() -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    out.extend(40u32.to_ne_bytes());
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    out.extend([0; 8]); // sequence, port
    out.extend([AF_UNIX, 0, 0, 0]);
    out.extend(u32::MAX.to_ne_bytes()); // states
    out.extend([0; 4]); // inode
    out.extend((UDIAG_SHOW_NAME | UDIAG_SHOW_VFS).to_ne_bytes());
    out.extend([0xff; 8]); // no cookie
    out
}

/// Reads one datagram of the answer.
pub fn parse(mut bytes: &[u8], mut each: impl FnMut(BoundSocket)) -> Part {
    while let Some((head, rest)) = bytes.split_first_chunk::<16>() {
        let [length, kind, ..] = words(head);
        let length = length as usize;
        let Some(body) = length.checked_sub(16).and_then(|body| rest.get(..body)) else { break };
        match (kind & 0xffff) as u16 {
            NLMSG_DONE => return Part::Last,
            NLMSG_ERROR => return Part::Refused,
            SOCK_DIAG_BY_FAMILY => {
                if let Some(bound) = message(body) {
                    each(bound);
                }
            }
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Part::More
}

/// `struct unix_diag_msg` and its attributes: a socket that has a file, and so may be open.
fn message(bytes: &[u8]) -> Option<BoundSocket> {
    let (head, mut rest) = bytes.split_first_chunk::<16>()?;
    let [kind, socket, ..] = words(head);
    let (mut device, mut name) = (None, Vec::new());
    while let Some((head, body)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let Some(body) = length.checked_sub(4).and_then(|own| body.get(..own)) else { break };
        match u16::from_ne_bytes([head[2], head[3]]) {
            UNIX_DIAG_NAME => name = body.strip_suffix(b"\0").unwrap_or(body).to_vec(),
            UNIX_DIAG_VFS => device = body.get(4..8).and_then(|d| d.try_into().ok()),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    // Twelve bits and twenty, as the kernel has it inside (linux/kdev_t.h).
    let device = u32::from_ne_bytes(device?);
    let device = number(device >> 20, device & 0xf_ffff);
    let is_unix = kind.to_ne_bytes()[0] == AF_UNIX;
    // One that nobody has accepted yet has no number.
    (is_unix && socket != 0).then_some(BoundSocket { socket: socket.into(), device, name })
}

fn words(bytes: &[u8; 16]) -> [u32; 4] {
    let word =
        |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    [word(0), word(4), word(8), word(12)]
}

/// A message as the kernel writes it, and the end of the answer after it.
#[cfg(any(test, feature = "fuzzing"))]
pub fn written(bound: &BoundSocket) -> Vec<u8> {
    let name_length = 4 + bound.name.len() + 1;
    let mut attributes = (name_length as u16).to_ne_bytes().to_vec();
    attributes.extend(UNIX_DIAG_NAME.to_ne_bytes());
    attributes.extend(&bound.name);
    attributes.resize(name_length.next_multiple_of(4), 0);
    attributes.extend(12u16.to_ne_bytes());
    attributes.extend(UNIX_DIAG_VFS.to_ne_bytes());
    attributes.extend(7u32.to_ne_bytes());
    let device = (bound.device >> 32) << 20 | bound.device & 0xf_ffff;
    attributes.extend((device as u32).to_ne_bytes());
    let length = 32 + attributes.len() as u32;
    let mut out = length.to_ne_bytes().to_vec();
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend([0; 10]);
    out.extend([AF_UNIX, 1, 10, 0]);
    out.extend((bound.socket as u32).to_ne_bytes());
    out.extend([0; 8]);
    out.extend(attributes);
    out.extend(20u32.to_ne_bytes());
    out.extend(NLMSG_DONE.to_ne_bytes());
    out.extend([0; 14]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixListener;

    #[test]
    #[ignore = "needs a kernel with unix_diag"]
    fn a_socket_bound_here_is_in_the_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let found = match open().and_then(|socket| bound_sockets(&socket, || true)) {
            Ok(found) => found,
            Err(errno) => panic!("no sock_diag here: {errno}"),
        };
        let link = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        let own = found.iter().find(|b| b.name == path.as_os_str().as_bytes()).unwrap();
        assert_eq!(link.to_str(), Some(&*format!("socket:[{}]", own.socket)));
    }

    #[test]
    fn written_bytes_and_the_end_are_read() {
        let bound = BoundSocket { socket: 77, device: 8 << 32 | 17, name: b"/mnt/s".to_vec() };
        let mut found = Vec::new();
        assert_eq!(parse(&written(&bound), |b| found.push(b)), Part::Last);
        assert_eq!(found, [bound]);
        assert_eq!(parse(&[0; 64], |_| unreachable!()), Part::More);
    }
}
