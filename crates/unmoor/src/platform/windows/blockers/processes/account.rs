//! User of a process.
//!
//! Win32: `OpenProcessToken`, `GetTokenInformation`, `LookupAccountSidW`. The last one may ask a server of
//! the domain, so it runs on a thread that can be left behind.

use crate::platform::win32_parse;
use crate::platform::win32_parse::PointedAnswer;
use crate::platform::windows::sys::process;
use crate::platform::windows::sys::utf16::lossy;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use windows_sys::Win32::Security::{
    GetTokenInformation, LookupAccountSidW, TOKEN_QUERY, TokenUser,
};
use windows_sys::Win32::System::Threading::{OpenProcessToken, PROCESS_QUERY_LIMITED_INFORMATION};

/// Returns the user of a process.
pub(crate) fn of(pid: u32) -> Option<String> {
    user(&process::open(pid, PROCESS_QUERY_LIMITED_INFORMATION).ok()?)
}

/// Returns `SHELF\anna`, or the security identifier if it has no name. The process must be open with
/// PROCESS_QUERY_LIMITED_INFORMATION.
fn user(process: &OwnedHandle) -> Option<String> {
    let mut token = null_mut();
    // SAFETY: the process is open; `token` outlives the call.
    if unsafe { OpenProcessToken(process.as_raw_handle(), TOKEN_QUERY, &mut token) } == 0 {
        return None;
    }
    // SAFETY: the handle is ours alone, from just now.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // TOKEN_USER is a pointer and a number; what it points to, at most 68 bytes, comes behind it.
    let mut answer = [0u64; 32];
    let mut returned = 0u32;
    // SAFETY: the token is open; `answer` is as long as said and aligned for pointers.
    let ok = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            answer.as_mut_ptr().cast(),
            size_of_val(&answer) as u32,
            &mut returned,
        )
    };
    if ok == 0 {
        return None;
    }
    let base = answer.as_ptr() as usize as u64;
    let bytes: Vec<u8> = answer.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let sid = PointedAnswer::new(&bytes, base, size_of::<usize>()).sid(0)?;
    account(&sid).or_else(|| win32_parse::sid_text(&sid))
}

/// `LookupAccountSidW`.
fn account(sid: &[u8]) -> Option<String> {
    // A security identifier is made of 32-bit numbers, and must lie as such.
    let words: Vec<u32> = sid
        .chunks_exact(4)
        .map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let (mut name, mut domain) = ([0u16; 257], [0u16; 257]);
    let (mut name_length, mut domain_length) = (name.len() as u32, domain.len() as u32);
    let mut sort = 0;
    // SAFETY: `words` is a whole security identifier, whose length says itself and was checked; both
    // buffers are as long as said.
    let ok = unsafe {
        LookupAccountSidW(
            null(),
            words.as_ptr() as *mut _,
            name.as_mut_ptr(),
            &mut name_length,
            domain.as_mut_ptr(),
            &mut domain_length,
            &mut sort,
        )
    };
    if ok == 0 {
        return None;
    }
    let (name, domain) = (lossy(&name), lossy(&domain));
    match (name.is_empty(), domain.is_empty()) {
        (true, _) => None,
        (false, true) => Some(name),
        (false, false) => Some(format!(r"{domain}\{name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_user() {
        assert!(of(std::process::id()).is_some_and(|user| !user.is_empty()));
    }
}
