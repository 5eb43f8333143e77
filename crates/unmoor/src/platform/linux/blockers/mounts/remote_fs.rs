//! Which file systems may ask a server even when told not to (`AT_STATX_DONT_SYNC`).
//!
//! The kernel remembers enough to answer for most: disk file systems, those in memory, NFS, FUSE and
//! Ceph, which heed the flag. 9p asks its server for attributes unless it caches them, cluster file
//! systems take a lock that other machines grant, and what is not known here may do anything.

/// Those that answer from memory. Everything that lies on a block device does, and is not listed.
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

/// Those on a block device.
const BLOCK_FS_TYPES: &[&str] = &[
    "adfs", "affs", "apfs", "bcachefs", "befs", "bfs", "btrfs", "cramfs", "efs", "erofs", "exfat",
    "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfs", "hfsplus", "hpfs", "iso9660", "jfs", "minix",
    "msdos", "nilfs2", "ntfs", "ntfs3", "qnx4", "qnx6", "reiserfs", "romfs", "sysv", "udf", "ufs",
    "vfat", "xfs", "zonefs", "jffs2", "ubifs",
];

/// May a look at a file of this type wait for another machine.
pub(crate) fn stat_may_block(name: &str) -> bool {
    !(name.starts_with("fuse.") || CACHED_ATTRS.contains(&name) || BLOCK_FS_TYPES.contains(&name))
}

/// Those of the quick ones that look names up elsewhere: in a server, or in what lies below.
const REMOTE_NAMES: &[&str] =
    &["autofs", "ceph", "ecryptfs", "fuse", "fuseblk", "nfs", "nfs4", "virtiofs"];

/// May looking for a name on a file system of this type wait for a server or a program.
pub(crate) fn lookup_may_block(name: &str) -> bool {
    stat_may_block(name) || name.starts_with("fuse.") || REMOTE_NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_may_do_anything() {
        assert!(stat_may_block("9p"));
        assert!(stat_may_block("gfs2"));
        assert!(stat_may_block("something-new"));
        assert!(!stat_may_block("ext4"));
        assert!(!stat_may_block("fuse.sshfs"));
        assert!(lookup_may_block("fuse.sshfs") && lookup_may_block("fuseblk"));
        assert!(!lookup_may_block("ext4") && !lookup_may_block("tmpfs"));
    }
}
