//! Words by which the server of a mount is recognised: its command line and its name.

use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::sys::procfs::Task;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Words by which a program is recognised.
pub(super) struct Words {
    pub(super) command: Vec<Vec<u8>>,
    pub(super) name: Vec<u8>,
}

impl Words {
    /// Returns true if it names the mount, or bears its name.
    pub(super) fn fit(&self, mount: &MountInfo) -> bool {
        self.name_mount_point(mount) || self.is_name_of(mount)
    }

    /// Returns true if the command line has the mount point in it.
    pub(super) fn name_mount_point(&self, mount: &MountInfo) -> bool {
        self.command.iter().any(|word| is_mount_point(word, &mount.path))
    }

    /// Returns true if the mount bears the program's name, as libfuse gives it by default.
    pub(super) fn is_name_of(&self, mount: &MountInfo) -> bool {
        let named = |text: &[u8]| !text.is_empty() && text.get(..15).unwrap_or(text) == self.name;
        let subtype = mount.file_system.strip_prefix("fuse.").unwrap_or_default();
        named(subtype.as_bytes()) || named(mount.source.as_bytes())
    }
}

/// Reads the words of a process.
pub(super) fn words_of(task: &Task) -> Words {
    let mut text = Vec::new();
    let _ = task.read(c"cmdline", &mut text);
    let command = text.split(|b| *b == 0).filter(|word| !word.is_empty()).map(<[u8]>::to_vec);
    let command = command.collect();
    let _ = task.read(c"comm", &mut text);
    Words { command, name: text.trim_ascii_end().to_vec() }
}

/// Returns true if the word names the mount point; a relative one names its end.
fn is_mount_point(word: &[u8], mount: &Path) -> bool {
    let word = Path::new(OsStr::from_bytes(word));
    let normal = word.components().filter(|c| !matches!(c, Component::CurDir));
    let cleaned: PathBuf = normal.collect();
    let relative = cleaned.components().all(|c| matches!(c, Component::Normal(_)));
    let is_empty = cleaned.as_os_str().is_empty();
    !is_empty && (cleaned == mount || relative && mount.ends_with(&cleaned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_word_names_the_end_of_a_mount_point() {
        let names = |word: &str| is_mount_point(word.as_bytes(), Path::new("/mnt/a/b"));
        assert!(names("/mnt/a/b") && names("b") && names("./a/b") && names("/mnt/a/b/"));
        assert!(!names("/b") && !names("a") && !names(".") && !names("") && !names("../b"));
    }
}
