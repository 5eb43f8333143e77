//! Volumes, their names and mount points.
//!
//! Win32: pages of `FindFirstVolumeW`, `GetVolumePathNamesForVolumeNameW`,
//! `GetVolumeNameForVolumeMountPointW`, `GetVolumePathNameW`, `GetVolumeInformationW`, `GetDriveTypeW`,
//! `GetDiskFreeSpaceExW`, `GetLogicalDrives` and `QueryDosDeviceW`.

use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::sys::cancellable_io::last;
use crate::platform::windows::sys::error_mode::quiet;
use crate::platform::windows::sys::utf16::{lossy, narrow, wide};
use std::ffi::{OsStr, OsString};
use std::ptr::{null, null_mut};
use windows_sys::Win32::Foundation::{ERROR_MORE_DATA, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    FindFirstVolumeW, FindNextVolumeW, FindVolumeClose, GetDiskFreeSpaceExW, GetDriveTypeW,
    GetLogicalDrives, GetVolumeInformationW, GetVolumeNameForVolumeMountPointW, GetVolumePathNameW,
    GetVolumePathNamesForVolumeNameW, QueryDosDeviceW,
};

/// Longest path of the Win32 interface, with its NUL.
const LONGEST: usize = 32_768;

/// Enumeration of volumes, closed when dropped.
struct Search(HANDLE);

impl Drop for Search {
    fn drop(&mut self) {
        // SAFETY: the handle came from FindFirstVolumeW and is closed once.
        unsafe { FindVolumeClose(self.0) };
    }
}

/// `FindFirstVolumeW` and so on: `\\?\Volume{…}\` of every volume.
pub(crate) fn all() -> Vec<String> {
    let mut name = [0u16; 64];
    let size = name.len() as u32;
    // SAFETY: `name` is as long as said and outlives the call.
    let search = unsafe { FindFirstVolumeW(name.as_mut_ptr(), size) };
    if search == INVALID_HANDLE_VALUE {
        return Vec::new();
    }
    let search = Search(search);
    let mut found = vec![lossy(&name)];
    // SAFETY: the search is open; `name` is as long as said.
    while unsafe { FindNextVolumeW(search.0, name.as_mut_ptr(), size) } != 0 {
        found.push(lossy(&name));
    }
    found
}

/// `GetVolumePathNamesForVolumeNameW`: drive letters (`E:\`) and mount folders of a volume.
pub(crate) fn mount_points(volume: &str) -> Vec<OsString> {
    let volume = wide(volume);
    let mut room = 512u32;
    loop {
        let mut units = vec![0u16; room as usize];
        let mut needed = 0;
        // SAFETY: `volume` ends in a NUL; `units` is as long as said.
        let ok = unsafe {
            GetVolumePathNamesForVolumeNameW(volume.as_ptr(), units.as_mut_ptr(), room, &mut needed)
        };
        if ok != 0 {
            return win32_parse::multi_sz(&units).map(narrow).collect();
        }
        if last() != ERROR_MORE_DATA || needed <= room || needed > 1 << 20 {
            return Vec::new();
        }
        room = needed;
    }
}

/// `GetVolumeNameForVolumeMountPointW`: the `\\?\Volume{…}\` of a letter (`E:\`) or a mounted folder.
pub(crate) fn name_of(mount_point: impl AsRef<OsStr>) -> Result<String, Code> {
    let _quiet = quiet();
    let mount_point = wide(mount_point);
    let mut name = [0u16; 64];
    // SAFETY: `mount_point` ends in a NUL; `name` is as long as said.
    let ok = unsafe {
        GetVolumeNameForVolumeMountPointW(
            mount_point.as_ptr(),
            name.as_mut_ptr(),
            name.len() as u32,
        )
    };
    if ok == 0 { Err(last()) } else { Ok(lossy(&name)) }
}

/// `GetVolumePathNameW`: the mount point that a path lies under.
pub(crate) fn mount_point_of(path: impl AsRef<OsStr>) -> Result<OsString, Code> {
    let _quiet = quiet();
    let path = wide(path);
    let mut units = vec![0u16; LONGEST];
    // SAFETY: `path` ends in a NUL; `units` is as long as said.
    let ok = unsafe { GetVolumePathNameW(path.as_ptr(), units.as_mut_ptr(), units.len() as u32) };
    if ok == 0 { Err(last()) } else { Ok(narrow(&units)) }
}

