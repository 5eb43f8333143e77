//! Program that tells whether any file of the devices is mapped, from the side of the files.
//!
//! The kernel keeps for each inode the mappings of it (`address_space.i_mmap`). A drive has few inodes in memory, a
//! machine tens of thousands of mappings, each with a lock: so the mappings of the processes are gone through only if
//! there is one to be found. The program goes through all file systems from that of the own root directory, then
//! through the inodes of the wanted ones. It takes no lock. A list that changes at that moment leads astray or ends too
//! late, and then the program says nothing, which counts as a file that is mapped.

use crate::platform::linux::blockers::processes::bpf_scan::devices::Devices;
use crate::platform::linux::blockers::processes::bpf_scan::kernel_types::{
    NUMBERS_DESTROY, NUMBERS_NEW, NUMBERS_NEXT,
};
use crate::platform::linux::blockers::processes::bpf_scan::record::Kind;
use crate::platform::linux::blockers::processes::bpf_scan::writer::{
    LOOP, POINTER, S_IFBLK, S_IFCHR, S_IFMT, START, TASK, Writer,
};
use crate::platform::linux::sys::bpf::Instruction;
use crate::platform::linux::sys::bpf_assembler::Condition::{Equal, NotEqual, WordEqual};
use crate::platform::linux::sys::bpf_assembler::Label;
use crate::platform::linux::sys::bpf_assembler::Register::{R0, R1, R2, R3, R4, R7, R8, R9, R10};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits16, Bits32, Bits64};
use crate::platform::linux::sys::btf::TypeInfo;
use rustix::io::Errno;

/// Largest number of file systems to go through.
const MAX_FILE_SYSTEMS: i32 = 4096;

/// Largest number of inodes of one file system to go through: a millisecond.
pub(super) const MAX_INODES: i32 = 1 << 14;

/// Magic number of the file system that has an inode for each block device (linux/magic.h).
const BDEVFS_MAGIC: i32 = 0x6264_6576;

/// Returns the program for [`TASKS`], which writes [`Kind::NothingMapped`] if no file of the devices is mapped.
///
/// Mappings of character devices are not looked for: nothing is written through them.
///
/// # Errors
/// ENOTSUP if the kernel lacks a type or function.
///
/// [`TASKS`]: super::kernel_types::TASKS
pub(crate) fn of_inodes(devices: &Devices, types: &TypeInfo) -> Result<Vec<Instruction>, Errno> {
    let mut w = Writer::begin(devices, types, TASK, R7)?;
    let [next, inodes, nodes, last, seen, end] = [(); 6].map(|()| w.code.label());
    w.load("task_struct", "fs", Bits64, R1, R7)?;
    w.code.jump_if(R1, Equal, 0, w.end);
    let dentry = w.member("fs_struct", "root")? + w.member("path", "dentry")?;
    w.code.load(Bits64, R1, R1, dentry);
    w.load("dentry", "d_sb", Bits64, R9, R1)?;
    w.code.store(Bits64, R10, START, R9);
    w.begin_numbers(LOOP, MAX_FILE_SYSTEMS)?;
    w.code.place(next);
    w.next_number(LOOP, end)?;
    w.load("super_block", "s_list", Bits64, R1, R9)?;
    w.container("super_block", "s_list")?;
    w.code.copy(R9, R0);
    w.match_file_system(R9, inodes)?;
    w.load("super_block", "s_magic", Bits64, R1, R9)?;
    w.code.jump_if(R1, Equal, BDEVFS_MAGIC, nodes);
    w.code.place(seen);
    w.code.load(Bits64, R1, R10, START);
    w.code.jump_if_same(R9, R1, last);
    w.code.jump(next);
    w.code.place(inodes);
    w.inodes(Inodes::All, seen, end)?;
    w.code.place(nodes);
    w.inodes(Inodes::BlockDevices, seen, end)?;
    w.code.place(last);
    w.code.set(R1, 0);
    w.report(Kind::NothingMapped)?;
    w.code.jump(end);
    w.code.place(end);
    w.end_numbers(LOOP)?;
    w.finish()
}

/// Inodes of a file system to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inodes {
    All,
    /// Those of the wanted block devices.
    BlockDevices,
}

impl Writer<'_> {
    /// Goes through the inodes of the file system in R9; on at `unmapped`, or at `mapped` if one is or it is unknown.
    fn inodes(&mut self, which: Inodes, unmapped: Label, mapped: Label) -> Result<(), Errno> {
        let [next, look, advance, end, stop] = [(); 5].map(|()| self.code.label());
        self.begin_numbers(POINTER, MAX_INODES)?;
        self.load("super_block", "s_inodes", Bits64, R8, R9)?;
        self.code.place(next);
        self.next_number(POINTER, stop)?;
        let head = self.member("super_block", "s_inodes")?;
        self.code.copy(R1, R9);
        self.code.add_number(R1, head.into());
        self.code.jump_if_same(R8, R1, end);
        self.code.copy(R1, R8);
        self.container("inode", "i_sb_list")?;
        self.load("inode", "i_sb", Bits64, R1, R0)?;
        let same = self.code.label();
        self.code.jump_if_same(R1, R9, same);
        self.code.jump(stop);
        self.code.place(same);
        self.load("inode", "i_mode", Bits16, R2, R0)?;
        self.load("inode", "i_rdev", Bits32, R4, R0)?;
        self.code.and_number(R2, S_IFMT);
        match which {
            // The mappings of a device are those of the device's own inode.
            Inodes::All => {
                self.code.jump_if(R2, Equal, S_IFBLK, stop);
                self.code.jump_if(R2, Equal, S_IFCHR, stop);
            }
            Inodes::BlockDevices => {
                for device in &self.devices.block_nodes {
                    self.code.jump_if(R4, WordEqual, *device, look);
                }
                self.code.jump(advance);
            }
        }
        self.code.place(look);
        self.load("inode", "i_mapping", Bits64, R1, R0)?;
        self.load("address_space", "i_mmap", Bits64, R1, R1)?;
        self.code.jump_if(R1, NotEqual, 0, stop);
        self.code.place(advance);
        self.load("list_head", "next", Bits64, R8, R8)?;
        self.code.jump(next);
        self.code.place(end);
        self.end_numbers(POINTER)?;
        self.code.jump(unmapped);
        self.code.place(stop);
        self.end_numbers(POINTER)?;
        self.code.jump(mapped);
        Ok(())
    }

    /// `R0 = container_of(R1, struct of, list)`
    fn container(&mut self, of: &'static str, list: &'static str) -> Result<(), Errno> {
        let offset = self.member(of, list)?;
        self.code.add_number(R1, -i32::from(offset));
        self.cast(of)
    }

    fn begin_numbers(&mut self, place: i16, end: i32) -> Result<(), Errno> {
        self.stack_address(R1, place);
        self.code.set(R2, 0);
        self.code.set(R3, end);
        self.call(NUMBERS_NEW)
    }

    fn next_number(&mut self, place: i16, end: Label) -> Result<(), Errno> {
        self.stack_address(R1, place);
        self.call(NUMBERS_NEXT)?;
        self.code.jump_if(R0, Equal, 0, end);
        Ok(())
    }

    fn end_numbers(&mut self, place: i16) -> Result<(), Errno> {
        self.stack_address(R1, place);
        self.call(NUMBERS_DESTROY)
    }
}
