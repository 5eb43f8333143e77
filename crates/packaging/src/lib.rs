//! Makes what a package installs beside the program, and the packages themselves.
#![cfg(target_os = "linux")]

pub mod completions;
pub mod deb;
pub mod man_pages;
pub mod release;

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Returns the folder that packages are made in.
pub fn output() -> PathBuf {
    xtask::paths::target().join("package")
}

/// Writes man pages, completions and the Debian changelog to this folder.
pub fn write_files(directory: &Path) -> Result<()> {
    man_pages::write(&directory.join("man"))?;
    completions::write(&directory.join("completions"))?;
    deb::write_changelog(directory)
}
