//! Ending the programs that are in the way: who may be ended, who agreed to it, and what came of it.
//!
//! How it goes is in `stages/ending.rs`; how a system does it is the platform's business.

use crate::blocker::{Blocker, BlockerKind, Process, Role};
use crate::drive::Drive;
use crate::wait::Wait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The wish to end the programs that are in the way of a release.
#[derive(Debug, Clone)]
pub struct Kill {
    /// How long a program gets to end by itself, once it was asked to.
    pub grace: Duration,
    /// Does the user agree.
    pub consent: Consent,
}

impl Kill {
    /// Long enough to save a document, short enough to be waited for.
    pub const GRACE: Duration = Duration::from_secs(5);
}

/// Who is asked whether these programs may be ended.
#[derive(Clone)]
pub enum Consent {
    /// Nobody: the user has agreed beforehand to whatever it may be.
    Given,
    /// This, each time; it is shown the drive and who would be ended. What it says holds for those
    /// processes only, and an answer may take its time.
    Ask(Ask),
}

/// Asks the user; `true` is yes. It must not wait past the deadline or the wish to stop, of which the
/// [`Wait`] knows.
pub type Ask = Arc<dyn Fn(&Drive, &[&Blocker], &Wait<'_>) -> bool + Send + Sync>;

impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Consent::Given => "Given",
            Consent::Ask(_) => "Ask",
        })
    }
}

/// What came of one program that was to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub process: Process,
    /// How it ended, or not.
    pub how: Ending,
}

/// How a program ended, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// It was asked to, and did.
    Terminated,
    /// It was asked to, did not within its time, and was made to: what it had not saved is lost.
    Killed,
    /// It was asked to; nobody waited for the end, because the time ran out or the user wished to stop.
    Asked,
    /// It was made to, and is still there: the kernel does not let go of it.
    Remains,
}

impl Ending {
    /// Its name, as in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Terminated => "terminated",
            Ending::Killed => "killed",
            Ending::Asked => "asked",
            Ending::Remains => "remains",
        }
    }
}

/// Why something in the way is not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Spared {
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

impl Spared {
    /// Why, after the words "was not ended: it".
    pub fn because(self) -> &'static str {
        match self {
            Spared::NoProcess => "is no program",
            Spared::Service => "belongs to a service",
            Spared::Container => "runs in a container",
            Spared::Manager => "is what other programs depend on",
            Spared::Caller => "is this program, or what started it",
            Spared::Kernel => "is a part of the kernel",
            Spared::Unknown => "is not known well enough",
        }
    }
}

impl Blocker {
    /// May this be ended for the sake of a release: a program that somebody started, and nothing else.
    ///
    /// # Errors
    /// Why not.
    pub fn may_be_ended(&self) -> Result<&Process, Spared> {
        let process = match (&self.process, self.kind) {
            (Some(process), BlockerKind::Process) => process,
            _ => return Err(Spared::NoProcess),
        };
        match self.role {
            // Whatever else is said of it: without this one there is no system.
            _ if process.pid <= 1 => Err(Spared::Manager),
            Role::Program => Ok(process),
            Role::Service => Err(Spared::Service),
            Role::Container => Err(Spared::Container),
            Role::Manager => Err(Spared::Manager),
            Role::Caller => Err(Spared::Caller),
            Role::Kernel => Err(Spared::Kernel),
            Role::Unknown => Err(Spared::Unknown),
        }
    }
}

/// Would ending programs clear the way: there are some, and nothing else is in it.
pub fn would_clear_the_way(blockers: &[Blocker]) -> bool {
    !blockers.is_empty() && blockers.iter().all(|blocker| blocker.may_be_ended().is_ok())
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
            (Role::Service, Some(Spared::Service)),
            (Role::Container, Some(Spared::Container)),
            (Role::Manager, Some(Spared::Manager)),
            (Role::Caller, Some(Spared::Caller)),
            (Role::Kernel, Some(Spared::Kernel)),
            (Role::Unknown, Some(Spared::Unknown)),
        ] {
            let one = blocker(BlockerKind::Process, 4312, role);
            assert_eq!(one.may_be_ended().err(), spared, "{role:?}");
        }
    }

    #[test]
    fn the_first_process_is_never_ended_whatever_is_said_of_it() {
        for pid in [0, 1] {
            let first = blocker(BlockerKind::Process, pid, Role::Program);
            assert_eq!(first.may_be_ended(), Err(Spared::Manager));
        }
    }

    #[test]
    fn what_is_no_process_is_never_ended_though_one_is_named_with_it() {
        for kind in [BlockerKind::Namespace, BlockerKind::Mount, BlockerKind::Unknown] {
            assert_eq!(blocker(kind, 9, Role::Program).may_be_ended(), Err(Spared::NoProcess));
        }
        let swap = Blocker::new(BlockerKind::Swap, "");
        assert_eq!(swap.may_be_ended(), Err(Spared::NoProcess));
    }

    #[test]
    fn it_is_offered_only_where_nothing_else_would_be_left() {
        let program = || blocker(BlockerKind::Process, 9, Role::Program);
        assert!(!would_clear_the_way(&[]));
        assert!(would_clear_the_way(&[program(), program()]));
        let service = blocker(BlockerKind::Process, 9, Role::Service);
        assert!(!would_clear_the_way(&[program(), service]));
        assert!(!would_clear_the_way(&[program(), Blocker::new(BlockerKind::Swap, "")]));
    }
}
