//! Loops of the program for each thread: over its open files and its mappings (Linux 6.7).

use crate::platform::linux::blockers::processes::bpf_scan::kernel_types::{
    MAPPINGS_DESTROY, MAPPINGS_NEW, MAPPINGS_NEXT,
};
use crate::platform::linux::blockers::processes::bpf_scan::record::Kind;
use crate::platform::linux::blockers::processes::bpf_scan::writer::{
    LAST_DEVICE, LOOP, POINTER, RECORD, TASK, Writer,
};
use crate::platform::linux::sys::bpf_assembler::Condition::{Equal, SignedLess};
use crate::platform::linux::sys::bpf_assembler::Label;
use crate::platform::linux::sys::bpf_assembler::Register::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits32, Bits64};
use rustix::io::Errno;

const EBUSY: i32 = 16;

impl Writer<'_> {
    /// Goes through the table of descriptors.
    pub(super) fn open_files(&mut self) -> Result<(), Errno> {
        let [next, end, done] = [self.code.label(), self.code.label(), self.code.label()];
        let fits = self.code.label();
        self.own_part("files", done)?;
        self.load("files_struct", "fdt", Bits64, R1, R1)?;
        self.code.jump_if(R1, Equal, 0, done);
        self.load("fdtable", "max_fds", Bits32, R3, R1)?;
        self.load("fdtable", "fd", Bits64, R8, R1)?;
        self.begin_numbers(LOOP)?;
        self.code.jump_if(R0, Equal, 0, fits);
        self.code.set(R1, 0);
        self.report(Kind::FilesUnseen)?;
        self.code.place(fits);
        self.begin_loop()?;
        self.code.place(next);
        self.next_number(LOOP, end)?;
        self.code.load(Bits32, R1, R0, 0);
        self.code.shift_left(R1, 3);
        self.code.add(R1, R8);
        // The verifier knows no arrays of pointers. A structure that begins with a pointer is one of one element.
        self.cast("path")?;
        self.code.load(Bits64, R1, R0, 0);
        self.code.jump_if(R1, Equal, 0, next);
        self.cast("file")?;
        self.code.copy(R9, R0);
        self.file_of_many(next, Kind::File, Kind::Node)?;
        self.code.place(end);
        self.end_numbers(LOOP)?;
        self.code.place(done);
        self.load("task_struct", "group_leader", Bits64, R8, R7)
    }

    /// Goes through the memory map. The loop does not wait for its lock, and reports that it could not look.
    /// R8 has the file of the last mapping: the parts of a library follow each other.
    pub(super) fn mapped_files(&mut self) -> Result<(), Errno> {
        let [next, end, done] = [self.code.label(), self.code.label(), self.code.label()];
        let seen = self.code.label();
        self.own_part("mm", done)?;
        self.code.load(Bits64, R2, R6, TASK);
        self.code.jump_if(R2, Equal, 0, done);
        self.stack_address(R1, LOOP);
        self.code.set(R3, 0);
        self.call(MAPPINGS_NEW)?;
        self.code.jump_if(R0, Equal, 0, seen);
        self.code.jump_if(R0, SignedLess, -EBUSY, seen);
        self.code.set(R1, 0);
        self.report(Kind::MappingsUnseen)?;
        self.code.place(seen);
        self.begin_loop()?;
        self.code.set(R8, 0);
        self.code.place(next);
        self.stack_address(R1, LOOP);
        self.call(MAPPINGS_NEXT)?;
        self.code.jump_if(R0, Equal, 0, end);
        self.code.copy(R9, R0);
        self.forget_trust("vm_area_struct", R9)?;
        self.load("vm_area_struct", "vm_file", Bits64, R9, R9)?;
        self.code.jump_if(R9, Equal, 0, next);
        self.code.jump_if_same(R9, R8, next);
        self.code.copy(R8, R9);
        self.file_of_many(next, Kind::MappedFile, Kind::MappedNode)?;
        self.code.place(end);
        self.stack_address(R1, LOOP);
        self.call(MAPPINGS_DESTROY)?;
        self.code.place(done);
        Ok(())
    }

    /// Writes numbers that the verifier does not know to all that the loop writes.
    ///
    /// It goes through a loop again for each combination of what it knows. The last device is none that there is.
    fn begin_loop(&mut self) -> Result<(), Errno> {
        self.load("task_struct", "pid", Bits32, R1, R7)?;
        for offset in [0, 4, 8, 12] {
            self.code.store(Bits32, R10, RECORD + offset, R1);
        }
        for offset in [0, 4] {
            self.code.store(Bits32, R10, POINTER + offset, R1);
        }
        self.code.shift_left(R1, 32);
        self.load("task_struct", "flags", Bits32, R2, R7)?;
        self.code.add(R1, R2);
        self.code.store(Bits64, R10, LAST_DEVICE, R1);
        Ok(())
    }

    /// Reports the file in R9 if its device is wanted and is not the last one reported. Goes on at `next`.
    fn file_of_many(&mut self, next: Label, file: Kind, node: Kind) -> Result<(), Errno> {
        let (on_file_system, is_node) = (self.code.label(), self.code.label());
        self.match_file(on_file_system, is_node)?;
        self.code.jump(next);
        let report = self.code.label();
        self.code.place(on_file_system);
        self.code.set(R3, file as i32);
        self.code.jump(report);
        self.code.place(is_node);
        self.code.set(R3, node as i32);
        self.code.place(report);
        self.code.load(Bits64, R2, R10, LAST_DEVICE);
        self.code.jump_if_same(R1, R2, next);
        self.code.store(Bits64, R10, LAST_DEVICE, R1);
        self.write_record()?;
        self.code.jump(next);
        Ok(())
    }
}
