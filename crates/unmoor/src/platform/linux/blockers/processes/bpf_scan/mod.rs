//! Scan of every process by programs in the kernel (Documentation/bpf/bpf_iterators.rst).
//!
//! One stat(2) of a descriptor through /proc costs two to four microseconds, a comparison in the kernel a hundredth.
//! The programs see processes too that /proc keeps closed, touch no file system, and wait for no lock. Only the
//! processes that they report are then read through /proc.
//!
//! | kernel | what runs |
//! |---|---|
//! | 6.7 and later | one program for each thread, which goes through its files and mappings itself |
//! | 5.12 and later | one program for each thread, one for each open file, one for each mapping |
//! | without BTF, CAP_BPF or CAP_PERFMON | nothing: /proc is read |

mod devices;
mod kernel_programs;
mod kernel_types;
mod mapped_inodes;
mod record;
mod super_block_walk;
mod thread_loops;
mod use_counts;
mod writer;

pub(crate) use devices::Devices;
pub(crate) use record::{Kind, Record};
pub(crate) use use_counts::UseCount;

use crate::model::blocker::{Usage, UsageKind};
use crate::platform::linux::blockers::mounts::ns_members::NsMember;
use crate::platform::linux::blockers::processes::bpf_scan::kernel_programs::{
    self as programs, Loops,
};
use crate::platform::linux::blockers::processes::bpf_scan::record::RECORD_SIZE;
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::helper::process::is_helper;
use crate::platform::linux::sys::bpf::{Instruction, iterate, iterate_process};
use crate::platform::linux::sys::btf::{self, TypeInfo};
use crate::platform::linux::sys::btf_cache;
use crate::platform::stuck_pool::run_one;
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

/// Timeout for the iterator over mappings, which takes the lock of each memory map.
const MAPPINGS_TIMEOUT: Duration = Duration::from_millis(500);

/// Size of a read, in bytes: a multiple of each size of a record, which the kernel would split otherwise.
const BUFFER: usize = 51 * 5 * RECORD_SIZE;

const _: () = assert!(BUFFER.is_multiple_of(use_counts::SIZE));

/// Findings of the programs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BpfScan {
    /// Processes that may use the drive.
    pub(crate) suspects: BTreeMap<u32, Suspect>,
    /// Members of mount namespaces other than ours, with the numbers of those.
    pub(crate) namespaces: Vec<(u64, NsMember)>,
    /// True if the mapped files of every process were seen.
    pub(crate) has_mappings: bool,
}

/// Process that may use the drive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Suspect {
    /// True if one of its open files may be on the drive.
    pub(crate) files: bool,
    /// True if one of its mapped files may be on the drive.
    pub(crate) mappings: bool,
    pub(crate) records: Vec<Record>,
}

/// Scans all processes for users of these devices.
///
/// # Errors
/// Errors of bpf(2) where the kernel does not allow the programs; ETIMEDOUT at the deadline.
pub(crate) fn run(
    devices: &Devices,
    own_namespace: u64,
    deadline: &ScanDeadline,
) -> Result<BpfScan, Errno> {
    let types = types(deadline)?;
    let own = u32::try_from(own_namespace).map_err(|_| Errno::NOTSUP)?;
    match run_with_loops(devices, types, own, deadline) {
        Err(Errno::TIMEDOUT) => Err(Errno::TIMEDOUT),
        Ok(scan) => Ok(scan),
        Err(_) => run_iterators(devices, types, own, deadline),
    }
}

fn run_with_loops(
    devices: &Devices,
    types: &TypeInfo,
    own: u32,
    deadline: &ScanDeadline,
) -> Result<BpfScan, Errno> {
    let loops = match nothing_is_mapped(devices, types, deadline) {
        Ok(true) => Loops::Files,
        _ => Loops::FilesAndMappings,
    };
    let program = programs::of_tasks(devices, types, own, loops)?;
    let tasks = start(kernel_types::TASKS, &program, types)?;
    let mut scan = BpfScan { has_mappings: true, ..BpfScan::default() };
    read_all(&tasks, deadline, |record| scan.add(record))?;
    scan.sort();
    Ok(scan)
}

