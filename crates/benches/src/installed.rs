//! Programs as they are once installed.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Copies a program, as installing it does, and returns the copy.
///
/// The file that a linker has written lies in the page cache in small pieces, and starts a tenth slower than a copy.
/// The programs that it is compared with were installed.
pub fn copy(program: &Path, name: &str) -> Result<PathBuf> {
    let folder = xtask::paths::rig().join("bench-programs");
    if program.parent() == Some(&folder) {
        return Ok(program.to_owned());
    }
    std::fs::create_dir_all(&folder)?;
    let copy = folder.join(name);
    // Written over, it would keep its place in the page cache.
    let _ = std::fs::remove_file(&copy);
    std::fs::copy(program, &copy)?;
    Ok(copy)
}
