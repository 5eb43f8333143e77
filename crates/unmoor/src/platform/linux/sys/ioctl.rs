//! `ioctl(2)`, by itself: the kernel's answer is not left in `errno`, which a child that shares the memory
//! of this program ([`worker`](crate::platform::linux::helper)) would share too.

use rustix::fd::AsFd;
use rustix::io::Result;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};
use std::ffi::c_void;

/// A request number, as the kernel's headers make it.
pub type Request = libc::c_ulong;

/// A request with a number for its argument, or none. The answer is what the call returns, 0 or more.
///
/// # Safety
/// The kernel must take the argument of this request for a number.
pub unsafe fn with_number(device: impl AsFd, request: Request, argument: usize) -> Result<i32> {
    // SAFETY: by the caller's word it is not used as a pointer.
    unsafe { ioctl(device, Call { request, argument: argument as *mut c_void }) }
}

/// A request with a pointer for its argument.
///
/// # Safety
/// The kernel must read and write no more than a `T` there for this request, and leave it valid.
pub unsafe fn with<T>(device: impl AsFd, request: Request, argument: &mut T) -> Result<()> {
    let argument = std::ptr::from_mut(argument).cast();
    // SAFETY: by the caller's word; the reference outlives the call.
    unsafe { ioctl(device, Call { request, argument }) }.map(drop)
}

struct Call {
    request: Request,
    argument: *mut c_void,
}

// SAFETY: the number and the argument go to the kernel as they are; both ways to make a call promise that
// they belong together.
unsafe impl Ioctl for Call {
    type Output = i32;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.request as Opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.argument
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> Result<i32> {
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn the_error_is_the_kernels_and_errno_is_left_alone() {
        let file = tempfile::tempfile().unwrap();
        // SAFETY: writes an integer of this thread's.
        unsafe { *libc::__errno_location() = 77 };
        // SAFETY: BLKRRPART takes no argument.
        let answer = unsafe { with_number(&file, 0x125f, 0) };
        // SAFETY: reads the same integer.
        let errno = unsafe { *libc::__errno_location() };
        assert_eq!((answer, errno), (Err(Errno::NOTTY), 77));
    }
}
