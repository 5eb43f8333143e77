//! `BLKPG` (`linux/blkpg.h`): the kernel's idea of a partition.

use crate::platform::linux::sys::ioctl;
use rustix::fd::AsFd;
use rustix::io::Errno;

const BLKPG: ioctl::Request = 0x1269; // _IO(0x12, 105)
const BLKPG_RESIZE_PARTITION: libc::c_int = 3;

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct Argument {
    op: libc::c_int,
    flags: libc::c_int,
    datalen: libc::c_int,
    data: *mut Partition,
}

/// `struct blkpg_partition`; the names are not used.
#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    pno: libc::c_int,
    devname: [u8; 64],
    volname: [u8; 64],
}

/// `BLKPG_RESIZE_PARTITION`: makes partition `number` of this disk `length` bytes long.
///
/// That holds for the kernel alone, until the partition table is read again. Nothing is written. It is allowed
/// while the partition is in use. `start` is the real offset of the partition, in bytes.
pub fn resize(disk: impl AsFd, number: u32, start: u64, length: u64) -> Result<(), Errno> {
    let (Ok(start), Ok(length)) = (i64::try_from(start), i64::try_from(length)) else {
        return Err(Errno::INVAL);
    };
    let pno = libc::c_int::try_from(number).map_err(|_| Errno::INVAL)?;
    let mut partition = Partition { start, length, pno, devname: [0; 64], volname: [0; 64] };
    let mut argument = Argument {
        op: BLKPG_RESIZE_PARTITION,
        flags: 0,
        datalen: size_of::<Partition>() as libc::c_int,
        data: &raw mut partition,
    };
    // SAFETY: the kernel reads one `struct blkpg_ioctl_arg` from the address, and one `struct
    // blkpg_partition` from the address in it; both outlive the call.
    unsafe { ioctl::with(disk, BLKPG, &mut argument) }
}
