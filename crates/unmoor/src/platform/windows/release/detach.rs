//! Detachment of image files: of the drive itself, and of images whose file lies on the drive.

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::platform::win32_parse;
use crate::platform::win32_parse::Container;
use crate::platform::windows::inventory::snapshot::Inventory;
use crate::platform::windows::inventory::{describe, images, resolve};
use crate::platform::windows::release::handles::DriveHandles;
use crate::platform::windows::sys::{
    cancellable_io, container_driver, container_program, virtual_disks,
};
use std::time::Duration;

/// Interval between checks whether a container was dismounted.
const CONTAINER_POLL: Duration = Duration::from_millis(50);

impl DriveHandles {
    /// Detaches the drive from its image file, once its handles are closed.
    ///
    /// # Errors
    /// `NotSupported` if the drive is no image; what the system reports.
    pub(crate) fn detach(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let Some(image) = self.drive.backing_file.clone() else {
            let why = "is not attached from an image file";
            return Err(Error::new(ErrorKind::NotSupported, &self.drive.name, why));
        };
        let method = format!("DetachVirtualDisk {}", image.display());
        self.close_all();
        let path = image.into_os_string();
        match cancellable_io::run_until(deadline, || false, move || virtual_disks::detach(&path))? {
            Ok(()) => Ok(StepOutcome::via(Attempt::accepted(method))),
            Err(code) => {
                let attempt = Attempt::failed(method, win32_parse::code_name(code));
                Err(win32_parse::error(code, &self.drive.name, "DetachVirtualDisk")
                    .with_attempts(vec![attempt]))
            }
        }
    }

    /// Releases and detaches every image and container whose file lies on the drive: those files are
    /// open, so that no volume with one can be locked.
    ///
    /// # Errors
    /// As a release of the image would fail: `Busy` if something on it is in use.
    pub(crate) fn detach_images(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let inventory = Inventory::take();
        let mut done = StepOutcome::default();
        let mut notes = Vec::new();
        self.dismount_containers(&inventory, deadline, &mut done)?;
        let images = images::attached(&inventory);
        for image in images.into_iter().filter(|image| image.hosts.contains(&self.key)) {
            let drive = describe::describe(&inventory, &image.key);
            let mut handles = DriveHandles::open(&drive, self.waiting_process)?;
            done.attempts.extend(handles.detach_images(deadline)?.attempts);
            let volumes: Vec<_> = drive.volumes.iter().rev().collect();
            for volume in &volumes {
                done.attempts.extend(handles.lock_volume(volume, deadline)?.attempts);
            }
            for volume in &volumes {
                done.attempts.extend(handles.dismount_volume(volume, false, deadline)?.attempts);
            }
            done.attempts.extend(handles.detach(deadline)?.attempts);
            notes.push(format!("the image {} was detached", image.path));
        }
        if !notes.is_empty() {
            done = done.with_note(notes.join(", "));
        }
        Ok(done)
    }

    /// Dismounts the encrypted containers on the drive by the program that mounted them. One that is in
    /// use, or whose program is not installed, stays mounted, and keeps the drive busy.
    fn dismount_containers(
        &self,
        inventory: &Inventory,
        deadline: &mut Deadline<'_>,
        done: &mut StepOutcome,
    ) -> Result<()> {
        for (program, container) in mounted_containers(deadline)? {
            let path = container.path();
            let host = resolve::by_path(inventory, path.as_ref(), path);
            if !host.is_ok_and(|host| host == self.key) {
                continue;
            }
            let Some(mut child) = container_program::dismount(program, container.letter) else {
                continue;
            };
            while matches!(child.try_wait(), Ok(None)) {
                deadline.sleep(CONTAINER_POLL)?;
            }
            let method = format!("{program} /dismount {}", container.letter);
            let stays = mounted_containers(deadline)?.iter().any(|(_, left)| *left == container);
            done.attempts.push(match stays {
                true => Attempt::failed(method, "it is still mounted"),
                false => Attempt::accepted(method).with_detail(path),
            });
        }
        Ok(())
    }
}

/// Returns the mounted containers of this user, each with the name of its program.
fn mounted_containers(deadline: &mut Deadline<'_>) -> Result<Vec<(&'static str, Container)>> {
    let mounted = || Ok(container_driver::mounted());
    Ok(cancellable_io::run_until(deadline, || false, mounted)?.unwrap_or_default())
}
