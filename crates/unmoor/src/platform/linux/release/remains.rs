//! Removal of what is left of a drive that was pulled. Its data is lost, and nothing is written.

use crate::deadline::Deadline;
use crate::model::drive::Drive;
use crate::model::error::{Error, Result};
use crate::model::report::StepOutcome;
use crate::model::teardown::{TeardownStep, teardown_order};
use crate::platform::linux::helper::Helper;
use crate::platform::linux::release::{busy_check, teardown, umount};
use rustix::io::Errno;

/// Unmounts the dead mounts and removes the levels, the topmost first.
///
/// A mount in use is detached: the programs that use it get errors already. A warning names each part that stays.
///
/// # Errors
/// `NotExclusive` if a mount of another drive lies on them; `TimedOut`; `Interrupted`.
pub fn remove(drive: &Drive, helper: &Helper, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
    busy_check::check_foreign_mounts(drive)?;
    let mut done = StepOutcome::default();
    for step in teardown_order(drive) {
        deadline.check()?;
        let part = match step {
            TeardownStep::SwapOff(volume, path) => {
                teardown::swap_off(volume, path, helper, deadline)
            }
            TeardownStep::Unmount(_, mount) => {
                match umount::unmount_checked(mount, true, helper, deadline, |_| {}) {
                    Err(error) if is_busy(&error) => umount::detach(mount, helper, deadline),
                    other => other,
                }
            }
            TeardownStep::Dismount(volume) => {
                teardown::remove_level(drive, volume, false, helper, deadline)
            }
        };
        match part {
            Ok(part) => done.merge(part),
            Err(error) => done.warnings.push(format!("left over: {error}")),
        }
    }
    Ok(done)
}

fn is_busy(error: &Error) -> bool {
    error.os_code() == Some(Errno::BUSY.raw_os_error())
}
