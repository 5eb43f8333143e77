//! Scan of every process. Queries run on threads that can be left behind; the result is what was found by
//! the deadline.
//!
//! The system's table of handles lists every open file without its name, so each handle is duplicated and
//! queried. Mapped files need no handle; the memory of each process names them. A process that this user
//! may not open is counted as inaccessible.
//!
//! `FileProcessIdsUsingFileInformation` does not help: asked of a volume, it names the users of the volume
//! itself, not of its files.

use crate::deadline::Deadline;
use crate::model::blocker;
use crate::model::blocker::{BlockerScan, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::model::volume::Volume;
use crate::platform::stuck_pool::{Heartbeat, PoolResult, run_all, run_one};
use crate::platform::win32_parse;
use crate::platform::win32_parse::{Code, VolumeNames, VolumePath, find_place};
use crate::platform::windows::blockers::kernel_users;
use crate::platform::windows::blockers::kernel_users::SystemUses;
use crate::platform::windows::blockers::open_file::{OpenFile, open_file};
use crate::platform::windows::blockers::processes::duplicate::Sort;
use crate::platform::windows::blockers::processes::process_blocker::{Annotations, ProcessInfo};
use crate::platform::windows::blockers::processes::process_list::Listed;
use crate::platform::windows::blockers::processes::{
    account, mapped_files, process_blocker, process_list, working_directory,
};
use crate::platform::windows::blockers::stuck_pipes;
use crate::platform::windows::sys::privilege::Privilege;
use crate::platform::windows::sys::{process, system_handles, volumes};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;
use std::time::Duration;
use windows_sys::Win32::Foundation::ERROR_ACCESS_DENIED;
use windows_sys::Win32::System::Threading::{
    PROCESS_DUP_HANDLE, PROCESS_QUERY_INFORMATION, PROCESS_QUERY_LIMITED_INFORMATION,
    PROCESS_VM_READ,
};

/// Timeout for one query of a file or a process.
const SCAN_BUDGET: Duration = Duration::from_millis(1500);
/// Timeout for each source of further details.
const ANNOTATION_BUDGET: Duration = Duration::from_secs(2);

/// Scans for what keeps this drive busy, until the deadline.
pub(crate) fn search(drive: &Drive, deadline: &Deadline<'_>) -> BlockerScan {
    let _debug = Privilege::Debug.enable();
    let mut search = Search::new(drive);
    search.list_processes(deadline);
    let files = search.open_files(deadline);
    let scans = search.scan_processes(deadline);
    search.add_files(&files, &scans);
    search.add_mapped(scans);
    let system = search.system_uses(deadline);
    search.result(system, deadline)
}

/// Scan in progress.
struct Search {
    names: Vec<String>,
    places: Arc<Vec<VolumeNames>>,
    /// Index of the disk itself among the places.
    disk: Option<usize>,
    list: Vec<Listed>,
    uses: BTreeMap<u32, Vec<Usage>>,
    /// Processes that this user may not open.
    closed: BTreeSet<u32>,
    /// Reasons why the scan is incomplete.
    note_missed: Vec<String>,
}

/// Result of the scan of one process.
#[derive(Default)]
struct ProcessScan {
    pid: u32,
    closed: bool,
    program: Option<VolumePath>,
    mapped: Vec<VolumePath>,
    current_directory: Vec<u64>,
}

impl Search {
    fn new(drive: &Drive) -> Search {
        let mut names: Vec<String> = drive.volumes.iter().map(|v| v.name.clone()).collect();
        let mut places: Vec<VolumeNames> = drive.volumes.iter().map(locate).collect();
        // Programs that write to the disk itself, past its volumes.
        let disk = disk_names(drive).map(|disk| {
            names.push(drive.name.clone());
            places.push(disk);
            places.len() - 1
        });
        Search {
            names,
            places: Arc::new(places),
            disk,
            list: Vec::new(),
            uses: BTreeMap::new(),
            closed: BTreeSet::new(),
            note_missed: Vec::new(),
        }
    }

    fn list_processes(&mut self, deadline: &Deadline<'_>) {
        match run_probe(deadline, SCAN_BUDGET, process_list::all) {
            Some(Ok(list)) => self.list = list,
            other => self
                .note_missed
                .push(format!("the list of processes was not given{}", failure_note(other))),
        }
    }

    /// Returns the open files of the drive, of every process that this user may open.
    fn open_files(&mut self, deadline: &Deadline<'_>) -> Vec<OpenFile> {
        let table = match run_probe(deadline, SCAN_BUDGET * 4, system_handles::files) {
            Some(Ok(table)) => table,
            other => {
                let why = failure_note(other);
                self.note_missed.push(format!("the table of open files was not given{why}"));
                return Vec::new();
            }
        };
        let mut processes: BTreeMap<u32, Option<Arc<OwnedHandle>>> = BTreeMap::new();
        let mut questions = Vec::new();
        for handle in table {
            let process = processes.entry(handle.pid).or_insert_with(|| {
                match process::open(handle.pid, PROCESS_DUP_HANDLE) {
                    Ok(process) => Some(Arc::new(process)),
                    Err(code) => {
                        // A process that has ended has no files.
                        if code == ERROR_ACCESS_DENIED {
                            self.closed.insert(handle.pid);
                        }
                        None
                    }
                }
            });
            questions.extend(process.clone().map(|process| (process, handle)));
        }
        // Pipes come last, so that those in a read keep nobody from the files.
        let (pipes, files): (Vec<_>, Vec<_>) = questions
            .into_iter()
            .filter(|(_, handle)| !stuck_pipes::is_stuck(handle))
            .partition(|(_, handle)| win32_parse::is_pipe_like(handle.access));
        let mut go_on = || deadline.check().is_ok();
        let places = self.places.clone();
        let files = run_all(files, SCAN_BUDGET, &mut go_on, move |(process, handle), _| {
            open_file(process, *handle, &places)
        });
        self.note_missed.extend(note_missed(&files, "open files"));
        let (pipes, missed) = stuck_pipes::query_all(pipes, &self.places, &mut go_on);
        self.note_missed.extend(missed);
        files.answers.into_iter().filter_map(|(_, file)| file).chain(pipes).collect()
    }

    /// Returns programs and mapped files of the drive, of every process that this user may open.
    fn scan_processes(&mut self, deadline: &Deadline<'_>) -> Vec<ProcessScan> {
        // Number 0 is the idle process.
        let pids: Vec<u32> = self.list.iter().map(|one| one.pid).filter(|&pid| pid != 0).collect();
        let places = self.places.clone();
        let mut go_on = || deadline.check().is_ok();
        let asked = run_all(pids, SCAN_BUDGET, &mut go_on, move |&pid, pulse| {
            scan_process(pid, &places, pulse)
        });
        self.note_missed.extend(note_missed(&asked, "processes"));
        if working_directory::sees_half() {
            let why =
                "this is the 32-bit program, which does not see what 64-bit programs have mapped";
            self.note_missed.push(why.into());
        }
        let scans: Vec<ProcessScan> =
            asked.answers.into_iter().map(|(_, scanned)| scanned).collect();
        self.closed
            .extend(scans.iter().filter(|scanned| scanned.closed).map(|scanned| scanned.pid));
        scans
    }

    fn add_files(&mut self, files: &[OpenFile], scans: &[ProcessScan]) {
        for OpenFile { handle, location, sort } in files {
            let is_current = scans.iter().any(|scanned| {
                scanned.pid == handle.pid && scanned.current_directory.contains(&handle.value)
            });
            let own = handle.pid == std::process::id();
            let kind = match (&location.path, sort) {
                // Our own handles, and handles without data access, do not block a file system.
                (None, _) if own || !win32_parse::may_touch(handle.access) => continue,
                // A program that only reads the disk loses nothing.
                (None, _)
                    if Some(location.volume) == self.disk
                        && !win32_parse::may_write(handle.access) =>
                {
                    continue;
                }
                (None, _) => UsageKind::Device,
                (Some(_), Sort { directory: true, .. }) if is_current => {
                    UsageKind::WorkingDirectory
                }
                (Some(_), Sort { directory: true, .. }) => UsageKind::Directory,
                (Some(_), Sort { deleted: true, .. }) => UsageKind::DeletedFile,
                (Some(_), _) if win32_parse::may_write(handle.access) => UsageKind::OpenForWriting,
                (Some(_), _) => UsageKind::OpenFile,
            };
            let mut used = self.usage(kind, location);
            // To a user the current directory is no handle.
            used.fd = (kind != UsageKind::WorkingDirectory).then_some(handle.value);
            used.writing = !sort.directory && win32_parse::may_write(handle.access);
            self.uses.entry(handle.pid).or_default().push(used);
        }
    }

    fn add_mapped(&mut self, scans: Vec<ProcessScan>) {
        for scanned in scans {
            let program =
                scanned.program.iter().map(|location| self.usage(UsageKind::Executable, location));
            let is_program = |location: &&VolumePath| {
                scanned.program.as_ref().is_none_or(|p| !same_file(p, location))
            };
            let others = scanned.mapped.iter().filter(is_program);
            let others = others.map(|location| self.usage(UsageKind::MappedFile, location));
            let found: Vec<Usage> = program.chain(others).collect();
            if !found.is_empty() {
                self.uses.entry(scanned.pid).or_default().extend(found);
            }
        }
    }

    fn usage(&self, kind: UsageKind, location: &VolumePath) -> Usage {
        let used = Usage::new(kind, &self.names[location.volume]);
        match &location.path {
            Some(path) => used.at(OsString::from_wide(path)),
            None => used,
        }
    }

    fn system_uses(&mut self, deadline: &Deadline<'_>) -> SystemUses {
        let (places, names) = (self.places.clone(), self.names.clone());
        let found =
            run_probe(deadline, ANNOTATION_BUDGET, move || kernel_users::find(&places, &names));
        found.unwrap_or_else(|| {
            let why = "page files and attached images were not found out in time";
            self.note_missed.push(why.into());
            SystemUses::default()
        })
    }

    fn result(mut self, system: SystemUses, deadline: &Deadline<'_>) -> BlockerScan {
        let found = self.processes(deadline);
        let details = match found.is_empty() {
            true => Annotations::default(),
            false => annotations(&found, deadline),
        };
        let mut scan = BlockerScan {
            blockers: system.blockers,
            notes: system.notes,
            ..BlockerScan::default()
        };
        for process_info in &found {
            let uses = self.uses.remove(&process_info.pid).unwrap_or_default();
            // The program of an inaccessible process is known.
            let is_open = !self.closed.contains(&process_info.pid);
            scan.blockers.push(process_blocker::blocker(
                process_info,
                uses,
                &details,
                &self.list,
                is_open,
            ));
        }
        scan.complete = self.note_missed.is_empty() && self.closed.is_empty();
        scan.inaccessible_processes = self.closed.len();
        scan.notes.append(&mut self.note_missed);
        blocker::sort(&mut scan.blockers);
        scan
    }

    /// Returns the details of every process that was found.
    fn processes(&self, deadline: &Deadline<'_>) -> Vec<ProcessInfo> {
        let pids: Vec<u32> = self.uses.keys().copied().collect();
        let mut go_on = || deadline.check().is_ok();
        let asked = run_all(pids.clone(), SCAN_BUDGET, &mut go_on, |&pid, _| ProcessInfo::of(pid));
        let mut known: BTreeMap<u32, ProcessInfo> = asked
            .answers
            .into_iter()
            .map(|(_, process_info)| (process_info.pid, process_info))
            .collect();
        // A server may have to scanned the user up.
        let users =
            run_all(pids.clone(), SCAN_BUDGET, &mut go_on, |&pid, _| (pid, account::of(pid)));
        for (_, (pid, user)) in users.answers {
            known.entry(pid).and_modify(|process_info| process_info.user = user);
        }
        pids.into_iter()
            .map(|pid| known.remove(&pid).unwrap_or_else(|| ProcessInfo::unknown(pid)))
            .collect()
    }
}

/// Returns the kernel's name of the disk itself: `\\Device\\Harddisk1\\DR1`.
fn disk_names(drive: &Drive) -> Option<VolumeNames> {
    let path = drive.path.to_string_lossy();
    let device = path.strip_prefix(r"\\.\").filter(|name| name.starts_with("PhysicalDrive"))?;
    let kernel = volumes::kernel_name(device)?;
    Some(VolumeNames { kernel: Some(kernel), ..VolumeNames::default() })
}

/// Returns the names that files of a volume begin with.
fn locate(volume: &Volume) -> VolumeNames {
    let path = volume.path.to_string_lossy();
    let device = path.trim_start_matches(r"\\.\").trim_start_matches(r"\\?\");
    let root = format!(r"{device}\");
    let letter = (device.len() == 2 && device.ends_with(':')).then(|| root.clone());
    let mut mounts: Vec<String> =
        volume.mounts.iter().map(|mount| mount.path.to_string_lossy().into_owned()).collect();
    mounts.extend(letter.filter(|letter| !mounts.contains(letter)));
    let guid = match device.starts_with("Volume{") {
        true => Some(format!(r"\\?\{root}")),
        false => volumes::name_of(&root).ok(),
    };
    VolumeNames { kernel: volumes::kernel_name(device), guid, mounts }
}

/// Scans one process.
fn scan_process(pid: u32, places: &[VolumeNames], pulse: &Heartbeat) -> ProcessScan {
    let mut scanned = ProcessScan { pid, ..ProcessScan::default() };
    let known = process::open(pid, PROCESS_QUERY_LIMITED_INFORMATION);
    let program = known.ok().and_then(|process| process::kernel_program(&process));
    scanned.program = program.and_then(|name| find_place(places, &name));
    match process::open(pid, PROCESS_QUERY_INFORMATION | PROCESS_VM_READ) {
        Ok(process) => {
            mapped_files::mapped_files(&process, pulse, |name| {
                let location = find_place(places, name).filter(|location| location.path.is_some());
                scanned
                    .mapped
                    .extend(location.filter(|location| !scanned.mapped.contains(location)));
            });
            scanned.current_directory = working_directory::handles(&process);
        }
        Err(code) => scanned.closed = code == ERROR_ACCESS_DENIED,
    }
    scanned
}

/// Returns true if both names mean the same file.
fn same_file(one: &VolumePath, other: &VolumePath) -> bool {
    let text = |location: &VolumePath| {
        location.path.as_ref().map(|path| String::from_utf16_lossy(path).to_lowercase())
    };
    one.volume == other.volume && text(one) == text(other)
}

/// Runs one query; returns `None` if its time or the deadline is over.
fn run_probe<R: Send + 'static>(
    deadline: &Deadline<'_>,
    time: Duration,
    question: impl FnOnce() -> R + Send + 'static,
) -> Option<R> {
    run_one(time, || deadline.check().is_ok(), question)
}

/// Returns the reason for a missing result, as the end of a sentence.
fn failure_note<T>(answer: Option<Result<T, Code>>) -> String {
    match answer {
        Some(Err(code)) => format!(" ({})", win32_parse::code_name(code)),
        _ => " in time".into(),
    }
}

/// Returns the number of queries without a result, in words.
fn note_missed<R>(asked: &PoolResult<R>, what: &str) -> Vec<String> {
    let mut words = Vec::new();
    if !asked.stuck.is_empty() {
        words.push(format!("{} {what} gave no answer", asked.stuck.len()));
    }
    if asked.unasked > 0 {
        words.push(format!("the time ran out: {} {what} were not looked at", asked.unasked));
    }
    words
}

/// Returns what services, windows and the Restart Manager add to these processes.
fn annotations(found: &[ProcessInfo], deadline: &Deadline<'_>) -> Annotations {
    let processes: Vec<(u32, u64)> =
        found.iter().filter(|p| p.started != 0).map(|p| (p.pid, p.started)).collect();
    let questions: [Box<dyn FnOnce() -> Annotations + Send>; 3] = [
        Box::new(Annotations::services),
        Box::new(Annotations::windows),
        Box::new(move || Annotations::applications(&processes)),
    ];
    let mut all = Annotations::default();
    for question in questions {
        if let Some(said) = run_probe(deadline, ANNOTATION_BUDGET, question) {
            all.add(said);
        }
    }
    all
}
