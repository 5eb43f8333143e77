//! `openat(2)`, one component of a path after the other, so that no symbolic link is followed.
//!
//! `openat2(2)` with `RESOLVE_NO_SYMLINKS` does the same since Linux 5.6.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::ffi::CStr;

/// Longest name in a directory, with a NUL at its end (`NAME_MAX`).
const MAX_NAME: usize = 256;

/// Opens the directory of an absolute path, and returns the last component.
///
/// The root directory is in itself, as `.`. Allocates nothing.
///
/// # Errors
/// `ENOTDIR` if a component is a link; those of openat(2).
pub fn open_parent(path: &CStr) -> Result<(OwnedFd, &CStr), Errno> {
    let bytes = path.to_bytes_with_nul();
    let end = bytes.iter().rposition(|byte| *byte == b'/').ok_or(Errno::INVAL)?;
    let name = CStr::from_bytes_with_nul(&bytes[end + 1..]).map_err(|_| Errno::INVAL)?;
    let mut directory = open_directory(CWD, c"/")?;
    for component in bytes[..end].split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let mut text = [0; MAX_NAME];
        let place = text.get_mut(..component.len()).ok_or(Errno::NAMETOOLONG)?;
        place.copy_from_slice(component);
        let component = CStr::from_bytes_until_nul(&text).map_err(|_| Errno::NAMETOOLONG)?;
        directory = open_directory(directory.as_fd(), component)?;
    }
    Ok((directory, if name.is_empty() { c"." } else { name }))
}

fn open_directory(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::helper::c_path;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_on_the_way_is_refused_and_one_at_the_end_is_only_a_name() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| c_path(&root.path().canonicalize().unwrap().join(path)).unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        symlink("a", root.path().join("link")).unwrap();
        assert_eq!(open_parent(&at("a/b")).unwrap().1, c"b");
        assert_eq!(open_parent(&at("link")).unwrap().1, c"link");
        assert_eq!(open_parent(&at("link/b")).err(), Some(Errno::NOTDIR));
        assert_eq!(open_parent(&at("none/b")).err(), Some(Errno::NOENT));
        assert_eq!(
            open_parent(&at(&format!("{}/b", "n".repeat(256)))).err(),
            Some(Errno::NAMETOOLONG)
        );
    }

    #[test]
    fn the_root_is_in_itself_and_a_relative_path_is_refused() {
        assert_eq!(open_parent(c"/").unwrap().1, c".");
        assert_eq!(open_parent(c"//").unwrap().1, c".");
        assert_eq!(open_parent(c"name").err(), Some(Errno::INVAL));
    }
}
