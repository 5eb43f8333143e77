//! System calls with which the steps of a release begin on Linux.

use libc::{c_int, pid_t};

use super::ptrace::Entry;

/// Moment at which to pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PausePoint {
    /// First read of the mount table.
    Resolve,
    /// The first `syncfs` or `fsync`.
    Flush,
    /// The first `umount2(MNT_EXPIRE)`.
    Lock,
    /// After that, the first `syncfs` or `umount2`.
    Dismount,
    /// The first `umount2` after that, which unmounts something.
    Unmount,
    /// Removal of a mapping, an array or a loop device.
    TakeDown,
    /// Open of the drive with `O_EXCL`.
    Claim,
    /// First command to the drive after the claim, or open of the sysfs file that removes it.
    Eject,
    /// First read of the drive's `dev` in sysfs after that, which checks that it exists.
    Verify,
    /// Close of the drive after that.
    Unlock,
}

/// Progress of a release, derived from its system calls.
pub struct StepTracker {
    node: String,
    /// Processes that make calls for the program, and close again what they were given for one.
    helpers: Vec<pid_t>,
    resolving: bool,
    flushing: bool,
    locking: bool,
    dismounting: bool,
    claim: Claim,
    ejecting: bool,
    verifying: bool,
}

enum Claim {
    Not,
    /// Requested by this process.
    Asked(pid_t),
    Held,
}

impl StepTracker {
    /// Returns the tracker for a release of the drive with this node.
    pub fn of(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            helpers: Vec::new(),
            resolving: false,
            flushing: false,
            locking: false,
            dismounting: false,
            claim: Claim::Not,
            ejecting: false,
            verifying: false,
        }
    }

    /// Records a call that a process enters, and returns the pause points it is. `text` reads the process's
    /// memory, `descriptor_path` returns the path behind a descriptor.
    pub fn enters(
        &mut self,
        pid: pid_t,
        call: &Entry,
        text: impl Fn(u64) -> String,
        descriptor_path: impl Fn(u64) -> String,
    ) -> Vec<PausePoint> {
        let [first, second, third, ..] = call.arguments;
        match call.number {
            libc::SYS_openat => {
                let flags = c_int::try_from(third & 0xffff_ffff).unwrap_or(0);
                self.opens(pid, &text(second), flags)
            }
            libc::SYS_syncfs | libc::SYS_fsync if self.locking => self.dismounts(),
            libc::SYS_syncfs | libc::SYS_fsync => once(&mut self.flushing, PausePoint::Flush),
            // A dismount marks the mount with the same call that the lock asks with.
            libc::SYS_umount2 if second & EXPIRE != 0 && !self.dismounting => {
                once(&mut self.locking, PausePoint::Lock)
            }
            libc::SYS_umount2 => {
                let mut points = self.dismounts();
                points.push(PausePoint::Unmount);
                points
            }
            libc::SYS_ioctl if TAKE_DOWN.contains(&second) && !self.is_claimed() => {
                let mut points = self.dismounts();
                points.push(PausePoint::TakeDown);
                points
            }
            libc::SYS_ioctl if COMMANDS.contains(&second) && self.is_claimed() => {
                once(&mut self.ejecting, PausePoint::Eject)
            }
            libc::SYS_prctl if first == PR_SET_PDEATHSIG => {
                self.helpers.push(pid);
                Vec::new()
            }
            libc::SYS_close
                if self.verifying
                    && !self.helpers.contains(&pid)
                    && self.is_node(&descriptor_path(first)) =>
            {
                vec![PausePoint::Unlock]
            }
            _ => Vec::new(),
        }
    }

    /// Records the result of the call that a process had entered.
    pub fn leaves(&mut self, pid: pid_t, result: i64) {
        if let Claim::Asked(asker) = self.claim
            && asker == pid
        {
            self.claim = if result < 0 { Claim::Not } else { Claim::Held };
        }
    }

    fn opens(&mut self, pid: pid_t, path: &str, flags: c_int) -> Vec<PausePoint> {
        if path == self.node && flags & libc::O_EXCL != 0 {
            self.claim = Claim::Asked(pid);
            return vec![PausePoint::Claim];
        }
        let removes = ["/remove", "/delete"].iter().any(|name| path.ends_with(name));
        if removes && flags & libc::O_ACCMODE == libc::O_WRONLY && self.is_claimed() {
            return once(&mut self.ejecting, PausePoint::Eject);
        }
        if path == "dev" && self.ejecting {
            return once(&mut self.verifying, PausePoint::Verify);
        }
        if path == "/proc/self/mountinfo" {
            return once(&mut self.resolving, PausePoint::Resolve);
        }
        Vec::new()
    }

    /// Returns true if the path is the drive's node, also after the node was deleted with the drive.
    fn is_node(&self, path: &str) -> bool {
        path.strip_suffix(" (deleted)").unwrap_or(path) == self.node
    }

    fn dismounts(&mut self) -> Vec<PausePoint> {
        once(&mut self.dismounting, PausePoint::Dismount)
    }

    fn is_claimed(&self) -> bool {
        matches!(self.claim, Claim::Held)
    }
}

