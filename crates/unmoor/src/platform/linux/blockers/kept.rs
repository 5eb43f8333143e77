//! Mount namespaces in which no process lives: a mount of their `ns/mnt` keeps them (`unshare
//! --mount=FILE`, snapd, container tools), and everything that is mounted in them.

use crate::platform::linux::mountinfo::Line;
use crate::platform::linux::procfs::{Proc, Result};
use crate::platform::linux::setns::enter_mounts;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

/// How long the look into one may take: the way to it may lead through a dead file system.
const PATIENCE: Duration = Duration::from_secs(1);

/// One such namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its number.
    pub(super) number: u64,
    /// What keeps it.
    pub(super) path: PathBuf,
    /// It could be looked into.
    pub(super) seen: bool,
}

/// The namespace that this mount keeps, if it does.
pub(super) fn by(line: &Line) -> Option<Kept> {
    let number = match &*line.file_system {
        "nsfs" => super::survey::namespace_number(line.root.as_bytes())?,
        _ => return None,
    };
    Some(Kept { number, path: line.path.clone(), seen: false })
}

/// The mount table of this namespace.
///
/// # Errors
/// EPERM for who is not root; ETIMEDOUT when nothing came back.
pub(super) fn mountinfo(kept: &Kept) -> Result<Vec<u8>> {
    let (answer, receiver) = mpsc::channel();
    let kept = kept.clone();
    // Who has entered another namespace does not come back: the thread ends with its answer.
    let spawned = std::thread::Builder::new().spawn(move || {
        let _ = answer.send(read(&kept));
    });
    spawned.map_err(|_| Errno::AGAIN)?;
    receiver.recv_timeout(PATIENCE).unwrap_or(Err(Errno::TIMEDOUT))
}

fn read(kept: &Kept) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let namespace = rustix::fs::open(&kept.path, flags, Mode::empty())?;
    // Something else may be mounted over it.
    if rustix::fs::fstat(&namespace)?.st_ino != kept.number {
        return Err(Errno::STALE);
    }
    // There may be no proc on the other side, and this one tells of whoever asks, wherever that is.
    let proc = Proc::open()?;
    enter_mounts(&namespace)?;
    let mut text = Vec::new();
    proc.read(c"thread-self/mountinfo", &mut text)?;
    Ok(text)
}
