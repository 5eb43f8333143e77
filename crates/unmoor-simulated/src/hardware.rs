//! The drive's own actions: eject the medium, stop, leave the bus, load the medium.

use crate::device::{Motion, Prevention};
use crate::journal::Effect;
use crate::semantics::Semantics;
use crate::session::{OpResult, SimSession};
use crate::state::MachineState;
use unmoor::{
    Action, Attempt, Bus, Deadline, Drive, DriveId, DriveKind, Error, ErrorKind, Medium, Presence,
    Result, StepOutcome,
};

/// Returns the names of the methods, in the order they are tried. Windows asks every drive to stop that
/// is named; Linux only one that can be unplugged.
pub(crate) fn methods(semantics: Semantics, drive: &Drive, action: Action) -> Vec<String> {
    let names: &[&str] = match (action, drive.kind) {
        (Action::Eject, DriveKind::Card | DriveKind::Floppy) => &[],
        (Action::Eject, DriveKind::Optical) => &["allow removal", "open the tray"],
        (Action::Eject, _) => &["allow removal", "eject"],
        (Action::Stop, _) if semantics == Semantics::Linux && !drive.hotplug => &[],
        (Action::Stop, _) => &["stop"],
        (Action::Detach, _) => &["detach"],
        (Action::PowerOff, _) => &["stop", "remove the device"],
        _ => &[],
    };
    names.iter().map(ToString::to_string).collect()
}

impl SimSession<'_> {
    /// Carries out the action even if something is mounted, because hardware knows no policy. Data that
    /// is not on the medium by then is lost.
    pub fn apply_action(
        &self,
        state: &mut MachineState,
        action: Action,
        lie: bool,
    ) -> OpResult<StepOutcome> {
        let semantics = state.semantics;
        let device = state.attached_device(self.id)?;
        let names = methods(semantics, &device.spec, action);
        let accepted = || {
            let mut outcome = StepOutcome::default();
            outcome.attempts = names.iter().map(Attempt::accepted).collect();
            outcome
        };
        let able = match action {
            Action::Eject => device.spec.removable && !names.is_empty(),
            Action::PowerOff => !matches!(device.spec.bus, Bus::Virtual | Bus::Mmc),
            Action::Detach => matches!(device.spec.kind, DriveKind::Loop | DriveKind::Network),
            _ => true,
        };
        if !able {
            return Err(Error::new(ErrorKind::NotSupported, "", "this drive has no such command")
                .with_attempts(vec![Attempt::failed(action.name(), "not supported")]));
        }
        if action == Action::Eject && device.prevention == Prevention::Stuck {
            let tried = names.iter().map(|m| Attempt::failed(m, "medium removal prevented"));
            return Err(Error::new(ErrorKind::Failed, "", "something prevents the removal")
                .with_attempts(tried.collect()));
        }
        if lie {
            return Ok((accepted(), None));
        }
        let mounted = device.is_mounted();
        let effect = match action {
            Action::Eject => Effect::Ejected { mounted },
            Action::Stop => Effect::Stopped { mounted },
            Action::Detach => Effect::Detached { mounted },
            Action::PowerOff => Effect::PoweredOff { mounted },
            _ => return Ok((StepOutcome::skipped("nothing to eject"), None)),
        };
        if action == Action::PowerOff {
            if state.semantics == Semantics::Windows {
                self.request_removal(state)?;
            }
            for id in self.whole_device(state) {
                state.yank(id);
                if let Some(device) = state.device_mut(id) {
                    device.powered_off = true;
                }
            }
            return Ok((accepted(), Some(effect)));
        }
        let now = state.now;
        let device = state.attached_device(self.id)?;
        device.prevention = Prevention::None;
        let motion = match (action, device.spec.kind) {
            (Action::Stop, _) => Motion::Stopped,
            (_, DriveKind::Optical) => Motion::Medium(Medium::TrayOpen),
            _ => Motion::Medium(Medium::Absent),
        };
        // Locks outlive the medium. The session itself releases them.
        let claimed = device.claimed_by;
        let locks: Vec<_> = device.volumes.iter().map(|v| v.locked_by).collect();
        device.lose_medium();
        device.claimed_by = claimed;
        device.volumes.iter_mut().zip(locks).for_each(|(v, l)| v.locked_by = l);
        device.moving = Some((now + device.timing.motor, motion));
        device.finish_motion(now);
        state.invalidate(self.id, None);
        Ok((accepted(), Some(effect)))
    }

    /// Windows: closes this session's own handle. Any other handle on a drive of the device is a veto.
    fn request_removal(&self, state: &mut MachineState) -> Result<()> {
        self.close(state);
        let all = self.whole_device(state);
        match state.own_handles.iter().any(|(id, _)| all.contains(id)) {
            true => {
                let why = "something has it open; vetoed";
                Err(Error::new(ErrorKind::Vetoed, "", why)
                    .with_attempts(vec![Attempt::failed("remove the device", why)]))
            }
            false => Ok(()),
        }
    }

    /// Returns this drive and its siblings.
    fn whole_device(&self, state: &MachineState) -> Vec<DriveId> {
        let siblings = state.device(self.id).map(|d| d.spec.siblings.clone()).unwrap_or_default();
        let others = state
            .devices
            .iter()
            .filter(|d| d.attached && siblings.contains(&d.spec.name))
            .map(|d| d.spec.id);
        std::iter::once(self.id).chain(others).collect()
    }

    /// Closes the tray and waits for its motor.
    pub fn apply_load(&self, deadline: &mut Deadline<'_>) -> OpResult<StepOutcome> {
        let motor = self.with_state(|state| {
            let device = state.attached_device(self.id)?;
            match device.spec.kind {
                DriveKind::Optical => Ok(device.timing.motor),
                _ => Err(Error::new(ErrorKind::NotSupported, "", "has no motor to load with")),
            }
        })?;
        if self.with_state(|state| state.attached_device(self.id).map(|d| d.presence()))?
            == Presence::Present
        {
            return Ok((StepOutcome::skipped("the medium is in it already"), None));
        }
        deadline.sleep(motor)?;
        self.with_state(|state| {
            let device = state.attached_device(self.id)?;
            device.medium = if device.disc_in_tray { Medium::Present } else { Medium::Absent };
            device.moving = None;
            Ok((StepOutcome::via(Attempt::accepted("close the tray")), Some(Effect::Loaded)))
        })
    }
}