/// Returns true if the kernel says that no process maps a file of these devices.
fn nothing_is_mapped(
    devices: &Devices,
    types: &TypeInfo,
    deadline: &ScanDeadline,
) -> Result<bool, Errno> {
    let program = mapped_inodes::of_inodes(devices, types)?;
    let function = types.function(kernel_types::TASKS).ok_or(Errno::NOTSUP)?;
    let one = iterate_process(&program, function, std::process::id())?;
    let mut nothing = false;
    read_all(&one, deadline, |record| nothing |= record.kind == Kind::NothingMapped)?;
    Ok(nothing)
}

/// Reads how often the kernel uses the file systems that this process has open.
///
/// # Errors
/// Errors of bpf(2) where the kernel does not allow the program; ETIMEDOUT at the deadline.
pub(crate) fn use_counts(deadline: &ScanDeadline) -> Result<Vec<UseCount>, Errno> {
    let types = types(deadline)?;
    let function = types.function(kernel_types::FILES).ok_or(Errno::NOTSUP)?;
    let process = std::process::id();
    let start = |opens| {
        let program = use_counts::of_descriptors(process, opens, types)?;
        iterate_process(&program, function, process)
    };
    let files = start(true).or_else(|_| start(false))?;
    let mut counts = Vec::new();
    read_bytes(&files, deadline, |bytes| counts.extend(UseCount::all(bytes)))?;
    Ok(counts)
}

/// Lists the nodes of these devices that processes have open, and the files that may hold such a node.
///
/// # Errors
/// As [`use_counts`].
pub(crate) fn open_nodes(devices: &Devices, deadline: &ScanDeadline) -> Result<Vec<Record>, Errno> {
    let types = types(deadline)?;
    let files = start(kernel_types::FILES, &programs::of_files(devices, types)?, types)?;
    let mut found = Vec::new();
    read_all(&files, deadline, |record| found.push(record))?;
    Ok(found)
}

fn run_iterators(
    devices: &Devices,
    types: &TypeInfo,
    own: u32,
    deadline: &ScanDeadline,
) -> Result<BpfScan, Errno> {
    let mut scan = BpfScan::default();
    let tasks =
        start(kernel_types::TASKS, &programs::of_tasks(devices, types, own, Loops::None)?, types)?;
    read_all(&tasks, deadline, |record| scan.add(record))?;
    let files = start(kernel_types::FILES, &programs::of_files(devices, types)?, types)?;
    read_all(&files, deadline, |record| scan.add(record))?;
    scan.has_mappings = scan.add_mappings(devices, types, deadline).is_ok();
    scan.sort();
    Ok(scan)
}

/// Returns the types of this kernel, which do not change while it runs.
pub(crate) fn types(deadline: &ScanDeadline) -> Result<&'static TypeInfo, Errno> {
    static TYPES: OnceLock<TypeInfo> = OnceLock::new();
    if let Some(types) = TYPES.get() {
        return Ok(types);
    }
    if let Some(types) = btf_cache::load(&kernel_types::WANTED) {
        return Ok(TYPES.get_or_init(|| types));
    }
    let description = Description { file: btf::open()?, deadline };
    let types = btf::find_in(&description, &kernel_types::WANTED)?;
    btf_cache::save(&types, &kernel_types::WANTED);
    Ok(TYPES.get_or_init(|| types))
}

/// Description of the kernel's types, read with a heartbeat: on a slow machine it may take seconds.
struct Description<'d> {
    file: OwnedFd,
    deadline: &'d ScanDeadline,
}

impl btf::Source for Description<'_> {
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        match self.deadline.has_passed() {
            true => Err(Errno::TIMEDOUT),
            false => self.file.read(buffer, offset),
        }
    }
}

fn start(iterator: &str, program: &[Instruction], types: &TypeInfo) -> Result<OwnedFd, Errno> {
    iterate(program, types.function(iterator).ok_or(Errno::NOTSUP)?)
}

