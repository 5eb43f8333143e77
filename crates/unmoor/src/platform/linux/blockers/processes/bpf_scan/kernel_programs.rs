//! Programs of the scan, written for the devices that are scanned for.
//!
//! Every pointer is followed by a load that the verifier knows the type of, so a structure that changes meanwhile
//! gives a wrong number and never a fault. Processes that are reported are read again through /proc.

use crate::platform::linux::blockers::processes::bpf_scan::record::{Kind, RECORD_SIZE};
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::sys::bpf::Instruction;
use crate::platform::linux::sys::bpf_assembler::Condition::{
    AnyBit, Equal, NotEqual, SignedLess, WordEqual,
};
use crate::platform::linux::sys::bpf_assembler::Register::{
    R0, R1, R2, R3, R4, R6, R7, R8, R9, R10,
};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits16, Bits32, Bits64};
use crate::platform::linux::sys::bpf_assembler::{Assembler, Helper, Label, Register, Size};
use crate::platform::linux::sys::btf::{TypeInfo, WantedTypes};
use crate::platform::linux::sys::device_number;
use rustix::io::Errno;

/// Iterator over all threads.
pub(crate) const TASKS: &str = "bpf_iter_task";
/// Iterator over the open files of all processes.
pub(crate) const FILES: &str = "bpf_iter_task_file";
/// Iterator over the mappings of all processes.
pub(crate) const MAPPINGS: &str = "bpf_iter_task_vma";

const NUMBERS_NEW: &str = "bpf_iter_num_new";
const NUMBERS_NEXT: &str = "bpf_iter_num_next";
const NUMBERS_DESTROY: &str = "bpf_iter_num_destroy";
const CAST: &str = "bpf_rdonly_cast";
const MAPPINGS_NEW: &str = "bpf_iter_task_vma_new";
const MAPPINGS_NEXT: &str = "bpf_iter_task_vma_next";
const MAPPINGS_DESTROY: &str = "bpf_iter_task_vma_destroy";

/// Types of the kernel that the programs use.
pub(crate) const WANTED: WantedTypes<'_> = WantedTypes {
    functions: &[
        TASKS,
        FILES,
        MAPPINGS,
        NUMBERS_NEW,
        NUMBERS_NEXT,
        NUMBERS_DESTROY,
        CAST,
        MAPPINGS_NEW,
        MAPPINGS_NEXT,
        MAPPINGS_DESTROY,
    ],
    members: &[
        ("task_struct", "flags"),
        ("task_struct", "exit_state"),
        ("task_struct", "pid"),
        ("task_struct", "tgid"),
        ("task_struct", "group_leader"),
        ("task_struct", "fs"),
        ("task_struct", "files"),
        ("task_struct", "mm"),
        ("task_struct", "nsproxy"),
        ("mm_struct", "exe_file"),
        ("vm_area_struct", "vm_file"),
        ("fs_struct", "pwd"),
        ("fs_struct", "root"),
        ("files_struct", "fdt"),
        ("fdtable", "max_fds"),
        ("fdtable", "fd"),
        ("nsproxy", "mnt_ns"),
        ("mnt_namespace", "ns"),
        ("ns_common", "inum"),
        ("file", "f_inode"),
        ("file", "f_path"),
        ("path", "dentry"),
        ("dentry", "d_sb"),
        ("dentry", "d_name"),
        ("qstr", "name"),
        ("inode", "i_sb"),
        ("inode", "i_rdev"),
        ("inode", "i_mode"),
        ("super_block", "s_dev"),
        ("super_block", "s_active"),
        ("super_block", "s_writers"),
        ("sb_writers", "frozen"),
    ],
};

/// Devices that the programs compare with, in the kernel's own form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Devices {
    file_systems: Vec<i32>,
    block_nodes: Vec<i32>,
    character_nodes: Vec<i32>,
    /// Device of the files without a file system, one of which may be an io_uring instance.
    pub(super) anonymous: Option<i32>,
}

