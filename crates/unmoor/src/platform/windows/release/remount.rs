//! Remount of volumes that were dismounted and are still in the drive.

use crate::model::drive::Drive;
use crate::model::error::Result;
use crate::model::report::StepOutcome;
use crate::platform::win32_parse;
use crate::platform::windows::release::handles::attempt;
use crate::platform::windows::sys::cancellable_io::run_for;
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::{fsctl, volumes};
use std::time::Duration;

/// Time for the file system of a volume to mount.
const MOUNT_TIMEOUT: Duration = Duration::from_secs(30);

/// Mounts every volume of the drive by opening its root folder. One that was taken offline is taken
/// online first.
pub(crate) fn remount(drive: &Drive) -> Result<StepOutcome> {
    let mut done = StepOutcome::default();
    for volume in &drive.volumes {
        let path = volume.path.to_string_lossy();
        let online = Device::open(&*path, Access::Write).and_then(|device| fsctl::online(&device));
        let online = attempt(format!("IOCTL_VOLUME_ONLINE on {}", volume.name), &online);
        let root = win32_parse::volume_root(&path);
        let opened = run_for(MOUNT_TIMEOUT, move || volumes::file_system(root));
        let system = opened.and_then(|answer| {
            answer.map_err(|code| win32_parse::error(code, &volume.name, "open its root"))
        });
        let system = system.map_err(|error| error.with_attempts(vec![online.clone()]))?;
        // Only a volume that was offline needs this, and only an administrator may do it.
        done.attempts.extend(online.ok.then_some(online));
        done.merge(
            StepOutcome::default()
                .with_note(format!("{} is mounted ({})", volume.name, system.name)),
        );
    }
    Ok(done)
}
