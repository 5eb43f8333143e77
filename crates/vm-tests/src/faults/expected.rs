//! Expected result of each case.

use std::fmt;

use super::fault::Fault;
use super::step::Step;

/// Expected result of a case.
pub enum Expected {
    Ends(End),
    /// The fault cannot happen there, with the reason.
    #[allow(dead_code, reason = "there is none at present")]
    Cannot(&'static str),
}

/// Expected end of the release.
pub struct End {
    pub code: i32,
    /// Text that the message must contain.
    pub says: &'static str,
    pub then: Then,
}

/// Expected result of another release once the fault is over.
#[derive(Clone, Copy)]
pub enum Then {
    /// Nothing is left to release.
    Nothing,
    /// Ends with this exit code, with every byte on the medium.
    Ends(i32),
    /// Succeeds with `--discard-unwritten`, since data was reported lost.
    Discards,
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends(end) => {
                write!(formatter, "exit {:3}, {:?}", end.code, end.says)?;
                match end.then {
                    Then::Nothing => Ok(()),
                    Then::Ends(code) => write!(formatter, "; again: exit {code}"),
                    Then::Discards => write!(formatter, "; again, --discard-unwritten: exit 0"),
                }
            }
            Self::Cannot(why) => write!(formatter, "cannot happen: {why}"),
        }
    }
}

/// Exit code that a shell reports for a program that SIGKILL ended.
pub const KILLED: i32 = 128 + libc::SIGKILL;

const LOST: &str = "data may be lost";
const NO_ANSWER: &str = "no answer within the time given";
const LEFT: &str = "the medium has left the drive";
const REMOVED: &str = "the medium was removed meanwhile";
const STOPPED: &str = "interrupted";
const RELEASED: &str = "released";

/// Returns the expected result of a case.
pub fn expected(step: Step, fault: Fault) -> Expected {
    use Step::{Dismount, Eject, Flush, Lock, Resolve, Unlock, Verify};
    let (code, says, then) = match (fault, step) {
        // What could not be written is lost, and said to be; the kernel says it once.
        (Fault::IoError, Resolve | Flush | Lock | Dismount) => (1, LOST, Then::Discards),
        // scsi_debug carries out what it says it has not, as drives with a bad cable do: looking helps.
        (Fault::IoError, Eject | Verify | Unlock) => (0, RELEASED, Then::Nothing),
        // An idle file system is written to once more when it is unmounted.
        (Fault::NoRead, Resolve | Flush | Lock | Dismount) => (1, NO_ANSWER, Then::Ends(0)),
        (Fault::NoRead, Eject | Verify | Unlock) => (0, RELEASED, Then::Nothing),
        (Fault::Bystander, _) => (0, RELEASED, Then::Nothing),
        (Fault::Timeout, Unlock) => (0, RELEASED, Then::Nothing),
        (Fault::Timeout, _) => (1, NO_ANSWER, Then::Ends(0)),
        (Fault::NoMedium, Flush) | (Fault::Removed, Flush) => (1, LOST, Then::Nothing),
        (Fault::NoMedium, Resolve) => (1, LEFT, Then::Nothing),
        (Fault::NoMedium, Lock | Dismount) => (1, REMOVED, Then::Nothing),
        (Fault::Removed, Resolve) => (1, LEFT, Then::Nothing),
        // Which of the two is noticed first, that it has left or that a write fails, is chance.
        (Fault::Removed, Lock | Dismount) => (1, "dismounted by then: /mnt/fat", Then::Nothing),
        (Fault::NoMedium | Fault::Removed, _) => (0, RELEASED, Then::Nothing),
        (Fault::Yanked, Verify | Unlock) => (0, RELEASED, Then::Nothing),
        (Fault::Yanked, _) => (1, "is gone", Then::Nothing),
        (Fault::Interrupt | Fault::Terminate, Flush) => {
            (130, "not written to the end", Then::Ends(0))
        }
        (Fault::Interrupt | Fault::Terminate, Verify) => (130, STOPPED, Then::Ends(4)),
        (Fault::Interrupt | Fault::Terminate, Unlock) => (0, RELEASED, Then::Nothing),
        (Fault::Interrupt | Fault::Terminate, _) => (130, STOPPED, Then::Ends(0)),
        (Fault::Kill, Verify | Unlock) => (KILLED, "", Then::Ends(4)),
        (Fault::Kill, _) => (KILLED, "", Then::Ends(0)),
        // The drive is open by then, and the helper has its socket.
        (Fault::NoDescriptors, Eject | Verify | Unlock) => (0, RELEASED, Then::Nothing),
        // EMFILE, which each C library words in its own way.
        (Fault::NoDescriptors, _) => (1, "(os error 24)", Then::Ends(0)),
        (Fault::RunFull, _) => (0, RELEASED, Then::Nothing),
        (Fault::SysReadOnly, Verify | Unlock) => (0, "powered off", Then::Nothing),
        (Fault::SysReadOnly, _) => (1, "Read-only file system", Then::Ends(0)),
    };
    Expected::Ends(End { code, says, then })
}
