//! Load: closes the tray, and waits until the drive knows its medium.

use crate::deadline::Deadline;
use crate::model::drive::Presence;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::platform::win32_parse;
use crate::platform::windows::release::handles::{
    DriveHandles, ERROR_ACCESS_DENIED, attempt, run_until,
};
use crate::platform::windows::sys::storage;
use std::time::Duration;

impl DriveHandles {
    /// Loads the medium: by the query handle, then by handles that may read.
    pub(crate) fn load_medium(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let mut attempts = Vec::new();
        let mut last = ERROR_ACCESS_DENIED;
        // IOCTL_STORAGE_LOAD_MEDIA2 needs no read access.
        let asking = self.device.clone().map(|device| (self.drive.name.clone(), device));
        let ways = asking.into_iter().map(|way| (way, true));
        for ((name, device), two) in
            ways.chain(self.drive_requests(deadline)?.into_iter().map(|way| (way, false)))
        {
            let (method, answer) = match two {
                true => (
                    "IOCTL_STORAGE_LOAD_MEDIA2",
                    run_until(deadline, &device, storage::load_media2)?,
                ),
                false => {
                    ("IOCTL_STORAGE_LOAD_MEDIA", run_until(deadline, &device, storage::load_media)?)
                }
            };
            attempts.push(attempt(format!("{method} on {name}"), &answer));
            match answer {
                Ok(()) => {
                    self.settle(deadline)?;
                    return Ok(StepOutcome { attempts, ..StepOutcome::default() });
                }
                Err(code) => last = code,
            }
        }
        let error = match win32_parse::says_unsupported(last) {
            true => Error::new(
                ErrorKind::NotSupported,
                &self.drive.name,
                format!("cannot load a medium by command ({})", win32_parse::code_name(last)),
            )
            .with_os_code(last as i32)
            .with_help("put it in by hand"),
            false => win32_parse::error(last, &self.drive.name, "IOCTL_STORAGE_LOAD_MEDIA"),
        };
        Err(error.with_attempts(attempts))
    }

    /// Waits until the drive has found out whether there is a medium.
    fn settle(&self, deadline: &mut Deadline<'_>) -> Result<()> {
        let start = deadline.now();
        loop {
            let seen = self.presence();
            let patience = match seen {
                // Not ready: no medium, or one that spins up.
                Presence::Absent | Presence::Stopped => Duration::from_secs(12),
                Presence::TrayOpen => Duration::from_secs(2),
                _ => return Ok(()),
            };
            if deadline.now().saturating_sub(start) >= patience || deadline.check().is_err() {
                return Ok(());
            }
            deadline.sleep(Duration::from_millis(100))?;
        }
    }
}
