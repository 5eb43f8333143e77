//! What a session does to the volumes: write back, lock, dismount, claim.

use crate::Semantics;
use crate::cache::total;
use crate::device::Device;
use crate::journal::Effect;
use crate::session::{Answer, SimSession};
use crate::world::MachineState;
use unmoor::{Attempt, Deadline, Error, ErrorKind, Mount, Result, StepOutcome, VolumeKind};

fn busy(what: &str) -> Error {
    Error::new(ErrorKind::Busy, what, "is in use")
}

fn unwritten(what: &str) -> Error {
    Error::new(ErrorKind::Unwritten, what, "data could not be written: input/output error")
        .with_os_code(5)
}

impl SimSession<'_> {
    /// Writes the volume's cache to the drive, at the drive's speed. What could not be written once
    /// stays lost.
    pub fn write_back(&self, volume: &str, deadline: &mut Deadline<'_>) -> Result<u64> {
        let mut bytes = 0;
        loop {
            let next = self.world(|w| {
                let device = w.bound(self.id)?;
                let pace = device.pace;
                let vol = device.volume_mut(volume);
                match vol {
                    Some(vol) if vol.lost => Err(unwritten(volume)),
                    Some(vol) => {
                        Ok(vol.cache.first().map(|c| (pace.time_for(c.len()), total(&vol.cache))))
                    }
                    None => Ok(None),
                }
            })?;
            let Some((time, left)) = next else { return Ok(bytes) };
            deadline.report_remaining(left);
            deadline.sleep(time)?;
            let (more, left) = self.world(|w| {
                let device = w.with_medium(self.id)?;
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

    /// The medium refuses what is in the volume's cache: the kernel drops it.
    pub fn discard(&self, volume: &str) -> Error {
        self.world(|w| {
            if let Ok(vol) = w.volume(self.id, volume) {
                vol.cache.clear();
                vol.lost = true;
            }
        });
        unwritten(volume)
    }

    /// The medium refuses what is in the drive's cache.
    pub fn discard_drive_cache(&self) -> Error {
        self.world(|w| match w.device_mut(self.id) {
            Some(device) => {
                device.cache.clear();
                device.lost = true;
                unwritten(&device.spec.name)
            }
            None => unwritten(""),
        })
    }

    /// Writes the drive's cache to the medium.
    pub fn drain(&self, world: &mut MachineState) -> Result<u64> {
        let device = world.bound(self.id)?;
        if device.lost {
            return Err(unwritten(&device.spec.name));
        }
        let bytes = total(&device.cache);
        device.on_medium.append(&mut device.cache);
        Ok(bytes)
    }

    /// Windows: from here on nobody can open a file. Linux: nobody had one open just now.
    pub fn lock_idle(&self, world: &mut MachineState, volume: &str) -> Answer<StepOutcome> {
        let (manner, now) = (world.manner, world.now);
        let in_use = world.live_handles(self.id, volume).next().is_some();
        let vol = world.volume(self.id, volume)?;
        if !vol.is_mounted() {
            if manner == Semantics::Windows && vol.locked_by.is_none() {
                vol.locked_by = Some(self.token);
            }
            return Ok((StepOutcome::skipped("not mounted"), Some(Effect::Locked)));
        }
        let held = vol.locked_by.is_some_and(|token| token != self.token);
        if in_use || held || vol.busy_until.as_ref().is_some_and(|(until, _)| *until > now) {
            return Err(busy(volume));
        }
        if manner == Semantics::Windows {
            vol.locked_by = Some(self.token);
        }
        Ok((StepOutcome::via(Attempt::accepted("lock").with_detail(volume)), Some(Effect::Locked)))
    }

    /// Linux: takes one mount away.
    pub fn apply_unmount(
        &self,
        volume: &str,
        mount: &Mount,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Answer<StepOutcome> {
        let last = self.world(|world| {
            let used = world.live_handles(self.id, volume).any(|h| h.mount == mount.id);
            // The kernel refuses to unmount below another mount, and what a loop device lies on.
            let attached = world.devices.iter().filter(|d| d.attached);
            let below = attached
                .flat_map(|d| &d.volumes)
                .flat_map(|v| &v.shape.mounts)
                .any(|m| m.parent == mount.id && m.id != mount.id);
            let device = world.with_medium(self.id)?;
            let backs = device.volumes.iter().any(|v| {
                v.open
                    && v.shape.kind == VolumeKind::Loop
                    && v.shape.parents.iter().any(|n| n == volume)
            });
            let mounts = device.volume(volume).map(|v| &v.shape.mounts);
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
        // The last unmount writes back; being cut off does so first of all.
        if last || force {
            self.write_back_if_sound(volume, deadline)?;
        }
        let forced = self.world(|world| {
            // Writing back took its time, and somebody may have come in.
            if !force && world.live_handles(self.id, volume).any(|h| h.mount == mount.id) {
                return Err(busy(&mount.path.display().to_string()));
            }
            let used = world.live_handles(self.id, volume).next().is_some();
            let vol = world.volume(self.id, volume)?;
            vol.shape.mounts.retain(|m| m.id != mount.id);
            vol.elsewhere.take_if(|_| force);
            let forced = force && used;
            if forced {
                world.invalidate(self.id, Some(volume));
            }
            world.mirror(self.id, volume);
            Ok::<_, Error>(forced)
        })?;
        let method = Attempt::accepted(if forced { "cut off" } else { "unmount" });
        let method = method.with_detail(mount.path.display().to_string());
        Ok((StepOutcome::via(method), Some(Effect::Dismounted { forced })))
    }

    /// Windows: takes the file system down. Linux: closes what is stacked.
    pub fn apply_dismount(
        &self,
        volume: &str,
        force: bool,
        deadline: &mut Deadline<'_>,
    ) -> Answer<StepOutcome> {
        let token = self.token;
        let (windows, dismount, takes_down) = self.world(|world| {
            let windows = world.manner == Semantics::Windows;
            let used = world.live_handles(self.id, volume).next().is_some();
            let device = world.with_medium(self.id)?;
            let covered = covered(device, volume);
            let Some(vol) = device.volume(volume).filter(|v| v.open) else {
                return Ok((windows, false, false));
            };
            let mounted = vol.is_mounted();
            let locked = vol.locked_by == Some(token);
            let in_the_way = match windows {
                true => mounted && used && !locked,
                false => mounted,
            };
            if (in_the_way || covered) && !force {
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
        let forced = self.world(|world| {
            let forced = world.live_handles(self.id, volume).next().is_some();
            let vol = world.volume(self.id, volume)?;
            if windows {
                vol.remount_letters = std::mem::take(&mut vol.shape.mounts);
            }
            vol.open = !takes_down;
            world.invalidate(self.id, Some(volume));
            world.mirror(self.id, volume);
            Ok::<_, Error>(forced)
        })?;
        let method = if dismount { "dismount" } else { "close" };
        let method = Attempt::accepted(method).with_detail(volume);
        Ok((StepOutcome::via(method), Some(Effect::Dismounted { forced })))
    }

    /// Linux: the exclusive claim, refused while anything is mounted or set up on the drive. Windows
    /// has no such thing, and the locks hold already.
    pub fn apply_claim(&self, world: &mut MachineState, force: bool) -> Result<()> {
        let dead = world.handles.iter().any(|h| h.device == self.id && h.stale);
        let linux = world.manner == Semantics::Linux;
        // One that was empty from the start can be taken too: to power it off.
        let device = match self.empty {
            true => world.bound(self.id)?,
            false => world.with_medium(self.id)?,
        };
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

    /// Lets go of every lock and claim of this session; was there one.
    pub fn free(&self, world: &mut MachineState) -> bool {
        let Some(device) = world.device_mut(self.id) else { return false };
        let mut freed = device.claimed_by.take_if(|token| *token == self.token).is_some();
        for volume in &mut device.volumes {
            freed |= volume.locked_by.take_if(|token| *token == self.token).is_some();
        }
        freed
    }

    /// Closes its handle on the drive, and with it every lock.
    pub fn close(&self, world: &mut MachineState) {
        self.free(world);
        world.ours.retain(|(_, token)| *token != self.token);
    }

    /// Dismounting writes back what it can; the error of what could not was told by the flush.
    fn write_back_if_sound(&self, volume: &str, deadline: &mut Deadline<'_>) -> Result<()> {
        match self.write_back(volume, deadline) {
            Err(error) if error.kind() == ErrorKind::Unwritten => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// Does something that is set up lie on this volume.
fn covered(device: &Device, volume: &str) -> bool {
    device
        .volumes
        .iter()
        .any(|v| v.open && v.is_stacked() && v.shape.parents.iter().any(|n| n == volume))
}
