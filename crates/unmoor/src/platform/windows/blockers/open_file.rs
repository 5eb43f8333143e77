//! One handle of another process: is it a file of the drive.

use crate::platform::win32_parse::{Handle, VolumeNames, VolumePath, find_place};
use crate::platform::windows::blockers::processes::duplicate;
use crate::platform::windows::blockers::processes::duplicate::Sort;
use std::os::windows::io::OwnedHandle;

/// Open file of the drive.
pub(crate) struct OpenFile {
    pub(crate) handle: Handle,
    pub(crate) location: VolumePath,
    pub(crate) sort: Sort,
}

/// Returns the file behind a handle of another process if it is on the drive.
pub(crate) fn open_file(
    process: &OwnedHandle,
    handle: Handle,
    places: &[VolumeNames],
) -> Option<OpenFile> {
    let file = duplicate::duplicate(process, handle.value).ok()?;
    if !duplicate::is_on_disk(&file) {
        return None;
    }
    let location = find_place(places, &duplicate::name(&file)?)?;
    Some(OpenFile { handle, location, sort: duplicate::sort(&file) })
}
