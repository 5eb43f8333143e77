//! Unix sockets that are bound to a file on the drive: they keep its mount busy for as long as they are
//! open, and so does each connection that was accepted through one.

use crate::platform::linux::blockers::mounts::scan::DeviceIndex;
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::sys::procfs::{FileStat, Result};
use crate::platform::linux::sys::{mountinfo, sock_diag};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Those of this network namespace.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// The device that every socket is on.
    device: u64,
    /// By number.
    bound: Vec<(u64, DeviceIndex, PathBuf)>,
}

impl Sockets {
    /// Asks the kernel for those whose file is on a device that `on` knows.
    ///
    /// # Errors
    /// Where the kernel cannot tell.
    pub(crate) fn on(
        on: impl Fn(u64) -> Option<DeviceIndex>,
        patience: &ScanDeadline,
    ) -> Result<Sockets> {
        let socket = sock_diag::open()?;
        let device = mountinfo::from_dev(rustix::fs::fstat(&socket)?.st_dev);
        let all = sock_diag::bound_sockets(&socket, || !patience.is_ended())?;
        let on_drive = all.into_iter().filter_map(|bound| {
            Some((bound.socket, on(bound.device)?, OsString::from_vec(bound.name).into()))
        });
        let mut bound: Vec<_> = on_drive.collect();
        bound.sort_unstable();
        Ok(Sockets { device, bound })
    }

    /// The device that every socket is on, if any socket is looked for.
    pub(crate) fn device(&self) -> Option<u64> {
        (!self.bound.is_empty()).then_some(self.device)
    }

    /// Which of the devices this descriptor's socket is bound on, and the name it was bound to.
    pub(crate) fn find(&self, seen: &FileStat) -> Option<(DeviceIndex, &PathBuf)> {
        let number = seen.socket.filter(|_| seen.device == self.device)?;
        let at = self.bound.binary_search_by_key(&number, |(socket, ..)| *socket).ok()?;
        Some((self.bound[at].1, &self.bound[at].2))
    }
}
