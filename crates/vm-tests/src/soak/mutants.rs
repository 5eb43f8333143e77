//! Builds that are broken on purpose: a copy of the sources with one promise taken out. The product has no
//! switch for that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use xtask::{paths, process};

/// One replacement in one file; the text must be there exactly once.
struct Change {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

struct Mutant {
    name: &'static str,
    changes: &'static [Change],
}

const SESSION: &str = "crates/unmoor/src/platform/linux/session/mod.rs";
const FLUSHING: &str = "crates/unmoor/src/platform/linux/session/flushing.rs";
const UMOUNT: &str = "crates/unmoor/src/platform/linux/umount.rs";
const INNER: &str = "crates/unmoor/src/stages/inner.rs";

/// No `syncfs`, and no `fsync` of a partition.
const NO_FLUSH: Change = Change {
    file: SESSION,
    from: "fn flush(&mut self, volume: &Volume, wait: &mut Wait<'_>) -> Result<Done> {",
    to: "fn flush(&mut self, volume: &Volume, wait: &mut Wait<'_>) -> Result<Done> {
        if true {
            return Ok(Done::default());
        }",
};

/// Nothing tells the drive to empty its cache.
const NO_DRIVE_FLUSH: Change = Change {
    file: FLUSHING,
    from: "fn sync_drive(&mut self, wait: &mut Wait<'_>) -> Result<Done> {",
    to: "fn sync_drive(&mut self, wait: &mut Wait<'_>) -> Result<Done> {
        if true {
            return Ok(Done::default());
        }",
};

/// The second look, right before a mount is taken away.
const NO_LAST_FLUSH: Change =
    Change { file: UMOUNT, from: "if !known {", to: "if false && !known {" };

/// The drive lets go while it is still mounted, and the rest is done to what has left.
const EJECT_FIRST: Change = Change {
    file: INNER,
    from: "for (at, &undo) in order.iter().enumerate() {",
    to: "let _ = session.let_go(crate::plan::Action::Eject, wait);
            for (at, &undo) in order.iter().enumerate().take(0) {",
};

/// Without it, the drive that has left would be noticed.
const NO_CLAIM: Change = Change {
    file: INNER,
    from: "match session.claim(force, wait) {",
    to: "match session.claim(force, wait).or_else(|_: Error| Ok::<_, Error>(Done::default())) {",
};

const ALL: &[Mutant] = &[
    Mutant { name: "no-flush-step", changes: &[NO_FLUSH] },
    Mutant { name: "no-drive-flush", changes: &[NO_DRIVE_FLUSH] },
    Mutant { name: "no-flush", changes: &[NO_FLUSH, NO_LAST_FLUSH, NO_DRIVE_FLUSH] },
    Mutant { name: "eject-first", changes: &[EJECT_FIRST, NO_CLAIM] },
];

pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|one| one.name).collect()
}

/// Copies the sources, breaks the copy, builds it, and says where the program is.
pub fn build(name: &str) -> Result<PathBuf> {
    let mutant = ALL.iter().find(|one| one.name == name).context("no such breakage")?;
    let source = paths::target().join("broken").join(name);
    let _ = fs::remove_dir_all(&source);
    for part in ["Cargo.toml", "Cargo.lock", "crates", "xtask", ".cargo"] {
        copy(&paths::repository().join(part), &source.join(part))?;
    }
    for change in mutant.changes {
        let path = source.join(change.file);
        let text = fs::read_to_string(&path)?;
        fs::write(&path, mutated(&text, change).with_context(|| change.file)?)?;
    }
    let target = paths::target().join("broken/target");
    let mut cargo = Command::new(process::cargo());
    cargo.args(["build", "--release", "--quiet", "--package", "unmoor-cli", "--target-dir"]);
    process::run_visibly(cargo.arg(&target).current_dir(&source))?;
    Ok(target.join("release/unmoor"))
}

fn mutated(text: &str, change: &Change) -> Result<String> {
    let found = text.matches(change.from).count();
    ensure!(found == 1, "the text to break is there {found} times:\n{}", change.from);
    Ok(text.replace(change.from, change.to))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("no directory")?)?;
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without this, a change of the sources would be met only by whoever runs the broken build next.
    #[test]
    fn what_is_broken_is_there_to_be_broken() -> Result<()> {
        for change in ALL.iter().flat_map(|one| one.changes) {
            let text = fs::read_to_string(paths::repository().join(change.file))?;
            mutated(&text, change).with_context(|| change.file)?;
        }
        Ok(())
    }
}
