//! Closes and toggles trays.

use super::device::Device;
use super::failure::Failure;
use super::options::EjectOptions;
use super::release;
use crate::signals;
use unmoor::{ErrorKind, Opened, Options, Outcome, Presence};

/// Closes the tray. A closed one is no error, and neither is an empty one.
pub fn close(device: &Device<'_>, options: &EjectOptions) -> Result<(), Failure> {
    options.explain(&format!("{}: closing tray", device.name()));
    let library = Options::cancelled_by(signals::cancel());
    let report = unmoor::load(device.platform, &device.target, &library, &mut |_| {});
    match report.outcome {
        Outcome::Failed(error) if error.kind() != ErrorKind::NoMedium => {
            let error = error.append_detail("CD-ROM tray close command failed");
            Err(error.into())
        }
        _ => Ok(()),
    }
}

/// Closes the tray if it is open, and releases the drive if it is closed.
pub fn toggle(device: &Device<'_>, options: &EjectOptions) -> Result<(), Failure> {
    options.explain(&format!("{}: toggling tray", device.name()));
    let library = Options::cancelled_by(signals::cancel());
    let presence = Opened::open(device.platform, device.drive.clone(), &library)?.presence()?;
    match presence {
        Presence::TrayOpen => close(device, options),
        _ => release::eject(device, options),
    }
}
