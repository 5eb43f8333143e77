//! Verification: what counts as proof that a drive did what it accepted.

use crate::model::drive::{Drive, DriveKind, Presence};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::model::report::StepOutcome;
use crate::model::step::Action;

/// Returns the outcome if the drive did it; `None` if not, or not yet.
pub(crate) fn verify(drive: &Drive, action: Action, seen: Presence) -> Option<StepOutcome> {
    use Presence::{Absent, Gone, Present, Stopped, TrayOpen, Unknown};
    match (action, seen) {
        (Action::PowerOff, Gone) => Some(StepOutcome::default().with_note("the drive is gone")),
        (Action::PowerOff, _) => None,
        (_, Gone) => Some(StepOutcome::default().with_note("the drive is gone")),
        (_, TrayOpen) => Some(StepOutcome::default().with_note("the tray is open")),
        (Action::Detach, Absent) => {
            Some(StepOutcome::default().with_note("nothing is attached to it any more"))
        }
        (_, Absent) => Some(StepOutcome::default().with_note("there is no medium in it any more")),
        (Action::Stop, Stopped) => Some(StepOutcome::default().with_note("the drive has stopped")),
        // Many USB bridges cannot report "no medium". They only stop.
        (Action::Eject, Stopped) if drive.kind == DriveKind::Disk => {
            Some(StepOutcome::default().with_note("the drive has stopped"))
        }
        // An unloaded tape drive waits for LOAD, with the tape where a hand can take it.
        (Action::Eject, Stopped) if drive.kind == DriveKind::Tape => {
            Some(StepOutcome::default().with_note("the tape is unloaded"))
        }
        (_, Unknown) => Some(StepOutcome::skipped("the drive does not say").with_warning(format!(
            "{} does not report whether it was released: not verified",
            drive.name
        ))),
        (_, Present | Stopped) => None,
    }
}

/// Returns the error for a drive that accepted the action and did not do it: a known fault of firmware.
pub(crate) fn not_verified(drive: &Drive, action: Action, seen: Presence) -> Error {
    let what = match (action, seen) {
        (Action::PowerOff, _) => "reported success, but is still there",
        (Action::Stop, _) => "reported success, but still runs",
        (Action::Detach, _) => "reported success, but is still attached",
        (_, Presence::Stopped) => "stopped, but kept the medium",
        _ => "reported success, but the medium is still in it",
    };
    Error::new(ErrorKind::NotVerified, &drive.name, what).with_hint(match action {
        Action::Detach => Hint::Text(
            "everything was flushed and dismounted before: something has it open, and it is detached when \
             that ends"
                .into(),
        ),
        Action::PowerOff => Hint::Text(
            "everything was flushed and dismounted before: unplug it, once nothing blinks any more"
                .into(),
        ),
        _ => Hint::PressButtonOrPowerOff,
    })
}

/// Fails if something of the drive is mounted again.
pub(crate) fn check_dismounted(drive: &Drive) -> Result<()> {
    match drive.mounts().first() {
        None => Ok(()),
        Some(mount) => Err(Error::new(
            ErrorKind::NotVerified,
            &drive.name,
            format!("is mounted again, on {}", mount.path.display()),
        )),
    }
}

/// Returns the error for a medium that would stay in the drive and can still be written to.
pub(crate) fn still_writable(drive: &Drive, what: &[String]) -> Error {
    let what = what.join(", ");
    Error::new(
        ErrorKind::Busy,
        &drive.name,
        format!("programs that have {what} open can still write to it: it could not be cut off"),
    )
    .with_hint(Hint::CloseOrEject)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Presence; 6] = [
        Presence::Present,
        Presence::Stopped,
        Presence::Absent,
        Presence::TrayOpen,
        Presence::Gone,
        Presence::Unknown,
    ];

    fn proofs(kind: DriveKind, action: Action) -> Vec<Presence> {
        let drive = Drive { kind, ..crate::model::drive::tests::drive() };
        ALL.into_iter().filter(|seen| verify(&drive, action, *seen).is_some()).collect()
    }

    #[test]
    fn a_medium_that_is_still_there_is_never_a_proof() {
        for action in [Action::Eject, Action::Stop, Action::Detach, Action::PowerOff] {
            for kind in [DriveKind::Disk, DriveKind::Optical, DriveKind::Loop] {
                assert!(!proofs(kind, action).contains(&Presence::Present), "{kind:?} {action:?}");
            }
        }
    }

    #[test]
    fn only_a_device_that_is_gone_is_powered_off() {
        assert_eq!(proofs(DriveKind::Disk, Action::PowerOff), [Presence::Gone]);
    }

    #[test]
    fn a_stopped_stick_has_let_go_and_a_stopped_disc_has_not() {
        assert!(proofs(DriveKind::Disk, Action::Eject).contains(&Presence::Stopped));
        assert!(!proofs(DriveKind::Optical, Action::Eject).contains(&Presence::Stopped));
        assert!(proofs(DriveKind::Disk, Action::Stop).contains(&Presence::Stopped));
    }

    #[test]
    fn silence_is_no_failure_but_is_told() {
        let drive = crate::model::drive::tests::drive();
        let done = verify(&drive, Action::Eject, Presence::Unknown).unwrap();
        assert!(done.skipped.is_some());
        assert!(done.warnings[0].contains("not verified"));
    }
}
