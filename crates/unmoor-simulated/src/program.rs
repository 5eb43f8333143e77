//! Programs, and their behavior when a signal arrives.

use std::time::Duration;
use unmoor::Role;

/// A program and its behavior when a signal arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub name: String,
    pub role: Role,
    pub behavior: SignalBehavior,
    /// Distinguishes the process from an earlier one with the same pid.
    pub started: u64,
}

impl Default for Program {
    fn default() -> Self {
        let behavior = SignalBehavior::Obeys(Duration::ZERO);
        Program { name: "program".into(), role: Role::Program, behavior, started: 0 }
    }
}

/// Behavior of a program that is asked to exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalBehavior {
    /// Exits this long after the request.
    Obeys(Duration),
    /// Exits only when killed.
    Stubborn,
    /// Remains even when killed, because the kernel cannot end the process.
    Stuck,
    /// Belongs to another user, so this user may not signal the process.
    Foreign,
    /// Exits at once and is restarted as another process with the same files.
    Respawns,
    /// Exits after the scan found the process, and its pid passes to another program.
    Replaced,
}

/// A signal that a process truly received, whatever a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalRecord {
    /// Time of the signal, by the machine's clock.
    pub at: Duration,
    /// Identifier of the process.
    pub pid: u32,
    /// Start time of the process, as in [`Process::started`](unmoor::Process::started). With the pid it identifies the process.
    pub started: u64,
    /// True if the process was killed, false if it was asked to exit.
    pub forced: bool,
}
