//! The mount table of a mount namespace as it is seen from that namespace's own root.
//!
//! `/proc/PID/mountinfo` ends at the root of the process: below a `chroot(2)` it shows nothing of the rest
//! (`show_mountinfo`, fs/proc_namespace.c). Who enters the namespace (setns(2)) sees all of it, by the
//! names that `nsenter --mount` sees.

use crate::platform::linux::sys::procfs::{Proc, Result};
use crate::platform::linux::sys::setns::enter_mounts;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::sync::mpsc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// How long the look into one may take: the way to it may lead through a dead file system.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// What leads to a namespace; it is opened by the thread that may have to wait for it.
type Open = Box<dyn FnOnce() -> Result<OwnedFd> + Send>;

/// Goes into one namespace after the other, by a thread of its own: no other thread changes its root.
#[derive(Default)]
pub(crate) struct NsReader(Option<Worker>);

/// The thread, as long as it answers.
struct Worker {
    ask: Sender<Open>,
    answers: Receiver<Result<Vec<u8>>>,
}

impl NsReader {
    /// The mount table of the namespace that `open` opens.
    ///
    /// # Errors
    /// EPERM for who may not enter it; ETIMEDOUT when nothing came back.
    pub(crate) fn mountinfo(
        &mut self,
        open: impl FnOnce() -> Result<OwnedFd> + Send + 'static,
    ) -> Result<Vec<u8>> {
        let away = match self.0.take() {
            Some(away) => away,
            None => Worker::start()?,
        };
        away.ask.send(Box::new(open)).map_err(|_| Errno::AGAIN)?;
        let answer = away.answers.recv_timeout(READ_TIMEOUT).map_err(|_| Errno::TIMEDOUT)?;
        // One that did not come back is left behind, and the next look begins another.
        self.0 = Some(away);
        answer
    }
}

impl Worker {
    fn start() -> Result<Worker> {
        let (ask, asked) = mpsc::channel::<Open>();
        let (answer, answers) = mpsc::channel();
        let spawned = std::thread::Builder::new().spawn(move || {
            for open in asked {
                let (table, back) = read_in_ns(open);
                if answer.send(table).is_err() || !back {
                    break;
                }
            }
        });
        spawned.map_err(|_| Errno::AGAIN)?;
        Ok(Worker { ask, answers })
    }
}

/// Reads the table, and comes back: who stayed would keep the namespace, and the drive, busy. Did it.
fn read_in_ns(open: Open) -> (Result<Vec<u8>>, bool) {
    // There may be no proc on the other side, and this one tells of whoever asks, wherever that is.
    let ready = Proc::open().and_then(|proc| Ok((proc, own()?, open()?)));
    let (proc, home, namespace) = match ready {
        Ok(ready) => ready,
        Err(errno) => return (Err(errno), true),
    };
    if let Err(errno) = enter_mounts(&namespace) {
        return (Err(errno), true);
    }
    let mut text = Vec::new();
    let read = proc.read(c"thread-self/mountinfo", &mut text);
    (read.map(|()| text), enter_mounts(&home).is_ok())
}

fn own() -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(c"/proc/thread-self/ns/mnt", flags, Mode::empty())
}
