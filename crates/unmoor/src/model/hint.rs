//! Hints: the advice that comes with an error.

use std::fmt;

/// Advice after an error, as data. A program words it for its own options.
///
/// Displayed, it is a short phrase in terms of [`Options`](crate::Options).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// A fact or a command of the system, in words. May contain text from strangers.
    Text(String),
    /// Allow more time: [`Options::timeout`](crate::Options::timeout).
    AllowMoreTime,
    /// Run the program with more privileges: as root, or as administrator.
    Elevate,
    /// Let the swap on the drive be switched off: [`Options::swapoff`](crate::Options::swapoff).
    SwapOff,
    /// Give up the data: [`Options::discard_unwritten`](crate::Options::discard_unwritten).
    DiscardUnwritten,
    /// Close what uses the volume, or cut it off: [`Options::force`](crate::Options::force).
    CloseOrForce,
    /// Close what uses the volume, or wait for it: [`Options::wait`](crate::Options::wait). Force would refuse too.
    CloseOrWait,
    /// Close what uses the volume, or cut it off. If nothing uses it, run the program as administrator, or
    /// power the drive off.
    CloseForceOrElevate,
    /// Close what can still write to the medium, or eject it too: another
    /// [`Goal`](crate::Goal).
    CloseOrEject,
    /// Eject the medium only: [`Goal::Eject`](crate::Goal::Eject).
    EjectOnly,
    /// Eject the medium of this drive alone, because a sibling that a power-off takes along is in use.
    EjectThisDriveOnly,
    /// Dismount only: [`Goal::Dismount`](crate::Goal::Dismount).
    DismountOnly,
    /// Dismount only, or power off if the slot of the drive is made for that.
    DismountOrPowerOff,
    /// Press the button of the drive, or power it off. Everything is flushed and dismounted.
    PressButtonOrPowerOff,
    /// Take the medium out by hand, or power the drive off.
    RemoveByHandOrPowerOff,
    /// Leave [`Options::offline`](crate::Options::offline) unset.
    LeaveOnline,
    /// Leave [`Options::kill`](crate::Options::kill) unset.
    LeaveProcesses,
    /// Leave [`Kill::services`](crate::Kill::services) out.
    LeaveServices,
    /// List the drives: [`list`](crate::list).
    ListDrives,
    /// List all drives, built-in ones too: [`list`](crate::list).
    ListAllDrives,
    /// List the drives and use the new one, if that is the one meant.
    ListAndRetry,
    /// Plug the drive in again and list the drives.
    ReplugAndList,
    /// Use the name of the drive instead of a path on it.
    UseDriveName,
    /// List the ports that can be attached: [`detached_ports`](crate::detached_ports).
    ListPorts,
    /// Attach the device at this port, if it was powered off: [`attach`](crate::attach).
    Attach(String),
    /// Remove what is left of a drive that is gone: release it.
    RemoveRemains,
    /// Use a simulated drive.
    UseSimulated,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hint::Text(text) => text,
            Hint::AllowMoreTime => "allow more time",
            Hint::Elevate if cfg!(windows) => "run it as administrator",
            Hint::Elevate => "run it as root",
            Hint::SwapOff => "switch the swap on it off first",
            Hint::DiscardUnwritten => "the medium stays in, because data would be lost",
            Hint::CloseOrForce => "close what uses it, or cut it off by force",
            Hint::CloseOrWait => "close what uses it, or wait for it",
            Hint::CloseForceOrElevate => {
                "close what uses it, or cut it off by force; if nothing uses it, run this as administrator or \
                 power the drive off"
            }
            Hint::CloseOrEject => "close them, or eject the medium too",
            Hint::EjectOnly => "eject the medium only",
            Hint::EjectThisDriveOnly => "eject the medium of this drive alone",
            Hint::DismountOnly => "flush and dismount it only",
            Hint::DismountOrPowerOff => {
                "flush and dismount it only, or power it off if its slot is made for that"
            }
            Hint::PressButtonOrPowerOff => {
                "everything was flushed and dismounted before: press the drive's own button, or \
                 power it off"
            }
            Hint::RemoveByHandOrPowerOff => "take the medium out by hand, or power the drive off",
            Hint::LeaveOnline => "leave it online",
            Hint::LeaveProcesses => "close the programs instead",
            Hint::LeaveServices => "stop the services by their commands",
            Hint::ListDrives => "list the drives",
            Hint::ListAllDrives => "list all drives",
            Hint::ListAndRetry => "list the drives and use the new one if that is the one you mean",
            Hint::ReplugAndList => "plug it in again and list the drives",
            Hint::UseDriveName => {
                "a file system on the way to it may wait for its server: use the name of the drive"
            }
            Hint::ListPorts => "list the ports that can be attached",
            Hint::Attach(port) => return write!(f, "attach {port}, if it was powered off"),
            Hint::RemoveRemains => "release it, which removes what is left of it",
            Hint::UseSimulated => "use a simulated drive",
        })
    }
}
