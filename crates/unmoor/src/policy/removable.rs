//! Selection of the removable drives of a machine.

use crate::model::drive::{Drive, DriveKind, Medium};

/// Selects the drives that a person would take out or unplug. Returns the others with a reason.
///
/// The others are drives that carry the running system, built-in drives, attached images and empty drives.
/// A stick that only carries swap is selected: its release succeeds with
/// [`Options::swapoff`](crate::Options::swapoff), and names the swap otherwise.
pub fn select_removable(drives: Vec<Drive>) -> (Vec<Drive>, Vec<(Drive, String)>) {
    let mut chosen = Vec::new();
    let mut left_out = Vec::new();
    for drive in drives {
        match reason_to_leave(&drive) {
            None => chosen.push(drive),
            Some(reason) => left_out.push((drive, reason)),
        }
    }
    (chosen, left_out)
}

fn reason_to_leave(drive: &Drive) -> Option<String> {
    if drive.carries_system() {
        return Some(format!("carries the running system ({})", drive.system_description()));
    }
    let why = match (drive.kind, drive.medium) {
        (DriveKind::Loop, _) => "is an image file",
        (DriveKind::Network, _) => "is a remote disk",
        _ if !drive.removable && !drive.hotplug => "is built in",
        (_, Medium::Absent) => "there is no medium in it",
        (_, Medium::TrayOpen) => "the tray is open already",
        _ => return None,
    };
    Some(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drive::SystemUse;

    fn swap() -> SystemUse {
        SystemUse::Swap("sdb2".into())
    }

    fn left_out(change: impl FnOnce(&mut Drive)) -> Option<String> {
        let mut drive = crate::model::drive::tests::drive();
        change(&mut drive);
        reason_to_leave(&drive)
    }

    #[test]
    fn a_stick_and_a_disk_on_a_cable_are_meant() {
        assert_eq!(left_out(|_| {}), None);
        assert_eq!(left_out(|d| d.removable = false), None);
        assert_eq!(left_out(|d| d.hotplug = false), None);
        assert_eq!(left_out(|d| d.medium = Medium::Unknown), None);
        // Whoever is about to pull everything out has to know that swap holds this one.
        assert_eq!(left_out(|d| d.system_uses = vec![swap()]), None);
    }

    #[test]
    fn system_built_in_and_empty_drives_are_not() {
        let system = left_out(|d| d.system_uses = vec![SystemUse::Mount("/boot".into())]).unwrap();
        assert!(system.contains("/boot"), "{system}");
        let mixed =
            left_out(|d| d.system_uses = vec![swap(), SystemUse::Mount("/".into())]).unwrap();
        assert!(mixed.contains("(swap on sdb2, /)"), "{mixed}");
        assert!(left_out(|d| (d.removable, d.hotplug) = (false, false)).is_some());
        assert!(left_out(|d| d.medium = Medium::Absent).is_some());
        assert!(left_out(|d| d.medium = Medium::TrayOpen).is_some());
        assert!(left_out(|d| d.kind = DriveKind::Loop).is_some());
        assert!(left_out(|d| d.kind = DriveKind::Network).is_some());
    }
}
