//! Files that a package installs beside the program.

use std::path::Path;

use anyhow::Result;

use crate::{changelog, completions, man_pages};

/// Writes man pages, completions and the Debian changelog to this folder.
pub fn write_files(directory: &Path) -> Result<()> {
    man_pages::write(&directory.join("man"))?;
    completions::write(&directory.join("completions"))?;
    changelog::write(directory)
}
