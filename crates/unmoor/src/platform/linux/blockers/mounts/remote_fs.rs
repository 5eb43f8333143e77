//! File systems on which a call may wait for a server, even with `AT_STATX_DONT_SYNC` (statx(2)).
//!
//! Disk file systems and those in memory answer from the cache; NFS, FUSE and Ceph heed the flag. 9p asks its server for
//! attributes unless it caches them, and cluster file systems take a lock that other machines grant. An unknown
//! type may do anything.

use crate::platform::linux::sys::mount_table::MountTable;
use std::path::Path;

/// File systems that answer stat(2) from memory, without those on a block device.
const CACHED_ATTRS: &[&str] = &[
    "autofs",
    "bdev",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "ceph",
    "configfs",
    "cpuset",
    "debugfs",
    "devpts",
    "devtmpfs",
    "ecryptfs",
    "efivarfs",
    "fuse",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfs",
    "nfs4",
    "nfsd",
    "nsfs",
    "overlay",
    "pipefs",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sockfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "virtiofs",
    "zfs",
];

/// File systems on a block device.
const BLOCK_FS_TYPES: &[&str] = &[
    "adfs", "affs", "apfs", "bcachefs", "befs", "bfs", "btrfs", "cramfs", "efs", "erofs", "exfat",
    "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfs", "hfsplus", "hpfs", "iso9660", "jfs", "minix",
    "msdos", "nilfs2", "ntfs", "ntfs3", "qnx4", "qnx6", "reiserfs", "romfs", "sysv", "udf", "ufs",
    "vfat", "xfs", "zonefs", "jffs2", "ubifs",
];

/// Returns true if stat(2) on a file system of this type may wait for a server.
pub(crate) fn stat_may_block(name: &str) -> bool {
    !(name.starts_with("fuse.") || CACHED_ATTRS.contains(&name) || BLOCK_FS_TYPES.contains(&name))
}

/// File systems with cached attributes whose lookups go to a server or to a layer below.
const REMOTE_NAMES: &[&str] =
    &["autofs", "ceph", "ecryptfs", "fuse", "fuseblk", "nfs", "nfs4", "virtiofs"];

/// Returns true if a lookup on a file system of this type may wait for a server or a program.
pub(crate) fn lookup_may_block(name: &str) -> bool {
    stat_may_block(name) || name.starts_with("fuse.") || REMOTE_NAMES.contains(&name)
}

/// Returns true if a mount on the way to this path may block a lookup.
pub(crate) fn may_block(table: &MountTable, path: &Path) -> bool {
    let mut mount = table.mount_of(path);
    // Bounded by the number of mounts, in case two of them name each other as parent.
    for _ in table.iter() {
        let Some(line) = mount else { return false };
        if lookup_may_block(&line.file_system) {
            return true;
        }
        mount = table.get(line.parent);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_types_may_block() {
        assert!(stat_may_block("9p"));
        assert!(stat_may_block("gfs2"));
        assert!(stat_may_block("something-new"));
        assert!(!stat_may_block("ext4"));
        assert!(!stat_may_block("fuse.sshfs"));
        assert!(lookup_may_block("fuse.sshfs") && lookup_may_block("fuseblk"));
        assert!(!lookup_may_block("ext4") && !lookup_may_block("tmpfs"));
    }
}
