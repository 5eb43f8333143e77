//! Kernels before 5.8, whose statx(2) gives no mount ID.

use crate::deadline::{Cancel, Clock, Deadline};
use crate::model::blocker::UsageKind;
use crate::platform::linux::Linux;
use crate::platform::linux::blockers::scan;
use crate::platform::linux::blockers::test_support::{Holder, LoopImage, drive, image, ok};
use crate::platform::linux::sys::procfs::WITHOUT_MNT_ID;
use crate::{Options, release};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
#[ignore = "needs root, loop devices and btrfs"]
fn a_subvolume_is_found_on_a_kernel_without_mount_ids_in_statx() {
    let image = LoopImage::with_mkfs(&["mkfs.btrfs", "-q", "-f"]);
    let sub = image.mount.join("sub");
    assert!(ok(Command::new("btrfs").args(["subvolume", "create"]).arg(&sub)));
    let holder = Holder::shell("exec 7>\"$1/file\"; cd \"$1\"", &sub);
    let (clock, cancel) = (Linux::new(), Cancel::new());
    let mut watch = |_| {};
    let end = clock.now() + Duration::from_secs(60);
    let mut deadline = Deadline::until(&clock, end, &cancel, &mut watch);
    WITHOUT_MNT_ID.store(true, Ordering::Relaxed);
    let scan = scan(&drive(&image), &mut deadline);
    WITHOUT_MNT_ID.store(false, Ordering::Relaxed);
    let by_holder = |pid| pid == holder.pid();
    let blocker =
        scan.blockers.iter().find(|b| b.process.as_ref().is_some_and(|p| by_holder(p.pid)));
    let kinds: Vec<_> = blocker.unwrap().uses.iter().map(|u| u.kind).collect();
    assert_eq!(kinds, [UsageKind::OpenForWriting, UsageKind::WorkingDirectory]);
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_drive_is_released_on_a_kernel_without_mount_ids_in_statx() {
    let image = image();
    std::fs::write(image.mount.join("file"), "content").unwrap();
    WITHOUT_MNT_ID.store(true, Ordering::Relaxed);
    let target = image.device.parse().unwrap();
    let report = release(&Linux::new(), &target, &Options::default(), &mut |_| {});
    WITHOUT_MNT_ID.store(false, Ordering::Relaxed);
    assert!(report.error().is_none(), "{:?}", report.error());
}
