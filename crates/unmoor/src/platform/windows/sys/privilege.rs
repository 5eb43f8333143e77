//! Privileges that a user has, which are switched off in the token until they are asked for.
//!
//! Win32: `AdjustTokenPrivileges`, `PrivilegeCheck`, `LookupPrivilegeValueW`.

use crate::platform::windows::sys::utf16::wide;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, PoisonError};
use windows_sys::Win32::Foundation::LUID;
use windows_sys::Win32::Security::{
    AdjustTokenPrivileges, LUID_AND_ATTRIBUTES, LookupPrivilegeValueW, PRIVILEGE_SET,
    PrivilegeCheck, SE_PRIVILEGE_ENABLED, TOKEN_ADJUST_PRIVILEGES, TOKEN_PRIVILEGES, TOKEN_QUERY,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// Privilege that this program uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// `SeDebugPrivilege`: opens processes of other users.
    Debug,
    /// `SeLoadDriverPrivilege`: removes devices from outside the console session
    /// (`CM_Request_Device_EjectW`).
    LoadDriver,
    /// `SeManageVolumePrivilege`: manages volumes, NTFS' condition for locking one.
    ManageVolume,
}

/// Number of [`Privilege`]s.
const COUNT: usize = 3;

/// State of a privilege before it was enabled, and the token it belongs to.
type Before = (OwnedHandle, TOKEN_PRIVILEGES);

/// Users of an enabled privilege, and the state to restore after the last one.
struct State {
    users: usize,
    held: bool,
    before: Option<Before>,
}

/// Privileges belong to the process, in which several drives may be worked on at a time.
static STATES: Mutex<[State; COUNT]> =
    Mutex::new([const { State { users: 0, held: false, before: None } }; COUNT]);

/// Enabled privilege, disabled again when the last of these is dropped. Without effect if the user does
/// not have the privilege.
pub(crate) struct Enabled(Privilege);

impl Privilege {
    /// Enables the privilege.
    pub(crate) fn enable(self) -> Enabled {
        let mut states = STATES.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut states[self as usize];
        state.users += 1;
        if state.users == 1 {
            (state.held, state.before) = enable(self).unwrap_or((false, None));
        }
        Enabled(self)
    }

    /// Returns true if the user has the privilege, enabled or not.
    pub(crate) fn is_held(self) -> bool {
        let _enabled = self.enable();
        STATES.lock().unwrap_or_else(PoisonError::into_inner)[self as usize].held
    }

    fn name(self) -> &'static str {
        match self {
            Privilege::Debug => "SeDebugPrivilege",
            Privilege::LoadDriver => "SeLoadDriverPrivilege",
            Privilege::ManageVolume => "SeManageVolumePrivilege",
        }
    }

    fn luid(self) -> Option<LUID> {
        let name = wide(self.name());
        let mut luid = LUID::default();
        // SAFETY: `name` ends in a NUL; `luid` outlives the call.
        let ok = unsafe { LookupPrivilegeValueW(null(), name.as_ptr(), &mut luid) };
        (ok != 0).then_some(luid)
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        let mut states = STATES.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut states[self.0 as usize];
        state.users -= 1;
        if state.users > 0 {
            return;
        }
        if let Some((token, before)) = state.before.take() {
            // SAFETY: the token is open; `before` is the state that the system returned.
            unsafe {
                AdjustTokenPrivileges(token.as_raw_handle(), 0, &before, 0, null_mut(), null_mut());
            }
        }
    }
}

fn token() -> Option<OwnedHandle> {
    let rights = TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY;
    let mut token = null_mut();
    // SAFETY: our own process; `token` outlives the call.
    if unsafe { OpenProcessToken(GetCurrentProcess(), rights, &mut token) } == 0 {
        return None;
    }
    // SAFETY: the handle is ours alone, from just now.
    Some(unsafe { OwnedHandle::from_raw_handle(token) })
}

/// Enables the privilege. Returns true if the user has it, and the state to restore if it was disabled.
fn enable(privilege: Privilege) -> Option<(bool, Option<Before>)> {
    let token = token()?;
    let luid = privilege.luid()?;
    let enabled = TOKEN_PRIVILEGES {
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
            &enabled,
            size_of::<TOKEN_PRIVILEGES>() as u32,
            &mut before,
            &mut returned,
        )
    };
    let held = is_enabled(&token, luid);
    // One that was enabled already is not listed: nothing is to be restored.
    Some((held, (ok != 0 && before.PrivilegeCount == 1).then_some((token, before))))
}

/// `PrivilegeCheck`: returns true if the privilege is enabled in the token. Wine's `AdjustTokenPrivileges`
/// reports one that was enabled before as not assigned.
fn is_enabled(token: &OwnedHandle, luid: LUID) -> bool {
    /// `winnt.h`.
    const PRIVILEGE_SET_ALL_NECESSARY: u32 = 1;
    let mut set = PRIVILEGE_SET {
        PrivilegeCount: 1,
        Control: PRIVILEGE_SET_ALL_NECESSARY,
        Privilege: [LUID_AND_ATTRIBUTES { Luid: luid, Attributes: 0 }],
    };
    let mut enabled = 0;
    // SAFETY: the token is open; `set` has one privilege, as it says; `enabled` outlives the call.
    let ok = unsafe { PrivilegeCheck(token.as_raw_handle(), &mut set, &mut enabled) };
    ok != 0 && enabled != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_privilege_that_is_enabled_is_held() {
        // Wine's user is an administrator.
        assert!(Privilege::Debug.is_held());
        let one = Privilege::Debug.enable();
        let other = Privilege::Debug.enable();
        drop((one, other));
        assert!(Privilege::Debug.is_held());
    }
}
