//! Walk through all file systems in the kernel, from that of the own root directory, and through their inodes.
//!
//! No lock is taken. A list that changes at that moment leads astray or ends too late: then the walk gives up, and the
//! program does not write its last record.

use crate::platform::linux::blockers::processes::bpf_scan::devices::Devices;
use crate::platform::linux::blockers::processes::bpf_scan::writer::{
    LOOP, POINTER, START, TASK, Writer,
};
use crate::platform::linux::sys::bpf_assembler::Condition::Equal;
use crate::platform::linux::sys::bpf_assembler::Label;
use crate::platform::linux::sys::bpf_assembler::Register::{R0, R1, R2, R3, R7, R8, R9, R10};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits32, Bits64};
use crate::platform::linux::sys::btf::TypeInfo;
use rustix::io::Errno;

/// Largest number of file systems to go through.
const MAX_FILE_SYSTEMS: i32 = 4096;

/// Largest number of inodes of one file system to go through: a millisecond.
pub(super) const MAX_INODES: i32 = 1 << 14;

/// Magic number of the file system that has an inode for each block device (linux/magic.h).
const BDEVFS_MAGIC: i32 = 0x6264_6576;

/// Places where a program goes on after one file system or inode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exits {
    pub(super) next: Label,
    /// Ends the walk early.
    pub(super) stop: Label,
}

impl<'w> Writer<'w> {
    /// Begins a program that looks at each wanted file system, and at that of the block devices, in R9.
    ///
    /// Both parts end with a jump to one of the exits; `last` runs after all of them.
    ///
    /// # Errors
    /// ENOTSUP if the kernel lacks a type or function.
    pub(super) fn walk_file_systems(
        devices: &'w Devices,
        types: &'w TypeInfo,
        file_system: impl FnOnce(&mut Self, Exits) -> Result<(), Errno>,
        block_devices: impl FnOnce(&mut Self, Exits) -> Result<(), Errno>,
        last: impl FnOnce(&mut Self) -> Result<(), Errno>,
    ) -> Result<Self, Errno> {
        let mut w = Writer::begin(devices, types, TASK, R7)?;
        let [first, next, wanted, nodes, end, seen, stop] = [(); 7].map(|()| w.code.label());
        // The iterator runs for each thread, and once is enough.
        w.load("task_struct", "pid", Bits32, R1, R7)?;
        w.load("task_struct", "tgid", Bits32, R2, R7)?;
        w.code.jump_if_same(R1, R2, first);
        w.code.jump(w.end);
        w.code.place(first);
        w.load("task_struct", "fs", Bits64, R1, R7)?;
        w.code.jump_if(R1, Equal, 0, w.end);
        let dentry = w.member("fs_struct", "root")? + w.member("path", "dentry")?;
        w.code.load(Bits64, R1, R1, dentry);
        w.load("dentry", "d_sb", Bits64, R9, R1)?;
        w.code.store(Bits64, R10, START, R9);
        w.code.set(R3, MAX_FILE_SYSTEMS);
        w.begin_numbers(LOOP)?;
        w.code.place(next);
        w.next_number(LOOP, stop)?;
        w.load("super_block", "s_list", Bits64, R1, R9)?;
        w.container("super_block", "s_list")?;
        w.code.copy(R9, R0);
        w.match_file_system(R9, wanted)?;
        w.load("super_block", "s_magic", Bits64, R1, R9)?;
        w.code.jump_if(R1, Equal, BDEVFS_MAGIC, nodes);
        w.code.place(seen);
        w.code.load(Bits64, R1, R10, START);
        w.code.jump_if_same(R9, R1, end);
        w.code.jump(next);
        let exits = Exits { next: seen, stop };
        w.code.place(wanted);
        file_system(&mut w, exits)?;
        w.code.place(nodes);
        block_devices(&mut w, exits)?;
        w.code.place(end);
        last(&mut w)?;
        w.code.place(stop);
        w.end_numbers(LOOP)?;
        Ok(w)
    }

    /// Looks at each inode, in R0, of the file system in R9.
    ///
    /// # Errors
    /// As [`Writer::walk_file_systems`].
    pub(super) fn each_inode(
        &mut self,
        exits: Exits,
        look: impl FnOnce(&mut Self, Exits) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let [next, advance, end, stop, same] = [(); 5].map(|()| self.code.label());
        self.code.set(R3, MAX_INODES);
        self.begin_numbers(POINTER)?;
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
        self.code.jump_if_same(R1, R9, same);
        self.code.jump(stop);
        self.code.place(same);
        look(self, Exits { next: advance, stop })?;
        self.code.place(advance);
        self.load("list_head", "next", Bits64, R8, R8)?;
        self.code.jump(next);
        for (place, exit) in [(end, exits.next), (stop, exits.stop)] {
            self.code.place(place);
            self.end_numbers(POINTER)?;
            self.code.jump(exit);
        }
        Ok(())
    }

    /// `R0 = container_of(R1, struct of, member)`
    pub(super) fn container(
        &mut self,
        of: &'static str,
        member: &'static str,
    ) -> Result<(), Errno> {
        let offset = self.member(of, member)?;
        self.code.add_number(R1, -i32::from(offset));
        self.cast(of)
    }
}
