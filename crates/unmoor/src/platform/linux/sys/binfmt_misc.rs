//! binfmt_misc (Documentation/admin-guide/binfmt-misc.rst): interpreters that the kernel keeps open.

use crate::platform::linux::sys::pseudo_file::read_proc;
use crate::platform::linux::sys::sysfs::SysfsDir;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "/proc/sys/fs/binfmt_misc";

/// Registered format with the flag `F`, whose interpreter is open for as long as it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenInterpreter {
    /// File that unregisters the format when `-1` is written to it.
    pub(crate) entry: PathBuf,
    /// Path of the interpreter, as it was registered.
    pub(crate) interpreter: PathBuf,
}

/// Lists the open interpreters; empty where binfmt_misc is not mounted.
pub(crate) fn open_interpreters() -> Vec<OpenInterpreter> {
    let names = SysfsDir::open(DIRECTORY).and_then(|dir| dir.names()).unwrap_or_default();
    let entries = names.into_iter().map(|name| Path::new(DIRECTORY).join(name));
    let open = |entry: PathBuf| {
        let interpreter = parse(&read_proc(&*entry).ok()?)?;
        Some(OpenInterpreter { entry, interpreter })
    };
    entries.filter_map(open).collect()
}

/// Returns the interpreter of an entry with the flag `F`.
pub(crate) fn parse(entry: &[u8]) -> Option<PathBuf> {
    let mut lines = entry.split(|b| *b == b'\n');
    let interpreter = lines.find_map(|line| line.strip_prefix(b"interpreter "))?;
    let flags = lines.find_map(|line| line.strip_prefix(b"flags: "))?;
    flags.contains(&b'F').then(|| PathBuf::from(OsString::from_vec(interpreter.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_entries_with_the_flag_f_are_open() {
        let entry = |flags| {
            parse(format!("enabled\ninterpreter /a b/c\nflags: {flags}\noffset 0\n").as_bytes())
        };
        assert_eq!(entry("OCF"), Some("/a b/c".into()));
        assert_eq!(entry("OC"), None);
        assert_eq!(parse(b"enabled\n"), None);
    }

    proptest! {
        #[test]
        fn no_input_panics(text: Vec<u8>) {
            parse(&text);
        }
    }
}