impl Devices {
    /// Returns the devices of this filter; `None` if one has a number that the kernel cannot have.
    pub(crate) fn of(filter: &DeviceFilter) -> Option<Devices> {
        let (characters, blocks): (Vec<u64>, Vec<u64>) =
            filter.all_nodes().partition(|device| device_number::is_character_device(*device));
        let nodes = |nodes: Vec<u64>| -> Option<Vec<i32>> {
            nodes.into_iter().map(|n| kernel_number(device_number::without_type(n)?)).collect()
        };
        let anonymous = filter.anonymous_device().map(kernel_number);
        Some(Devices {
            file_systems: filter.all_fs_devices().map(kernel_number).collect::<Option<_>>()?,
            block_nodes: nodes(blocks)?,
            character_nodes: nodes(characters)?,
            anonymous: anonymous.flatten(),
        })
    }
}

#[cfg(test)]
impl Devices {
    pub(crate) fn for_tests(
        file_systems: &[i32],
        block_nodes: &[i32],
        character_nodes: &[i32],
        anonymous: Option<i32>,
    ) -> Devices {
        Devices {
            file_systems: file_systems.to_vec(),
            block_nodes: block_nodes.to_vec(),
            character_nodes: character_nodes.to_vec(),
            anonymous,
        }
    }
}

/// Returns a device number in the kernel's own form: twelve bits and twenty (linux/kdev_t.h).
fn kernel_number(device: u64) -> Option<i32> {
    let (major, minor) = (device >> 32, device & 0xffff_ffff);
    (major < 1 << 12 && minor < 1 << 20).then_some((major << 20 | minor) as u32 as i32)
}

const PF_EXITING: i32 = 0x4;
const PF_KTHREAD: i32 = 0x0020_0000;
const S_IFMT: i32 = 0xf000;
const S_IFBLK: i32 = 0x6000;
const S_IFCHR: i32 = 0x2000;
const EBUSY: i32 = 16;
/// First eight bytes of the name of an io_uring instance.
const RING_NAME: u64 = u64::from_le_bytes(*b"[io_urin");

// The stack, below R10: the record, then what the loops need.
const RECORD: i16 = -(RECORD_SIZE as i16);
const LOOP: i16 = RECORD - 8;
const POINTER: i16 = LOOP - 8;
const LAST_DEVICE: i16 = POINTER - 8;
const SEQ: i16 = LAST_DEVICE - 8;

// Offsets in the contexts of the iterators: struct bpf_iter__task, bpf_iter__task_file, bpf_iter__task_vma.
const META: i16 = 0;
const TASK: i16 = 8;
const FILE: i16 = 24;
const MAPPING: i16 = 16;

/// Returns the program for [`TASKS`].
///
/// It reports directories, programs, exiting processes, and mount namespaces other than the one with this number.
/// With `loops` it reports open files and mapped files too. For those the kernel has functions since Linux 6.7.
///
/// # Errors
/// ENOTSUP if the kernel lacks a type or function.
pub(crate) fn of_tasks(
    devices: &Devices,
    types: &TypeInfo,
    own_namespace: u32,
    loops: bool,
) -> Result<Vec<Instruction>, Errno> {
    let mut w = Writer::begin(devices, types, TASK, R7)?;
    w.load("task_struct", "flags", Bits32, R1, R7)?;
    w.code.jump_if(R1, AnyBit, PF_KTHREAD, w.end);
    w.load("task_struct", "group_leader", Bits64, R8, R7)?;
    w.exiting()?;
    w.program()?;
    w.directories()?;
    w.namespace(own_namespace)?;
    if loops {
        w.open_files()?;
        w.mapped_files()?;
    }
    w.finish()
}

/// Returns the program for [`FILES`].
///
/// # Errors
/// As [`of_tasks`].
pub(crate) fn of_files(devices: &Devices, types: &TypeInfo) -> Result<Vec<Instruction>, Errno> {
    let mut w = Writer::begin(devices, types, FILE, R9)?;
    w.one_file(Kind::File, Kind::Node)?;
    w.finish()
}

/// Returns the program for [`MAPPINGS`].
///
/// # Errors
/// As [`of_tasks`].
pub(crate) fn of_mappings(devices: &Devices, types: &TypeInfo) -> Result<Vec<Instruction>, Errno> {
    let mut w = Writer::begin(devices, types, MAPPING, R9)?;
    w.load("vm_area_struct", "vm_file", Bits64, R9, R9)?;
    w.code.jump_if(R9, Equal, 0, w.end);
    w.one_file(Kind::MappedFile, Kind::MappedNode)?;
    w.finish()
}

