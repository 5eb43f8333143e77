//! Is nobody at a drive whose own mounts are idle.
//!
//! That asks for a look at every process and at every mount namespace, and the answer is mostly "nobody".
//! So drives that are released at the same time share one look. Where it is not "nobody", the drive is
//! looked at by itself, and what is in the way is named.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerScan, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::platform::linux::blockers::kernel_users::names;
use crate::platform::linux::blockers::scan::coalesce::Coalescer;
use crate::platform::linux::blockers::scan::scan_hidden;

static SCANS: Coalescer<Drive, DriveUsage> = Coalescer::new();

/// Who is at a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriveUsage {
    /// No process has anything of it open, and nothing of it is mounted in another mount namespace from
    /// where it does not go with ours.
    Unused,
    /// The same, as far as processes and namespaces could be looked into.
    NoneVisible,
    /// Somebody, or there was no time to tell.
    Unknown,
}

/// Looks who is at this drive.
pub(crate) fn drive_usage(drive: &Drive, deadline: &mut Deadline<'_>) -> DriveUsage {
    let look = |drives: &[Drive], deadline: &mut Deadline<'_>| {
        let scan = scan_hidden(drives, deadline);
        match deadline.check() {
            Ok(()) => drives.iter().map(|drive| scan_drive(drive, &scan)).collect(),
            // The others may have more time.
            Err(_) => Vec::new(),
        }
    };
    SCANS.request(drive.clone(), deadline, look).unwrap_or(DriveUsage::Unknown)
}

fn scan_drive(drive: &Drive, scan: &BlockerScan) -> DriveUsage {
    let is_its = |volume: &String| {
        names(drive)
            .chain(drive.volumes.iter().flat_map(|v| &v.other_members))
            .any(|name| name == volume)
    };
    let counts =
        |blocker: &Blocker, used: &Usage| is_its(&used.volume) && !is_own_handle(blocker, used);
    match scan.blockers.iter().any(|b| b.uses.iter().any(|used| counts(b, used))) {
        true => DriveUsage::Unknown,
        false if scan.complete => DriveUsage::Unused,
        false => DriveUsage::NoneVisible,
    }
}

/// Is it the handle that this program itself holds the drive by.
fn is_own_handle(blocker: &Blocker, used: &Usage) -> bool {
    let ours = blocker.process.as_ref().is_some_and(|process| process.pid == std::process::id());
    ours && used.kind == UsageKind::Device && !used.writing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::{Cancel, Clock};
    use crate::platform::linux::Linux;
    use crate::platform::linux::blockers::test_support::{Holder, Stick};
    use std::fs::File;
    use std::time::Duration;

    fn look(drives: &[&Drive]) -> Vec<bool> {
        let (clock, cancel) = (Linux::new(), Cancel::new());
        let mut watch = |_| {};
        let end = clock.now() + Duration::from_secs(60);
        let mut deadline = Deadline::until(&clock, end, &cancel, &mut watch);
        let drives: Vec<Drive> = drives.iter().map(|drive| (*drive).clone()).collect();
        let scan = scan_hidden(&drives, &mut deadline);
        drives.iter().map(|drive| scan_drive(drive, &scan) != DriveUsage::Unknown).collect()
    }

    #[test]
    fn of_several_drives_in_one_look_only_those_that_nobody_is_at_are_quiet() {
        let sticks = (Stick::new(), Stick::new(), Stick::new(), Stick::new());
        let (Some(idle), Some(open), Some(apart), Some(held)) = sticks else { return };
        let _open = Holder::shell("exec 7>\"$1/there\"", &open.mount);
        let _apart = Holder::in_a_namespace("private", "", &apart.mount);
        // What this program holds a drive by is nobody else's.
        let _held = File::open(&held.drive().path).unwrap();
        let drives = [&idle, &open, &apart, &held].map(Stick::drive);
        assert_eq!(look(&drives.each_ref()), [true, false, false, true]);
        assert_eq!(look(&[&drives[0]]), [true]);
        assert_eq!(look(&[&drives[2], &drives[1]]), [false, false]);
    }

    #[test]
    fn in_a_copy_that_goes_with_ours_also_what_is_mapped_counts() {
        let Some(stick) = Stick::new() else { return };
        std::fs::write(stick.mount.join("there"), "mapped").unwrap();
        let shared = stick.share();
        let _copy = Holder::in_a_namespace("slave", "", &shared);
        assert_eq!(look(&[&stick.drive()]), [true]);
        // Python's own mmap keeps the file open.
        let script = "assert libc.unshare(0x20000) == 0\n\
                      assert libc.mount(None, b'/', None, 0x84000, None) == 0\n\
                      file = os.open(keep + '/mnt/there', os.O_RDONLY)\n\
                      libc.mmap.restype = ctypes.c_void_p\n\
                      assert libc.mmap(None, ctypes.c_size_t(4096), 1, 2, file, ctypes.c_long(0)) != 2**64 - 1\n\
                      os.close(file)\n\
                      leave_others()\n\
                      ready()";
        let Some(_holder) = Holder::python(script, &shared) else { return };
        assert_eq!(look(&[&stick.drive()]), [false]);
    }
}
