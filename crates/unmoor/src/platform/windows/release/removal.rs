//! Removal of the device from its bus: "Safely Remove Hardware".

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::platform::win32_parse::Veto;
use crate::platform::windows::release::handles::DriveHandles;
use crate::platform::windows::sys::devnode::DevNode;
use crate::platform::windows::sys::privilege::Privilege;
use crate::platform::windows::sys::{cancellable_io, devnode};
use std::time::Duration;

/// Limit for requests that a program or service vetoes.
const MAX_TRIES: u32 = 3;
/// Interval between those requests.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

impl DriveHandles {
    /// Returns the device node that leaves with the drive.
    pub(crate) fn removal_node(&self) -> Option<DevNode> {
        self.instance.as_deref().and_then(devnode::locate).and_then(DevNode::removal_node)
    }

    /// Removes the device from its bus. Every handle of ours is closed before, since each would veto
    /// the removal. Windows asks every other program, and the file systems lock, flush and dismount
    /// their volumes themselves.
    ///
    /// # Errors
    /// `Vetoed`, with the program, service or driver that refuses; `NotPermitted`; `NotSupported` if no
    /// node may be removed.
    pub(crate) fn remove_device(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let Some(node) = self.removal_node() else {
            let why = "cannot be powered off: its device is not one that may be removed";
            return Err(Error::new(ErrorKind::NotSupported, &self.drive.name, why)
                .with_hint(Hint::EjectOnly));
        };
        let instance = node.instance().unwrap_or_default();
        let eject = format!("CM_Request_Device_EjectW on {instance}");
        let remove = format!("CM_Query_And_Remove_SubTreeW on {instance}");
        // From outside the console session this privilege is needed, which administrators have
        // switched off.
        let _privilege = Privilege::LoadDriver.enable();
        self.close_all();
        let mut attempts = Vec::new();
        for left in (0..MAX_TRIES).rev() {
            let Err(veto) = request(deadline, node, DevNode::request_eject)? else {
                attempts.push(Attempt::accepted(&eject));
                return Ok(StepOutcome { attempts, ..StepOutcome::default() });
            };
            let again = left > 0 && veto.may_pass();
            let not_ejectable = veto.is_not_ejectable();
            let error = veto.into_error(&self.drive.name);
            attempts.push(Attempt::failed(&eject, error.detail()));
            if not_ejectable && Privilege::LoadDriver.is_held() {
                // The device can still be stopped (problem code 21, or 47 after this request).
                match request(deadline, node, DevNode::remove_subtree)? {
                    Ok(()) => {
                        attempts.push(Attempt::accepted(&remove));
                        return Ok(StepOutcome { attempts, ..StepOutcome::default() });
                    }
                    Err(veto) => {
                        let error = veto.into_error(&self.drive.name);
                        attempts.push(Attempt::failed(&remove, error.detail()));
                    }
                }
            }
            if !again {
                return Err(error.with_attempts(attempts));
            }
            deadline.sleep(RETRY_INTERVAL)?;
        }
        Ok(StepOutcome { attempts, ..StepOutcome::default() })
    }
}

/// Sends a request for removal. A device that is gone already counts as removed.
fn request(
    deadline: &mut Deadline<'_>,
    node: DevNode,
    call: fn(DevNode) -> Result<(), Veto>,
) -> Result<Result<(), Veto>> {
    let answer = cancellable_io::run_until(deadline, || false, move || Ok(call(node)))?;
    Ok(match answer {
        Ok(Err(veto)) if !veto.is_gone_already() => Err(veto),
        _ => Ok(()),
    })
}
