//! Preconditions of a release: drives that are never released, or not with these options.

use crate::model::blocker::{BlockerKind, BlockerScan};
use crate::model::drive::{Drive, DriveKind, Medium};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::options::{Goal, Options};

/// Fails for a drive that carries the running system. No option allows its release.
///
/// Swap alone can be switched off: see [`check_exclusive`].
pub(crate) fn check_system(drive: &Drive) -> Result<()> {
    if !drive.carries_system() {
        return Ok(());
    }
    let what = format!("carries the running system ({})", drive.system_description());
    Err(Error::new(ErrorKind::Refused, &drive.name, what)
        .with_help("unmoor never releases such a drive"))
}

/// Fails for a drive with swap that stays on, or with a volume that spans other drives.
///
/// Force does not change that.
pub(crate) fn check_exclusive(drive: &Drive, options: &Options) -> Result<()> {
    if !options.swapoff && drive.carries_swap() {
        let what = format!("is in use: {}", drive.system_description());
        return Err(Error::new(ErrorKind::NotExclusive, &drive.name, what).with_hint(Hint::SwapOff));
    }
    check_no_spanning(drive, options)
}

/// Fails for a drive that must not be released with these options.
pub(crate) fn check_release(drive: &Drive, options: &Options) -> Result<()> {
    check_system(drive)?;
    check_exclusive(drive, options)
}

/// Fails if the options ask for something that the platform lacks.
pub(crate) fn check_supported(
    drive: &Drive,
    options: &Options,
    supports_offline: bool,
    can_terminate: bool,
    can_stop_services: bool,
) -> Result<()> {
    let unsupported = |why| Error::new(ErrorKind::NotSupported, &drive.name, why);
    if options.offline && !supports_offline {
        let why = "cannot be taken offline: this system has no such state";
        return Err(unsupported(why).with_hint(Hint::LeaveOnline));
    }
    if options.kill.is_some() && !can_terminate {
        let why = "programs cannot be ended for it: not available on this system";
        return Err(unsupported(why).with_hint(Hint::LeaveProcesses));
    }
    if options.kill.as_ref().is_some_and(|kill| kill.services) && !can_stop_services {
        let why =
            "services cannot be stopped for it: not available on this system, or not to this user";
        return Err(unsupported(why).with_hint(Hint::LeaveServices));
    }
    Ok(())
}

/// Fails for a volume that alone is to be ejected: only its drive can be.
pub(crate) fn check_goal(drive: &Drive, goal: Goal) -> Result<()> {
    match (&drive.selection, goal) {
        (None, _) | (_, Goal::Dismount) => Ok(()),
        (Some(one), _) => {
            let why = "one volume alone can be dismounted, and not ejected";
            Err(Error::new(ErrorKind::NotSupported, &one.volume, why))
        }
    }
}

/// Returns the scan without what the release takes down by itself with these options.
pub(crate) fn without_planned(
    mut scan: BlockerScan,
    drive: &Drive,
    options: &Options,
) -> BlockerScan {
    let group_complete = !options.group.is_empty() && check_exclusive(drive, options).is_ok();
    scan.blockers.retain(|blocker| match blocker.kind {
        BlockerKind::Swap => !options.swapoff,
        BlockerKind::MultiDevice | BlockerKind::Mapping => !group_complete,
        _ => true,
    });
    scan
}

/// Fails for a drive without a medium, unless the device is to be powered off.
///
/// A card reader with empty slots can be powered off.
pub(crate) fn check_medium(drive: &Drive, goal: Goal) -> Result<()> {
    if goal == Goal::PowerOff && drive.kind != DriveKind::Loop {
        return Ok(());
    }
    if matches!(drive.medium, Medium::TrayOpen | Medium::Absent)
        && let Some(mount) = drive.mounts().first()
    {
        let why = "the medium has left the drive while it was mounted";
        return Err(Error::new(ErrorKind::Gone, &drive.name, why).with_help(format!(
            "what was not written before is lost; remove the stale mount: umount {}",
            mount.path.display()
        )));
    }
    let why = match (drive.medium, drive.kind) {
        (Medium::TrayOpen, _) => "the tray is open already",
        (Medium::Absent, DriveKind::Loop) => "no image is attached to it",
        (Medium::Absent, DriveKind::Network) => "no remote disk is attached to it",
        (Medium::Absent, _) => "there is no medium in it",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::NoMedium, &drive.name, why))
}

/// Fails for a drive with a volume that spans drives outside of the group.
fn check_no_spanning(drive: &Drive, options: &Options) -> Result<()> {
    let part_of = |other: &Drive, name: &str| other.name == name || other.has_volume(name);
    let given = |name: &str| options.group.iter().any(|other| part_of(other, name));
    for volume in &drive.volumes {
        let elsewhere = volume
            .parents
            .iter()
            .chain(&volume.other_members)
            .find(|n| !part_of(drive, n) && !given(n));
        if let Some(elsewhere) = elsewhere {
            let what = match volume.other_members.contains(elsewhere) {
                true => format!("the file system on {}", volume.name),
                false => volume.name.clone(),
            };
            return Err(Error::new(
                ErrorKind::NotExclusive,
                &drive.name,
                format!("{what} lies on {elsewhere} too, which is on another drive"),
            )
            .with_help("name all its drives in one call, or take it down yourself first"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drive::SystemUse;

    #[test]
    fn swap_holds_a_drive_until_it_may_be_switched_off_and_root_is_never_released() {
        let mut drive = crate::model::drive::tests::drive();
        let swapoff = Options { swapoff: true, ..Options::default() };
        drive.system_uses = vec![SystemUse::Swap("sdb2".into())];
        assert!(check_system(&drive).is_ok());
        let error = check_exclusive(&drive, &Options::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotExclusive);
        assert_eq!(error.hint(), Some(&Hint::SwapOff));
        assert!(check_exclusive(&drive, &swapoff).is_ok());
        drive.system_uses.push(SystemUse::Mount("/".into()));
        let error = check_system(&drive).unwrap_err();
        assert!(error.to_string().ends_with("(swap on sdb2, /)"), "{error}");
    }
}
