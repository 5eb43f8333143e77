//! Programs that are asked to end, and how they take it.

use super::Simulated;
use super::happening::Happening;
use super::world::World;
use crate::blocker::{Process, Role};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::Running;
use std::time::Duration;

/// A program, and how it takes it when it is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub name: String,
    pub role: Role,
    pub temper: Temper,
    /// Tells it from another one of its number.
    pub started: u64,
}

impl Default for Program {
    fn default() -> Self {
        let temper = Temper::Obeys(Duration::ZERO);
        Program { name: "program".into(), role: Role::Program, temper, started: 0 }
    }
}

/// How a program takes it when it is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Temper {
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
pub struct Told {
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
    pub fn behaves(&self, pid: u32, role: Role, temper: Temper) {
        self.with(|w| {
            let program = w.programs.entry(pid).or_default();
            (program.role, program.temper) = (role, temper);
        });
    }

    /// Every time that a program was asked or made to end, in order.
    pub fn told(&self) -> Vec<Told> {
        self.with(|w| w.told.clone())
    }

    pub(super) fn take_hold(&self, process: &Process) -> Result<Option<Held<'_>>> {
        self.with(|w| {
            let program = w.programs.entry(process.pid).or_default();
            if program.temper == Temper::Replaced && program.started == process.started {
                program.started += 1;
                w.exit(process.pid);
            }
            let program = w.program_of(process.pid);
            if program.started != process.started || !w.runs(process.pid) {
                return Ok(None);
            }
            if matches!(program.role, Role::Caller | Role::Kernel) {
                return Err(Error::new(ErrorKind::Refused, program.name, "must not be ended"));
            }
            Ok(Some(Held { machine: self, pid: process.pid, started: process.started }))
        })
    }
}

/// A process that is held.
pub(super) struct Held<'m> {
    machine: &'m Simulated,
    pid: u32,
    started: u64,
}

impl Held<'_> {
    fn tell(&self, forced: bool) -> Result<()> {
        self.machine.with(|w| {
            let program = w.program_of(self.pid);
            if program.temper == Temper::Foreign {
                return Err(Error::new(ErrorKind::NotPermitted, "", "operation not permitted"));
            }
            if !w.runs(self.pid) || program.started != self.started {
                return Ok(());
            }
            w.told.push(Told { at: w.now, pid: self.pid, started: program.started, forced });
            match (program.temper, forced) {
                (Temper::Obeys(time), false) if !time.is_zero() => {
                    let when = w.now + time;
                    w.agenda.push((when, Happening::Exit(self.pid)));
                }
                (Temper::Obeys(_) | Temper::Respawns, _) | (Temper::Stubborn, true) => {
                    w.exit(self.pid);
                }
                _ => {}
            }
            Ok(())
        })
    }
}

impl Running for Held<'_> {
    fn ask(&mut self) -> Result<&'static str> {
        self.tell(false).map(|()| "ask to end")
    }

    fn end(&mut self) -> Result<&'static str> {
        self.tell(true).map(|()| "make it end")
    }

    fn has_ended(&mut self) -> bool {
        self.machine.with(|w| !w.runs(self.pid) || w.program_of(self.pid).started != self.started)
    }
}

impl World {
    pub fn program_of(&self, pid: u32) -> Program {
        self.programs.get(&pid).cloned().unwrap_or_default()
    }

    /// A program runs as long as it has a file open: more is not known of it.
    fn runs(&self, pid: u32) -> bool {
        self.handles.iter().any(|h| h.pid == pid) || self.raw.iter().any(|(_, p, _)| *p == pid)
    }

    /// The program ends, and its files are closed.
    pub fn exit(&mut self, pid: u32) {
        let program = self.program_of(pid);
        if program.temper != Temper::Respawns {
            self.handles.retain(|h| h.pid != pid);
            self.raw.retain(|(_, other, _)| *other != pid);
            return;
        }
        let next = pid + 10_000;
        self.programs.insert(next, program);
        self.handles.iter_mut().filter(|h| h.pid == pid).for_each(|h| h.pid = next);
    }
}
