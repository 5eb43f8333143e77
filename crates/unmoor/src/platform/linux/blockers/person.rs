//! A process as a blocker: what it does, and what would make it let go.

use super::identity::{Identity, stat};
use super::text::command;
use crate::blocker::{Blocker, BlockerKind, Use, UseKind};
use crate::platform::linux::procfs::Proc;
use std::ffi::OsStr;

/// This process, with its uses of the drive.
pub(super) fn blocker(proc: &Proc, person: &Identity, uses: Vec<Use>) -> Blocker {
    let (words, command) = remedy(proc, person, &uses);
    let mut blocker =
        Blocker::new(BlockerKind::Process, description(person)).with_remedy(words, command);
    blocker.uses = uses;
    blocker.process = Some(person.process.clone());
    blocker
}

/// `vim (pid 4312)`
pub(super) fn description(person: &Identity) -> String {
    format!("{} (pid {})", person.process.name.to_string_lossy(), person.process.pid)
}

fn remedy(proc: &Proc, person: &Identity, uses: &[Use]) -> (String, Option<String>) {
    let pid = person.process.pid;
    let only_there = uses.iter().all(|used| used.kind == UseKind::WorkingDirectory);
    let only_runs = uses.iter().all(|used| {
        matches!(used.kind, UseKind::Executable | UseKind::MappedFile | UseKind::WorkingDirectory)
    });
    if pid == std::process::id() {
        let words = match (only_there, only_runs) {
            (true, _) => "start this program from another directory",
            (_, true) => "start this program from a copy elsewhere",
            _ => "do not let this program write there",
        };
        return (words.into(), None);
    }
    if let Some(stop) = person.owner.as_ref().and_then(stop_properly) {
        let words = format!("stop the {}", person.owner.as_ref().map_or("", |o| o.noun()));
        return (words, stop);
    }
    if pid == 1 {
        return ("it is the first process, and must not be stopped".into(), None);
    }
    if is_ancestor(proc, pid) {
        // What would stop it would stop this program, and the shell that the user types in.
        let words = if only_there { "leave the directory there: cd /" } else { "close it there" };
        return (words.into(), None);
    }
    let words = match (uses.iter().any(|used| used.writing), only_there) {
        (true, _) => "save and close it, or stop the program",
        (_, true) => "leave that directory, or stop the program",
        _ => "close it, or stop the program",
    };
    (words.into(), Some(kill(person)))
}

/// The command that ends this process.
pub(super) fn kill(person: &Identity) -> String {
    let pid = person.process.pid;
    person.signal().map_or_else(|| format!("kill {pid}"), |signal| format!("kill {signal} {pid}"))
}

/// The command that stops what runs this process, where that is more than the process.
pub(super) fn stop_properly(owner: &super::cgroup::Owner) -> Option<Option<String>> {
    let words = owner.stop()?;
    Some(command(words.iter().map(OsStr::new)))
}

/// Is this a process that this program descends from.
pub(crate) fn is_ancestor(proc: &Proc, pid: u32) -> bool {
    let (mut at, mut text) = (std::process::id(), Vec::new());
    // Deeper than any real family; a ring cannot be, but costs nothing to survive.
    for _ in 0..256 {
        let read = proc.task(at).and_then(|task| task.read(c"stat", &mut text));
        let Some(stat) = read.ok().and_then(|()| stat(&text)) else { return false };
        if stat.parent == pid {
            return true;
        }
        if stat.parent <= 1 {
            return false;
        }
        at = stat.parent;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_are_known() {
        let proc = Proc::open().unwrap();
        assert!(is_ancestor(&proc, std::os::unix::process::parent_id()));
        assert!(!is_ancestor(&proc, std::process::id()));
    }
}
