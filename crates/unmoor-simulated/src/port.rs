//! Ports. A drive that was powered off stays plugged in and returns when its port is rescanned.

use crate::device::Device;
use crate::fault::{FaultKind, Op};
use crate::journal::{Effect, JournalEntry};
use crate::machine::Simulated;
use crate::session::{hang, io_error};
use unmoor::{Attempt, Deadline, Error, ErrorKind, Port, Result, StepOutcome, Target};

const METHOD: &str = "rescan the port";

impl Simulated {
    pub(crate) fn detached_ports(&self) -> Vec<Port> {
        self.with(|state| {
            let waiting = state.devices.iter().filter(|d| d.powered_off);
            waiting.filter_map(Device::detached_port).collect()
        })
    }

    pub(crate) fn attach_methods(&self, target: &Target) -> Result<Vec<String>> {
        self.port_of(target).map(|_| vec![METHOD.to_string()])
    }

    /// Returns the name of the port, which is the name of its drive.
    fn port_of(&self, target: &Target) -> Result<String> {
        let name = match target {
            Target::Simulated(name) => format!("sim:{name}"),
            other => other.to_string(),
        };
        let known =
            self.with(|state| state.devices.iter().any(|d| d.spec.port.as_ref() == Some(&name)));
        match known {
            true => Ok(name),
            false => Err(no_port(&name)),
        }
    }

    pub(crate) fn attach(
        &self,
        target: &Target,
        deadline: &mut Deadline<'_>,
    ) -> Result<StepOutcome> {
        let name = self.port_of(target)?;
        let (device, operation, fault) = self.with(|state| -> Result<_> {
            let here = state.devices.iter_mut().rev();
            let device = here.into_iter().find(|d| d.spec.port.as_ref() == Some(&name));
            let device = device.ok_or_else(|| no_port(&name))?;
            let fault = (!device.attached).then(|| device.fault_for(Op::Attach, None)).flatten();
            Ok((device.spec.id, device.timing.operation, fault))
        })?;
        self.spend(operation);
        let answer = match fault {
            Some(FaultKind::Hang) => Err(hang(deadline)),
            Some(FaultKind::IoError) => Err(io_error()),
            Some(FaultKind::NotPermitted) => {
                Err(Error::new(ErrorKind::NotPermitted, &name, "operation not permitted"))
            }
            Some(FaultKind::NotSupported) => {
                Err(Error::new(ErrorKind::NotSupported, &name, "the hub cannot rescan the port"))
            }
            Some(FaultKind::Lie) => Ok((StepOutcome::via(Attempt::accepted(METHOD)), None)),
            fault => self.with(|state| {
                if fault == Some(FaultKind::Yank) {
                    state.yank(device);
                }
                state.reattach(device)
            }),
        };
        let (answer, effect) = match answer {
            Ok((done, effect)) => (Ok(done), effect),
            Err(error) => (Err(error), None),
        };
        self.with(|state| {
            let at = state.now;
            let told = answer.as_ref().map(|_| ()).map_err(Error::kind);
            let entry =
                JournalEntry { at, op: Op::Attach, device, volume: None, answer: told, effect };
            state.journal.push(entry);
        });
        answer
    }
}

fn no_port(name: &str) -> Error {
    Error::new(ErrorKind::NoSuchTarget, name, "there is no such simulated port")
}

impl Device {
    fn detached_port(&self) -> Option<Port> {
        Some(Port::new(self.spec.port.clone()?, self.spec.bus))
    }
}

impl crate::state::MachineState {
    /// Attaches the plugged-in device again, as a new device, with its other drives.
    fn reattach(&mut self, id: unmoor::DriveId) -> Result<(StepOutcome, Option<Effect>)> {
        let Some(device) = self.device(id) else { return Err(no_port("")) };
        let name = device.spec.name.clone();
        if device.attached {
            return Ok((StepOutcome::skipped("it is already attached"), None));
        }
        if !device.powered_off {
            return Err(Error::new(ErrorKind::NoMedium, name, "nothing is plugged in there"));
        }
        let mut names = device.spec.siblings.clone();
        names.push(name);
        for at in 0..self.devices.len() {
            if self.devices[at].powered_off && names.contains(&self.devices[at].spec.name) {
                let generation = self.next_id();
                let device = &mut self.devices[at];
                device.spec.id.generation = generation;
                (device.attached, device.powered_off) = (true, false);
                (device.stopped, device.lost) = (false, false);
                device.volumes.iter_mut().for_each(|v| v.lost = false);
            }
        }
        Ok((StepOutcome::via(Attempt::accepted(METHOD)), Some(Effect::Attached)))
    }
}
