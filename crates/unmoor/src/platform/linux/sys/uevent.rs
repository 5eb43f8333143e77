//! NETLINK_KOBJECT_UEVENT (netlink(7)): events of the kernel's devices, and those that udev has handled.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// Multicast groups of the kernel (1) and of udev (2), whose event comes once the labels are read.
const GROUPS: u32 = 1 | 2;

/// Socket that receives the events.
pub struct Uevents(OwnedFd);

impl Uevents {
    /// Starts to receive events. Any user may.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn subscribe() -> Result<Uevents, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Uevents(socket))
    }

    /// Receives every event that waits. Returns true if there was one.
    ///
    /// Their content is not read: any user may send one to the group of udev.
    ///
    /// # Errors
    /// Those of recv(2). Events that were lost count as events.
    pub fn drain(&self) -> Result<bool, Errno> {
        let mut received = false;
        loop {
            match recv(&self.0, &mut [0u8; 1], RecvFlags::TRUNC) {
                Ok(_) | Err(Errno::NOBUFS) => received = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(received),
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
