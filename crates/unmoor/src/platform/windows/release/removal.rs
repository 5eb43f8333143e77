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
        // From outside the console session this privilege is needed, which administrators have
        // switched off.
        let _privilege = Privilege::LoadDriver.enable();
        self.close_all();
        let mut attempts = Vec::new();
        for left in (0..MAX_TRIES).rev() {
            let Err(veto) = remove(deadline, node, &mut attempts)? else { break };
            if left == 0 || !veto.may_pass() {
                return Err(veto.into_error(&self.drive.name).with_attempts(attempts));
            }
            deadline.sleep(RETRY_INTERVAL)?;
        }
        Ok(StepOutcome { attempts, ..StepOutcome::default() })
    }
}

/// Request for the removal of a device node, by its name.
type Removal = (&'static str, fn(DevNode) -> Result<(), Veto>);

const EJECT: Removal = ("CM_Request_Device_EjectW", DevNode::request_eject);
const REMOVE: Removal = ("CM_Query_And_Remove_SubTreeW", DevNode::remove_subtree);

/// Requests the removal as "Safely Remove Hardware" does. A device that this refuses by its nature can
/// still be stopped (problem code 21, or 47 after this request).
fn remove(
    deadline: &mut Deadline<'_>,
    node: DevNode,
    attempts: &mut Vec<Attempt>,
) -> Result<Result<(), Veto>> {
    match request(deadline, node, EJECT, attempts)? {
        Err(veto) if veto.is_not_ejectable() && Privilege::LoadDriver.is_held() => {
            request(deadline, node, REMOVE, attempts)
        }
        answer => Ok(answer),
    }
}

/// Sends a request for removal. A device that is gone already counts as removed.
fn request(
    deadline: &mut Deadline<'_>,
    node: DevNode,
    (name, call): Removal,
    attempts: &mut Vec<Attempt>,
) -> Result<Result<(), Veto>> {
    let method = format!("{name} on {}", node.instance().unwrap_or_default());
    let answer = cancellable_io::run_until(deadline, || false, move || Ok(call(node)))?;
    Ok(match answer {
        Ok(Err(veto)) if !veto.is_gone_already() => {
            attempts.push(Attempt::failed(method, veto.clone().into_error("").detail()));
            Err(veto)
        }
        _ => {
            attempts.push(Attempt::accepted(method));
            Ok(())
        }
    })
}
