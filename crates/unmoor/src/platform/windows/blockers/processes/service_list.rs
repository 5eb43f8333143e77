//! Running services, by process.
//!
//! Win32: pages of `OpenSCManagerW` and `EnumServicesStatusExW`.

use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::sys::cancellable_io::last;
use crate::platform::windows::sys::utf16::lossy;
use std::collections::BTreeMap;
use std::ptr::null;
use windows_sys::Win32::Foundation::ERROR_MORE_DATA;
use windows_sys::Win32::System::Services::{
    CloseServiceHandle, EnumServicesStatusExW, OpenSCManagerW, SC_ENUM_PROCESS_INFO, SC_HANDLE,
    SC_MANAGER_ENUMERATE_SERVICE, SERVICE_ACTIVE, SERVICE_WIN32,
};

/// Connection to the service manager, closed when dropped.
struct Manager(SC_HANDLE);

impl Drop for Manager {
    fn drop(&mut self) {
        // SAFETY: the handle came from OpenSCManagerW and is closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}

/// Returns the names of the services in each process.
///
/// # Errors
/// What the service manager says.
pub(crate) fn by_process() -> Result<BTreeMap<u32, Vec<String>>, Code> {
    // SAFETY: null names mean this machine and its own database.
    let manager = unsafe { OpenSCManagerW(null(), null(), SC_MANAGER_ENUMERATE_SERVICE) };
    if manager.is_null() {
        return Err(last());
    }
    let manager = Manager(manager);
    let mut services: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    // "The maximum size of this array is 256K bytes": the rest comes with the next call.
    let mut answer = vec![0u64; (256 << 10) / 8];
    let size = answer.len() * 8;
    let mut resume = 0u32;
    loop {
        let (mut needed, mut count) = (0u32, 0u32);
        // SAFETY: the manager is open; `answer` is `size` bytes long and aligned for pointers; the
        // numbers outlive the call; a null group means all.
        let ok = unsafe {
            EnumServicesStatusExW(
                manager.0,
                SC_ENUM_PROCESS_INFO,
                SERVICE_WIN32,
                SERVICE_ACTIVE,
                answer.as_mut_ptr().cast(),
                size as u32,
                &mut needed,
                &mut count,
                &mut resume,
                null(),
            )
        };
        let failure = if ok == 0 { last() } else { 0 };
        if ok == 0 && failure != ERROR_MORE_DATA {
            return Err(failure);
        }
        let base = answer.as_ptr() as usize as u64;
        let bytes: Vec<u8> = answer.iter().flat_map(|word| word.to_ne_bytes()).collect();
        for service in win32_parse::services(&bytes, count as usize, base, size_of::<usize>()) {
            services.entry(service.pid).or_default().push(lossy(&service.name));
        }
        if ok != 0 || resume == 0 || count == 0 {
            return Ok(services);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_running_service_has_a_process_and_a_name() {
        let services = by_process().unwrap();
        assert!(!services.is_empty());
        assert!(services.values().flatten().all(|name| !name.is_empty()));
    }
}
