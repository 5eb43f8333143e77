//! Program that tells whether any file of the devices is mapped, from the side of the files.
//!
//! The kernel keeps for each inode the mappings of it (`address_space.i_mmap`). A drive has few inodes in memory, a
//! machine tens of thousands of mappings, each with a lock: so the mappings of the processes are gone through only if
//! there is one to be found. A walk that is given up counts as a file that is mapped.

use crate::platform::linux::blockers::processes::bpf_scan::devices::Devices;
use crate::platform::linux::blockers::processes::bpf_scan::record::Kind;
use crate::platform::linux::blockers::processes::bpf_scan::super_block_walk::Exits;
use crate::platform::linux::blockers::processes::bpf_scan::writer::{
    S_IFBLK, S_IFCHR, S_IFMT, Writer,
};
use crate::platform::linux::sys::bpf::Instruction;
use crate::platform::linux::sys::bpf_assembler::Condition::{Equal, NotEqual};
use crate::platform::linux::sys::bpf_assembler::Register::{R0, R1, R2};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits16, Bits64};
use crate::platform::linux::sys::btf::TypeInfo;
use rustix::io::Errno;

/// Returns the program for [`TASKS`], which writes [`Kind::NothingMapped`] if no file of the devices is mapped.
///
/// Mappings of character devices are not looked for: nothing is written through them.
///
/// # Errors
/// ENOTSUP if the kernel lacks a type or function.
///
/// [`TASKS`]: super::kernel_types::TASKS
pub(crate) fn of_inodes(devices: &Devices, types: &TypeInfo) -> Result<Vec<Instruction>, Errno> {
    let unmapped = |w: &mut Writer<'_>, exits: Exits| {
        w.each_inode(exits, |w, inode| {
            // The mappings of a device are those of the device's own inode, wherever its node is.
            w.load("inode", "i_mode", Bits16, R2, R0)?;
            w.code.and_number(R2, S_IFMT);
            w.code.jump_if(R2, Equal, S_IFBLK, inode.stop);
            w.code.jump_if(R2, Equal, S_IFCHR, inode.stop);
            w.stop_if_mapped(inode)
        })
    };
    let unmapped_device = |w: &mut Writer<'_>, exits: Exits| {
        w.each_inode(exits, |w, inode| {
            w.match_block_device(inode.next)?;
            w.stop_if_mapped(inode)
        })
    };
    let last = |w: &mut Writer<'_>| {
        w.code.set(R1, 0);
        w.report(Kind::NothingMapped)
    };
    Writer::walk_file_systems(devices, types, unmapped, unmapped_device, last)?.finish()
}

impl Writer<'_> {
    fn stop_if_mapped(&mut self, inode: Exits) -> Result<(), Errno> {
        self.load("inode", "i_mapping", Bits64, R1, R0)?;
        self.load("address_space", "i_mmap", Bits64, R1, R1)?;
        self.code.jump_if(R1, NotEqual, 0, inode.stop);
        Ok(())
    }
}
