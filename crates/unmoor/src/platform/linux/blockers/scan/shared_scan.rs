//! Scan for hidden users of drives whose own mounts are idle.
//!
//! Such a scan reads every process and every mount namespace, and mostly finds nothing. So drives that are
//! released at the same time share one scan. A drive with a finding is scanned again by itself, which names the
//! blockers.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerScan, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::platform::coalesce::Coalescer;
use crate::platform::linux::blockers::kernel_users::names;
use crate::platform::linux::blockers::scan::scan_hidden;

static SCANS: Coalescer<Drive, DriveUsage> = Coalescer::new();

/// Hidden users of a drive, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriveUsage {
    /// No process has a file of the drive open, and no other mount namespace keeps it mounted.
    Unused,
    /// The same, but some processes or namespaces could not be inspected.
    NoneVisible,
    /// There are users, or the time ran out.
    Unknown,
}

/// Scans for hidden users of this drive.
pub(crate) fn drive_usage(drive: &Drive, deadline: &mut Deadline<'_>) -> DriveUsage {
    let scan = |drives: &[Drive], deadline: &mut Deadline<'_>| {
        let scan = scan_hidden(drives, deadline);
        match deadline.check() {
            Ok(()) => drives.iter().map(|drive| usage_of(drive, &scan)).collect(),
            // The other callers may have more time.
            Err(_) => Vec::new(),
        }
    };
    SCANS.request(drive.clone(), deadline, scan).unwrap_or(DriveUsage::Unknown)
}

fn usage_of(drive: &Drive, scan: &BlockerScan) -> DriveUsage {
    let is_on_drive = |volume: &String| {
        names(drive)
            .chain(drive.volumes.iter().flat_map(|v| &v.other_members))
            .any(|name| name == volume)
    };
    let counts = |blocker: &Blocker, usage: &Usage| {
        is_on_drive(&usage.volume) && !is_own_handle(blocker, usage)
    };
    match scan.blockers.iter().any(|b| b.uses.iter().any(|usage| counts(b, usage))) {
        true => DriveUsage::Unknown,
        false if scan.complete => DriveUsage::Unused,
        false => DriveUsage::NoneVisible,
    }
}

/// Returns true if this usage is the handle by which this program itself holds the drive.
fn is_own_handle(blocker: &Blocker, usage: &Usage) -> bool {
    let ours = blocker.process.as_ref().is_some_and(|process| process.pid == std::process::id());
    ours && usage.kind == UsageKind::Device && !usage.writing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::{Cancel, Clock};
    use crate::platform::linux::Linux;
    use crate::platform::linux::blockers::test_support::{Holder, drive, image};
    use std::fs::File;
    use std::time::Duration;

    fn unused(drives: &[&Drive]) -> Vec<bool> {
        let (clock, cancel) = (Linux::new(), Cancel::new());
        let mut watch = |_| {};
        let end = clock.now() + Duration::from_secs(60);
        let mut deadline = Deadline::until(&clock, end, &cancel, &mut watch);
        let drives: Vec<Drive> = drives.iter().map(|drive| (*drive).clone()).collect();
        let scan = scan_hidden(&drives, &mut deadline);
        drives.iter().map(|drive| usage_of(drive, &scan) != DriveUsage::Unknown).collect()
    }

    #[test]
    #[ignore = "needs root and loop devices"]
    fn a_shared_scan_tells_used_drives_from_unused_ones() {
        let (idle, open, apart, held) = (image(), image(), image(), image());
        let _open = Holder::shell("exec 7>\"$1/there\"", &open.mount);
        let _apart = Holder::in_a_namespace("private", "", &apart.mount);
        // A handle of this program itself does not count.
        let _held = File::open(&drive(&held).path).unwrap();
        let drives = [&idle, &open, &apart, &held].map(drive);
        assert_eq!(unused(&drives.each_ref()), [true, false, false, true]);
        assert_eq!(unused(&[&drives[0]]), [true]);
        assert_eq!(unused(&[&drives[2], &drives[1]]), [false, false]);
    }

    #[test]
    #[ignore = "needs root and loop devices"]
    fn a_mapped_file_on_a_propagated_copy_counts() {
        let stick = image();
        std::fs::write(stick.mount.join("there"), "mapped").unwrap();
        let shared = stick.share();
        let _copy = Holder::in_a_namespace("slave", "", &shared);
        assert_eq!(unused(&[&drive(&stick)]), [true]);
        // Python's own mmap keeps the file open.
        let script = "assert libc.unshare(0x20000) == 0\n\
                      assert libc.mount(None, b'/', None, 0x84000, None) == 0\n\
                      file = os.open(keep + '/mnt/there', os.O_RDONLY)\n\
                      libc.mmap.restype = ctypes.c_void_p\n\
                      assert libc.mmap(None, ctypes.c_size_t(4096), 1, 2, file, ctypes.c_long(0)) != 2**64 - 1\n\
                      os.close(file)\n\
                      leave_others()\n\
                      ready()";
        let _holder = Holder::python(script, &shared);
        assert_eq!(unused(&[&drive(&stick)]), [false]);
    }
}
