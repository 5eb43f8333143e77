//! The types of the running kernel, kept between runs in `/run/unmoor/kernel-types`.
//!
//! They are read from a description of several megabytes, which takes longer than most of what they are read for. The
//! file counts only during the boot in which it was written, and only if root alone can write to it and its folder.

use crate::platform::linux::sys::btf::{TypeInfo, WantedTypes};
use crate::platform::linux::sys::pseudo_file::{read_all, text_at};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, mkdirat, openat, renameat, unlinkat};
use rustix::io::{Errno, write};
use rustix::path::Arg;

/// Folder of the file.
const FOLDER: &str = "/run/unmoor";

/// Name of the file.
const FILE: &str = "kernel-types";

/// Longest file, in bytes.
const MAX_LENGTH: usize = 64 * 1024;

/// Returns the types that an earlier run of this boot has found.
pub fn load(wanted: &WantedTypes<'_>) -> Option<TypeInfo> {
    load_from(FOLDER, &boot()?, wanted)
}

/// Keeps the types for later runs of this boot, if this user may.
pub fn save(types: &TypeInfo, wanted: &WantedTypes<'_>) {
    if let Some(boot) = boot().filter(|_| rustix::process::geteuid().is_root()) {
        let _ = save_to(FOLDER, &boot, types, wanted);
    }
}

/// Returns the identity of this boot (random(4)) and of its kernel.
fn boot() -> Option<String> {
    let id = text_at(CWD, "/proc/sys/kernel/random/boot_id")?;
    let version = text_at(CWD, "/proc/version")?;
    Some(format!("{id} {version}"))
}

fn load_from(folder: impl Arg, boot: &str, wanted: &WantedTypes<'_>) -> Option<TypeInfo> {
    let folder = open_of_root(CWD, folder, OFlags::DIRECTORY)?;
    let file = open_of_root(&folder, FILE, OFlags::NONBLOCK)?;
    let text = read_all(&file, MAX_LENGTH).ok()?;
    let (first, types) = std::str::from_utf8(&text).ok()?.split_once('\n')?;
    (first == boot).then(|| TypeInfo::from_text(types, wanted)).flatten()
}

/// Opens this, unless it is a link, or another user can write to it.
fn open_of_root(directory: impl AsFd, name: impl Arg, flags: OFlags) -> Option<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty()).ok()?;
    let stat = fstat(&file).ok()?;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o022 == 0;
    is_ours.then_some(file)
}

