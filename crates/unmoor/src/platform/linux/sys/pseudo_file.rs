//! Small files of the kernel (sysfs, procfs): one open, as few reads as it takes, one close.
//!
//! `std::fs::read` asks for the size first and seeks; these files have no size, and a release reads
//! dozens of them.

use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, read};
use rustix::path::Arg;

/// Reads the whole file, relative to this directory.
pub fn read_at(dir: impl AsFd, path: impl Arg) -> Result<Vec<u8>, Errno> {
    let file = openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_all(&file, 4096)
}

/// Reads the whole file.
pub fn read_path(path: impl Arg) -> Result<Vec<u8>, Errno> {
    read_at(rustix::fs::CWD, path)
}

/// Reads what is left of the file; `chunk` is how much is expected.
pub fn read_all(file: &OwnedFd, chunk: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(chunk);
    loop {
        match read(file, spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        }
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.len() * 3);
        } else if chunk <= ATTRIBUTE {
            // sysfs gives an attribute in one piece (sysfs.rst: "a full read at offset 0").
            break;
        }
    }
    Ok(bytes)
}

/// sysfs attributes are at most a page.
const ATTRIBUTE: usize = 4096;

/// Reads a file of procfs, which comes in as many pieces as it likes.
pub fn read_proc(path: impl Arg) -> Result<Vec<u8>, Errno> {
    read_proc_at(rustix::fs::CWD, path)
}

/// Reads a file that may come in several pieces, relative to this directory.
pub fn read_proc_at(dir: impl AsFd, path: impl Arg) -> Result<Vec<u8>, Errno> {
    let file = openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_all(&file, 16 * 1024)
}

/// The file's text without the newline at its end; what is not UTF-8 is replaced.
pub fn text_at(dir: impl AsFd, path: impl Arg) -> Option<String> {
    text_of(&read_at(dir, path).ok()?)
}

/// The text of an attribute, without what stands around it; an empty one is none.
pub fn text_of(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_string())
}

/// The file's value, if it is a number.
pub fn number_at(dir: impl AsFd, path: impl Arg) -> Option<u64> {
    text_at(dir, path)?.parse().ok()
}

/// Returns `text` with every `from` replaced by `to`.
pub fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        match rest.strip_prefix(from) {
            Some(after) => {
                out.extend(to);
                rest = after;
            }
            None => {
                out.push(*first);
                rest = &rest[1..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_match_is_replaced() {
        assert_eq!(replace(br"a\012\012b", br"\012", b"\n"), b"a\n\nb");
    }
}
