//! Matches drives against a word that a user typed: a label, a model, a serial number, or a pattern.

use crate::model::drive::Drive;
use crate::model::volume::Volume;
use crate::platform::pattern::{fits, glob, is_pattern};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// Returns the name of the volume or drive that the word fits: by label, model or serial number in any
/// case, or as a pattern with `*` and `?` by these and the name.
pub(crate) fn fitting(drive: &Drive, word: &str) -> Option<String> {
    let model = drive.model.as_deref().map(str::trim);
    let vendor = drive.vendor.as_deref().map(str::trim);
    let both = vendor.zip(model).map(|(vendor, model)| format!("{vendor} {model}"));
    let serial = drive.serial.as_deref().map(str::trim);
    let name = is_pattern(word).then_some(&*drive.name);
    let path = drive.path.to_str().filter(|_| is_pattern(word));
    if [model, both.as_deref(), serial, name, path].into_iter().flatten().any(|t| fits(word, t)) {
        return Some(drive.name.clone());
    }
    let volume = drive.volumes.iter().find(|volume| {
        let name = is_pattern(word).then_some(&*volume.name);
        volume.label.as_deref().into_iter().chain(name).any(|text| fits(word, text))
    });
    volume.map(|volume| volume.name.clone())
}

/// Returns true if the volume has this label, or one that fits this pattern.
pub(crate) fn has_label(volume: &Volume, label: &str) -> bool {
    let is_it = |own: &str| own == label || (is_pattern(label) && glob(label, own));
    volume.label.as_deref().is_some_and(is_it)
}

/// Returns the path below `/dev` that a relative path may mean: `cdrom`, `disk/by-label/x`.
pub(crate) fn below_dev(given: &OsStr) -> Vec<PathBuf> {
    let path = Path::new(given);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_plain {
        return Vec::new();
    }
    let mut paths = vec![Path::new("/dev").join(path)];
    if path.components().count() == 1 {
        paths.push(Path::new("/dev/disk/by-id").join(path));
    }
    paths
}

/// Returns the descriptor of this process that the path names: `/dev/stdin`, `/proc/self/fd/3`.
pub(crate) fn own_descriptor(given: &OsStr) -> Option<u32> {
    let given = given.to_str()?;
    let own = format!("/proc/{}/fd/", std::process::id());
    match given {
        "/dev/stdin" => Some(0),
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        _ => ["/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/", &own]
            .iter()
            .find_map(|folder| given.strip_prefix(folder)?.parse().ok()),
    }
}

/// Folders in which mount points are made for removable media.
const MOUNT_FOLDERS: [&str; 3] = ["/media", "/run/media", "/mnt"];

/// Returns true if a directory is a mount point at times: it is below one of the usual folders, or
/// fstab(5) names it.
pub(crate) fn is_mount_point_at_times(path: &Path, fstab: &str) -> bool {
    let below = |folder: &&str| path.starts_with(folder) && path != Path::new(folder);
    let named = |line: &str| {
        let mut fields = line.split_whitespace();
        let is_entry = fields.next().is_some_and(|device| !device.starts_with('#'));
        is_entry && fields.next().is_some_and(|place| Path::new(place) == path)
    };
    MOUNT_FOLDERS.iter().any(below) || fstab.lines().any(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_is_known_by_label_model_and_serial_number() {
        let mut drive = crate::model::drive::tests::drive();
        drive.vendor = Some("SanDisk ".into());
        drive.model = Some("Cruzer Blade ".into());
        drive.serial = Some("4C530001".into());
        let mut volume = crate::model::drive::tests::volume("sdb1", "sdb");
        volume.label = Some("HOLIDAY".into());
        drive.volumes = vec![volume];
        for word in
            ["Cruzer Blade", "sandisk cruzer blade", "4c530001", "*blade", "sd?", "/dev/sd*"]
        {
            assert_eq!(fitting(&drive, word).as_deref(), Some("sdb"), "{word}");
        }
        for word in ["HOLIDAY", "holiday", "holi*", "sdb1*"] {
            assert_eq!(fitting(&drive, word).as_deref(), Some("sdb1"), "{word}");
        }
        for word in ["Cruzer", "HOLI", "sdb", "sdb1", "", "x*"] {
            assert_eq!(fitting(&drive, word), None, "{word}");
        }
        assert!(has_label(&drive.volumes[0], "HOLIDAY") && has_label(&drive.volumes[0], "HOL*"));
        assert!(!has_label(&drive.volumes[0], "holiday"));
    }

    #[test]
    fn relative_names_are_searched_below_dev() {
        assert_eq!(
            below_dev(OsStr::new("cdrom")),
            [Path::new("/dev/cdrom"), Path::new("/dev/disk/by-id/cdrom")]
        );
        assert_eq!(below_dev(OsStr::new("disk/by-label/x")), [Path::new("/dev/disk/by-label/x")]);
        for other in ["/cdrom", "../vda", "./cdrom", "a/../b", "."] {
            assert!(below_dev(OsStr::new(other)).is_empty(), "{other}");
        }
    }

    #[test]
    fn descriptors_of_this_process_are_recognized() {
        let own = format!("/proc/{}/fd/7", std::process::id());
        for (path, number) in
            [("/dev/stdin", 0), ("/dev/fd/3", 3), ("/proc/self/fd/12", 12), (&own, 7)]
        {
            assert_eq!(own_descriptor(OsStr::new(path)), Some(number), "{path}");
        }
        for path in ["/proc/1/fd/0", "/dev/fd/x", "/dev/fd/", "/proc/self/fd/-1", "stdin"] {
            assert_eq!(own_descriptor(OsStr::new(path)), None, "{path}");
        }
    }

    #[test]
    fn mount_points_are_below_the_usual_folders_or_in_fstab() {
        let fstab = "# /dev/x /commented ext4\nUUID=1 /backup ext4 noauto 0 0\n";
        for path in ["/media/stick", "/run/media/anna/stick", "/mnt/x", "/backup"] {
            assert!(is_mount_point_at_times(Path::new(path), fstab), "{path}");
        }
        for path in ["/", "/etc", "/media", "/commented", "/backup/x"] {
            assert!(!is_mount_point_at_times(Path::new(path), fstab), "{path}");
        }
    }
}
