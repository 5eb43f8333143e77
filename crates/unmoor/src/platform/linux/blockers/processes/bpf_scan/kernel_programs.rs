//! Programs of the scan, written for the devices that are scanned for.

use crate::platform::linux::blockers::processes::bpf_scan::devices::Devices;
use crate::platform::linux::blockers::processes::bpf_scan::record::Kind;
use crate::platform::linux::blockers::processes::bpf_scan::writer::{FILE, MAPPING, TASK, Writer};
use crate::platform::linux::sys::bpf::Instruction;
use crate::platform::linux::sys::bpf_assembler::Condition::{AnyBit, Equal, NotEqual, WordEqual};
use crate::platform::linux::sys::bpf_assembler::Register::{R1, R7, R8, R9};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits32, Bits64};
use crate::platform::linux::sys::btf::TypeInfo;
use rustix::io::Errno;

const PF_EXITING: i32 = 0x4;
const PF_KTHREAD: i32 = 0x0020_0000;

/// Loops of the program for each thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loops {
    None,
    Files,
    FilesAndMappings,
}

/// Returns the program for [`TASKS`].
///
/// It reports directories, programs, exiting processes, and mount namespaces other than the one with this number.
/// The loops, for which the kernel has functions since Linux 6.7, report open files and mapped files too.
///
/// # Errors
/// ENOTSUP if the kernel lacks a type or function.
pub(crate) fn of_tasks(
    devices: &Devices,
    types: &TypeInfo,
    own_namespace: u32,
    loops: Loops,
) -> Result<Vec<Instruction>, Errno> {
    let mut w = Writer::begin(devices, types, TASK, R7)?;
    w.load("task_struct", "flags", Bits32, R1, R7)?;
    w.code.jump_if(R1, AnyBit, PF_KTHREAD, w.end);
    w.load("task_struct", "group_leader", Bits64, R8, R7)?;
    w.exiting()?;
    w.program()?;
    w.directories()?;
    w.namespace(own_namespace)?;
    if loops != Loops::None {
        w.open_files()?;
    }
    if loops == Loops::FilesAndMappings {
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

impl Writer<'_> {
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
}
