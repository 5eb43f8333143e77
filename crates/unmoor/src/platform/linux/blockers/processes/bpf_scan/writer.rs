//! Writer of the programs: loads by the kernel's own types, comparisons with the devices, and records.
//!
//! Every pointer is followed by a load that the verifier knows the type of, so a structure that changes meanwhile
//! gives a wrong number and never a fault. Processes that are reported are read again through /proc.

use crate::platform::linux::blockers::processes::bpf_scan::devices::Devices;
use crate::platform::linux::blockers::processes::bpf_scan::kernel_types::{
    CAST, NUMBERS_DESTROY, NUMBERS_NEW, NUMBERS_NEXT,
};
use crate::platform::linux::blockers::processes::bpf_scan::record::{Kind, RECORD_SIZE};
use crate::platform::linux::sys::bpf::Instruction;
use crate::platform::linux::sys::bpf_assembler::Condition::{Equal, NotEqual, WordEqual};
use crate::platform::linux::sys::bpf_assembler::Register::{
    R0, R1, R2, R3, R4, R6, R7, R8, R9, R10,
};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits16, Bits32, Bits64};
use crate::platform::linux::sys::bpf_assembler::{Assembler, Helper, Label, Register, Size};
use crate::platform::linux::sys::btf::TypeInfo;
use rustix::io::Errno;

pub(super) const S_IFMT: i32 = 0xf000;
pub(super) const S_IFBLK: i32 = 0x6000;
pub(super) const S_IFCHR: i32 = 0x2000;
/// First eight bytes of the name of an io_uring instance.
const RING_NAME: u64 = u64::from_le_bytes(*b"[io_urin");

// The stack, below R10: the record, then what the loops need.
pub(super) const RECORD: i16 = -(RECORD_SIZE as i16);
pub(super) const LOOP: i16 = RECORD - 8;
pub(super) const POINTER: i16 = LOOP - 8;
pub(super) const LAST_DEVICE: i16 = POINTER - 8;
const SEQ: i16 = LAST_DEVICE - 8;
pub(super) const START: i16 = SEQ - 8;

// Offsets in the contexts of the iterators: struct bpf_iter__task, bpf_iter__task_file, bpf_iter__task_vma.
const META: i16 = 0;
pub(super) const TASK: i16 = 8;
pub(super) const FILE: i16 = 24;
pub(super) const MAPPING: i16 = 16;

/// Writes one program. R6 has its context, R7 the thread.
pub(super) struct Writer<'w> {
    pub(super) devices: &'w Devices,
    pub(super) types: &'w TypeInfo,
    pub(super) code: Assembler,
    pub(super) end: Label,
}