fn save_to(
    folder: &str,
    boot: &str,
    types: &TypeInfo,
    wanted: &WantedTypes<'_>,
) -> Result<(), Errno> {
    match mkdirat(CWD, folder, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let folder = open_of_root(CWD, folder, OFlags::DIRECTORY).ok_or(Errno::PERM)?;
    let text = format!("{boot}\n{}", types.to_text(wanted));
    let own = format!("{FILE}.{}", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(&folder, &*own, flags, Mode::from_raw_mode(0o600))?;
    let renamed = match write(&file, text.as_bytes()) {
        Ok(length) if length == text.len() => renameat(&folder, &*own, &folder, FILE),
        written => Err(written.err().unwrap_or(Errno::NOSPC)),
    };
    if renamed.is_err() {
        let _ = unlinkat(&folder, &*own, AtFlags::empty());
    }
    renamed
}

impl TypeInfo {
    /// Returns one line for each wanted type, and a last one.
    pub fn to_text(&self, wanted: &WantedTypes<'_>) -> String {
        let number = |found: Option<i64>| found.map_or("-".to_string(), |n| n.to_string());
        let mut text = String::new();
        for name in wanted.functions {
            text += &format!("{name} {}\n", number(self.function(name).map(i64::from)));
        }
        for (of, name) in wanted.members {
            let structure = number(self.structure(of).map(i64::from));
            let member = number(self.member(of, name).map(i64::from));
            text += &format!("{of} {structure} {name} {member}\n");
        }
        text + LAST_LINE
    }

    /// Reads such a text. `None` if it is of other types.
    pub fn from_text(text: &str, wanted: &WantedTypes<'_>) -> Option<TypeInfo> {
        let mut info = TypeInfo::default();
        let mut lines = text.split_inclusive('\n');
        for name in wanted.functions {
            let line = lines.next()?.strip_suffix('\n')?;
            let number = line.strip_prefix(name)?.strip_prefix(' ')?;
            if number != "-" {
                info.functions.insert(name, number.parse().ok()?);
            }
        }
        for (of, name) in wanted.members {
            let line = lines.next()?.strip_suffix('\n')?;
            let words: Vec<&str> = line.split(' ').collect();
            let [same_of, structure, same_name, member] = words[..] else { return None };
            if (same_of, same_name) != (*of, *name) {
                return None;
            }
            if structure != "-" {
                info.structures.insert(of, structure.parse().ok()?);
            }
            if member != "-" {
                info.members.insert((of, name), member.parse().ok()?);
            }
        }
        (lines.next() == Some(LAST_LINE)).then_some(info)
    }
}

/// End of a text, which shows that it is whole.
const LAST_LINE: &str = "end\n";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    const WANTED: WantedTypes<'_> = WantedTypes {
        functions: &["bpf_iter_task", "not_there"],
        members: &[("inode", "i_mode"), ("inode", "i_sb"), ("file", "gone")],
    };

    fn types() -> TypeInfo {
        let known = WantedTypes { functions: &["bpf_iter_task"], members: &WANTED.members[..2] };
        TypeInfo::counted(&known)
    }

    fn saved() -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("unmoor").display().to_string();
        save_to(&folder, "boot 1", &types(), &WANTED).unwrap();
        (directory, folder)
    }

    #[test]
    fn saved_types_are_loaded_in_the_same_boot() {
        let (_directory, folder) = saved();
        let loaded = load_from(&*folder, "boot 1", &WANTED).unwrap();
        assert_eq!(loaded.to_text(&WANTED), types().to_text(&WANTED));
        assert_eq!(loaded.member("inode", "i_sb"), types().member("inode", "i_sb"));
        assert_eq!(loaded.structure("inode"), types().structure("inode"));
        assert_eq!(loaded.function("not_there"), None);
        assert!(load_from(&*folder, "boot 2", &WANTED).is_none());
        save_to(&folder, "boot 2", &types(), &WANTED).unwrap();
        assert!(load_from(&*folder, "boot 2", &WANTED).is_some());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no other file is left");
    }

    #[test]
    fn types_that_were_not_looked_for_make_it_useless() {
        let (_directory, folder) = saved();
        let more =
            WantedTypes { functions: &["bpf_iter_task", "another"], members: WANTED.members };
        assert!(load_from(&*folder, "boot 1", &more).is_none());
        let more = WantedTypes { functions: WANTED.functions, members: &[("inode", "i_rdev")] };
        assert!(load_from(&*folder, "boot 1", &more).is_none());
    }

    #[test]
    fn a_file_that_others_can_write_to_and_a_link_are_not_read() {
        for name in ["kernel-types", ""] {
            let (_directory, folder) = saved();
            let path = format!("{folder}/{name}");
            fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
            assert!(load_from(&*folder, "boot 1", &WANTED).is_none(), "{path}");
        }
        let (directory, folder) = saved();
        let link = directory.path().join("link").display().to_string();
        symlink(&folder, &link).unwrap();
        assert!(load_from(&*link, "boot 1", &WANTED).is_none());
        assert_eq!(save_to(&link, "boot 1", &types(), &WANTED), Err(Errno::PERM));
    }

    #[test]
    fn a_damaged_file_is_not_believed() {
        let (_directory, folder) = saved();
        let path = format!("{folder}/{FILE}");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() - 1 {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(load_from(&*folder, "boot 1", &WANTED).is_none(), "{length}");
        }
    }
}
