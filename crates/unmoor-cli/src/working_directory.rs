//! The command's own working directory, which would keep a drive busy.

use std::path::PathBuf;
use std::sync::{Once, OnceLock};

static ORIGINAL: OnceLock<PathBuf> = OnceLock::new();

/// Leaves the working directory. Call it once every target is resolved: relative paths mean nothing
/// afterwards. On Windows, the copy of the program that does the work is started elsewhere.
pub fn leave() {
    static LEFT: Once = Once::new();
    if cfg!(unix) {
        LEFT.call_once(|| {
            if let Ok(folder) = std::env::current_dir() {
                _ = ORIGINAL.set(folder);
            }
            _ = std::env::set_current_dir("/");
        });
    }
}

/// Returns the working directory that was left.
#[cfg(unix)]
pub fn original() -> Option<&'static PathBuf> {
    ORIGINAL.get()
}
