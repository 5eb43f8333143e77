//! Program that reads how often the kernel uses file systems and devices.

use crate::platform::linux::blockers::processes::bpf_scan::devices::Devices;
use crate::platform::linux::blockers::processes::bpf_scan::record::{RECORD_SIZE, device_of};
use crate::platform::linux::blockers::processes::bpf_scan::super_block_walk::Exits;
use crate::platform::linux::blockers::processes::bpf_scan::writer::{RECORD, Writer};
use crate::platform::linux::sys::bpf::Instruction;
use crate::platform::linux::sys::bpf_assembler::Register::{R0, R1, R4, R9, R10};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits16, Bits32};
use crate::platform::linux::sys::btf::TypeInfo;
use rustix::io::Errno;

/// Use of a file system or a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UseCount {
    FileSystem {
        device: u64,
        /// Number of mounts, in all namespaces and in none.
        mounts: u32,
        /// True if `freeze_super` has frozen it.
        frozen: bool,
    },
    BlockDevice {
        device: u64,
        /// Number of opens by programs and by the kernel, a mount among them.
        opens: u32,
    },
    /// All of them were seen.
    Complete,
}

const FILE_SYSTEM: i32 = 1;
const BLOCK_DEVICE: i32 = 2;
const COMPLETE: i32 = 3;

impl UseCount {
    /// Reads the records in the output of the program.
    pub(super) fn all(bytes: &[u8]) -> impl Iterator<Item = UseCount> {
        bytes.as_chunks::<RECORD_SIZE>().0.iter().filter_map(|record| {
            let word = |at: usize| record[at..].first_chunk().map(|w| u32::from_ne_bytes(*w));
            let (device, count) = (device_of(word(0)?), word(4)?);
            match word(8)?.cast_signed() {
                FILE_SYSTEM => {
                    Some(UseCount::FileSystem { device, mounts: count, frozen: word(12)? != 0 })
                }
                BLOCK_DEVICE => Some(UseCount::BlockDevice { device, opens: count }),
                COMPLETE => Some(UseCount::Complete),
                _ => None,
            }
        })
    }
}

/// Returns the program for [`TASKS`], which writes a record for each wanted file system and device, and a last one.
///
/// # Errors
/// ENOTSUP if the kernel lacks a type or function.
///
/// [`TASKS`]: super::kernel_types::TASKS
pub(crate) fn of_counts(devices: &Devices, types: &TypeInfo) -> Result<Vec<Instruction>, Errno> {
    let frozen = |w: &Writer<'_>| {
        Ok(w.member("super_block", "s_writers")? + w.member("sb_writers", "frozen")?)
    };
    let file_system = |w: &mut Writer<'_>, exits: Exits| {
        w.code.store(Bits32, R10, RECORD, R1);
        w.load("super_block", "s_active", Bits32, R1, R9)?;
        w.code.store(Bits32, R10, RECORD + 4, R1);
        let frozen = frozen(w)?;
        w.code.load(Bits16, R1, R9, frozen);
        w.code.store(Bits32, R10, RECORD + 12, R1);
        w.write_count(FILE_SYSTEM);
        w.code.jump(exits.next);
        Ok(())
    };
    let block_devices = |w: &mut Writer<'_>, exits: Exits| {
        w.each_inode(exits, |w, inode| {
            w.match_block_device(inode.next)?;
            w.code.store(Bits32, R10, RECORD, R4);
            w.code.copy(R1, R0);
            w.container("bdev_inode", "vfs_inode")?;
            w.code.copy(R1, R0);
            w.cast("block_device")?;
            w.load("block_device", "bd_openers", Bits32, R1, R0)?;
            w.code.store(Bits32, R10, RECORD + 4, R1);
            w.write_count(BLOCK_DEVICE);
            Ok(())
        })
    };
    let last = |w: &mut Writer<'_>| {
        w.write_count(COMPLETE);
        Ok(())
    };
    Writer::walk_file_systems(devices, types, file_system, block_devices, last)?.finish()
}

impl Writer<'_> {
    fn write_count(&mut self, kind: i32) {
        self.code.set(R1, kind);
        self.code.store(Bits32, R10, RECORD + 8, R1);
        self.write_bytes();
    }
}
