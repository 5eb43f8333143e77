//! Volumes that the running Windows needs. They are never released.

use crate::model::drive::SystemUse;
use crate::platform::windows::sys::utf16::narrow;
use crate::platform::windows::sys::{registry, volumes};
use std::ffi::OsString;
use windows_sys::Win32::System::SystemInformation::GetSystemWindowsDirectoryW;

/// Volume that the running system needs, and its purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SystemVolumes {
    /// `C:`, a kernel name or `\\?\Volume{…}\`.
    pub volume: String,
    pub what: SystemUse,
}

/// Returns every volume that the running system needs.
pub(crate) fn system_volumes() -> Vec<SystemVolumes> {
    let mut all = Vec::new();
    if let Some(windows) = windows_directory() {
        let root = volumes::mount_point_of(&windows).unwrap_or(windows);
        // By name as well as by letter: a volume without a name still has the letter.
        let names = [volumes::name_of(&root).ok(), Some(root.to_string_lossy().into_owned())];
        all.extend(
            names
                .into_iter()
                .flatten()
                .map(|volume| SystemVolumes { volume, what: SystemUse::Windows }),
        );
    }
    let files = registry::page_file_volumes().into_iter();
    all.extend(files.map(|volume| SystemVolumes { volume, what: SystemUse::PageFile }));
    let boot = registry::system_partition();
    all.extend(boot.map(|volume| SystemVolumes { volume, what: SystemUse::SystemPartition }));
    all
}

/// `GetSystemWindowsDirectoryW`, which in a terminal server's session differs from `GetWindowsDirectoryW`.
fn windows_directory() -> Option<OsString> {
    let mut units = vec![0u16; 1024];
    // SAFETY: `units` is as long as said.
    let length = unsafe { GetSystemWindowsDirectoryW(units.as_mut_ptr(), units.len() as u32) };
    (length != 0 && (length as usize) < units.len()).then(|| narrow(&units))
}
