//! Current directory of this process, which counts as an open file of its drive.
//!
//! `cd` of PowerShell moves no process, but programs that it starts begin there: then this program alone
//! keeps the drive busy. It moves to the system directory before it releases that drive. Relative names
//! mean the directory where the program was started, whatever the current directory is by then.

use crate::platform::windows::sys::dynamic_library::system_directory;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static START: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Returns the current directory at the first call of this function.
pub(crate) fn at_start() -> Option<&'static Path> {
    START.get_or_init(|| std::env::current_dir().ok()).as_deref()
}

/// Returns the path with a relative one based on the directory at the start.
pub(crate) fn absolute(path: &OsStr) -> PathBuf {
    match at_start() {
        Some(start) => start.join(path),
        None => path.into(),
    }
}

/// Moves to the system directory (`SetCurrentDirectoryW`) if `is_there` returns true for the current
/// directory.
///
/// # Errors
/// As `SetCurrentDirectoryW`.
pub(crate) fn leave_if(is_there: impl FnOnce(&Path) -> bool) -> io::Result<()> {
    at_start();
    match std::env::current_dir() {
        Ok(here) if is_there(&here) => match system_directory() {
            Some(system) => std::env::set_current_dir(system),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_names_mean_the_directory_at_the_start() {
        let start = at_start().unwrap().to_path_buf();
        assert_eq!(absolute(OsStr::new("letters")), start.join("letters"));
        assert_eq!(absolute(OsStr::new(r"C:\windows")), Path::new(r"C:\windows"));
        leave_if(|_| false).unwrap();
        assert_eq!(std::env::current_dir().unwrap(), start);
    }
}
