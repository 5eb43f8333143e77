//! Which file systems may ask a server even when told not to (`AT_STATX_DONT_SYNC`).
//!
//! The kernel remembers enough to answer for most: disk file systems, those in memory, NFS, FUSE and
//! Ceph, which heed the flag. 9p asks its server for attributes unless it caches them, cluster file
//! systems take a lock that other machines grant, and what is not known here may do anything.

/// Those that answer from memory. Everything that lies on a block device does, and is not listed.
const QUICK: &[&str] = &[
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
const ON_DEVICES: &[&str] = &[
    "adfs", "affs", "apfs", "bcachefs", "befs", "bfs", "btrfs", "cramfs", "efs", "erofs", "exfat",
    "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfs", "hfsplus", "hpfs", "iso9660", "jfs", "minix",
    "msdos", "nilfs2", "ntfs", "ntfs3", "qnx4", "qnx6", "reiserfs", "romfs", "sysv", "udf", "ufs",
    "vfat", "xfs", "zonefs", "jffs2", "ubifs",
];

/// May a look at a file of this type wait for another machine.
pub(super) fn may_ask_a_server(name: &str) -> bool {
    !(name.starts_with("fuse.") || QUICK.contains(&name) || ON_DEVICES.contains(&name))
}

/// Those of the quick ones that look names up elsewhere: in a server, or in what lies below.
const NAMES_ELSEWHERE: &[&str] =
    &["autofs", "ceph", "ecryptfs", "fuse", "fuseblk", "nfs", "nfs4", "virtiofs"];

/// May looking for a name on a file system of this type wait for a server or a program.
pub(super) fn may_wait_for_names(name: &str) -> bool {
    may_ask_a_server(name) || name.starts_with("fuse.") || NAMES_ELSEWHERE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_may_do_anything() {
        assert!(may_ask_a_server("9p"));
        assert!(may_ask_a_server("gfs2"));
        assert!(may_ask_a_server("something-new"));
        assert!(!may_ask_a_server("ext4"));
        assert!(!may_ask_a_server("fuse.sshfs"));
        assert!(may_wait_for_names("fuse.sshfs") && may_wait_for_names("fuseblk"));
        assert!(!may_wait_for_names("ext4") && !may_wait_for_names("tmpfs"));
    }
}
