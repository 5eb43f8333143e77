//! Libraries that not every edition of Windows has, loaded when they are needed.
//!
//! Win32: `LoadLibraryExW`, `GetProcAddress`. The full path in the system directory is given, since Windows
//! 7 without updates does not know the flag that restricts the search to it.

use crate::platform::windows::sys::utf16::{narrow, wide};
use std::ffi::{CStr, OsString};
use std::path::PathBuf;
use std::ptr::null_mut;
use windows_sys::Win32::Foundation::HMODULE;
use windows_sys::Win32::System::LibraryLoader::{GetProcAddress, LoadLibraryExW};
use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;

/// Library, which stays loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Library(HMODULE);

// SAFETY: the handle of a module means the same in every thread, and this one is never unloaded.
unsafe impl Send for Library {}

impl Library {
    /// Loads a library of the system; returns `None` if there is none of this name.
    pub(crate) fn load(name: &str) -> Option<Library> {
        let path = wide(PathBuf::from(system_directory()?).join(name));
        // SAFETY: `path` ends in a NUL, and leads to the system's own folder.
        let module = unsafe { LoadLibraryExW(path.as_ptr(), null_mut(), 0) };
        (!module.is_null()).then_some(Library(module))
    }

    /// Returns a function of the library; `None` if it has none of this name.
    ///
    /// # Safety
    /// `F` must be the type of a function pointer, and the one that this function has.
    pub(crate) unsafe fn function<F: Copy>(&self, name: &CStr) -> Option<F> {
        assert_eq!(size_of::<F>(), size_of::<usize>());
        // SAFETY: the library is loaded; the name ends in a NUL.
        let address = unsafe { GetProcAddress(self.0, name.as_ptr().cast()) }?;
        // SAFETY: a pointer to a function is as large as any other; that it is of this type, the caller
        // answers for.
        Some(unsafe { std::mem::transmute_copy::<_, F>(&address) })
    }
}

/// `GetSystemDirectoryW`.
pub(crate) fn system_directory() -> Option<OsString> {
    let mut units = vec![0u16; 1024];
    // SAFETY: `units` is as long as said.
    let length = unsafe { GetSystemDirectoryW(units.as_mut_ptr(), units.len() as u32) } as usize;
    (length != 0 && length < units.len()).then(|| narrow(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_none() {
        assert!(Library::load("no-such-library-77.dll").is_none());
        let library = Library::load("kernel32.dll").unwrap();
        // SAFETY: it takes nothing and returns a number.
        let id = unsafe {
            library.function::<unsafe extern "system" fn() -> u32>(c"GetCurrentProcessId")
        };
        // SAFETY: as above.
        assert_eq!(unsafe { id.unwrap()() }, std::process::id());
        // SAFETY: there is no such function, so its type does not matter.
        assert!(unsafe { library.function::<usize>(c"NoSuchFunction77") }.is_none());
    }
}
