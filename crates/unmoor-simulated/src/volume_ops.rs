//! Operations of a session on volumes: write back, lock, dismount, claim.

use crate::cache::total;
use crate::device::Device;
use crate::journal::Effect;
use crate::semantics::Semantics;
use crate::session::{OpResult, SimSession};
use crate::state::MachineState;
use unmoor::{Attempt, Deadline, Error, ErrorKind, Mount, Result, StepOutcome, VolumeKind};

fn busy(what: &str) -> Error {
    Error::new(ErrorKind::Busy, what, "is in use")
}

fn unwritten(what: &str) -> Error {
    Error::new(ErrorKind::Unwritten, what, "data could not be written: input/output error")
        .with_os_code(5)
}

impl SimSession<'_> {
    /// Writes the volume's cache to the drive, at the drive's speed. Data that failed once stays lost.
    pub fn write_back(&self, volume: &str, deadline: &mut Deadline<'_>) -> Result<u64> {
        let mut bytes = 0;
        loop {
            let next = self.with_state(|state| {
                let device = state.attached_device(self.id)?;
                let timing = device.timing;
                let vol = device.volume_mut(volume);
                match vol {
                    Some(vol) if vol.lost => Err(unwritten(volume)),
                    Some(vol) => {
                        Ok(vol.cache.first().map(|c| (timing.time_for(c.len()), total(&vol.cache))))
                    }
                    None => Ok(None),
                }
            })?;
            let Some((time, left)) = next else { return Ok(bytes) };
            deadline.report_remaining(left);
            deadline.sleep(time)?;
            let (more, left) = self.with_state(|state| {
                let device = state.with_medium(self.id)?;
                let Some(vol) = device.volume_mut(volume) else { return Ok((0, 0)) };
                if vol.cache.is_empty() {
                    return Ok((0, 0));
                }
                let chunk = vol.cache.remove(0);
                let left = total(&vol.cache);
                let more = chunk.len();
                device.cache.push(chunk);
                Ok::<_, Error>((more, left))
            })?;
            bytes += more;
            deadline.report_remaining(left);
        }
    }

    /// Drops the volume's cache, as a kernel does when the medium refuses the data.
    pub fn discard(&self, volume: &str) -> Error {
        self.with_state(|state| {
            if let Ok(vol) = state.volume(self.id, volume) {
                vol.cache.clear();
                vol.lost = true;
            }
        });
        unwritten(volume)
    }

    /// Drops the drive's cache, which the medium refused.
    pub fn discard_drive_cache(&self) -> Error {
        self.with_state(|state| match state.device_mut(self.id) {
            Some(device) => {
                device.cache.clear();
                device.lost = true;
                unwritten(&device.spec.name)
            }
            None => unwritten(""),
        })
    }

    /// Writes the drive's cache to the medium.
    pub fn drain(&self, state: &mut MachineState) -> Result<u64> {
        let device = state.attached_device(self.id)?;
        if device.lost {
            return Err(unwritten(&device.spec.name));
        }
        let bytes = total(&device.cache);
        device.on_medium.append(&mut device.cache);
        Ok(bytes)
    }

    /// Locks an idle volume. On Windows the lock excludes every process; on Linux it is only a probe.
    pub fn lock_idle(&self, state: &mut MachineState, volume: &str) -> OpResult<StepOutcome> {
        let (semantics, now) = (state.semantics, state.now);
        let in_use = state.live_handles(self.id, volume).next().is_some();
        let vol = state.volume(self.id, volume)?;
        if !vol.is_mounted() {
            if semantics == Semantics::Windows && vol.locked_by.is_none() {
                vol.locked_by = Some(self.token);
            }
            return Ok((StepOutcome::skipped("not mounted"), Some(Effect::Locked)));
        }
        let held = vol.locked_by.is_some_and(|token| token != self.token);
        if in_use || held || vol.busy_until.as_ref().is_some_and(|(until, _)| *until > now) {
            return Err(busy(volume));
        }
        if semantics == Semantics::Windows {
            vol.locked_by = Some(self.token);
        }
        Ok((StepOutcome::via(Attempt::accepted("lock").with_detail(volume)), Some(Effect::Locked)))
    }

    /// Linux: unmounts one mount.
    pub fn apply_unmount(
        &self,
        volume: &str,
        mount: &Mount,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> OpResult<StepOutcome> {
        let last = self.with_state(|state| {
            let used = state.live_handles(self.id, volume).any(|h| h.mount == mount.id);
            // The kernel refuses to unmount below another mount, or below a loop device's file.
            let attached = state.devices.iter().filter(|d| d.attached);
            let below = attached
                .flat_map(|d| &d.volumes)
                .flat_map(|v| &v.spec.mounts)
                .any(|m| m.parent == mount.id && m.id != mount.id);
            let device = state.with_medium(self.id)?;
            let backs = device.volumes.iter().any(|v| {
                v.open
                    && v.spec.kind == VolumeKind::Loop
                    && v.spec.parents.iter().any(|n| n == volume)
            });
            let mounts = device.volume(volume).map(|v| &v.spec.mounts);
            let Some(mounts) = mounts.filter(|ms| ms.iter().any(|m| m.id == mount.id)) else {
                return Ok(None);
            };
            if (used || below || backs) && !force {
                return Err(busy(&mount.path.display().to_string()));
            }
            Ok(Some(mounts.len() == 1))
        })?;
        let Some(last) = last else {
            return Ok((StepOutcome::skipped("not mounted there any more"), None));
        };
        // The last unmount writes back. A forced unmount does so first of all.
        if last || force {
            self.write_back_if_sound(volume, deadline)?;
        }
        let forced = self.with_state(|state| {
            // Writing back took time, and a process may have opened a file meanwhile.
            if !force && state.live_handles(self.id, volume).any(|h| h.mount == mount.id) {
                return Err(busy(&mount.path.display().to_string()));
            }
            let used = state.live_handles(self.id, volume).next().is_some();
            let vol = state.volume(self.id, volume)?;
            vol.spec.mounts.retain(|m| m.id != mount.id);
            vol.foreign_namespace.take_if(|_| force);
            let forced = force && used;
            if forced {
                state.invalidate(self.id, Some(volume));
            }
            state.sync_shared(self.id, volume);
            Ok::<_, Error>(forced)
        })?;
        let method = Attempt::accepted(if forced { "cut off" } else { "unmount" });
        let method = method.with_detail(mount.path.display().to_string());
        Ok((StepOutcome::via(method), Some(Effect::Dismounted { forced })))
    }

    /// Linux: mounts the volume where this mount was, unless the volume was closed.
    pub fn apply_mount_again(
        &self,
        state: &mut MachineState,
        volume: &str,
        mount: &Mount,
    ) -> StepOutcome {
        let path = mount.path.display().to_string();
        let index = state.with_medium(self.id).ok().and_then(|device| {
            device.volumes.iter().position(|v| v.spec.name == volume && v.open && !v.offline)
        });
        match index {
            Some(index) => {
                state.mount(self.id, index, &mount.path);
                state.sync_shared(self.id, volume);
                StepOutcome::via(Attempt::accepted("mount").with_detail(path))
            }
            None => StepOutcome::default()
                .with_warning(format!("{path} could not be mounted again: {volume} is closed")),
        }
    }

    /// Windows: dismounts the file system. Linux: closes a stacked volume.
    pub fn apply_dismount(
        &self,
        volume: &str,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> OpResult<StepOutcome> {
        let token = self.token;
        let (windows, dismount, takes_down) = self.with_state(|state| {
            let windows = state.semantics == Semantics::Windows;
            let used = state.live_handles(self.id, volume).next().is_some();
            let device = state.with_medium(self.id)?;
            let covered = covered(device, volume);
            let Some(vol) = device.volume(volume).filter(|v| v.open) else {
                return Ok((windows, false, false));
            };
            let mounted = vol.is_mounted();
            let locked = vol.locked_by == Some(token);
            let blocked = match windows {
                true => mounted && used && !locked,
                false => mounted,
            };
            if (blocked || covered) && !force {
                return Err(busy(volume));
            }
            Ok((windows, mounted && windows, vol.is_stacked()))
        })?;
        if !dismount && !takes_down {
            return Ok((StepOutcome::skipped("not mounted"), None));
        }
        if dismount {
            self.write_back_if_sound(volume, deadline)?;
        }
        let forced = self.with_state(|state| {
            let forced = state.live_handles(self.id, volume).next().is_some();
            let vol = state.volume(self.id, volume)?;
            if windows {
                vol.remount_letters = std::mem::take(&mut vol.spec.mounts);
            }
            vol.open = !takes_down;
            state.invalidate(self.id, Some(volume));
            state.sync_shared(self.id, volume);
            Ok::<_, Error>(forced)
        })?;
        let method = if dismount { "dismount" } else { "close" };
        let method = Attempt::accepted(method).with_detail(volume);
        Ok((StepOutcome::via(method), Some(Effect::Dismounted { forced })))
    }

    /// Claims the drive exclusively on Linux, unless a volume is mounted or set up. Windows has no
    /// claim, and the locks already exclude other processes.
    pub fn apply_claim(&self, state: &mut MachineState, force: bool) -> Result<()> {
        let dead = state.handles.iter().any(|h| h.device == self.id && h.stale);
        let linux = state.semantics == Semantics::Linux;
        // A drive that was empty from the start can be claimed too, in order to power it off.
        let device = match self.empty {
            true => state.attached_device(self.id)?,
            false => state.with_medium(self.id)?,
        };
        if let Some(name) = &self.only_volume {
            let mounted = device.describe().volume(name).is_some_and(|v| !v.mounts.is_empty());
            return if mounted { Err(busy(name)) } else { Ok(()) };
        }
        let stacked = device.volumes.iter().any(|v| v.open && v.is_stacked());
        let held = device.claimed_by.is_some_and(|token| token != self.token);
        if device.is_mounted() || held || (linux && (stacked || (dead && !force))) {
            return Err(busy(&device.spec.name));
        }
        if linux && !dead {
            device.claimed_by = Some(self.token);
        }
        Ok(())
    }

    /// Releases every lock and claim of this session. Returns true if there was one.
    pub fn release_locks(&self, state: &mut MachineState) -> bool {
        let Some(device) = state.device_mut(self.id) else { return false };
        let mut freed = device.claimed_by.take_if(|token| *token == self.token).is_some();
        for volume in &mut device.volumes {
            freed |= volume.locked_by.take_if(|token| *token == self.token).is_some();
        }
        freed
    }

    /// Closes the session's handle on the drive, which releases every lock.
    pub fn close(&self, state: &mut MachineState) {
        self.release_locks(state);
        state.own_handles.retain(|(_, token)| *token != self.token);
    }

    /// Writes back as much as possible. The flush already reported data that could not be written.
    fn write_back_if_sound(&self, volume: &str, deadline: &mut Deadline<'_>) -> Result<()> {
        match self.write_back(volume, deadline) {
            Err(error) if error.kind() == ErrorKind::Unwritten => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// Returns true if another volume is set up over this one.
fn covered(device: &Device, volume: &str) -> bool {
    device
        .volumes
        .iter()
        .any(|v| v.open && v.is_stacked() && v.spec.parents.iter().any(|n| n == volume))
}
