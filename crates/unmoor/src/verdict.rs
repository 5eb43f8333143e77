//! What counts as proof that a drive let go, by what it was told to do.

use crate::drive::{Drive, DriveKind, Presence};
use crate::error::{Error, ErrorKind};
use crate::plan::Action;
use crate::report::Done;

/// Did the drive do it; `None` when not, or not yet.
pub(crate) fn judge(drive: &Drive, action: Action, seen: Presence) -> Option<Done> {
    use Presence::{Absent, Gone, Present, Stopped, TrayOpen, Unknown};
    match (action, seen) {
        (Action::PowerOff, Gone) => Some(Done::default().with_note("the drive is gone")),
        (Action::PowerOff, _) => None,
        (_, Gone) => Some(Done::default().with_note("the drive is gone")),
        (_, TrayOpen) => Some(Done::default().with_note("the tray is open")),
        (Action::Detach, Absent) => {
            Some(Done::default().with_note("nothing is attached to it any more"))
        }
        (_, Absent) => Some(Done::default().with_note("there is no medium in it any more")),
        (Action::Stop, Stopped) => Some(Done::default().with_note("the drive has stopped")),
        // Many USB bridges know no "no medium": they stop, and that is all they can say.
        (Action::Eject, Stopped) if drive.kind == DriveKind::Disk => {
            Some(Done::default().with_note("the drive has stopped"))
        }
        (_, Unknown) => {
            Some(Done::skipped("the drive does not say").with_warning(format!(
                "{} does not say whether it let go: not verified",
                drive.name
            )))
        }
        (_, Present | Stopped) => None,
    }
}

/// The drive said yes and did nothing, or not enough: a known fault of firmware.
pub(crate) fn not_ejected(drive: &Drive, action: Action, seen: Presence) -> Error {
    let what = match (action, seen) {
        (Action::PowerOff, _) => "said yes to powering off, and is still there",
        (Action::Stop, _) => "said yes to stopping, and still runs",
        (Action::Detach, _) => "said yes to detaching, and is still attached",
        (_, Presence::Stopped) => "stopped, but kept the medium",
        _ => "said yes to ejecting, and the medium is still in it",
    };
    Error::new(ErrorKind::NotEjected, &drive.name, what).with_help(
        "everything was flushed and dismounted before: press the drive's own button, or pass \
         --power-off if it is to be unplugged",
    )
}
