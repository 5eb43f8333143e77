//! Finds the drive that is meant, as util-linux's `eject` does: a device, a name below `/dev`, a mount
//! point, `LABEL=` or `UUID=`. A file on a drive does not name it.

use super::failure::Failure;
use super::options::EjectOptions;
use crate::escape::escape_os;
use crate::platforms::Platforms;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use unmoor::platform::Platform;
use unmoor::{Drive, ErrorKind, Target, Volume};

/// Device of a call without one.
pub const DEFAULT_DEVICE: &str = "/dev/cdrom";

/// The drive that is meant.
pub struct Device<'p> {
    pub platform: &'p dyn Platform,
    pub drive: Drive,
    pub target: Target,
    /// Mount point of the named device, if it is mounted.
    pub mount_point: Option<PathBuf>,
}

impl<'p> Device<'p> {
    /// Finds the drive of the command line, or the default one.
    pub fn find(options: &EjectOptions, platforms: &'p Platforms) -> Result<Self, Failure> {
        let path = match options.target() {
            None => {
                options.explain(&format!("using default device `{DEFAULT_DEVICE}'"));
                DEFAULT_DEVICE.into()
            }
            Some(given) => full_path(given),
        };
        let target = Target::parse(&path).map_err(|_| not_found(&path))?;
        if matches!(target, Target::Port(_)) {
            return Err(not_found(&path));
        }
        let platform = platforms.of(&target)?;
        let drive = unmoor::resolve(platform, &target).map_err(|error| match error.kind() {
            ErrorKind::NoSuchTarget | ErrorKind::Refused | ErrorKind::Failed => not_found(&path),
            _ => error.into(),
        })?;
        let mount_point = named_mount_point(&drive, &target).ok_or_else(|| not_found(&path))?;
        let device = Device { platform, drive, target, mount_point };
        device.explain(options);
        if !options.force && !device.drive.removable && !device.drive.hotplug {
            let text = format!("{}: is not hot-pluggable device", device.name());
            return Err(Failure::Text(text));
        }
        Ok(device)
    }

    /// Returns the path of the whole drive, escaped.
    pub fn name(&self) -> String {
        escape_os(&self.drive.path)
    }

    /// Returns the volumes that are not the whole drive.
    pub fn partitions(&self) -> impl Iterator<Item = &Volume> {
        self.drive.volumes.iter().filter(|volume| volume.name != self.drive.name)
    }

    fn explain(&self, options: &EjectOptions) {
        let name = self.name();
        let named = match &self.target {
            Target::Path(path) => fs::canonicalize(path).map_or_else(|_| name.clone(), escape_os),
            _ => name.clone(),
        };
        options.explain(&format!("device name is `{named}'"));
        match &self.mount_point {
            Some(path) => options.explain(&format!("{name}: mounted on {}", escape_os(path))),
            None => options.explain(&format!("{name}: not mounted")),
        }
        options.explain(&format!("{name}: is whole-disk device"));
    }
}

fn not_found(path: &OsStr) -> Failure {
    let path = escape_os(path);
    Failure::Text(format!("{path}: not found mountpoint or device with the given name"))
}

/// Returns the path that a name means: below `/dev` if there is such a device, else a path as typed.
fn full_path(given: &OsStr) -> OsString {
    // A mount point may be typed with a slash at its end.
    let given = match given.as_bytes() {
        [rest @ .., b'/'] if !rest.is_empty() => OsStr::from_bytes(rest),
        _ => given,
    };
    let first = given.as_bytes().first().copied();
    let is_tag = given.as_bytes().contains(&b'=') || given.as_bytes().starts_with(b"sim:");
    if first.is_none() || first == Some(b'/') || is_tag {
        return given.to_owned();
    }
    let below_dev = Path::new("/dev").join(given);
    match first != Some(b'.') && below_dev.exists() {
        true => below_dev.into(),
        // Without a slash, `unmoor` would take it for a label too.
        false => OsString::from_vec([b"./", given.as_bytes()].concat()),
    }
}

/// Returns the mount point of the volume that the target names; `Some(None)` if that is not mounted.
/// `None` if the target names neither a device nor a mount point.
fn named_mount_point(drive: &Drive, target: &Target) -> Option<Option<PathBuf>> {
    let first_mount = |volume: &Volume| volume.mounts.first().map(|mount| mount.path.clone());
    let volume_of = |fits: &dyn Fn(&Volume) -> bool| drive.volumes.iter().find(|v| fits(v));
    match target {
        Target::Path(path) => {
            let path = fs::canonicalize(path).ok()?;
            let mounts = || drive.volumes.iter().flat_map(|volume| &volume.mounts);
            if mounts().any(|mount| mount.path == path) {
                return Some(Some(path));
            }
            let kind = fs::metadata(&path).ok()?.file_type();
            if !kind.is_block_device() && !kind.is_char_device() {
                return None;
            }
            Some(volume_of(&|volume| volume.path == path).and_then(first_mount))
        }
        Target::Label(label) => {
            Some(volume_of(&|v| v.label.as_deref() == Some(label)).and_then(first_mount))
        }
        Target::Uuid(uuid) => {
            Some(volume_of(&|v| v.uuid.as_deref() == Some(uuid)).and_then(first_mount))
        }
        _ => Some(volume_of(&|volume| volume.name == drive.name).and_then(first_mount)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_searched_below_dev_and_labels_need_their_tag() {
        for (given, path) in [
            ("null", "/dev/null"),
            ("/media/stick/", "/media/stick"),
            ("/", "/"),
            ("./x", "././x"),
            ("nosuch", "./nosuch"),
            ("LABEL=HOLIDAY", "LABEL=HOLIDAY"),
            ("sim:cd", "sim:cd"),
        ] {
            assert_eq!(full_path(OsStr::new(given)), path, "{given}");
        }
    }
}
