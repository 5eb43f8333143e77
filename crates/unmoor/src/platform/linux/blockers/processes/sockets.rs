//! Unix sockets bound to a file on the drive.
//!
//! Such a socket keeps the mount busy while it is open, and so does each connection accepted through it.

use crate::platform::linux::blockers::mounts::types::DeviceIndex;
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::sys::procfs::{FileStat, Proc, ProcPath, Result};
use crate::platform::linux::sys::setns::enter_network;
use crate::platform::linux::sys::{device_number, sock_diag};
use crate::platform::stuck_pool::run_one;
use rustix::fs::{Mode, OFlags};
use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

/// Timeout for the sockets of one namespace.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

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

    /// Adds the sockets of the other network namespaces of these processes (network_namespaces(7)).
    pub(crate) fn add_other_networks(
        &mut self,
        proc: &Proc,
        pids: &[u32],
        deadline: &ScanDeadline,
    ) {
        let (mut known, mut name) = (HashSet::new(), Vec::new());
        if proc.link(c"self/ns/net", &mut name).is_ok() {
            known.insert(name.clone());
        }
        for pid in pids {
            let path = ProcPath::below(*pid, "/ns/net");
            let named = proc.link(path.as_c_str(), &mut name);
            if named.is_err() || deadline.has_passed() || !known.insert(name.clone()) {
                continue;
            }
            let path = format!("/proc/{pid}/ns/net");
            let listed = run_one(READ_TIMEOUT, || true, move || list_in(&path));
            self.all.extend(listed.and_then(Result::ok).into_iter().flatten());
        }
    }

    /// Returns the sockets whose file is on a device for which `index_of` returns an index.
    pub(crate) fn on(
        &self,
        index_of: impl Fn(&sock_diag::BoundSocket) -> Option<DeviceIndex>,
    ) -> Sockets {
        let on_drive = self.all.iter().filter_map(|bound| {
            let name = OsString::from_vec(bound.name.clone()).into();
            Some((bound.socket, index_of(bound)?, name))
        });
        let mut bound: Vec<_> = on_drive.collect();
        bound.sort_unstable();
        Sockets { device: self.sockfs, bound }
    }
}

/// Lists the sockets of the network namespace at this path, from a thread of its own.
fn list_in(path: &str) -> Result<Vec<sock_diag::BoundSocket>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let open = |path: &str| rustix::fs::open(path, flags, Mode::empty());
    let (home, namespace) = (open("/proc/thread-self/ns/net")?, open(path)?);
    enter_network(&namespace)?;
    let listed = sock_diag::open().and_then(|socket| sock_diag::bound_sockets(&socket, || true));
    // When this fails, the end of the thread leaves the namespace.
    let _ = enter_network(&home);
    listed
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
