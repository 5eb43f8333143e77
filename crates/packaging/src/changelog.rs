//! The changelog of the Debian package.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xtask::paths;

/// Writes the changelog in Debian's format (deb-changelog(5)), from CHANGELOG.md.
pub fn write(directory: &Path) -> Result<()> {
    let changes = fs::read_to_string(paths::repository().join("CHANGELOG.md"))?;
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("unmoor ({version}-1) unstable; urgency=medium\n\n");
    for change in changes.split("\n- ").skip(1) {
        // A change ends before the next heading.
        let change = change.split("\n## ").next().unwrap_or_default();
        text += &item(change);
    }
    text += &format!("\n -- {MAINTAINER}  {DATE}\n");
    fs::write(directory.join("changelog"), text).context("the changelog")
}

/// Returns an item of the list, in lines of at most 76 characters.
fn item(change: &str) -> String {
    let (mut text, mut line) = (String::new(), String::from("  *"));
    for word in change.split_whitespace() {
        if line.len() + 1 + word.len() > 76 {
            text += &format!("{line}\n");
            line = "   ".into();
        }
        line += &format!(" {word}");
    }
    text + &line + "\n"
}

/// Maintainer, as in `crates/unmoor-cli/Cargo.toml`.
const MAINTAINER: &str = "unmoor contributors <unmoor@packages.example>";

/// Date of the package: fixed, so that the same sources make the same package.
const DATE: &str = "Sun, 01 Nov 2026 12:00:00 +0000";
