//! Restores the guest's state between two tests.
//!
//! If something cannot be undone, the error makes the rig boot a new machine.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};

/// Number of attempts: a killed process may need time to exit.
const TRIES: u32 = 20;

/// Mounts that the guest had when the agent started.
pub struct Baseline {
    mounts: BTreeSet<String>,
}

impl Baseline {
    pub fn now() -> Result<Self> {
        Ok(Self { mounts: mounts()?.into_iter().collect() })
    }

    pub fn restore(&self) -> Result<()> {
        for attempt in 1..=TRIES {
            let left = self.leftovers()?;
            if left.is_empty() {
                return Ok(());
            }
            for leftover in &left {
                leftover.undo(attempt > TRIES / 2);
            }
            if attempt > 2 {
                sleep(Duration::from_millis(200));
            }
        }
        let left = self.leftovers()?;
        if left.is_empty() { Ok(()) } else { bail!("cannot be undone: {left:?}") }
    }

    /// Returns what was not there at the start, in the order in which it can be undone.
    fn leftovers(&self) -> Result<Vec<Leftover>> {
        let mut left = Vec::new();
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        left.extend(swaps.lines().skip(1).filter_map(first_word).map(Leftover::Swap));
        left.extend(
            mounts()?
                .into_iter()
                .rev()
                .filter(|point| !self.mounts.contains(point))
                .map(Leftover::Mount),
        );
        for entry in fs::read_dir("/sys/block")?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().join("dm").exists() {
                let mapping = fs::read_to_string(entry.path().join("dm/name")).unwrap_or_default();
                left.push(Leftover::Mapping(mapping.trim().to_owned()));
            } else if entry.path().join("loop/backing_file").exists() {
                left.push(Leftover::Loop(format!("/dev/{name}")));
            } else if fs::read_to_string(entry.path().join("md/array_state"))
                .is_ok_and(|state| state.trim() != "clear")
            {
                left.push(Leftover::Array(format!("/dev/{name}")));
            }
        }
        if fs::exists("/sys/module/scsi_debug")? {
            left.push(Leftover::Module("scsi_debug"));
        }
        for entry in fs::read_dir("/mnt")?.flatten() {
            left.push(Leftover::Directory(entry.path().to_string_lossy().into_owned()));
        }
        Ok(left)
    }
}

#[derive(Debug)]
enum Leftover {
    Swap(String),
    Mount(String),
    Mapping(String),
    Loop(String),
    Array(String),
    Module(&'static str),
    Directory(String),
}

impl Leftover {
    fn undo(&self, lazily: bool) {
        let words: Vec<&str> = match self {
            Self::Swap(path) => vec!["swapoff", path],
            Self::Mount(point) if lazily => vec!["umount", "-l", point],
            Self::Mount(point) => vec!["umount", point],
            Self::Mapping(name) => vec!["dmsetup", "remove", "--force", name],
            Self::Loop(path) => vec!["losetup", "-d", path],
            Self::Array(path) => vec!["mdadm", "--stop", path],
            Self::Module(name) => vec!["rmmod", name],
            // A mount point that is still busy answers EBUSY here, and nothing is lost.
            Self::Directory(path) => vec!["rm", "-rf", "--one-file-system", path],
        };
        let _ = Command::new(words[0]).args(&words[1..]).output();
    }
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(str::to_owned)
}

/// Returns the mount points in mount order. A point that is mounted twice is listed twice.
fn mounts() -> Result<Vec<String>> {
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).collect())
}

/// Decodes the octal escapes of mountinfo: space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    ["\\040 ", "\\011\t", "\\012\n", "\\134\\"]
        .iter()
        .fold(text.to_owned(), |text, pair| text.replace(&pair[..4], &pair[4..]))
}
