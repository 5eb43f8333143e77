//! The tape driver's ioctls (`linux/mtio.h`, st(4)).

use crate::platform::linux::sys::ioctl;
use rustix::fd::AsFd;
use rustix::io::Errno;

/// `struct mtop`.
#[repr(C)]
struct Mtop {
    operation: libc::c_short,
    count: libc::c_int,
}

// _IOW('m', 1, struct mtop)
const MTIOCTOP: ioctl::Request =
    0x4000_6d01 | ((std::mem::size_of::<Mtop>() as libc::c_ulong) << 16);

/// Operation of a tape drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `MTOFFL`: rewind, and eject the tape.
    Offline,
    /// `MTUNLOCK`: unlock the door.
    Unlock,
    /// `MTLOAD`: load the tape.
    Load,
}

impl Operation {
    /// Its name in the header.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Offline => "MTOFFL",
            Operation::Unlock => "MTUNLOCK",
            Operation::Load => "MTLOAD",
        }
    }
}

/// `MTIOCTOP`: carries the operation out and waits for the drive. Rewinding takes minutes.
pub fn operate(tape: impl AsFd, operation: Operation) -> Result<(), Errno> {
    let number = match operation {
        Operation::Offline => 7,
        Operation::Unlock => 29,
        Operation::Load => 30,
    };
    let mut operation = Mtop { operation: number, count: 1 };
    // SAFETY: the kernel reads one `struct mtop`.
    unsafe { ioctl::with(tape, MTIOCTOP, &mut operation) }
}
