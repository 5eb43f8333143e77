//! Error mode of a thread: without it, a request to an empty drive opens a window that asks for a disk.
//!
//! Win32: `SetThreadErrorMode` (Windows 7). The mode of the process is left to the program.

use windows_sys::Win32::System::Diagnostics::Debug::{
    SEM_FAILCRITICALERRORS, SEM_NOOPENFILEERRORBOX, SetThreadErrorMode, THREAD_ERROR_MODE,
};

/// Error mode of this thread before [`quiet`], set again when dropped.
pub(crate) struct Quiet(THREAD_ERROR_MODE);

/// Turns error windows off for this thread.
pub(crate) fn quiet() -> Quiet {
    let mut before = 0;
    // SAFETY: changes a flag of this thread; `before` outlives the call.
    unsafe { SetThreadErrorMode(SEM_FAILCRITICALERRORS | SEM_NOOPENFILEERRORBOX, &mut before) };
    Quiet(before)
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: sets the flag of this thread to the value it had; no value is asked back.
        unsafe { SetThreadErrorMode(self.0, std::ptr::null_mut()) };
    }
}