fn read_all(
    iterator: &OwnedFd,
    deadline: &ScanDeadline,
    mut each: impl FnMut(Record),
) -> Result<(), Errno> {
    read_bytes(iterator, deadline, |bytes| Record::all(bytes).for_each(&mut each))
}

fn read_bytes(
    iterator: &OwnedFd,
    deadline: &ScanDeadline,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Errno> {
    let mut buf = [0u8; BUFFER];
    while !deadline.has_passed() {
        match read(iterator, &mut buf) {
            Ok(0) => return Ok(()),
            Ok(len) => each(&buf[..len]),
            // The kernel pauses the iterator after a million objects without output.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::TIMEDOUT)
}

impl BpfScan {
    fn add(&mut self, record: Record) {
        if is_helper(record.pid) {
            return;
        }
        if record.kind == Kind::Namespace {
            let member = match record.tid == record.pid {
                true => NsMember::process(record.pid),
                false => NsMember::thread(record.pid, record.tid),
            };
            self.namespaces.push((record.number.into(), member));
            return;
        }
        let suspect = self.suspects.entry(record.pid).or_default();
        let is_mapping = matches!(
            record.kind,
            Kind::Program | Kind::MappedFile | Kind::MappedNode | Kind::MappingsUnseen
        );
        let is_file = matches!(record.kind, Kind::File | Kind::Node | Kind::FilesUnseen);
        suspect.mappings |= is_mapping || record.kind == Kind::Exiting;
        suspect.files |= is_file || record.kind == Kind::Exiting;
        if !suspect.records.contains(&record) {
            suspect.records.push(record);
        }
    }

    /// Reads the mappings on a thread that may be left behind.
    fn add_mappings(
        &mut self,
        devices: &Devices,
        types: &TypeInfo,
        deadline: &ScanDeadline,
    ) -> Result<(), Errno> {
        let program = programs::of_mappings(devices, types)?;
        let mappings = start(kernel_types::MAPPINGS, &program, types)?;
        let of_thread = deadline.clone();
        let go_on = || !deadline.has_passed();
        let records = run_one(MAPPINGS_TIMEOUT, go_on, move || {
            let mut records = Vec::new();
            read_all(&mappings, &of_thread, |record| records.push(record)).map(|()| records)
        });
        records.unwrap_or(Err(Errno::TIMEDOUT))?.into_iter().for_each(|record| self.add(record));
        Ok(())
    }

    /// Puts the first member of each namespace before the others.
    fn sort(&mut self) {
        self.namespaces.sort_unstable_by_key(|(_, member)| *member);
        self.namespaces.dedup();
    }
}

/// Returns the uses that the records alone tell, of a process that /proc keeps closed.
///
/// `None` if a record tells only that the process may use the drive.
pub(crate) fn recorded_uses(
    filter: &DeviceFilter,
    names: &[String],
    records: &[Record],
) -> Option<Vec<Usage>> {
    let usage = |record: &Record| {
        let device = record.device();
        let (index, kind) = match record.kind {
            Kind::WorkingDirectory => (filter.fs_device(device)?, UsageKind::WorkingDirectory),
            Kind::Root => (filter.fs_device(device)?, UsageKind::Root),
            Kind::Program => (filter.fs_device(device)?, UsageKind::Executable),
            Kind::File => (filter.fs_device(device)?, UsageKind::OpenFile),
            Kind::MappedFile => (filter.fs_device(device)?, UsageKind::MappedFile),
            Kind::Node | Kind::MappedNode => (filter.device(device)?, UsageKind::Device),
            Kind::FilesUnseen
            | Kind::MappingsUnseen
            | Kind::Namespace
            | Kind::Exiting
            | Kind::NothingMapped => return None,
        };
        let mut usage = Usage::new(kind, &names[index]);
        usage.thread = (record.tid != record.pid).then_some(record.tid);
        Some(usage)
    };
    records.iter().map(usage).collect()
}

#[cfg(test)]
mod tests;
