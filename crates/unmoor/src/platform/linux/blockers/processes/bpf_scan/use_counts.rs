//! Program that reads how often the kernel uses file systems and their drives.

use crate::platform::linux::blockers::processes::bpf_scan::devices::Devices;
use crate::platform::linux::blockers::processes::bpf_scan::record::{RECORD_SIZE, device_of};
use crate::platform::linux::blockers::processes::bpf_scan::super_block_walk::Exits;
use crate::platform::linux::blockers::processes::bpf_scan::writer::{RECORD, Writer};
use crate::platform::linux::sys::bpf::Instruction;
use crate::platform::linux::sys::bpf_assembler::Condition::Equal;
use crate::platform::linux::sys::bpf_assembler::Register::{R1, R9, R10};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits16, Bits32, Bits64};
use crate::platform::linux::sys::btf::TypeInfo;
use rustix::io::Errno;

/// Use of a mounted file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UseCount {
    pub(crate) device: u64,
    /// Number of mounts, in all namespaces and in none.
    pub(crate) mounts: u32,
    /// True if `freeze_super` has frozen it.
    pub(crate) frozen: bool,
    /// Number of opens of the whole drive and its partitions, by programs and by the kernel. A mount is one.
    pub(crate) opens: u32,
}

impl UseCount {
    /// Reads the records in the output of the program; `None` is the last one, which has no device.
    pub(super) fn all(bytes: &[u8]) -> impl Iterator<Item = Option<UseCount>> {
        bytes.as_chunks::<RECORD_SIZE>().0.iter().map(|record| {
            let (words, _) = record.as_chunks();
            let words: Vec<u32> = words.iter().map(|word| u32::from_ne_bytes(*word)).collect();
            match words[..] {
                [device, mounts, frozen, opens] if device != 0 => {
                    let device = device_of(device);
                    Some(UseCount { device, mounts, frozen: frozen != 0, opens })
                }
                _ => None,
            }
        })
    }
}

/// Returns the program for [`TASKS`], which writes a record for each wanted file system, and a last one.
///
/// # Errors
/// ENOTSUP if the kernel lacks a type or function.
///
/// [`TASKS`]: super::kernel_types::TASKS
pub(crate) fn of_counts(devices: &Devices, types: &TypeInfo) -> Result<Vec<Instruction>, Errno> {
    let file_system = |w: &mut Writer<'_>, exits: Exits| {
        w.code.store(Bits32, R10, RECORD, R1); // device
        w.load("super_block", "s_active", Bits32, R1, R9)?;
        w.code.store(Bits32, R10, RECORD + 4, R1);
        let frozen = w.member("super_block", "s_writers")? + w.member("sb_writers", "frozen")?;
        w.code.load(Bits16, R1, R9, frozen);
        w.code.store(Bits32, R10, RECORD + 8, R1);
        w.load("super_block", "s_bdev", Bits64, R1, R9)?;
        w.code.jump_if(R1, Equal, 0, exits.stop);
        w.load("block_device", "bd_disk", Bits64, R1, R1)?;
        w.load("gendisk", "part0", Bits64, R1, R1)?;
        w.load("block_device", "bd_openers", Bits32, R1, R1)?;
        w.code.store(Bits32, R10, RECORD + 12, R1);
        w.write_bytes();
        w.code.jump(exits.next);
        Ok(())
    };
    let last = |w: &mut Writer<'_>| {
        w.code.set(R1, 0);
        w.code.store(Bits64, R10, RECORD, R1);
        w.write_bytes();
        Ok(())
    };
    Writer::walk_file_systems(devices, types, file_system, None, last)?.finish()
}
