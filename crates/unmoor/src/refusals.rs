//! What is never released, or not by itself.

use crate::drive::{Drive, DriveKind, Medium};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Goal, Options};

/// A drive that carries the running system is never released, by no option. Swap can be switched off.
pub(crate) fn refuse_system(drive: &Drive, swapoff: bool) -> Result<()> {
    let is_swap = |what: &&String| what.starts_with("swap on ");
    let uses: Vec<&str> = drive
        .system
        .iter()
        .filter(|what| !(swapoff && is_swap(what)))
        .map(String::as_str)
        .collect();
    if uses.is_empty() {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::Refused,
        &drive.name,
        format!("carries the running system ({})", uses.join(", ")),
    );
    Err(error.with_help(match drive.system.iter().all(|what| is_swap(&what)) {
        true => "pass --swapoff to switch the swap on it off first",
        false => "unmoor never releases such a drive",
    }))
}

/// There is nothing to release in a drive without a medium; the device itself can be powered off all
/// the same, as a card reader with empty slots.
pub(crate) fn refuse_empty(drive: &Drive, goal: Goal) -> Result<()> {
    if goal == Goal::PowerOff && drive.kind != DriveKind::Loop {
        return Ok(());
    }
    if matches!(drive.medium, Medium::TrayOpen | Medium::Absent)
        && let Some(mount) = drive.mounts().first()
    {
        let why = "the medium has left the drive while it was mounted";
        return Err(Error::new(ErrorKind::Gone, &drive.name, why).with_help(format!(
            "what was not written before is lost; take away what is left of it: umount {}",
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

/// What lies on other drives too cannot be taken down for the sake of one of them: not even by force,
/// because it is not this drive alone that would lose it.
pub(crate) fn refuse_spanning(drive: &Drive, options: &Options) -> Result<()> {
    let part_of = |other: &Drive, name: &str| other.name == name || other.volume(name).is_some();
    let given = |name: &str| options.together.iter().any(|other| part_of(other, name));
    for volume in &drive.volumes {
        let elsewhere =
            volume.on.iter().chain(&volume.spans).find(|n| !part_of(drive, n) && !given(n));
        if let Some(elsewhere) = elsewhere {
            let what = match volume.spans.contains(elsewhere) {
                true => format!("the file system on {}", volume.name),
                false => volume.name.clone(),
            };
            return Err(Error::new(
                ErrorKind::Refused,
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

    #[test]
    fn swap_is_refused_unless_it_may_be_switched_off_and_root_always() {
        let mut drive = crate::drive::tests::drive();
        drive.system = vec!["swap on sdb2".into()];
        let error = refuse_system(&drive, false).unwrap_err();
        assert!(error.help().unwrap().contains("--swapoff"), "{error}");
        assert!(refuse_system(&drive, true).is_ok());
        drive.system.push("/".into());
        let error = refuse_system(&drive, true).unwrap_err();
        assert!(error.to_string().ends_with("(/)"), "{error}");
    }
}
