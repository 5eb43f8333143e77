//! Descriptors of a process that serves something.

use crate::platform::linux::sys::fdinfo::FdInfo;
use crate::platform::linux::sys::fuse;
use crate::platform::linux::sys::procfs::{ProcPath, Task, dir_buf};

/// Descriptors of a process that tell what it serves, and on what.
#[derive(Default)]
pub(super) struct OpenFiles {
    /// Mounts of its files.
    pub(super) mounts: Vec<u64>,
    /// Block devices.
    pub(super) devices: Vec<u64>,
    /// Block devices that it serves through ublk.
    pub(super) ublk: Vec<String>,
    /// FUSE file systems that it serves, where the kernel names them.
    pub(super) exact: Vec<u64>,
    /// True if it serves FUSE.
    pub(super) has_fuse: bool,
    pub(super) has_socket: bool,
}

impl OpenFiles {
    /// Reads the descriptors; `None` if this user may not, or the process has exited.
    pub(super) fn read(&mut self, task: &Task) -> Option<()> {
        let mut fds = Vec::new();
        task.numbers(c"fd", &mut dir_buf(), |fd| fds.push(fd)).ok()?;
        let (mut link, mut info) = (Vec::new(), Vec::new());
        for fd in fds {
            if task.link(ProcPath::within("fd/", fd).as_c_str(), &mut link).is_err() {
                continue;
            }
            if link.starts_with(b"socket:") {
                self.has_socket = true;
            } else if link == b"/dev/fuse" {
                self.has_fuse = true;
                let read = task.read(ProcPath::within("fdinfo/", fd).as_c_str(), &mut info);
                self.exact.extend(read.ok().and_then(|()| fuse::connection_of(&info)));
            } else if let Some(number) = link.strip_prefix(b"/dev/ublkc") {
                self.ublk.push(format!("ublkb{}", String::from_utf8_lossy(number)));
            } else if link.starts_with(b"/dev/") {
                // Nodes of /dev: no server is asked for their attributes.
                let stat = task.stat(ProcPath::within("fd/", fd).as_c_str());
                self.devices.extend(stat.ok().and_then(|stat| stat.node));
            } else if link.starts_with(b"/") {
                let read = task.read(ProcPath::within("fdinfo/", fd).as_c_str(), &mut info);
                self.mounts.extend(read.ok().and_then(|()| FdInfo::parse(&info).mount));
            }
        }
        self.mounts.sort_unstable();
        self.mounts.dedup();
        Some(())
    }

    /// Adds the mount of the working directory.
    pub(super) fn add_working_directory(&mut self, task: &Task) {
        let mount = task.stat(c"cwd").ok().and_then(|stat| stat.mount);
        self.mounts.extend(mount);
    }
}
