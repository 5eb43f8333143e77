//! Ending the programs that are in the way: who may be ended, who agreed to it, and what came of it.
//!
//! How it goes is in `stages/ending.rs`; how a system does it is the platform's business.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerKind, Process, Role};
use crate::model::drive::Drive;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The wish to end the programs that are in the way of a release.
#[derive(Debug, Clone)]
pub struct Kill {
    /// How long a program gets to end by itself, once it was asked to.
    pub grace: Duration,
    /// Does the user agree.
    pub confirm: Confirm,
}

impl Kill {
    /// Long enough to save a document, short enough to be waited for.
    pub const GRACE: Duration = Duration::from_secs(5);
}

/// Who is asked whether these programs may be ended.
#[derive(Clone)]
pub enum Confirm {
    /// Nobody: the user has agreed beforehand to whatever it may be.
    Always,
    /// This, each time; it is shown the drive and who would be ended. What it says holds for those
    /// processes only, and an answer may take its time.
    Prompt(PromptFn),
}

/// Asks the user; `true` is yes. It must not wait past the deadline or the wish to stop, of which the
/// [`Deadline`] knows.
pub type PromptFn = Arc<dyn Fn(&Drive, &[&Blocker], &Deadline<'_>) -> bool + Send + Sync>;

impl fmt::Debug for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Confirm::Always => "Given",
            Confirm::Prompt(_) => "Ask",
        })
    }
}

/// What came of one program that was to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// Which.
    pub process: Process,
    /// How it ended, or not.
    pub result: TerminationResult,
}

/// How a program ended, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TerminationResult {
    /// It was asked to, and did.
    Exited,
    /// It was asked to, did not within its time, and was made to: what it had not saved is lost.
    Killed,
    /// It was asked to; nobody waited for the end, because the time ran out or the user wished to stop.
    Signaled,
    /// It was made to, and is still there: the kernel does not let go of it.
    Unkillable,
}

impl TerminationResult {
    /// Its name, as in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            TerminationResult::Exited => "terminated",
            TerminationResult::Killed => "killed",
            TerminationResult::Signaled => "asked",
            TerminationResult::Unkillable => "remains",
        }
    }
}

/// Why something in the way is not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotTerminable {
    /// It is no process: a mount, swap, a mapping. Its command undoes it.
    NoProcess,
    /// It belongs to a service, which would start it again, or miss it.
    Service,
    /// It runs in a container.
    Container,
    /// Others depend on it: the first process, a session's manager.
    Manager,
    /// It is this program, or what started it: nobody would be left to go on.
    Caller,
    /// It is a part of the kernel.
    Kernel,
    /// The system does not say what it is.
    Unknown,
}

impl NotTerminable {
    /// Why, after the words "was not ended: it".
    pub fn reason(self) -> &'static str {
        match self {
            NotTerminable::NoProcess => "is no program",
            NotTerminable::Service => "belongs to a service",
            NotTerminable::Container => "runs in a container",
            NotTerminable::Manager => "is what other programs depend on",
            NotTerminable::Caller => "is this program, or what started it",
            NotTerminable::Kernel => "is a part of the kernel",
            NotTerminable::Unknown => "is not known well enough",
        }
    }
}

impl Blocker {
    /// May this be ended for the sake of a release: a program that somebody started, and nothing else.
    ///
    /// # Errors
    /// Why not.
    pub fn check_terminable(&self) -> Result<&Process, NotTerminable> {
        let process = match (&self.process, self.kind) {
            (Some(process), BlockerKind::Process) => process,
            _ => return Err(NotTerminable::NoProcess),
        };
        match self.role {
            // Whatever else is said of it: without this one there is no system.
            _ if process.pid <= 1 => Err(NotTerminable::Manager),
            Role::Program => Ok(process),
            Role::Service => Err(NotTerminable::Service),
            Role::Container => Err(NotTerminable::Container),
            Role::Manager => Err(NotTerminable::Manager),
            Role::Caller => Err(NotTerminable::Caller),
            Role::Kernel => Err(NotTerminable::Kernel),
            Role::Unknown => Err(NotTerminable::Unknown),
        }
    }
}

/// Would ending programs clear the way: there are some, and nothing else is in it.
pub fn all_terminable(blockers: &[Blocker]) -> bool {
    !blockers.is_empty() && blockers.iter().all(|blocker| blocker.check_terminable().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocker(kind: BlockerKind, pid: u32, role: Role) -> Blocker {
        let mut blocker = Blocker::new(kind, "");
        blocker.role = role;
        blocker.process = Some(Process {
            pid,
            name: "x".into(),
            command_line: Vec::new(),
            user: None,
            unit: None,
            started: 7,
        });
        blocker
    }

    #[test]
    fn only_programs_are_ended() {
        for (role, spared) in [
            (Role::Program, None),
            (Role::Service, Some(NotTerminable::Service)),
            (Role::Container, Some(NotTerminable::Container)),
            (Role::Manager, Some(NotTerminable::Manager)),
            (Role::Caller, Some(NotTerminable::Caller)),
            (Role::Kernel, Some(NotTerminable::Kernel)),
            (Role::Unknown, Some(NotTerminable::Unknown)),
        ] {
            let one = blocker(BlockerKind::Process, 4312, role);
            assert_eq!(one.check_terminable().err(), spared, "{role:?}");
        }
    }

    #[test]
    fn the_first_process_is_never_ended_whatever_is_said_of_it() {
        for pid in [0, 1] {
            let first = blocker(BlockerKind::Process, pid, Role::Program);
            assert_eq!(first.check_terminable(), Err(NotTerminable::Manager));
        }
    }

    #[test]
    fn what_is_no_process_is_never_ended_though_one_is_named_with_it() {
        for kind in [BlockerKind::Namespace, BlockerKind::Mount, BlockerKind::Unknown] {
            assert_eq!(
                blocker(kind, 9, Role::Program).check_terminable(),
                Err(NotTerminable::NoProcess)
            );
        }
        let swap = Blocker::new(BlockerKind::Swap, "");
        assert_eq!(swap.check_terminable(), Err(NotTerminable::NoProcess));
    }

    #[test]
    fn it_is_offered_only_where_nothing_else_would_be_left() {
        let program = || blocker(BlockerKind::Process, 9, Role::Program);
        assert!(!all_terminable(&[]));
        assert!(all_terminable(&[program(), program()]));
        let service = blocker(BlockerKind::Process, 9, Role::Service);
        assert!(!all_terminable(&[program(), service]));
        assert!(!all_terminable(&[program(), Blocker::new(BlockerKind::Swap, "")]));
    }
}
