//! kcmp(2): do two threads share a table.

use crate::platform::linux::sys::procfs::Result;
use rustix::io::Errno;

/// Resource that two threads may share.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shared {
    /// The table of open files: `KCMP_FILES` of `linux/kcmp.h`.
    Files = 2,
    /// Working directory and root: `KCMP_FS`.
    Fs = 3,
}

/// Do these threads share that. Needs the right to trace both, and a kernel built with it.
pub(crate) fn kcmp(one: u32, other: u32, what: Shared) -> Result<bool> {
    // SAFETY: five integers by value; the kernel keeps and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            libc::c_long::from(one),
            libc::c_long::from(other),
            what as libc::c_long,
            0 as libc::c_long,
            0 as libc::c_long,
        )
    };
    match result {
        0 => Ok(true),
        1.. => Ok(false),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOSYS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs kcmp(2): a sandbox may forbid it"]
    fn threads_share_what_they_did_not_unshare() {
        let me = std::process::id();
        let unshared = std::thread::spawn(move || {
            let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
            let before = kcmp(me, tid, Shared::Fs);
            // SAFETY: gives this thread a copy of its working directory; affects no other.
            let unshared = unsafe { libc::unshare(libc::CLONE_FS) } == 0;
            (before, unshared, kcmp(me, tid, Shared::Fs))
        });
        match unshared.join().unwrap() {
            (Ok(before), true, Ok(after)) => assert_eq!((before, after), (true, false)),
            other => panic!("kcmp or unshare does not work here: {other:?}"),
        }
    }
}
