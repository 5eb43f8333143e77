//! The titles of windows, by process.
//!
//! Made from the Win32 documentation of `EnumWindows`, `GetWindowThreadProcessId` and
//! `InternalGetWindowText`, which reads the kernel's copy of a title: `GetWindowText` may send a message
//! to the window, and wait for a program that hangs.

use super::super::wide::lossy;
use std::collections::BTreeMap;
use windows_sys::Win32::Foundation::{HWND, LPARAM};
use windows_sys::Win32::UI::WindowsAndMessaging::{
    EnumWindows, GetWindowThreadProcessId, InternalGetWindowText, IsWindowVisible,
};

type Titles = BTreeMap<u32, String>;

/// The title of the topmost visible window of each process that has one.
pub(super) fn by_process() -> Titles {
    let mut titles = Titles::new();
    // SAFETY: the callback gets the address of `titles`, which outlives the call and is used by nobody
    // else meanwhile.
    unsafe { EnumWindows(Some(take), &raw mut titles as LPARAM) };
    titles
}

/// Called for each window, from the top down.
unsafe extern "system" fn take(window: HWND, titles: LPARAM) -> i32 {
    // SAFETY: `titles` is the address that `by_process` gave, of a map that nobody else uses now.
    let titles = unsafe { &mut *(titles as *mut Titles) };
    let (mut pid, mut units) = (0u32, [0u16; 256]);
    // SAFETY: a window that is gone meanwhile is refused; `pid` outlives the call; `units` is as long
    // as said.
    let length = unsafe {
        if IsWindowVisible(window) == 0 {
            return 1;
        }
        GetWindowThreadProcessId(window, &mut pid);
        InternalGetWindowText(window, units.as_mut_ptr(), units.len() as i32)
    };
    if length > 0 && pid != 0 {
        titles.entry(pid).or_insert_with(|| lossy(&units));
    }
    1
}
