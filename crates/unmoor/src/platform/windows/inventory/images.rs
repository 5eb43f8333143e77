//! Attached image files: virtual disks (VHD, VHDX) and discs (ISO).

use crate::platform::win32_parse::ImageFile;
use crate::platform::windows::inventory::snapshot::{DriveKey, Inventory};
use crate::platform::windows::sys::utf16::lossy;
use crate::platform::windows::sys::virtual_disks;

/// Drive that lies in an image file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) key: DriveKey,
    /// Path of the image file: `E:\\images\\a.vhdx`.
    pub(crate) path: String,
    /// Drives that hold the file, or the files of a differencing disk.
    pub(crate) hosts: Vec<DriveKey>,
}

/// Returns every attached image.
pub(crate) fn attached(inventory: &Inventory) -> Vec<Image> {
    let image = |disk: virtual_disks::VirtualDisk| {
        let first = disk.files.first()?;
        Some(Image {
            key: DriveKey::of_number(disk.number),
            path: path(inventory, first),
            hosts: disk.files.iter().flat_map(|file| hosts(inventory, file)).collect(),
        })
    };
    virtual_disks::all().into_iter().filter_map(image).collect()
}

fn path(inventory: &Inventory, file: &ImageFile) -> String {
    let volume = lossy(&file.volume);
    let letter = inventory.volumes.iter().find(|v| v.has_name(&volume)).and_then(|v| v.letter());
    let root = letter.unwrap_or_else(|| volume.trim_end_matches('\\').to_string());
    format!("{root}{}", lossy(&file.path))
}

fn hosts(inventory: &Inventory, file: &ImageFile) -> Vec<DriveKey> {
    let volume = lossy(&file.volume);
    let host = inventory.volumes.iter().find(|v| v.has_name(&volume));
    host.map(|host| host.keys.clone()).unwrap_or_default()
}
