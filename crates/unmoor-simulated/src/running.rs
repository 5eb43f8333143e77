//! Programs that are asked to end, and how they take it.

use crate::Simulated;
use crate::happening::ScheduledEvent;
use crate::world::MachineState;
use std::time::Duration;
use unmoor::platform::ProcessHandle;
use unmoor::{Error, ErrorKind, Process, Result, Role};

/// A program, and how it takes it when it is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub name: String,
    pub role: Role,
    pub temper: SignalBehavior,
    /// Tells it from another one of its number.
    pub started: u64,
}

impl Default for Program {
    fn default() -> Self {
        let temper = SignalBehavior::Obeys(Duration::ZERO);
        Program { name: "program".into(), role: Role::Program, temper, started: 0 }
    }
}

/// How a program takes it when it is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalBehavior {
    /// It ends that long after it was asked to.
    Obeys(Duration),
    /// It ends only when it is made to.
    Stubborn,
    /// It does not even end then: the system does not let go of it.
    Stuck,
    /// It is somebody else's: this user may not end it.
    Foreign,
    /// It ends at once, and somebody starts it again: another process, with the same files.
    Respawns,
    /// It ends by itself after it was found, and its number is given to another program.
    Replaced,
}

/// What was done to a process: the truth, whatever a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalRecord {
    /// When, by the machine's clock.
    pub at: Duration,
    /// To this number.
    pub pid: u32,
    /// With [`Process::started`] it says to which process.
    pub started: u64,
    /// It was made to end; else it was asked to.
    pub forced: bool,
}

impl Simulated {
    /// Says what a program is, and how it takes it when it is to end. Without it, programs are
    /// [`Role::Program`] and obey at once.
    pub fn set_signal_behavior(&self, pid: u32, role: Role, temper: SignalBehavior) {
        self.with(|w| {
            let program = w.programs.entry(pid).or_default();
            (program.role, program.temper) = (role, temper);
        });
    }

    /// Every time that a program was asked or made to end, in order.
    pub fn signals_received(&self) -> Vec<SignalRecord> {
        self.with(|w| w.told.clone())
    }

    pub(crate) fn open_process(&self, process: &Process) -> Result<Option<SimProcess<'_>>> {
        self.with(|w| {
            let program = w.programs.entry(process.pid).or_default();
            if program.temper == SignalBehavior::Replaced && program.started == process.started {
                program.started += 1;
                w.exit(process.pid);
            }
            let program = w.program_of(process.pid);
            if program.started != process.started || !w.is_running(process.pid) {
                return Ok(None);
            }
            if matches!(program.role, Role::Caller | Role::Kernel) {
                return Err(Error::new(ErrorKind::Refused, program.name, "must not be ended"));
            }
            Ok(Some(SimProcess { machine: self, pid: process.pid, started: process.started }))
        })
    }
}

/// A process that is held.
pub(crate) struct SimProcess<'m> {
    machine: &'m Simulated,
    pid: u32,
    started: u64,
}

impl SimProcess<'_> {
    fn signal(&self, forced: bool) -> Result<()> {
        self.machine.with(|w| {
            let program = w.program_of(self.pid);
            if program.temper == SignalBehavior::Foreign {
                return Err(Error::new(ErrorKind::NotPermitted, "", "operation not permitted"));
            }
            if !w.is_running(self.pid) || program.started != self.started {
                return Ok(());
            }
            w.told.push(SignalRecord {
                at: w.now,
                pid: self.pid,
                started: program.started,
                forced,
            });
            match (program.temper, forced) {
                (SignalBehavior::Obeys(time), false) if !time.is_zero() => {
                    let when = w.now + time;
                    w.agenda.push((when, ScheduledEvent::Exit(self.pid)));
                }
                (SignalBehavior::Obeys(_) | SignalBehavior::Respawns, _)
                | (SignalBehavior::Stubborn, true) => {
                    w.exit(self.pid);
                }
                _ => {}
            }
            Ok(())
        })
    }
}

impl ProcessHandle for SimProcess<'_> {
    fn terminate(&mut self) -> Result<&'static str> {
        self.signal(false).map(|()| "ask to end")
    }

    fn kill(&mut self) -> Result<&'static str> {
        self.signal(true).map(|()| "make it end")
    }

    fn has_exited(&mut self) -> bool {
        self.machine
            .with(|w| !w.is_running(self.pid) || w.program_of(self.pid).started != self.started)
    }
}

impl MachineState {
    pub fn program_of(&self, pid: u32) -> Program {
        self.programs.get(&pid).cloned().unwrap_or_default()
    }

    /// A program runs as long as it has a file open: more is not known of it.
    fn is_running(&self, pid: u32) -> bool {
        self.handles.iter().any(|h| h.pid == pid) || self.raw.iter().any(|(_, p, _)| *p == pid)
    }

    /// The program ends, and its files are closed.
    pub fn exit(&mut self, pid: u32) {
        let program = self.program_of(pid);
        if program.temper != SignalBehavior::Respawns {
            self.handles.retain(|h| h.pid != pid);
            self.raw.retain(|(_, other, _)| *other != pid);
            return;
        }
        let next = pid + 10_000;
        self.programs.insert(next, program);
        self.handles.iter_mut().filter(|h| h.pid == pid).for_each(|h| h.pid = next);
    }
}
