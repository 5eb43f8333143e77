//! Tables that say which user and which program a mount belongs to.
//!
//! `/etc/fstab` (fstab(5)) and `/run/mount/utab` (libmount). What they say decides only which program is asked
//! to unmount, and that program decides by itself.

use crate::platform::linux::sys::mountinfo::unescape;
use crate::platform::linux::sys::pseudo_file::read_proc;
use crate::platform::linux::sys::utab;
use std::path::Path;

/// Returns true if fstab lets users unmount what is mounted there (mount(8), "Non-superuser mounts").
pub fn is_user_mount(path: &Path) -> bool {
    read_proc("/etc/fstab").is_ok_and(|fstab| has_user_mount(&fstab, path))
}

/// Returns true if udisks2 has mounted it (the option `uhelper` of mount(8)).
pub fn is_of_udisks(path: &Path) -> bool {
    read_proc("/run/mount/utab").is_ok_and(|utab| has_helper(&utab, path, b"udisks2"))
}

fn has_user_mount(fstab: &[u8], path: &Path) -> bool {
    const USER_OPTIONS: [&[u8]; 4] = [b"user", b"users", b"owner", b"group"];
    let mut lines = fstab.split(|&b| b == b'\n');
    lines.any(|line| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let device = fields.next().unwrap_or_default();
        let (target, _, options) = (fields.next(), fields.next(), fields.next());
        !device.starts_with(b"#")
            && target.is_some_and(|target| unescape(target) == path.as_os_str())
            && options
                .is_some_and(|all| all.split(|&b| b == b',').any(|o| USER_OPTIONS.contains(&o)))
    })
}

fn has_helper(utab: &[u8], path: &Path, helper: &[u8]) -> bool {
    utab.split(|&b| b == b'\n').filter(|line| utab::is_of(line, path)).any(|line| {
        let options = utab::field(line, "OPTS").unwrap_or_default();
        options.split(|&b| b == b',').any(|o| o.strip_prefix(b"uhelper=") == Some(helper))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fstab_says_what_a_user_may_unmount() {
        let fstab = b"# /dev/sdx /mnt/c ext4 users 0 0\n\
            /dev/sda1 / ext4 errors=remount-ro 0 1\n\
            LABEL=A\t/mnt/a\\040b vfat noauto,user 0 0\n\
            /dev/sdb1 /mnt/s auto users,noauto\n/dev/sdc1 /mnt/n auto nouser 0 0\nshort\n";
        let may = |path: &str| has_user_mount(fstab, Path::new(path));
        assert!(may("/mnt/a b") && may("/mnt/s"));
        assert!(!may("/") && !may("/mnt/n") && !may("/mnt/c") && !may("") && !may("/mnt"));
    }

    #[test]
    fn utab_says_what_udisks_has_mounted() {
        let utab = b"SRC=/dev/sda1 TARGET=/media/ann/MY\\040STICK ROOT=/ OPTS=uhelper=udisks2\n\
            SRC=/dev/sdb1 TARGET=/mnt/u ROOT=/ OPTS=user=ann\n";
        let of = |path: &str| has_helper(utab, Path::new(path), b"udisks2");
        assert!(of("/media/ann/MY STICK"));
        assert!(!of("/mnt/u") && !of("/media/ann"));
    }
}
