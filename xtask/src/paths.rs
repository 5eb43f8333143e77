//! Where things lie. Everything the rig makes is under `target/rig`, so `cargo clean` removes it.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => repository().join(directory),
        None => repository().join("target"),
    }
}

/// What the rig makes: kernel, media, logs.
pub fn rig() -> PathBuf {
    target().join("rig")
}
