//! Mount points and swap of a drive that the running system needs.

use crate::model::drive::{Drive, SystemUse};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Mount points without which the system does not run, and swap in use.
pub fn uses(drive: &Drive) -> Vec<SystemUse> {
    let mut uses = Vec::new();
    for volume in &drive.volumes {
        for mount in &volume.mounts {
            if is_system(&mount.path) {
                uses.push(SystemUse::Mount(mount.path.clone()));
            }
        }
        if !volume.swaps.is_empty() {
            uses.push(SystemUse::Swap(volume.name.clone()));
        }
    }
    uses
}

/// `/`, `/boot`, `/usr` and what belongs to them, the EFI system partition among it.
pub fn is_system(path: &Path) -> bool {
    let path = path.as_os_str().as_bytes();
    path == b"/"
        || [&b"/boot"[..], b"/usr", b"/efi"].iter().any(|root| {
            path.strip_prefix(*root).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_the_running_system_are_recognised() {
        for path in ["/", "/boot", "/boot/efi", "/usr", "/usr/local", "/efi"] {
            assert!(is_system(Path::new(path)), "{path}");
        }
        for path in ["/mnt", "/media/usr", "/usrdata", "/home"] {
            assert!(!is_system(Path::new(path)), "{path}");
        }
    }
}
