//! File systems: how each is made, mounted and checked.

/// File system that the guest's kernel, or a FUSE program, can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileSystem {
    Ext4,
    /// By ext4's driver; it has no journal.
    Ext2,
    Vfat,
    Exfat,
    /// By ntfs-3g, through FUSE.
    Ntfs,
    Xfs,
    Btrfs,
    F2fs,
    Udf,
}

use FileSystem::{Btrfs, Exfat, Ext2, Ext4, F2fs, Ntfs, Udf, Vfat, Xfs};

pub const ALL: &[FileSystem] = &[Ext4, Ext2, Vfat, Exfat, Ntfs, Xfs, Btrfs, F2fs, Udf];

/// File systems that fit into an image of some tens of megabytes on another one.
pub const SMALL: &[FileSystem] = &[Ext4, Ext2, Vfat, Exfat, Udf];

const FUSECTL: &str = "/sys/fs/fuse/connections";

impl FileSystem {
    pub fn name(self) -> &'static str {
        match self {
            Ext4 => "ext4",
            Ext2 => "ext2",
            Vfat => "vfat",
            Exfat => "exfat",
            Ntfs => "ntfs-3g",
            Xfs => "xfs",
            Btrfs => "btrfs",
            F2fs => "f2fs",
            Udf => "udf",
        }
    }

    /// Returns the command that makes the file system on a device.
    pub fn make(self, device: &str) -> String {
        let make = match self {
            Ext4 => "mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0",
            Ext2 => "mkfs.ext2 -q -F",
            Vfat => "mkfs.vfat -F 32",
            Exfat => "mkfs.exfat",
            Ntfs => "mkfs.ntfs -q -Q -F",
            // It makes none below 300 MB, except for its own tests.
            Xfs => "TEST_DIR=/x TEST_DEV=/x QA_CHECK_FS=1 mkfs.xfs -q -f",
            Btrfs => "mkfs.btrfs -q -f -M",
            F2fs => "mkfs.f2fs -q -f",
            Udf => "mkudffs --media-type=hd --blocksize=512",
        };
        format!("{make} {device} >/dev/null")
    }

    /// Returns the command that mounts it on an existing directory.
    pub fn mount(self, device: &str, directory: &str) -> String {
        let mount = format!("mount -t {} {device} {directory}", self.name());
        match self {
            // A connection can be ended there, and systemd is not here to mount it.
            Ntfs => format!(
                "{{ modprobe fuse; mountpoint -q {FUSECTL} || mount -t fusectl fusectl {FUSECTL}; {mount}; }}"
            ),
            _ => mount,
        }
    }

    /// Returns the command that succeeds if its checker finds no fault. Repairs nothing.
    pub fn check(self, device: &str) -> String {
        match self {
            // e2fsck -n passes over an unreplayed journal: a clean dismount leaves none.
            Ext4 => format!(
                "! dumpe2fs -h {device} 2>/dev/null | grep needs_recovery && fsck.ext4 -fn {device}"
            ),
            Ext2 => format!(
                "dumpe2fs -h {device} 2>/dev/null | grep -E 'state: +clean' && fsck.ext2 -fn {device}"
            ),
            Vfat => format!(
                "fsck.vfat -n {device} >/tmp/vfat && cat /tmp/vfat && ! grep 'Dirty bit' /tmp/vfat"
            ),
            Exfat => format!("fsck.exfat -n {device}"),
            Ntfs => format!("ntfsfix -n {device}"),
            // Says so, too, when the log has not been replayed.
            Xfs => format!("xfs_repair -n {device}"),
            Btrfs => format!("btrfs check --readonly {device}"),
            // Its exit code says little.
            F2fs => format!(
                "fsck.f2fs --dry-run {device} >/tmp/f2fs; cat /tmp/f2fs; \
                 ! grep -E 'Fail|ASSERT' /tmp/f2fs && grep -q '^Info: checkpoint state = .* unmount' /tmp/f2fs"
            ),
            // There is no checker; a volume that was not closed says "opened".
            Udf => format!("udfinfo {device} | grep -E '^integrity=closed'"),
        }
    }

    /// Returns true if it has a journal or log that the next mount replays after a crash.
    pub fn replays(self) -> bool {
        matches!(self, Ext4 | Xfs | Btrfs | F2fs)
    }

    /// Returns true if force can shut it down: `FS_IOC_SHUTDOWN`, or the end of a FUSE connection.
    pub fn can_be_cut_off(self) -> bool {
        matches!(self, Ext4 | Ext2 | Xfs | F2fs | Ntfs)
    }

    /// Returns true if its first sector has a mark of its state. That sector stays writable when its
    /// partition is shrunk.
    pub fn marks_first_sector(self) -> bool {
        matches!(self, Vfat | Exfat)
    }
}
