//! Titles of windows, by process.
//!
//! Win32: pages of `EnumWindows`, `GetWindowThreadProcessId` and
//! `InternalGetWindowText`, which reads the kernel's copy of a title: `GetWindowText` may send a message
//! to the window, and wait for a program that hangs.

use crate::platform::windows::sys::dynamic_library::Library;
use crate::platform::windows::sys::utf16::lossy;
use std::collections::BTreeMap;
use windows_sys::Win32::Foundation::{HWND, LPARAM};
use windows_sys::Win32::UI::WindowsAndMessaging::{
    EnumWindows, GetWindowThreadProcessId, InternalGetWindowText, IsWindowVisible,
};

type Titles = BTreeMap<u32, String>;

/// Returns the title of the topmost visible window of each process.
pub(crate) fn by_process() -> Titles {
    let mut titles = Titles::new();
    if is_wine() {
        return titles;
    }
    // SAFETY: the callback gets the address of `titles`, which outlives the call and is used by nobody
    // else meanwhile.
    unsafe { EnumWindows(Some(take), &raw mut titles as LPARAM) };
    titles
}

/// Returns true under Wine, which has `wine_get_version`. Wine starts a desktop for the first query about
/// windows, and that desktop keeps this program's output open for minutes.
fn is_wine() -> bool {
    // SAFETY: the function is looked for, and not called.
    let version = |ntdll: Library| unsafe { ntdll.function::<usize>(c"wine_get_version") };
    Library::load("ntdll.dll").and_then(version).is_some()
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
