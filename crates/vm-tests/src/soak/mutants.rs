//! Mutants: builds of a copy of the sources from which one promise was removed.
//!
//! The product has no switch for that. A mutant changes the sources by exact text, so a rename in the product breaks
//! [`MUTANTS`]; the test below, which needs no virtual machine, names the mutant and the file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use xtask::{build, paths};

/// One mutant.
struct Mutant {
    name: &'static str,
    changes: &'static [Change],
}

/// One replacement in one file. The text must be there exactly once.
struct Change {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// Every mutant.
const MUTANTS: &[Mutant] = &[
    Mutant { name: "no-flush-step", changes: &[NO_FLUSH] },
    Mutant { name: "no-drive-flush", changes: &[NO_DRIVE_FLUSH] },
    Mutant { name: "no-flush", changes: &[NO_FLUSH, NO_LAST_FLUSH, NO_DRIVE_FLUSH] },
    Mutant { name: "eject-first", changes: &[EJECT_FIRST, NO_CLAIM] },
];

/// Removes `syncfs`, and `fsync` of a partition.
const NO_FLUSH: Change = Change {
    file: "crates/unmoor/src/platform/linux/session.rs",
    from: "fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {",
    to: "fn flush(&mut self, volume: &Volume, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        if true {
            return Ok(StepOutcome::default());
        }",
};

/// Removes the command that empties the drive's cache.
const NO_DRIVE_FLUSH: Change = Change {
    file: "crates/unmoor/src/platform/linux/release/flush.rs",
    from: "pub fn flush_drive(&self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {",
    to: "pub fn flush_drive(&self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        if true {
            return Ok(StepOutcome::default());
        }",
};

/// Removes the second flush, right before an unmount.
const NO_LAST_FLUSH: Change = Change {
    file: "crates/unmoor/src/platform/linux/helper/mount_calls.rs",
    from: "if sync {",
    to: "if false && sync {",
};

/// Ejects the drive while it is mounted, and unmounts nothing.
const EJECT_FIRST: Change = Change {
    file: "crates/unmoor/src/release/dismount.rs",
    from: "for (at, &undo) in order.iter().enumerate() {",
    to: "let _ = session.perform(crate::model::step::Action::Eject, deadline);
            for (at, &undo) in order.iter().enumerate().take(0) {",
};

/// Ignores the error of the claim, which would notice that the medium has left.
const NO_CLAIM: Change = Change {
    file: "crates/unmoor/src/release/dismount.rs",
    from: "session.claim(force, deadline).or_else(|error| {",
    to: "session.claim(force, deadline).or_else(|_: Error| Ok(StepOutcome::default()));
            let claimed = claimed.or_else(|error: Error| -> Result<StepOutcome> {",
};

/// Returns the names of all mutants.
pub fn names() -> Vec<&'static str> {
    MUTANTS.iter().map(|mutant| mutant.name).collect()
}

/// Builds a mutant and returns the path of its program.
pub fn build(name: &str) -> Result<PathBuf> {
    let mutant = MUTANTS.iter().find(|mutant| mutant.name == name).context("no such mutant")?;
    let folder = paths::target().join("mutants");
    let source = folder.join(name);
    let _ = fs::remove_dir_all(&source);
    for part in ["Cargo.toml", "Cargo.lock", "crates", "xtask", ".cargo"] {
        copy(&paths::repository().join(part), &source.join(part))?;
    }
    mutant.apply(&source)?;
    build::packaged_from(&source, &folder.join("target"))
}

impl Mutant {
    /// Changes the sources in this folder.
    fn apply(&self, folder: &Path) -> Result<()> {
        for (file, text) in self.changed(folder)? {
            fs::write(folder.join(file), text)?;
        }
        Ok(())
    }

    /// Returns the changed files with their new text.
    ///
    /// # Errors
    /// A file that does not exist, or does not have the text exactly once. The error names the mutant.
    fn changed(&self, folder: &Path) -> Result<Vec<(&'static str, String)>> {
        let mut files: Vec<(&'static str, String)> = Vec::new();
        for Change { file, from, to } in self.changes {
            let error =
                || format!("mutant {}: {file} (the table MUTANTS in {})", self.name, file!());
            let index = match files.iter().position(|(name, _)| name == file) {
                Some(index) => index,
                None => {
                    files.push((*file, fs::read_to_string(folder.join(file)).with_context(error)?));
                    files.len() - 1
                }
            };
            let text = &mut files[index].1;
            let count = text.matches(from).count();
            if count != 1 {
                bail!("{}: the text to change is there {count} times:\n{from}", error());
            }
            *text = text.replace(from, to);
        }
        ensure!(!files.is_empty(), "mutant {} changes nothing", self.name);
        Ok(files)
    }
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

    #[test]
    fn every_mutant_applies_to_the_current_sources() {
        let results = MUTANTS.iter().map(|mutant| mutant.changed(&paths::repository()));
        let errors: Vec<String> =
            results.filter_map(|result| Some(format!("{:#}", result.err()?))).collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }

    #[test]
    fn the_error_names_the_mutant_and_the_file() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("unmoor-mutants-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("a.rs"), "one two two")?;
        let error = |changes: &'static [Change]| {
            let result = Mutant { name: "made-up", changes }.changed(&folder);
            result.err().map(|error| format!("{error:#}")).unwrap_or_default()
        };
        let twice = error(&[Change { file: "a.rs", from: "two", to: "" }]);
        let never = error(&[Change { file: "a.rs", from: "three", to: "" }]);
        let no_file = error(&[Change { file: "b.rs", from: "", to: "" }]);
        fs::remove_dir_all(&folder)?;
        assert!(twice.contains("mutant made-up: a.rs") && twice.contains("2 times"), "{twice}");
        assert!(never.contains("0 times"), "{never}");
        assert!(no_file.contains("mutant made-up: b.rs"), "{no_file}");
        Ok(())
    }
}
