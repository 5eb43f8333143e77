//! `unshare(2)`: a thread with descriptors of its own.
//!
//! Several drives are released at the same time, each in a thread, and each thread starts children for
//! calls that may hang ([`worker`](crate::platform::linux::helper)). Until it has closed what it does not need, a child has
//! everything open that its parent had. If all threads shared one table, the children of one drive would
//! hold the claims, the loop devices and the mounts of all the others for moments.

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// From here on, what this thread opens is open in no other thread, and in no child of another.
///
/// Whoever calls it must close whatever it opens in the same thread. That the kernel refuses is not
/// known to happen (it asks for no privilege); drives could hold each other up then.
pub fn unshare_files() {
    // SAFETY: a descriptor must not be used in a thread of another table. Those of this library live in
    // sessions, and in calls that return before they end; a session is opened, used and dropped in the
    // thread of its drive. Threads that it starts share its table. Nothing of the caller's runs here:
    // its listener is called in its own thread.
    let _ = unsafe { unshare_unsafe(UnshareFlags::FILES) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsRawFd;
    use rustix::fs::{MemfdFlags, fstat, memfd_create, stat};

    #[test]
    fn what_a_thread_opens_is_open_in_no_other_once_they_are_apart() {
        let shared = std::thread::spawn(first_thread_has_what_this_one_opens);
        let apart = std::thread::spawn(|| {
            unshare_files();
            first_thread_has_what_this_one_opens()
        });
        assert!(shared.join().unwrap(), "the test sees descriptors");
        assert!(!apart.join().unwrap());
    }

    /// `/proc/PID/fd` is the table of the first thread.
    fn first_thread_has_what_this_one_opens() -> bool {
        let file = memfd_create("apart", MemfdFlags::CLOEXEC).unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        stat(path).is_ok_and(|seen| seen.st_ino == fstat(&file).unwrap().st_ino)
    }
}
