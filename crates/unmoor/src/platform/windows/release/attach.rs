//! Reattachment of a device that was removed and is still plugged in.

use crate::deadline::Deadline;
use crate::model::drive::{Bus, Port};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::model::target::Target;
use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::inventory::snapshot::Inventory;
use crate::platform::windows::inventory::usb_device;
use crate::platform::windows::inventory::usb_device::{Detached, WILL_BE_REMOVED};
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::devnode::DevNode;
use crate::platform::windows::sys::{cancellable_io, storage};
use std::time::Duration;

/// Interval between scans for the drive.
const SCAN_INTERVAL: Duration = Duration::from_millis(250);

/// Returns the devices that were removed and are still plugged in, named by their instance paths.
pub(crate) fn detached_devices() -> Vec<Port> {
    let port = |device: Detached| Port { name: device.instance, bus: Bus::Usb };
    usb_device::detached().into_iter().map(port).collect()
}

/// Returns the names of the methods for this device.
///
/// # Errors
/// `NoSuchTarget`.
pub(crate) fn method_names(target: &Target) -> Result<Vec<String>> {
    find(target).map(|device| vec![method(device.problem).to_string()])
}

/// Reattaches the device that the target names, and waits for its drive.
///
/// # Errors
/// `NoSuchTarget`; `NotPermitted`; `Failed` if no drive appears.
pub(crate) fn attach(target: &Target, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
    if !usb_device::drives(&Inventory::take(), target).is_empty() {
        return Ok(StepOutcome::skipped("it is already attached"));
    }
    let device = find(target)?;
    let method = format!("{} on {}", method(device.problem), device.instance);
    let Detached { node, problem, .. } = device;
    let restart = move || match problem {
        WILL_BE_REMOVED => node.enable(),
        _ => cycle_port(node),
    };
    if let Err(code) = cancellable_io::run_until(deadline, || false, restart)? {
        let attempt = Attempt::failed(&method, win32_parse::code_name(code));
        let error = win32_parse::error(code, &device.instance, &method);
        let error = match error.kind() {
            ErrorKind::NotPermitted => error,
            _ => error.with_help("unplug it and plug it in again"),
        };
        return Err(error.with_attempts(vec![attempt]));
    }
    while usb_device::drives(&Inventory::take(), target).is_empty() {
        if deadline.remaining() <= SCAN_INTERVAL {
            let why = "was restarted, but no drive appeared";
            return Err(Error::new(ErrorKind::Failed, &device.instance, why)
                .with_help("unplug it and plug it in again"));
        }
        deadline.sleep(SCAN_INTERVAL)?;
    }
    Ok(StepOutcome::via(Attempt::accepted(method)))
}

fn method(problem: u32) -> &'static str {
    match problem {
        WILL_BE_REMOVED => "CM_Enable_DevNode",
        _ => "IOCTL_USB_HUB_CYCLE_PORT",
    }
}

fn find(target: &Target) -> Result<Detached> {
    let devices = usb_device::detached();
    let found = devices.into_iter().find(|device| usb_device::is_named(device.node, target));
    found.ok_or_else(|| {
        let why = "no device of this name was removed and is still plugged in";
        Error::new(ErrorKind::NoSuchTarget, target.to_string(), why).with_hint(Hint::ListPorts)
    })
}

/// Cycles the port of the hub that the device is plugged into.
fn cycle_port(node: DevNode) -> Result<(), Code> {
    const ERROR_NO_SUCH_DEVICE: Code = 433;
    let hub = node.parent().and_then(DevNode::hub_path).ok_or(ERROR_NO_SUCH_DEVICE)?;
    let port = node.address().ok_or(ERROR_NO_SUCH_DEVICE)?;
    storage::cycle_port(&Device::open(hub, Access::Write)?, port)
}
