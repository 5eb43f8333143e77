//! The folder that packages are made in.

use std::path::PathBuf;

/// Returns the folder that packages are made in.
pub fn output() -> PathBuf {
    xtask::paths::target().join("package")
}
