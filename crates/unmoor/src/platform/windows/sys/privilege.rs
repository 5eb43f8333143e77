//! The right to look into processes of others, which an administrator has and must ask for.
//!
//! Made from the Win32 documentation of `AdjustTokenPrivileges` and of `SeDebugPrivilege`.

use crate::platform::windows::sys::utf16::wide;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, PoisonError};
use windows_sys::Win32::Foundation::LUID;
use windows_sys::Win32::Security::{
    AdjustTokenPrivileges, LUID_AND_ATTRIBUTES, LookupPrivilegeValueW, SE_PRIVILEGE_ENABLED,
    TOKEN_ADJUST_PRIVILEGES, TOKEN_PRIVILEGES, TOKEN_QUERY,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// What is to be put back when nobody needs it any more, and how many need it now.
struct State {
    users: usize,
    before: Option<(OwnedHandle, TOKEN_PRIVILEGES)>,
}

/// It belongs to the process as a whole, in which several drives may be searched for at a time.
static STATE: Mutex<State> = Mutex::new(State { users: 0, before: None });

/// `SeDebugPrivilege`, for as long as one of these lives; without effect for those who do not have it.
pub(crate) struct Debug(());

impl Debug {
    /// Asks for it.
    pub(crate) fn ask() -> Debug {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        state.users += 1;
        if state.users == 1 {
            state.before = enable();
        }
        Debug(())
    }
}

impl Drop for Debug {
    fn drop(&mut self) {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        state.users -= 1;
        if state.users > 0 {
            return;
        }
        if let Some((token, before)) = state.before.take() {
            // SAFETY: the token is open; `before` is what the system said it was.
            unsafe {
                AdjustTokenPrivileges(token.as_raw_handle(), 0, &before, 0, null_mut(), null_mut());
            }
        }
    }
}

fn enable() -> Option<(OwnedHandle, TOKEN_PRIVILEGES)> {
    let mut token = null_mut();
    let rights = TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY;
    // SAFETY: our own process; `token` outlives the call.
    if unsafe { OpenProcessToken(GetCurrentProcess(), rights, &mut token) } == 0 {
        return None;
    }
    // SAFETY: the handle is ours alone, from just now.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let name = wide("SeDebugPrivilege");
    let mut luid = LUID::default();
    // SAFETY: `name` ends in a NUL; `luid` outlives the call.
    if unsafe { LookupPrivilegeValueW(null(), name.as_ptr(), &mut luid) } == 0 {
        return None;
    }
    let wished = TOKEN_PRIVILEGES {
        PrivilegeCount: 1,
        Privileges: [LUID_AND_ATTRIBUTES { Luid: luid, Attributes: SE_PRIVILEGE_ENABLED }],
    };
    let mut before = TOKEN_PRIVILEGES::default();
    let mut returned = 0u32;
    // SAFETY: the token is open; both structures have room for one privilege, as said.
    let ok = unsafe {
        AdjustTokenPrivileges(
            token.as_raw_handle(),
            0,
            &wished,
            size_of::<TOKEN_PRIVILEGES>() as u32,
            &mut before,
            &mut returned,
        )
    };
    // Nothing was changed where it was on already, or is not held: then nothing is to be undone.
    (ok != 0 && before.PrivilegeCount == 1).then_some((token, before))
}
