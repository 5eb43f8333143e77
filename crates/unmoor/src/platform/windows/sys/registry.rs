//! Registry values that name the volumes and folders of the running Windows.
//!
//! `ExistingPageFiles` is what is in use since start-up, `PagingFiles` what the user asked for; both
//! are readable by everybody, which `NtQuerySystemInformation(SystemPageFileInformation)` is too, but
//! these two are documented. `SystemPartition` is where the boot manager lies.

use crate::platform::win32_parse;
use crate::platform::windows::sys::utf16::{lossy, wide};
use std::ptr::null_mut;
use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, RRF_RT_REG_MULTI_SZ, RRF_RT_REG_SZ, RegGetValueW,
};

/// `RegGetValueW` of a text or list of texts in HKEY_LOCAL_MACHINE; empty where there is none.
fn texts(key: &str, value: &str) -> Vec<String> {
    let (key, value) = (wide(key), wide(value));
    let mut units = vec![0u16; 8192];
    let mut size = (units.len() * 2) as u32;
    // SAFETY: both names end in a NUL; `units` is `size` bytes long; the type may be left out.
    let status = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            value.as_ptr(),
            RRF_RT_REG_SZ | RRF_RT_REG_MULTI_SZ,
            null_mut(),
            units.as_mut_ptr().cast(),
            &mut size,
        )
    };
    if status != 0 {
        return Vec::new();
    }
    units.truncate(size as usize / 2);
    win32_parse::multi_sz(&units).map(lossy).collect()
}

const MEMORY: &str = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management";

/// Returns the page files in use since start-up: `\??\C:\pagefile.sys`.
pub(crate) fn page_files_in_use() -> Vec<String> {
    texts(MEMORY, "ExistingPageFiles")
}

/// Returns the volumes with page files, as `C:` or kernel names.
pub(crate) fn page_file_volumes() -> Vec<String> {
    let mut entries = page_files_in_use();
    entries.extend(texts(MEMORY, "PagingFiles"));
    entries
        .iter()
        .filter_map(|entry| win32_parse::page_file_volume(entry).map(|volume| volume.into_owned()))
        .collect()
}

/// Returns the folders in which programs are installed, that of 64-bit programs first.
pub(crate) fn program_folders() -> Vec<String> {
    const WINDOWS: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion";
    ["ProgramW6432Dir", "ProgramFilesDir"].iter().flat_map(|value| texts(WINDOWS, value)).collect()
}

/// Returns the kernel name of the system partition.
pub(crate) fn system_partition() -> Option<String> {
    texts(r"SYSTEM\Setup", "SystemPartition").into_iter().next()
}