/// Properties of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSystem {
    pub name: String,
    pub label: Option<String>,
    /// `1234-ABCD`, as `dir` and `vol` write it.
    pub serial: Option<String>,
    pub read_only: bool,
}

/// `GetVolumeInformationW` on a root (`E:\`, `\\?\Volume{…}\`). Mounts the volume if it is not.
pub(crate) fn file_system(root: impl AsRef<OsStr>) -> Result<FileSystem, Code> {
    const FILE_READ_ONLY_VOLUME: u32 = 0x0008_0000;
    let _quiet = quiet();
    let root = wide(root);
    let (mut label, mut name) = ([0u16; 261], [0u16; 261]);
    let (mut serial, mut flags) = (0u32, 0u32);
    // SAFETY: `root` ends in a NUL; both buffers are as long as said; the numbers outlive the call.
    let ok = unsafe {
        GetVolumeInformationW(
            root.as_ptr(),
            label.as_mut_ptr(),
            label.len() as u32,
            &mut serial,
            null_mut(),
            &mut flags,
            name.as_mut_ptr(),
            name.len() as u32,
        )
    };
    if ok == 0 {
        return Err(last());
    }
    let label = lossy(&label);
    Ok(FileSystem {
        name: lossy(&name),
        label: (!label.is_empty()).then_some(label),
        serial: (serial != 0).then(|| format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff)),
        read_only: flags & FILE_READ_ONLY_VOLUME != 0,
    })
}

/// `GetDiskFreeSpaceExW`: the size of the file system.
pub(crate) fn size(root: impl AsRef<OsStr>) -> Option<u64> {
    let _quiet = quiet();
    let root = wide(root);
    let mut total = 0u64;
    // SAFETY: `root` ends in a NUL; `total` outlives the call; the other two may be null.
    let ok = unsafe { GetDiskFreeSpaceExW(root.as_ptr(), null_mut(), &mut total, null_mut()) };
    (ok != 0).then_some(total)
}

/// `GetDriveTypeW`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriveType {
    Unknown,
    Removable,
    Fixed,
    Remote,
    Optical,
    RamDisk,
}

/// `GetDriveTypeW` of a root.
pub(crate) fn drive_type(root: impl AsRef<OsStr>) -> DriveType {
    let _quiet = quiet();
    let root = wide(root);
    // SAFETY: `root` ends in a NUL.
    match unsafe { GetDriveTypeW(root.as_ptr()) } {
        2 => DriveType::Removable,
        3 => DriveType::Fixed,
        4 => DriveType::Remote,
        5 => DriveType::Optical,
        6 => DriveType::RamDisk,
        _ => DriveType::Unknown,
    }
}

/// `GetLogicalDrives`: the letters that are given.
pub(crate) fn letters() -> Vec<char> {
    // SAFETY: takes nothing.
    let mask = unsafe { GetLogicalDrives() };
    ('A'..='Z').enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, c)| c).collect()
}

/// `QueryDosDeviceW`: the kernel name behind `E:`, `PhysicalDrive2` or `Volume{…}`.
pub(crate) fn kernel_name(device: &str) -> Option<String> {
    let device = wide(device);
    let mut units = vec![0u16; 4096];
    // SAFETY: `device` ends in a NUL; `units` is as long as said.
    let length =
        unsafe { QueryDosDeviceW(device.as_ptr(), units.as_mut_ptr(), units.len() as u32) };
    (length != 0).then(|| lossy(&units)).filter(|name| !name.is_empty())
}

/// `QueryDosDeviceW` for all names: `PhysicalDrive0`, `CdRom0`, `C:`, …
pub(crate) fn dos_devices() -> Vec<String> {
    let mut room = 1usize << 16;
    while room <= 1 << 22 {
        let mut units = vec![0u16; room];
        // SAFETY: a null name asks for all; `units` is as long as said.
        let length = unsafe { QueryDosDeviceW(null(), units.as_mut_ptr(), room as u32) } as usize;
        if length != 0 {
            let units = &units[..length.min(room)];
            return win32_parse::multi_sz(units).map(lossy).collect();
        }
        room *= 4;
    }
    Vec::new()
}
