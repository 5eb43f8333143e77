//! Unix sockets bound to a file on the drive.
//!
//! Such a socket keeps the mount busy while it is open, and so does each connection accepted through it.

use crate::platform::linux::blockers::mounts::types::DeviceIndex;
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::sys::procfs::{FileStat, Result};
use crate::platform::linux::sys::{device_number, sock_diag};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// All bound sockets of this network namespace.
#[derive(Debug, Default)]
pub(crate) struct BoundSockets {
    sockfs: u64,
    all: Vec<sock_diag::BoundSocket>,
}

impl BoundSockets {
    /// Lists the sockets.
    ///
    /// # Errors
    /// Errors of sock_diag(7), which a kernel may lack.
    pub(crate) fn list(deadline: &ScanDeadline) -> Result<BoundSockets> {
        let socket = sock_diag::open()?;
        let sockfs = device_number::from_dev(rustix::fs::fstat(&socket)?.st_dev);
        let all = sock_diag::bound_sockets(&socket, || !deadline.is_ended())?;
        Ok(BoundSockets { sockfs, all })
    }

    /// Returns the sockets whose file is on a device for which `index_of` returns an index.
    pub(crate) fn on(&self, index_of: impl Fn(u64) -> Option<DeviceIndex>) -> Sockets {
        let on_drive = self.all.iter().filter_map(|bound| {
            let name = OsString::from_vec(bound.name.clone()).into();
            Some((bound.socket, index_of(bound.device)?, name))
        });
        let mut bound: Vec<_> = on_drive.collect();
        bound.sort_unstable();
        Sockets { device: self.sockfs, bound }
    }
}

/// Sockets that are bound on the drive.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// Device number of sockfs, which all sockets are on.
    device: u64,
    /// Sockets by inode number, sorted.
    bound: Vec<(u64, DeviceIndex, PathBuf)>,
}

impl Sockets {
    /// Returns the device number of sockfs if there are sockets to find.
    pub(crate) fn device(&self) -> Option<u64> {
        (!self.bound.is_empty()).then_some(self.device)
    }

    /// Returns the device that this socket is bound on, and the name that was given to bind(2).
    pub(crate) fn find(&self, stat: &FileStat) -> Option<(DeviceIndex, &PathBuf)> {
        let number = stat.socket.filter(|_| stat.device == self.device)?;
        let position = self.bound.binary_search_by_key(&number, |(socket, ..)| *socket).ok()?;
        Some((self.bound[position].1, &self.bound[position].2))
    }
}
