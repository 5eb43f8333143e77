//! Processes that are asked to exit, and their behavior.

use crate::machine::Simulated;
use crate::program::{Program, SignalBehavior, SignalRecord};
use crate::scheduled_event::ScheduledEvent;
use crate::state::MachineState;
use unmoor::platform::ProcessHandle;
use unmoor::{Error, ErrorKind, Process, Result, Role};

impl Simulated {
    /// Sets the role of a program and its behavior when it is asked to exit. The default is
    /// [`Role::Program`], which exits at once.
    pub fn set_signal_behavior(&self, pid: u32, role: Role, behavior: SignalBehavior) {
        self.with(|state| {
            let program = state.programs.entry(pid).or_default();
            (program.role, program.behavior) = (role, behavior);
        });
    }

    /// Returns every signal that a process received, in order.
    pub fn signals_received(&self) -> Vec<SignalRecord> {
        self.with(|state| state.signals.clone())
    }

    /// Returns the services that were stopped and started again, in order.
    pub fn restarted_services(&self) -> Vec<u32> {
        self.with(|state| state.restarted.clone())
    }

    pub(crate) fn open_process(&self, process: &Process) -> Result<Option<SimProcess<'_>>> {
        self.with(|state| {
            let program = state.programs.entry(process.pid).or_default();
            if program.behavior == SignalBehavior::Replaced && program.started == process.started {
                program.started += 1;
                state.exit(process.pid);
            }
            let program = state.program_of(process.pid);
            if program.started != process.started || !state.is_running(process.pid) {
                return Ok(None);
            }
            if matches!(program.role, Role::Caller | Role::Kernel) {
                return Err(Error::new(ErrorKind::Refused, program.name, "must not be terminated"));
            }
            Ok(Some(SimProcess { machine: self, pid: process.pid, started: process.started }))
        })
    }
}

/// Handle of a process.
pub(crate) struct SimProcess<'m> {
    machine: &'m Simulated,
    pid: u32,
    started: u64,
}

impl SimProcess<'_> {
    fn signal(&self, forced: bool) -> Result<()> {
        self.machine.with(|state| {
            let program = state.program_of(self.pid);
            if program.behavior == SignalBehavior::Foreign {
                return Err(Error::new(ErrorKind::NotPermitted, "", "operation not permitted"));
            }
            if !state.is_running(self.pid) || program.started != self.started {
                return Ok(());
            }
            state.signals.push(SignalRecord {
                at: state.now,
                pid: self.pid,
                started: program.started,
                forced,
            });
            match (program.behavior, forced) {
                (SignalBehavior::Obeys(time), false) if !time.is_zero() => {
                    let when = state.now + time;
                    state.scheduled.push((when, ScheduledEvent::Exit(self.pid)));
                }
                (SignalBehavior::Obeys(_) | SignalBehavior::Respawns, _)
                | (SignalBehavior::Stubborn, true) => {
                    state.exit(self.pid);
                }
                _ => {}
            }
            Ok(())
        })
    }
}

impl ProcessHandle for SimProcess<'_> {
    fn terminate(&mut self) -> Result<&'static str> {
        self.signal(false).map(|()| "ask to exit")
    }

    fn kill(&mut self) -> Result<&'static str> {
        if self.machine.with(|state| state.program_of(self.pid).role) == Role::Service {
            let why = "a service is not ended by force";
            return Err(Error::new(ErrorKind::Refused, "", why));
        }
        self.signal(true).map(|()| "kill")
    }

    fn has_exited(&mut self) -> bool {
        self.machine.with(|state| {
            !state.is_running(self.pid) || state.program_of(self.pid).started != self.started
        })
    }

    fn restart(&mut self) -> Result<Option<&'static str>> {
        let stopped = self.has_exited();
        Ok(self.machine.with(|state| {
            let service = stopped && state.program_of(self.pid).role == Role::Service;
            if service {
                state.restarted.push(self.pid);
            }
            service.then_some("start again")
        }))
    }
}

impl MachineState {
    pub fn program_of(&self, pid: u32) -> Program {
        self.programs.get(&pid).cloned().unwrap_or_default()
    }

    /// Returns true if the process has a file or a drive open. Nothing else is known of processes.
    fn is_running(&self, pid: u32) -> bool {
        self.handles.iter().any(|h| h.pid == pid)
            || self.raw_handles.iter().any(|(_, p, _)| *p == pid)
    }

    /// Ends the program and closes its files.
    pub fn exit(&mut self, pid: u32) {
        let program = self.program_of(pid);
        if program.behavior != SignalBehavior::Respawns {
            self.handles.retain(|h| h.pid != pid);
            self.raw_handles.retain(|(_, other, _)| *other != pid);
            return;
        }
        let next = pid + 10_000;
        self.programs.insert(next, program);
        self.handles.iter_mut().filter(|h| h.pid == pid).for_each(|h| h.pid = next);
    }
}
