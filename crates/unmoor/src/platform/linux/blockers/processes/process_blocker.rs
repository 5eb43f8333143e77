//! Process as a blocker, with its role and remedy.

use crate::model::blocker::{Blocker, BlockerKind, Role, Usage, UsageKind};
use crate::platform::linux::blockers::processes::cgroup::Owner;
use crate::platform::linux::blockers::processes::identity::{Identity, stat};
use crate::platform::linux::blockers::processes::signal_mask::TermSignal;
use crate::platform::linux::blockers::shell_quote::shell_command;
use crate::platform::linux::sys::procfs::Proc;
use std::ffi::OsStr;

/// Returns this process as a blocker with these uses of the drive.
pub(crate) fn blocker(
    proc: &Proc,
    process: &Identity,
    uses: Vec<Usage>,
    own_unit: Option<&Owner>,
) -> Blocker {
    let role = role(proc, process, own_unit);
    let (words, command) = remedy(role, process, &uses);
    let mut blocker =
        Blocker::new(BlockerKind::Process, description(process)).with_remedy(words, command);
    blocker.role = role;
    blocker.uses = uses;
    blocker.process = Some(process.process.clone());
    blocker
}

/// Returns the name and PID of a process: `vim (pid 4312)`.
pub(crate) fn description(process: &Identity) -> String {
    format!("{} (pid {})", process.process.name.to_string_lossy(), process.process.pid)
}

/// Returns the role of this process; `own_unit` is the unit or container of this program.
pub(crate) fn role(proc: &Proc, process: &Identity, own_unit: Option<&Owner>) -> Role {
    let pid = process.process.pid;
    if process.kernel {
        return Role::Kernel;
    }
    if pid == std::process::id() || is_ancestor(proc, pid) {
        return Role::Caller;
    }
    if pid == 1 {
        return Role::Manager;
    }
    match &process.owner {
        Some(owner) if owner.is_manager() => Role::Manager,
        // Stopping the unit or container that this program runs in would stop this program too.
        owner if owner.as_ref() == own_unit => Role::Program,
        Some(Owner::Service(_) | Owner::UserService { .. }) => Role::Service,
        Some(Owner::Container { .. }) => Role::Container,
        _ => Role::Program,
    }
}

fn remedy(role: Role, process: &Identity, uses: &[Usage]) -> (String, Option<String>) {
    let pid = process.process.pid;
    let only_cwd = uses.iter().all(|usage| usage.kind == UsageKind::WorkingDirectory);
    let only_runs = uses.iter().all(|usage| {
        matches!(
            usage.kind,
            UsageKind::Executable | UsageKind::MappedFile | UsageKind::WorkingDirectory
        )
    });
    if pid == std::process::id() {
        let words = match (only_cwd, only_runs) {
            (true, _) => "start this program from another directory",
            (_, true) => "start this program from a copy elsewhere",
            _ => "do not let this program write there",
        };
        return (words.into(), None);
    }
    let stops = matches!(role, Role::Service | Role::Container);
    if let Some(owner) = process.owner.as_ref().filter(|_| stops) {
        return (format!("stop the {}", owner.noun()), stop_command(owner).flatten());
    }
    if pid == 1 {
        return ("it is the first process and must not be stopped".into(), None);
    }
    if role == Role::Manager {
        return ("other programs depend on it: have it close its files there".into(), None);
    }
    if role == Role::Caller {
        // Stopping it would stop this program, and the shell that the user types in.
        let words = if only_cwd { "leave the directory there: cd /" } else { "close it there" };
        return (words.into(), None);
    }
    let words = match (uses.iter().any(|usage| usage.writing), only_cwd) {
        (true, _) => "save and close it, or stop the program",
        (_, true) => "leave that directory, or stop the program",
        _ => "close it, or stop the program",
    };
    (words.into(), Some(kill_command(process)))
}

/// Takes the role and the command from a process whose number means another one in this PID namespace.
pub(crate) fn make_unreachable(blocker: &mut Blocker) {
    if blocker.process.is_some() {
        blocker.role = Role::Unknown;
        *blocker = std::mem::replace(blocker, Blocker::new(blocker.kind, ""))
            .with_remedy("close it from the PID namespace that /proc shows", None);
    }
}

/// Returns the command that ends this process.
pub(crate) fn kill_command(process: &Identity) -> String {
    let pid = process.process.pid;
    let kill = match process.signals.terminating_signal() {
        TermSignal::Terminate => format!("kill {pid}"),
        TermSignal::HangUp => format!("kill -HUP {pid}"),
        TermSignal::Kill => return format!("kill -KILL {pid}"),
    };
    match process.signals.stopped {
        true => format!("{kill} && kill -CONT {pid}"),
        false => kill,
    }
}

/// Returns the command that stops this unit or container.
///
/// `None` if nothing but the process itself can be stopped; `Some(None)` if the name cannot be written in a command.
pub(crate) fn stop_command(owner: &Owner) -> Option<Option<String>> {
    let words = owner.stop()?;
    Some(shell_command(words.iter().map(OsStr::new)))
}

/// Returns true if this program descends from this process.
pub(crate) fn is_ancestor(proc: &Proc, pid: u32) -> bool {
    let (mut descendant, mut text) = (std::process::id(), Vec::new());
    // Bounded, in case the process tree changes while it is read.
    for _ in 0..256 {
        let read = proc.task(descendant).and_then(|task| task.read(c"stat", &mut text));
        let Some(stat) = read.ok().and_then(|()| stat(&text)) else { return false };
        if stat.parent == pid {
            return true;
        }
        if stat.parent <= 1 {
            return false;
        }
        descendant = stat.parent;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_an_ancestor() {
        let proc = Proc::open().unwrap();
        assert!(is_ancestor(&proc, std::os::unix::process::parent_id()));
        assert!(!is_ancestor(&proc, std::process::id()));
    }
}
