//! A process as a blocker: what it does, and what would make it let go.

use crate::model::blocker::{Blocker, BlockerKind, Role, Usage, UsageKind};
use crate::platform::linux::blockers::processes::cgroup::Owner;
use crate::platform::linux::blockers::processes::identity::{Identity, stat};
use crate::platform::linux::blockers::processes::signal_mask::TermSignal;
use crate::platform::linux::blockers::shell_quote::shell_command;
use crate::platform::linux::sys::procfs::Proc;
use std::ffi::OsStr;

/// This process, with its uses of the drive.
pub(crate) fn blocker(
    proc: &Proc,
    person: &Identity,
    uses: Vec<Usage>,
    own: Option<&Owner>,
) -> Blocker {
    let role = role(proc, person, own);
    let (words, command) = remedy(role, person, &uses);
    let mut blocker =
        Blocker::new(BlockerKind::Process, description(person)).with_remedy(words, command);
    blocker.role = role;
    blocker.uses = uses;
    blocker.process = Some(person.process.clone());
    blocker
}

/// `vim (pid 4312)`
pub(crate) fn description(person: &Identity) -> String {
    format!("{} (pid {})", person.process.name.to_string_lossy(), person.process.pid)
}

/// What this process is to the system; `own` is what started this program.
pub(crate) fn role(proc: &Proc, person: &Identity, own: Option<&Owner>) -> Role {
    let pid = person.process.pid;
    if person.kernel {
        return Role::Kernel;
    }
    if pid == std::process::id() || is_ancestor(proc, pid) {
        return Role::Caller;
    }
    if pid == 1 {
        return Role::Manager;
    }
    match &person.owner {
        Some(owner) if owner.is_manager() => Role::Manager,
        // In the same container or service as this program, it is a program beside it: stopping the
        // whole would stop this program too.
        owner if owner.as_ref() == own => Role::Program,
        Some(Owner::Service(_) | Owner::UserService { .. }) => Role::Service,
        Some(Owner::Container { .. }) => Role::Container,
        _ => Role::Program,
    }
}

fn remedy(role: Role, person: &Identity, uses: &[Usage]) -> (String, Option<String>) {
    let pid = person.process.pid;
    let only_there = uses.iter().all(|used| used.kind == UsageKind::WorkingDirectory);
    let only_runs = uses.iter().all(|used| {
        matches!(
            used.kind,
            UsageKind::Executable | UsageKind::MappedFile | UsageKind::WorkingDirectory
        )
    });
    if pid == std::process::id() {
        let words = match (only_there, only_runs) {
            (true, _) => "start this program from another directory",
            (_, true) => "start this program from a copy elsewhere",
            _ => "do not let this program write there",
        };
        return (words.into(), None);
    }
    let stops = matches!(role, Role::Service | Role::Container);
    if let Some(owner) = person.owner.as_ref().filter(|_| stops) {
        return (format!("stop the {}", owner.noun()), stop_command(owner).flatten());
    }
    if pid == 1 {
        return ("it is the first process, and must not be stopped".into(), None);
    }
    if role == Role::Manager {
        return ("others depend on it: have it close what it has open there".into(), None);
    }
    if role == Role::Caller {
        // What would stop it would stop this program, and the shell that the user types in.
        let words = if only_there { "leave the directory there: cd /" } else { "close it there" };
        return (words.into(), None);
    }
    let words = match (uses.iter().any(|used| used.writing), only_there) {
        (true, _) => "save and close it, or stop the program",
        (_, true) => "leave that directory, or stop the program",
        _ => "close it, or stop the program",
    };
    (words.into(), Some(kill_command(person)))
}

/// The command that ends this process.
pub(crate) fn kill_command(person: &Identity) -> String {
    let pid = person.process.pid;
    let kill = match person.hearing.terminating_signal() {
        TermSignal::Terminate => format!("kill {pid}"),
        TermSignal::HangUp => format!("kill -HUP {pid}"),
        TermSignal::Kill => return format!("kill -KILL {pid}"),
    };
    match person.hearing.stopped {
        true => format!("{kill} && kill -CONT {pid}"),
        false => kill,
    }
}

/// The command that stops what runs this process, where that is more than the process.
pub(crate) fn stop_command(
    owner: &crate::platform::linux::blockers::processes::cgroup::Owner,
) -> Option<Option<String>> {
    let words = owner.stop()?;
    Some(shell_command(words.iter().map(OsStr::new)))
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
