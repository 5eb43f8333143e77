//! Ports: what was powered off is still plugged in, and comes back when its port looks again.

use super::Simulated;
use super::device::Device;
use super::fault::{FaultKind, Op};
use super::journal::{Effect, Entry};
use super::session::{hang, io_error};
use crate::drive::Port;
use crate::error::{Error, ErrorKind, Result};
use crate::report::{Attempt, Done};
use crate::target::Target;
use crate::wait::Wait;

const METHOD: &str = "look at the port again";

impl Simulated {
    pub(super) fn vacancies(&self) -> Vec<Port> {
        self.with(|w| {
            let waiting = w.devices.iter().filter(|d| d.powered_off);
            waiting.filter_map(Device::vacancy).collect()
        })
    }

    pub(super) fn methods_to_attach(&self, target: &Target) -> Result<Vec<String>> {
        self.port_of(target).map(|_| vec![METHOD.to_string()])
    }

    /// The port's name; that of its drive.
    fn port_of(&self, target: &Target) -> Result<String> {
        let name = match target {
            Target::Simulated(name) => format!("sim:{name}"),
            other => other.to_string(),
        };
        let known = self.with(|w| w.devices.iter().any(|d| d.shape.port.as_ref() == Some(&name)));
        match known {
            true => Ok(name),
            false => Err(no_port(&name)),
        }
    }

    pub(super) fn bring_back(&self, target: &Target, wait: &mut Wait<'_>) -> Result<Done> {
        let name = self.port_of(target)?;
        let (device, operation, fault) = self.with(|w| -> Result<_> {
            let here = w.devices.iter_mut().rev();
            let device = here.into_iter().find(|d| d.shape.port.as_ref() == Some(&name));
            let device = device.ok_or_else(|| no_port(&name))?;
            let fault = (!device.attached).then(|| device.strike(Op::Attach, None)).flatten();
            Ok((device.shape.id, device.pace.operation, fault))
        })?;
        self.spend(operation);
        let answer = match fault {
            Some(FaultKind::Hang) => Err(hang(wait)),
            Some(FaultKind::IoError) => Err(io_error()),
            Some(FaultKind::NotPermitted) => {
                Err(Error::new(ErrorKind::NotPermitted, &name, "operation not permitted"))
            }
            Some(FaultKind::NotSupported) => {
                Err(Error::new(ErrorKind::NotSupported, &name, "its hub does not look again"))
            }
            Some(FaultKind::Lie) => Ok((Done::by(Attempt::accepted(METHOD)), None)),
            fault => self.with(|w| {
                if fault == Some(FaultKind::Yank) {
                    w.yank(device);
                }
                w.reattach(device)
            }),
        };
        let (answer, effect) = match answer {
            Ok((done, effect)) => (Ok(done), effect),
            Err(error) => (Err(error), None),
        };
        self.with(|w| {
            let at = w.now;
            let told = answer.as_ref().map(|_| ()).map_err(Error::kind);
            let entry = Entry { at, op: Op::Attach, device, volume: None, answer: told, effect };
            w.journal.push(entry);
        });
        answer
    }
}

fn no_port(name: &str) -> Error {
    Error::new(ErrorKind::NoSuchTarget, name, "there is no such simulated port")
}

impl Device {
    fn vacancy(&self) -> Option<Port> {
        Some(Port { name: self.shape.port.clone()?, bus: self.shape.bus })
    }
}

impl super::world::World {
    /// Whatever is plugged in there comes back as a new device, with its other drives.
    fn reattach(&mut self, id: crate::DriveId) -> Result<(Done, Option<Effect>)> {
        let Some(device) = self.device(id) else { return Err(no_port("")) };
        let name = device.shape.name.clone();
        if device.attached {
            return Ok((Done::skipped("it is attached already"), None));
        }
        if !device.powered_off {
            return Err(Error::new(ErrorKind::NoMedium, name, "nothing is plugged in there"));
        }
        let mut names = device.shape.siblings.clone();
        names.push(name);
        for at in 0..self.devices.len() {
            if self.devices[at].powered_off && names.contains(&self.devices[at].shape.name) {
                let generation = self.number();
                let device = &mut self.devices[at];
                device.shape.id.generation = generation;
                (device.attached, device.powered_off) = (true, false);
                (device.stopped, device.lost) = (false, false);
                device.volumes.iter_mut().for_each(|v| v.lost = false);
            }
        }
        Ok((Done::by(Attempt::accepted(METHOD)), Some(Effect::Attached)))
    }
}
