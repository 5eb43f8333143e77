//! `/run/mount/utab`: libmount's table of what the kernel does not know about a mount (`user=`, `uhelper=`).
//!
//! umount(8) removes the line of what it unmounts. A line that stays names a mount that is not there any more.

use crate::platform::linux::sys::mountinfo::unescape;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Directory of the table.
const DIRECTORY: &str = "/run/mount";

/// Number of attempts to lock the table, and the pause between them.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Value of a field of a line: `TARGET`.
pub fn field<'l>(line: &'l [u8], name: &str) -> Option<&'l [u8]> {
    let mut fields = line.split(|&b| b == b' ');
    fields.find_map(|field| field.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Returns true if the line is of a mount on this path.
pub fn is_of(line: &[u8], path: &Path) -> bool {
    field(line, "TARGET").is_some_and(|target| unescape(target) == path.as_os_str())
}

/// Removes the last line of a mount on this path. Does nothing if there is none.
///
/// # Errors
/// `ACCES` for a user who is not root; `WOULDBLOCK` while another program keeps the table locked.
pub fn remove(path: &Path) -> std::io::Result<()> {
    let table = Path::new(DIRECTORY).join("utab");
    // Most mounts have no line.
    if std::fs::read(&table).is_ok_and(|text| without(&text, path).is_none()) || !table.exists() {
        return Ok(());
    }
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(Path::new(DIRECTORY).join("utab.lock"))?;
    lock_table(&lock)?;
    let Some(rest) = without(&std::fs::read(&table)?, path) else { return Ok(()) };
    let new = Path::new(DIRECTORY).join(format!("utab.{}", std::process::id()));
    replace(&new, &rest, &table).inspect_err(|_| _ = std::fs::remove_file(&new))
}

fn replace(new: &PathBuf, text: &[u8], table: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o644).open(new)?;
    file.write_all(text)?;
    std::fs::rename(new, table)
}

/// Locks the table as libmount does (`mnt_lock_file`).
fn lock_table(lock: &File) -> Result<(), Errno> {
    for _ in 0..LOCK_ATTEMPTS {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    Err(Errno::WOULDBLOCK)
}

/// Returns the table without the last line of a mount on this path; `None` if there is none.
fn without(table: &[u8], path: &Path) -> Option<Vec<u8>> {
    let mut lines: Vec<&[u8]> = table.split_inclusive(|&b| b == b'\n').collect();
    let last = lines.iter().rposition(|line| is_of(line.trim_ascii_end(), path))?;
    lines.remove(last);
    Some(lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTAB: &[u8] =
        b"SRC=/dev/sda1 TARGET=/media/ann/MY\\040STICK ROOT=/ OPTS=uhelper=udisks2\n\
        SRC=/dev/sdb1 TARGET=/mnt/u ROOT=/ OPTS=user=ann\n\
        SRC=/dev/sdc1 TARGET=/mnt/u ROOT=/ OPTS=user=bob";

    #[test]
    fn only_the_last_line_of_the_mount_goes() {
        let text = without(UTAB, Path::new("/media/ann/MY STICK")).unwrap();
        assert!(text.starts_with(b"SRC=/dev/sdb1") && text.ends_with(b"user=bob"));
        let text = without(UTAB, Path::new("/mnt/u")).unwrap();
        assert!(text.ends_with(b"user=ann\n"));
        for other in ["/mnt", "/media/ann", "", "/mnt/u/x"] {
            assert_eq!(without(UTAB, Path::new(other)), None, "{other}");
        }
        assert_eq!(without(b"", Path::new("/mnt/u")), None);
        assert_eq!(without(b"TARGET\n \n", Path::new("/mnt/u")), None);
    }
}