fn once(seen: &mut bool, point: PausePoint) -> Vec<PausePoint> {
    if std::mem::replace(seen, true) { Vec::new() } else { vec![point] }
}

/// The first call of a helper.
const PR_SET_PDEATHSIG: u64 = libc::PR_SET_PDEATHSIG as u64;

const EXPIRE: u64 = libc::MNT_EXPIRE as u64;

/// Requests that remove a level: `DM_DEV_REMOVE`, `STOP_ARRAY`, `LOOP_CLR_FD`.
const TAKE_DOWN: [u64; 3] = [0xc138_fd04, 0x932, 0x4c01];

/// Requests to the drive: `SG_IO`, `CDROM_LOCKDOOR`, `CDROMEJECT`, `LOOP_CLR_FD`.
const COMMANDS: [u64; 4] = [0x2285, 0x5329, 0x5309, 0x4c01];

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: i64, arguments: [u64; 3]) -> Entry {
        let [a, b, c] = arguments;
        Entry { number, arguments: [a, b, c, 0, 0, 0] }
    }

    /// The calls of a release, as strace shows them, and the points each of them is.
    #[test]
    fn every_step_of_a_release_begins_once() {
        let mut tracker = StepTracker::of("/dev/sdb");
        let mut seen = Vec::new();
        let mut go = |pid, call: Entry, path: &str, result| {
            let text = |_| path.to_owned();
            seen.extend(tracker.enters(pid, &call, text, text));
            tracker.leaves(pid, result);
        };
        let read = u64::try_from(libc::O_RDONLY).unwrap();
        let claim = u64::try_from(libc::O_RDONLY | libc::O_EXCL).unwrap();
        go(2, entry(libc::SYS_prctl, [PR_SET_PDEATHSIG, 9, 0]), "", 0);
        go(1, entry(libc::SYS_openat, [0, 0, read]), "/proc/self/mountinfo", 3);
        go(1, entry(libc::SYS_openat, [0, 0, read]), "/dev/sdb", 3);
        go(2, entry(libc::SYS_syncfs, [5, 0, 0]), "", 0);
        go(2, entry(libc::SYS_fsync, [5, 0, 0]), "", 0);
        go(2, entry(libc::SYS_umount2, [0, EXPIRE, 0]), "", -11);
        go(2, entry(libc::SYS_syncfs, [5, 0, 0]), "", 0);
        go(2, entry(libc::SYS_umount2, [0, EXPIRE | 8, 0]), "", -11);
        go(1, entry(libc::SYS_close, [7, 0, 0]), "", 0);
        go(2, entry(libc::SYS_openat, [0, 0, claim]), "/dev/sdb", 7);
        go(2, entry(libc::SYS_fsync, [7, 0, 0]), "", 0);
        go(2, entry(libc::SYS_ioctl, [7, 0x2285, 0]), "", 0);
        go(1, entry(libc::SYS_openat, [4, 0, read]), "dev", 8);
        go(1, entry(libc::SYS_close, [8, 0, 0]), "", 0);
        go(2, entry(libc::SYS_close, [7, 0, 0]), "/dev/sdb", 0);
        go(1, entry(libc::SYS_close, [7, 0, 0]), "/dev/sdb", 0);
        use PausePoint::{Claim, Dismount, Eject, Flush, Lock, Resolve, Unlock, Unmount, Verify};
        let all = [Resolve, Flush, Lock, Dismount, Unmount, Claim, Eject, Verify, Unlock];
        assert_eq!(seen, all);
    }
}
