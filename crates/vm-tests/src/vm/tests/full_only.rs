//! Tests that the default CI leaves out, each with a default test that keeps the same promise.

/// Names of tests, and of the default test that covers the promise of each. A name that ends in a dot stands for
/// all that begin with it.
pub const TESTS: &[(&str, &str)] = &[
    ("served.nbd-socket", "served.nbd"),
    ("kinds.usb-disk", "kinds.usb-disk-off-and-on"),
    ("printed.kinds", "printed.common"),
    ("power-cut.eject", "power-cut.secret-cache"),
    ("silent.loop-image", "silent.no-read"),
    ("silent.no-read-itself", "silent.no-read"),
    ("served.busy", "served.container"),
    ("stick.dismount-only", "stick.flush"),
    ("late.claim", "late.mount"),
    ("who.idle-luks", "who.luks"),
    ("unseen.namespace", "unseen.detached"),
    ("stack.raid1", "stack.half-pulled"),
    ("who.kernel-nfs-client", "who.export"),
    ("several.one-busy", "several.all-removable"),
    ("unwritten.after-the-flush", "unwritten.stays"),
    ("power-cut.judge-says-no", "power-cut.secret-cache"),
    ("stack.image", "served.container"),
    ("stack.together-busy", "stack.together"),
    ("late.mapping", "late.array"),
    ("gone.luks", "gone.mounts"),
    ("kinds.sata", "kinds.usb-disk-off-and-on"),
    ("force.whole-vfat", "force.writers-vfat"),
    ("force.luks", "force.writers-luks"),
    ("refused.first-process", "refused.live-root"),
    ("windows.own-drive", "windows.eject-cd"),
    ("windows.stick", "windows.eject-cd"),
    ("eject-command.optical", "eject-command.disks"),
    ("eject-command.mounts", "eject-command.disks"),
    ("eject-command.options", "eject-command.disks"),
    ("eject-command.partitions", "eject-command.disks"),
    ("eject-command.scsi-debug", "eject-command.disks"),
    ("unprivileged.desktop-power-off", "unprivileged.desktop"),
    ("unprivileged.desktop-luks", "unprivileged.desktop"),
    ("session.", "unprivileged.desktop"),
    ("optical.without-verb", "optical.by-device"),
    ("optical.by-label", "target.labels"),
    ("stick.by-other-partition", "target.names"),
    ("stick.unmounted", "target.names"),
    ("power-cut.dismount-only", "power-cut.secret-cache"),
    ("swapped.parent-force", "swapped.parent"),
    ("gone.btrfs", "gone.mounts"),
    ("gone.in-use", "gone.mounts"),
    ("late.wait", "late.mount"),
    ("busy.working-directory", "who.cwd"),
    ("busy.terminated", "busy.interrupted"),
    ("busy.wait-in-vain", "busy.second-partition"),
    ("stack.lvm", "stack.lvm-on-luks"),
    ("stack.luks-whole", "stack.lvm-on-luks"),
    ("stack.busy-middle", "stack.busy-top"),
    ("stack.raid-open", "late.array"),
    ("stack.image-on-btrfs", "who.image-on-subvolume"),
    ("stack.fuse-in-luks", "served.container"),
    ("stack.partitioned-image", "served.container"),
    ("stack.image-busy", "who.image"),
    ("stack.btrfs-spanning", "who.btrfs"),
    ("stack.mapping-empty", "stack.raid-inactive"),
    ("refused.live-partition", "refused.live-root"),
    ("who.kernel-bcache-mounted", "who.kernel-bcache"),
    ("served.ntfs-image", "served.container"),
    ("served.device", "served.container"),
    ("served.runs-from-it", "served.container"),
    ("stack.together-reversed", "stack.together"),
    ("stack.overlay-busy", "stack.overlay"),
    ("stack.overlay-force", "force.writers-ext4"),
    ("force.vfat", "force.writers-vfat"),
    ("force.fuse", "force.writers-ntfs-3g"),
    ("force.writers-ext2", "force.writers-vfat"),
    ("force.writers-btrfs", "force.writers-btrfs-two"),
    ("force.writers-f2fs", "force.writers-ext4"),
    ("force.writers-xfs", "force.writers-md"),
    ("force.writers-exfat", "force.writers-vfat"),
    ("force.writers-udf", "force.writers-vfat"),
    ("force.writers-lvm", "force.writers-luks"),
    ("force.writers-md-exfat", "force.writers-md"),
    ("force.writers-image", "force.writers-luks"),
    ("kinds.uas", "kinds.usb-disk-off-and-on"),
    ("kinds.uas-attach", "kinds.usb-disk-off-and-on"),
    ("kinds.nvme", "kinds.nvme-slot"),
    ("kinds.nbd-netlink", "served.nbd"),
    ("kinds.beside-off", "kinds.reader-off"),
    ("unwritten.after-the-flush-forced", "unwritten.stays"),
    ("unwritten.after-the-flush-discarded", "unwritten.stays"),
    ("unwritten.read-only-mount", "unwritten.stays"),
    ("refused.boot", "refused.root-disk"),
    ("target.nested-mounts", "stack.mounts"),
    ("several.worst-code", "several.one-bad"),
    ("several.same-drive-twice", "target.names"),
    ("windows.eject-cd-json", "windows.eject-cd"),
    ("who.directory", "who.cwd"),
    ("who.mapped-deleted", "who.mapped"),
    ("who.bind", "who.detached"),
    ("who.namespace-rooted", "who.namespace"),
    ("who.namespace-several", "who.namespace"),
    ("who.container", "who.service"),
    ("who.overlay-relative", "who.overlay"),
    ("who.overlay-stack", "who.overlay"),
    ("who.lvm", "stack.spanning"),
    ("who.swap", "refused.swap"),
    ("who.swap-file", "refused.swap"),
    ("stack.luks", "stack.lvm-on-luks"),
    ("unwritten.discarded", "unwritten.stays"),
    ("stack.image-on-fuse", "served.container"),
    ("who.kernel-lvm-luks", "who.kernel-lvm-mounted"),
    ("force.ext4", "force.writers-ext4"),
    ("stack.btrfs", "force.writers-btrfs-two"),
    ("stack.dry-run", "document.dry-run"),
    ("several.all-removable-swap", "refused.swap"),
    ("several.all-good", "several.at-once"),
    ("kinds.nbd", "served.nbd"),
    ("swapped.covered", "swapped.parent"),
    ("served.elsewhere", "served.container"),
    ("silent.suspended-mapping", "silent.no-read"),
    ("who.kernel-target-scsi", "who.kernel-target-device"),
    ("stack.foreign-journal", "stack.own-journal"),
    ("who.kernel-nvme-target", "who.kernel-target-file"),
    ("who.kernel-bitmap", "who.kernel-target-file"),
    ("stack.ecryptfs-busy", "stack.ecryptfs"),
    ("force.ecryptfs", "force.writers-ext4"),
    ("who.ecryptfs-namespace", "who.service"),
    ("who.ecryptfs-relative", "unseen.ecryptfs"),
];

/// Returns true if the default CI leaves the test out.
pub fn has(test: &str) -> bool {
    TESTS.iter().any(|(name, _)| *name == test || name.ends_with('.') && test.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::{TESTS, has};
    use crate::vm::tests::chosen;

    #[test]
    fn each_promise_is_kept_by_a_default_test() {
        let names = |quick| chosen("", quick).iter().map(|test| test.name).collect::<Vec<_>>();
        let (all, quick) = (names(false), names(true));
        assert_eq!(all.len(), quick.len() + all.iter().filter(|name| has(name)).count());
        for (name, covered_by) in TESTS {
            let fits = |test: &&str| test == name || name.ends_with('.') && test.starts_with(name);
            assert!(all.iter().any(fits), "no test is called {name}");
            assert!(quick.contains(covered_by), "{name}: {covered_by} is no default test");
        }
    }
}
