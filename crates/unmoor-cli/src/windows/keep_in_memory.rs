//! Keeps this program's pages in memory after the drive that they came from has gone.
//!
//! Win32: `VirtualQuery`, `VirtualLock`, `SetProcessWorkingSetSize`.

use windows_sys::Win32::System::LibraryLoader::GetModuleHandleW;
use windows_sys::Win32::System::Memory::{
    MEMORY_BASIC_INFORMATION, PAGE_GUARD, PAGE_NOACCESS, VirtualLock, VirtualQuery,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, SetProcessWorkingSetSize};

/// Working set that every page of the program fits into, in bytes.
const WORKING_SET: usize = 64 << 20;

/// Reads every page of this program into memory and locks it there.
pub fn keep_in_memory() {
    // SAFETY: changes the limits of this process only; a refusal leaves them.
    unsafe { SetProcessWorkingSetSize(GetCurrentProcess(), WORKING_SET, WORKING_SET * 2) };
    // SAFETY: a null name means this program; its handle is its address.
    let start = unsafe { GetModuleHandleW(std::ptr::null()) } as usize;
    let mut at = start;
    loop {
        let mut region = MEMORY_BASIC_INFORMATION::default();
        let size = size_of::<MEMORY_BASIC_INFORMATION>();
        // SAFETY: queries an address, and writes to `region`, which is as long as said.
        let written = unsafe { VirtualQuery(at as *const _, &mut region, size) };
        if written == 0 || region.AllocationBase as usize != start {
            return;
        }
        if region.Protect & (PAGE_NOACCESS | PAGE_GUARD) == 0 {
            // SAFETY: the region is this program's own and may be read; locking changes nothing in it.
            unsafe { VirtualLock(region.BaseAddress, region.RegionSize) };
        }
        at = region.BaseAddress as usize + region.RegionSize;
    }
}
