//! Program that reads how often the kernel uses the file systems that this process has open.

use crate::platform::linux::blockers::processes::bpf_scan::devices::Devices;
use crate::platform::linux::blockers::processes::bpf_scan::writer::{FILE, Writer};
use crate::platform::linux::sys::bpf::Instruction;
use crate::platform::linux::sys::bpf_assembler::Condition::NotEqual;
use crate::platform::linux::sys::bpf_assembler::Register::{R1, R2, R6, R7, R9, R10};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits16, Bits32, Bits64};
use crate::platform::linux::sys::btf::TypeInfo;
use rustix::io::Errno;

/// Size of a record, in bytes.
pub(super) const SIZE: usize = 20;

/// Place of the record on the stack. The program has no loop that would need it.
const RECORD: i16 = -24;

/// Offset of the number of the descriptor in `struct bpf_iter__task_file`.
const DESCRIPTOR: i16 = 16;

/// Use of the file system that a descriptor is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UseCount {
    pub(crate) descriptor: i32,
    /// Number of mounts, in all namespaces and in none.
    pub(crate) mounts: u32,
    /// True if `freeze_super` has frozen it.
    pub(crate) frozen: bool,
    /// Number of opens of its device, by programs and by the kernel. A mount is one.
    pub(crate) opens: u32,
    /// Number of opens of the whole drive. Each open of a partition is one; on older kernels (6.1), only the first.
    pub(crate) drive_opens: u32,
}

impl UseCount {
    /// Reads the records in the output of the program.
    pub(super) fn all(bytes: &[u8]) -> impl Iterator<Item = UseCount> {
        bytes.as_chunks::<SIZE>().0.iter().map(|record| {
            let word = |at: usize| {
                record[at * 4..].first_chunk().map_or(0, |word| u32::from_ne_bytes(*word))
            };
            UseCount {
                descriptor: word(0) as i32,
                mounts: word(1),
                frozen: word(2) != 0,
                opens: word(3),
                drive_opens: word(4),
            }
        })
    }
}

/// Returns the program for [`FILES`], which writes a record for each descriptor of this process.
///
/// `opens` has it read the counts of the devices, which kernels before Linux 5.11 keep elsewhere.
///
/// # Errors
/// ENOTSUP if the kernel lacks a type or function.
///
/// [`FILES`]: super::kernel_types::FILES
pub(super) fn of_descriptors(
    process: u32,
    opens: bool,
    types: &TypeInfo,
) -> Result<Vec<Instruction>, Errno> {
    let process = i32::try_from(process).map_err(|_| Errno::RANGE)?;
    let none = Devices::default();
    let mut w = Writer::begin(&none, types, FILE, R9)?;
    w.load("task_struct", "tgid", Bits32, R1, R7)?;
    w.code.jump_if(R1, NotEqual, process, w.end);
    w.load("file", "f_inode", Bits64, R9, R9)?;
    w.load("inode", "i_sb", Bits64, R9, R9)?;
    w.code.load(Bits32, R1, R6, DESCRIPTOR);
    w.code.store(Bits32, R10, RECORD, R1);
    w.load("super_block", "s_active", Bits32, R1, R9)?;
    w.code.store(Bits32, R10, RECORD + 4, R1);
    let frozen = w.member("super_block", "s_writers")? + w.member("sb_writers", "frozen")?;
    w.code.load(Bits16, R1, R9, frozen);
    w.code.store(Bits32, R10, RECORD + 8, R1);
    w.code.set(R1, 0);
    w.code.copy(R2, R1);
    if opens {
        w.load("super_block", "s_bdev", Bits64, R9, R9)?;
        w.load("block_device", "bd_openers", Bits32, R1, R9)?;
        w.load("block_device", "bd_disk", Bits64, R2, R9)?;
        w.load("gendisk", "part0", Bits64, R2, R2)?;
        w.load("block_device", "bd_openers", Bits32, R2, R2)?;
    }
    w.code.store(Bits32, R10, RECORD + 12, R1);
    w.code.store(Bits32, R10, RECORD + 16, R2);
    w.write_bytes(RECORD, SIZE);
    w.finish()
}