impl<'w> Writer<'w> {
    /// Begins with a load of the object from the context. The iterator calls once more at its end, without one.
    pub(super) fn begin(
        devices: &'w Devices,
        types: &'w TypeInfo,
        object: i16,
        to: Register,
    ) -> Result<Writer<'w>, Errno> {
        let mut code = Assembler::default();
        let end = code.label();
        code.copy(R6, R1);
        code.load(Bits64, to, R6, object);
        code.jump_if(to, Equal, 0, end);
        if to != R7 {
            code.load(Bits64, R7, R6, TASK);
            code.jump_if(R7, Equal, 0, end);
        }
        code.load(Bits64, R1, R6, META);
        code.load(Bits64, R1, R1, 0); // meta->seq
        code.store(Bits64, R10, SEQ, R1);
        let mut writer = Writer { devices, types, code, end };
        writer.forget_trust("task_struct", R7)?;
        if to != R7 {
            writer.forget_trust(if object == FILE { "file" } else { "vm_area_struct" }, to)?;
        }
        Ok(writer)
    }

    /// Makes this pointer one that may be followed and no more.
    ///
    /// For each load through a trusted pointer the verifier searches all types of the kernel by name, which takes
    /// milliseconds. Before Linux 6.2 it did not tell the two apart.
    pub(super) fn forget_trust(
        &mut self,
        of: &'static str,
        pointer: Register,
    ) -> Result<(), Errno> {
        if self.types.function(CAST).is_some() {
            self.code.copy(R1, pointer);
            self.cast(of)?;
            self.code.copy(pointer, R0);
        }
        Ok(())
    }

    /// `R0 = (struct of *)R1`
    pub(super) fn cast(&mut self, of: &'static str) -> Result<(), Errno> {
        let number = self.types.structure(of).ok_or(Errno::NOTSUP)?;
        self.code.set(R2, number as i32);
        self.call(CAST)
    }

    pub(super) fn finish(mut self) -> Result<Vec<Instruction>, Errno> {
        self.code.place(self.end);
        self.code.exit(0);
        self.code.finish()
    }

    pub(super) fn member(&self, of: &'static str, name: &'static str) -> Result<i16, Errno> {
        self.types.member(of, name).ok_or(Errno::NOTSUP)
    }

    pub(super) fn call(&mut self, function: &str) -> Result<(), Errno> {
        self.code.call_by_type(self.types.function(function).ok_or(Errno::NOTSUP)?);
        Ok(())
    }

    /// `to = from->name`
    pub(super) fn load(
        &mut self,
        of: &'static str,
        name: &'static str,
        size: Size,
        to: Register,
        from: Register,
    ) -> Result<(), Errno> {
        let offset = self.member(of, name)?;
        self.code.load(size, to, from, offset);
        Ok(())
    }

    /// `R1 = thread->name`; goes to `none` if there is none, or if it is the one of the first thread.
    pub(super) fn own_part(&mut self, name: &'static str, none: Label) -> Result<(), Errno> {
        let own = self.code.label();
        self.load("task_struct", name, Bits64, R1, R7)?;
        self.code.jump_if(R1, Equal, 0, none);
        self.code.jump_if_same(R7, R8, own);
        self.load("task_struct", name, Bits64, R2, R8)?;
        self.code.jump_if_same(R1, R2, none);
        self.code.place(own);
        Ok(())
    }

    /// Reports the file in R9 if its device is wanted.
    pub(super) fn one_file(&mut self, file: Kind, node: Kind) -> Result<(), Errno> {
        let (on_file_system, is_node) = (self.code.label(), self.code.label());
        self.match_file(on_file_system, is_node)?;
        self.code.jump(self.end);
        self.code.place(on_file_system);
        self.report(file)?;
        self.code.jump(self.end);
        self.code.place(is_node);
        self.report(node)
    }

    /// Compares the device of a file system with the wanted ones. Leaves it in R1.
    pub(super) fn match_file_system(
        &mut self,
        file_system: Register,
        found: Label,
    ) -> Result<(), Errno> {
        self.load("super_block", "s_dev", Bits32, R1, file_system)?;
        self.copy_for_comparison();
        for device in &self.devices.file_systems {
            self.code.jump_if(R4, WordEqual, *device, found);
        }
        Ok(())
    }

    /// Leaves the device number of the inode in R0 in R4; goes to `other` if it is no wanted block device.
    pub(super) fn match_block_device(&mut self, other: Label) -> Result<(), Errno> {
        let found = self.code.label();
        self.load("inode", "i_rdev", Bits32, R4, R0)?;
        for device in &self.devices.block_nodes {
            self.code.jump_if(R4, WordEqual, *device, found);
        }
        self.code.jump(other);
        self.code.place(found);
        Ok(())
    }

    /// Copies the device in R1 to R4, so that the verifier does not learn R1 from the comparisons.
    pub(super) fn copy_for_comparison(&mut self) {
        self.code.copy(R4, R1);
        self.code.and_number(R4, -1);
    }

    /// Compares the file in R9 with the wanted devices. Leaves the number of the device in R1.
    pub(super) fn match_file(
        &mut self,
        on_file_system: Label,
        is_node: Label,
    ) -> Result<(), Errno> {
        let none = self.code.label();
        self.load("file", "f_inode", Bits64, R2, R9)?;
        self.load("inode", "i_sb", Bits64, R3, R2)?;
        self.match_file_system(R3, on_file_system)?;
        if let Some(anonymous) = self.devices.anonymous {
            let (other, maybe) = (self.code.label(), self.code.label());
            self.code.jump_if(R4, WordEqual, anonymous, maybe);
            self.code.jump(other);
            self.code.place(maybe);
            self.match_ring(on_file_system)?;
            self.code.jump(none);
            self.code.place(other);
        }
        self.load("inode", "i_rdev", Bits32, R1, R2)?;
        self.copy_for_comparison();
        self.load("inode", "i_mode", Bits16, R2, R2)?;
        self.code.and_number(R2, S_IFMT);
        let nodes =
            [(S_IFBLK, &self.devices.block_nodes), (S_IFCHR, &self.devices.character_nodes)];
        for (kind, nodes) in nodes {
            let other = self.code.label();
            self.code.jump_if(R2, NotEqual, kind, other);
            for device in nodes {
                self.code.jump_if(R4, WordEqual, *device, is_node);
            }
            self.code.place(other);
        }
        self.code.place(none);
        Ok(())
    }

    /// Compares the name of an anonymous file. Where the kernel's types do not tell it, any such file counts.
    pub(super) fn match_ring(&mut self, found: Label) -> Result<(), Errno> {
        let name = || {
            let dentry =
                self.member("file", "f_path").ok()? + self.member("path", "dentry").ok()?;
            let name = self.member("dentry", "d_name").ok()? + self.member("qstr", "name").ok()?;
            Some((dentry, name))
        };
        let Some((dentry, name)) = name() else {
            self.code.jump(found);
            return Ok(());
        };
        self.code.load(Bits64, R3, R9, dentry);
        self.code.load(Bits64, R3, R3, name);
        self.stack_address(R1, POINTER);
        self.code.set(R2, 8);
        self.code.call(Helper::ProbeReadKernel);
        self.code.load(Bits64, R3, R10, POINTER);
        self.code.set_long(R2, RING_NAME);
        self.code.set(R1, self.devices.anonymous.unwrap_or_default());
        self.code.jump_if_same(R2, R3, found);
        Ok(())
    }

    /// Begins a loop over the numbers below the one in R3, with its state in this place of the stack.
    pub(super) fn begin_numbers(&mut self, place: i16) -> Result<(), Errno> {
        self.code.set(R2, 0);
        self.stack_address(R1, place);
        self.call(NUMBERS_NEW)
    }

    /// `R0 = &next number`; goes to `end` after the last.
    pub(super) fn next_number(&mut self, place: i16, end: Label) -> Result<(), Errno> {
        self.stack_address(R1, place);
        self.call(NUMBERS_NEXT)?;
        self.code.jump_if(R0, Equal, 0, end);
        Ok(())
    }

    /// Ends the loop, as the verifier demands on every way out of it.
    pub(super) fn end_numbers(&mut self, place: i16) -> Result<(), Errno> {
        self.stack_address(R1, place);
        self.call(NUMBERS_DESTROY)
    }

    /// Writes a record of this kind, with the number in R1.
    pub(super) fn report(&mut self, kind: Kind) -> Result<(), Errno> {
        self.code.set(R3, kind as i32);
        self.write_record()
    }

    /// Writes a record of the kind in R3, with the number in R1.
    pub(super) fn write_record(&mut self) -> Result<(), Errno> {
        self.code.store(Bits32, R10, RECORD + 8, R3);
        self.code.store(Bits32, R10, RECORD + 12, R1);
        self.load("task_struct", "tgid", Bits32, R1, R7)?;
        self.code.store(Bits32, R10, RECORD, R1);
        self.load("task_struct", "pid", Bits32, R1, R7)?;
        self.code.store(Bits32, R10, RECORD + 4, R1);
        self.write_bytes(RECORD, RECORD_SIZE);
        Ok(())
    }

    /// Writes this part of the stack.
    pub(super) fn write_bytes(&mut self, place: i16, size: usize) {
        self.code.load(Bits64, R1, R10, SEQ);
        self.stack_address(R2, place);
        self.code.set(R3, size as i32);
        self.code.call(Helper::SeqWrite);
    }

    pub(super) fn stack_address(&mut self, to: Register, offset: i16) {
        self.code.copy(to, R10);
        self.code.add_number(to, offset.into());
    }
}