/// Writes one program. R6 has its context, R7 the thread.
struct Writer<'w> {
    devices: &'w Devices,
    types: &'w TypeInfo,
    code: Assembler,
    end: Label,
}

impl<'w> Writer<'w> {
    /// Begins with a load of the object from the context. The iterator calls once more at its end, without one.
    fn begin(
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
    fn forget_trust(&mut self, of: &'static str, pointer: Register) -> Result<(), Errno> {
        if self.types.function(CAST).is_some() {
            self.code.copy(R1, pointer);
            self.cast(of)?;
            self.code.copy(pointer, R0);
        }
        Ok(())
    }

    /// `R0 = (struct of *)R1`
    fn cast(&mut self, of: &'static str) -> Result<(), Errno> {
        let number = self.types.structure(of).ok_or(Errno::NOTSUP)?;
        self.code.set(R2, number as i32);
        self.call(CAST)
    }

    fn finish(mut self) -> Result<Vec<Instruction>, Errno> {
        self.code.place(self.end);
        self.code.exit(0);
        self.code.finish()
    }

    fn member(&self, of: &'static str, name: &'static str) -> Result<i16, Errno> {
        self.types.member(of, name).ok_or(Errno::NOTSUP)
    }

    fn call(&mut self, function: &str) -> Result<(), Errno> {
        self.code.call_by_type(self.types.function(function).ok_or(Errno::NOTSUP)?);
        Ok(())
    }

    /// `to = from->name`
    fn load(
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

    /// Reports an exiting process, whose files the kernel closes and does not show any more.
    fn exiting(&mut self) -> Result<(), Errno> {
        let (go_on, report) = (self.code.label(), self.code.label());
        self.code.jump_if(R1, AnyBit, PF_EXITING, report);
        self.code.jump(go_on);
        self.code.place(report);
        self.load("task_struct", "exit_state", Bits32, R1, R7)?;
        self.code.jump_if(R1, NotEqual, 0, go_on);
        self.report(Kind::Exiting)?;
        self.code.place(go_on);
        Ok(())
    }

    /// `R1 = thread->name`; goes to `none` if there is none, or if it is the one of the first thread.
    fn own_part(&mut self, name: &'static str, none: Label) -> Result<(), Errno> {
        let own = self.code.label();
        self.load("task_struct", name, Bits64, R1, R7)?;
        self.code.jump_if(R1, Equal, 0, none);
        self.code.jump_if_same(R7, R8, own);
        self.load("task_struct", name, Bits64, R2, R8)?;
        self.code.jump_if_same(R1, R2, none);
        self.code.place(own);
        Ok(())
    }

    fn program(&mut self) -> Result<(), Errno> {
        let (found, done) = (self.code.label(), self.code.label());
        self.own_part("mm", done)?;
        self.load("mm_struct", "exe_file", Bits64, R1, R1)?;
        self.code.jump_if(R1, Equal, 0, done);
        self.load("file", "f_inode", Bits64, R1, R1)?;
        self.load("inode", "i_sb", Bits64, R1, R1)?;
        self.match_file_system(R1, found)?;
        self.code.jump(done);
        self.code.place(found);
        self.report(Kind::Program)?;
        self.code.place(done);
        Ok(())
    }

    fn directories(&mut self) -> Result<(), Errno> {
        let none = self.code.label();
        for (name, kind) in [("pwd", Kind::WorkingDirectory), ("root", Kind::Root)] {
            let (found, done) = (self.code.label(), self.code.label());
            self.own_part("fs", none)?;
            let dentry = self.member("fs_struct", name)? + self.member("path", "dentry")?;
            self.code.load(Bits64, R1, R1, dentry);
            self.load("dentry", "d_sb", Bits64, R1, R1)?;
            self.match_file_system(R1, found)?;
            self.code.jump(done);
            self.code.place(found);
            self.report(kind)?;
            self.code.place(done);
        }
        self.code.place(none);
        Ok(())
    }

    fn namespace(&mut self, own: u32) -> Result<(), Errno> {
        let done = self.code.label();
        self.own_part("nsproxy", done)?;
        self.load("nsproxy", "mnt_ns", Bits64, R1, R1)?;
        self.code.jump_if(R1, Equal, 0, done);
        let number = self.member("mnt_namespace", "ns")? + self.member("ns_common", "inum")?;
        self.code.load(Bits32, R1, R1, number);
        self.code.jump_if(R1, WordEqual, own as i32, done);
        self.report(Kind::Namespace)?;
        self.code.place(done);
        Ok(())
    }

    /// Goes through the table of descriptors.
    fn open_files(&mut self) -> Result<(), Errno> {
        let [next, end, done] = [self.code.label(), self.code.label(), self.code.label()];
        let fits = self.code.label();
        self.own_part("files", done)?;
        self.load("files_struct", "fdt", Bits64, R1, R1)?;
        self.code.jump_if(R1, Equal, 0, done);
        self.load("fdtable", "max_fds", Bits32, R3, R1)?;
        self.load("fdtable", "fd", Bits64, R8, R1)?;
        self.code.set(R2, 0);
        self.stack_address(R1, LOOP);
        self.call(NUMBERS_NEW)?;
        self.code.jump_if(R0, Equal, 0, fits);
        self.code.set(R1, 0);
        self.report(Kind::FilesUnseen)?;
        self.code.place(fits);
        self.begin_loop()?;
        self.code.place(next);
        self.stack_address(R1, LOOP);
        self.call(NUMBERS_NEXT)?;
        self.code.jump_if(R0, Equal, 0, end);
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
        self.stack_address(R1, LOOP);
        self.call(NUMBERS_DESTROY)?;
        self.code.place(done);
        self.load("task_struct", "group_leader", Bits64, R8, R7)
    }

    /// Goes through the memory map. The loop does not wait for its lock, and reports that it could not look.
    /// R8 has the file of the last mapping: the parts of a library follow each other.
    fn mapped_files(&mut self) -> Result<(), Errno> {
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

    /// Reports the file in R9 if its device is wanted.
    fn one_file(&mut self, file: Kind, node: Kind) -> Result<(), Errno> {
        let (on_file_system, is_node) = (self.code.label(), self.code.label());
        self.match_file(on_file_system, is_node)?;
        self.code.jump(self.end);
        self.code.place(on_file_system);
        self.report(file)?;
        self.code.jump(self.end);
        self.code.place(is_node);
        self.report(node)
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

    /// Compares the device of a file system with the wanted ones. Leaves it in R1.
    fn match_file_system(&mut self, file_system: Register, found: Label) -> Result<(), Errno> {
        self.load("super_block", "s_dev", Bits32, R1, file_system)?;
        self.copy_for_comparison();
        for device in &self.devices.file_systems {
            self.code.jump_if(R4, WordEqual, *device, found);
        }
        Ok(())
    }

    /// Copies the device in R1 to R4, so that the verifier does not learn R1 from the comparisons.
    fn copy_for_comparison(&mut self) {
        self.code.copy(R4, R1);
        self.code.and_number(R4, -1);
    }

    /// Compares the file in R9 with the wanted devices. Leaves the number of the device in R1.
    fn match_file(&mut self, on_file_system: Label, is_node: Label) -> Result<(), Errno> {
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
    fn match_ring(&mut self, found: Label) -> Result<(), Errno> {
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

    /// Writes a record of this kind, with the number in R1.
    fn report(&mut self, kind: Kind) -> Result<(), Errno> {
        self.code.set(R3, kind as i32);
        self.write_record()
    }

    /// Writes a record of the kind in R3, with the number in R1.
    fn write_record(&mut self) -> Result<(), Errno> {
        self.code.store(Bits32, R10, RECORD + 8, R3);
        self.code.store(Bits32, R10, RECORD + 12, R1);
        self.load("task_struct", "tgid", Bits32, R1, R7)?;
        self.code.store(Bits32, R10, RECORD, R1);
        self.load("task_struct", "pid", Bits32, R1, R7)?;
        self.code.store(Bits32, R10, RECORD + 4, R1);
        self.code.load(Bits64, R1, R10, SEQ);
        self.stack_address(R2, RECORD);
        self.code.set(R3, RECORD_SIZE as i32);
        self.code.call(Helper::SeqWrite);
        Ok(())
    }

    fn stack_address(&mut self, to: Register, offset: i16) {
        self.code.copy(to, R10);
        self.code.add_number(to, offset.into());
    }
}
