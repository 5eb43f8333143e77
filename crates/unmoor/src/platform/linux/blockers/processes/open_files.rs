//! Files, directories, devices and mapped files of the drive that one process uses.

use crate::model::blocker::{Usage, UsageKind};
use crate::platform::linux::blockers::mounts::types::DeviceIndex;
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::sys::fdinfo::{FdInfo, registered_files};
use crate::platform::linux::sys::kcmp::{Shared, kcmp};
use crate::platform::linux::sys::maps::Mapping;
use crate::platform::linux::sys::mount_id;
use crate::platform::linux::sys::procfs::{
    DirBuf, FileStat, ProcPath, Result, Task, dir_buf, is_denied, parse, stat_at, stat_no_sync,
};
use crate::platform::linux::sys::procmap_query::has_shared_writable_file;
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Scans one process after the other, with buffers that are used again.
pub(crate) struct ProcessScanner<'w> {
    filter: &'w DeviceFilter,
    names: &'w [String],
    deadline: &'w ScanDeadline,
    buf: DirBuf,
    text: Vec<u8>,
    /// True if the last process has no program: a kernel thread, or an exiting process.
    no_program: bool,
    /// Thread that shows the memory of the process, if the first one has ended.
    live_thread: Option<Task>,
}

/// Process, or one thread of it.
struct TaskRef<'t> {
    pid: u32,
    /// Thread, if it is not the first.
    thread: Option<u32>,
    task: &'t Task,
}

impl<'w> ProcessScanner<'w> {
    /// Creates a scanner; `names` are the names of the devices.
    pub(crate) fn new(
        filter: &'w DeviceFilter,
        names: &'w [String],
        deadline: &'w ScanDeadline,
    ) -> ProcessScanner<'w> {
        ProcessScanner {
            filter,
            names,
            deadline,
            buf: dir_buf(),
            text: Vec::with_capacity(8192),
            no_program: false,
            live_thread: None,
        }
    }

    /// Returns true if the last process has no program.
    pub(crate) fn no_program(&self) -> bool {
        self.no_program
    }

    /// Returns a buffer for other reads between two processes.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Adds the open files, working directory, root and program of a process and its threads.
    ///
    /// `files` is false if the process is known to have no file of the drive open.
    ///
    /// # Errors
    /// EACCES if this user may not inspect the process; ESRCH or ENOENT if it has exited.
    pub(crate) fn tables(
        &mut self,
        pid: u32,
        task: &Task,
        files: bool,
        uses: &mut Vec<Usage>,
    ) -> Result<()> {
        let task_ref = TaskRef { pid, thread: None, task };
        (self.no_program, self.live_thread) = (false, None);
        if files {
            self.files(&task_ref, uses)?;
        }
        self.cwd_and_root(&task_ref, uses)?;
        self.link(&task_ref, c"exe", UsageKind::Executable, uses)?;
        // The link count of a directory in /proc is 2 plus the number of its entries.
        if task.stat(c"task")?.links > 3 {
            self.threads(pid, task, files, uses)?;
            if self.no_program {
                self.program_of_a_thread(pid, task, uses)?;
            }
        }
        Ok(())
    }

    /// Adds the program of a process whose first thread has ended.
    ///
    /// The memory and program, which all threads share, are then visible at the other threads only.
    fn program_of_a_thread(&mut self, pid: u32, task: &Task, uses: &mut Vec<Usage>) -> Result<()> {
        for tid in self.other_threads(pid, task)? {
            let Ok(thread) = task.thread(tid) else { continue };
            self.no_program = false;
            let task_ref = TaskRef { pid, thread: None, task: &thread };
            self.link(&task_ref, c"exe", UsageKind::Executable, uses)?;
            if !self.no_program {
                self.live_thread = Some(thread);
                break;
            }
        }
        Ok(())
    }

    /// Returns the threads of this process without the first.
    fn other_threads(&mut self, pid: u32, task: &Task) -> Result<Vec<u32>> {
        let mut tids = Vec::new();
        task.numbers(c"task", &mut self.buf, |tid| tids.push(tid))?;
        tids.retain(|tid| *tid != pid);
        Ok(tids)
    }

    /// Adds the mapped files of a process.
    ///
    /// Without `all`, only a process with shared writable mappings is scanned, one of which may be the device. Called
    /// last, because the lock of the memory map may be taken for long.
    ///
    /// # Errors
    /// As [`ProcessScanner::tables`].
    pub(crate) fn maps(&mut self, task: &Task, all: bool, uses: &mut Vec<Usage>) -> Result<()> {
        let live_thread = self.live_thread.take();
        let task = live_thread.as_ref().unwrap_or(task);
        if !all && !may_map_device(task)? {
            return Ok(());
        }
        task.read(c"maps", &mut self.text)?;
        let mut known: Vec<((u64, u64), usize)> = Vec::new();
        for mapping in Mapping::all(&self.text) {
            let index = self.filter.fs_device(mapping.device);
            if index.is_none() && !self.filter.is_nested(mapping.device) {
                uses.extend(mapping.writing.then(|| self.mapped_device(task, &mapping)).flatten());
                continue;
            }
            let file = (mapping.device, mapping.inode);
            if let Some((_, position)) = known.iter().find(|(known, _)| *known == file) {
                uses[*position].writing |= mapping.writing;
                continue;
            }
            let Some(index) = index.or_else(|| self.mapped_on_nested(task, &mapping)) else {
                continue;
            };
            let (path, deleted) = mapping.path();
            let is_program = uses
                .iter()
                .any(|u| u.kind == UsageKind::Executable && u.path.as_ref() == Some(&path));
            if is_program {
                continue;
            }
            known.push((file, uses.len()));
            let mut usage = Usage::new(UsageKind::MappedFile, &self.names[index]).at(path);
            (usage.deleted, usage.writing) = (deleted, mapping.writing);
            uses.push(usage);
        }
        Ok(())
    }

    /// Returns the device below the mount through which this file was mapped.
    ///
    /// A nested file system may be mounted elsewhere too, and only the mount tells the two apart. Needs
    /// CAP_CHECKPOINT_RESTORE (proc(5), `map_files`).
    fn mapped_on_nested(&self, task: &Task, mapping: &Mapping<'_>) -> Option<DeviceIndex> {
        let stat = self.stat_entry(task, &mapping.link()?).ok()??;
        self.filter.file(&stat)
    }

    /// Returns the usage of a device that is mapped shared and writable.
    ///
    /// The mapping keeps the device open after the descriptor is closed. Its file lies on the file system of the node,
    /// so only the node itself tells the device.
    fn mapped_device(&self, task: &Task, mapping: &Mapping<'_>) -> Option<Usage> {
        let (path, deleted) = mapping.path();
        let stat = match self.stat_entry(task, &mapping.link()?) {
            Ok(stat) => stat?,
            // Without CAP_CHECKPOINT_RESTORE, the path leads to the node.
            Err(_) if path.starts_with("/dev") => {
                let path = CString::new(path.as_os_str().as_bytes()).ok()?;
                stat_at(&path).ok()?
            }
            Err(_) => return None,
        };
        let mut usage =
            Usage::new(UsageKind::Device, &self.names[self.filter.node(&stat)?]).at(path);
        (usage.deleted, usage.writing) = (deleted, true);
        Some(usage)
    }

    fn threads(
        &mut self,
        pid: u32,
        task: &Task,
        with_files: bool,
        uses: &mut Vec<Usage>,
    ) -> Result<()> {
        let tids = self.other_threads(pid, task)?;
        // Threads whose tables were scanned: the first, then each that shares none of those.
        let (mut files, mut dirs) = (vec![pid], vec![pid]);
        for tid in tids {
            if self.deadline.has_passed() {
                break;
            }
            let new_files = with_files && is_new(&files, tid, Shared::Files);
            let new_dirs = is_new(&dirs, tid, Shared::Fs);
            let before = uses.len();
            if !new_files && !new_dirs {
                continue;
            }
            let Ok(thread) = task.thread(tid) else { continue };
            let task_ref = TaskRef { pid, thread: Some(tid), task: &thread };
            if new_files && self.files(&task_ref, uses).is_ok() {
                files.push(tid);
            }
            if new_dirs && self.cwd_and_root(&task_ref, uses).is_ok() {
                dirs.push(tid);
            }
            dedup_from(uses, before);
        }
        Ok(())
    }

    fn cwd_and_root(&mut self, task_ref: &TaskRef<'_>, uses: &mut Vec<Usage>) -> Result<()> {
        self.link(task_ref, c"cwd", UsageKind::WorkingDirectory, uses)?;
        self.link(task_ref, c"root", UsageKind::Root, uses)
    }

    fn link(
        &mut self,
        task_ref: &TaskRef<'_>,
        name: &CStr,
        kind: UsageKind,
        uses: &mut Vec<Usage>,
    ) -> Result<()> {
        let stat = match self.stat_entry(task_ref.task, name) {
            Ok(stat) => stat,
            // A kernel thread has no program, and an exiting process has none any more.
            Err(Errno::NOENT | Errno::SRCH) => {
                self.no_program |= kind == UsageKind::Executable;
                return Ok(());
            }
            Err(errno) => return Err(errno),
        };
        let Some((stat, index)) = stat.and_then(|s| Some((s, self.filter.file(&s)?))) else {
            return Ok(());
        };
        let (path, deleted) = self.path(task_ref.task, name, &stat);
        let mut usage = Usage::new(kind, &self.names[index]);
        (usage.path, usage.deleted, usage.thread) = (path, deleted, task_ref.thread);
        uses.push(usage);
        Ok(())
    }

    /// Returns the state of a link's target; `None` if stat(2) on it may block.
    fn stat_entry(&self, task: &Task, name: &CStr) -> Result<Option<FileStat>> {
        if self.filter.has_remote() {
            // An O_PATH descriptor touches no file, and /proc shows its mount.
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let target = rustix::fs::openat(task, name, flags, Mode::empty())?;
            let info = format!("/proc/thread-self/fdinfo/{}", target.as_raw_fd());
            let info = std::fs::read(info).unwrap_or_default();
            if FdInfo::parse(&info).mount.is_some_and(|mount| self.filter.is_remote(mount)) {
                return Ok(None);
            }
        }
        let mut stat = task.stat(name)?;
        if self.filter.needs_mount(&stat) {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            stat.mount = mount_id::of_file(rustix::fs::openat(task, name, flags, Mode::empty())?);
        }
        Ok(Some(stat))
    }

    fn files(&mut self, task_ref: &TaskRef<'_>, uses: &mut Vec<Usage>) -> Result<()> {
        let dir = task_ref.task.dir(c"fd")?;
        let fdinfo = match self.filter.has_remote() {
            true => Some(task_ref.task.dir(c"fdinfo")?),
            false => None,
        };
        // Taken out of `self` for the listing, because a match needs the rest of `self`.
        let mut buf = std::mem::take(&mut self.buf);
        let mut entries = RawDir::new(&dir, &mut buf);
        while let Some(entry) = entries.next() {
            let (Ok(entry), false) = (entry, self.deadline.has_passed()) else { break };
            let name = entry.file_name();
            if name.to_bytes().starts_with(b".") {
                continue;
            }
            if fdinfo.as_ref().is_some_and(|info| self.stat_may_block(info.as_fd(), name)) {
                continue;
            }
            // The descriptor was closed since, or its kind has no state.
            let Ok(mut stat) = stat_no_sync(dir.as_fd(), name) else { continue };
            if self.filter.needs_mount(&stat) {
                stat.mount = self.fdinfo(task_ref.task, name).mount;
            }
            if let Some(index) = self.filter.file(&stat) {
                uses.extend(self.file(task_ref, name, &stat, index, None));
            } else if let Some(index) = self.filter.node(&stat) {
                uses.extend(self.file(task_ref, name, &stat, index, Some(UsageKind::Device)));
            } else if let Some((index, path)) = self.filter.socket(&stat) {
                let mut usage = Usage::new(UsageKind::OpenFile, &self.names[index]).at(path);
                usage.fd = parse::<u32>(name.to_bytes()).map(u64::from);
                usage.thread = task_ref.thread;
                uses.push(usage);
            } else if self.filter.is_anonymous(&stat) {
                self.registered_files(task_ref, name, uses);
            }
        }
        self.buf = buf;
        Ok(())
    }

    /// Adds the files of the drive that are registered with an io_uring instance (io_uring_register(2)).
    ///
    /// The kernel shows their paths since Linux 6.7, and before that only their names.
    fn registered_files(&mut self, task_ref: &TaskRef<'_>, name: &CStr, uses: &mut Vec<Usage>) {
        let Some(fd) = parse::<u32>(name.to_bytes()) else { return };
        let link = ProcPath::within("fd/", fd);
        let is_ring = task_ref.task.link(link.as_c_str(), &mut self.text).is_ok()
            && self.text == b"anon_inode:[io_uring]";
        let fdinfo = ProcPath::within("fdinfo/", fd);
        if !is_ring || task_ref.task.read(fdinfo.as_c_str(), &mut self.text).is_err() {
            return;
        }
        for path in registered_files(&self.text) {
            if let Some(index) = self.filter.path_by_mount(&path) {
                let mut usage = Usage::new(UsageKind::OpenFile, &self.names[index]).at(path);
                (usage.fd, usage.thread) = (Some(fd.into()), task_ref.thread);
                uses.push(usage);
            }
        }
    }

    fn fdinfo(&mut self, task: &Task, name: &CStr) -> FdInfo {
        let number = parse::<u32>(name.to_bytes()).map(|fd| ProcPath::within("fdinfo/", fd));
        match number.map(|path| task.read(path.as_c_str(), &mut self.text)) {
            Some(Ok(())) => FdInfo::parse(&self.text),
            _ => FdInfo::default(),
        }
    }

    fn stat_may_block(&mut self, info: BorrowedFd<'_>, name: &CStr) -> bool {
        let mut text = [0; 256];
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let read = rustix::fs::openat(info, name, flags, Mode::empty())
            .and_then(|file| rustix::io::read(&file, &mut text[..]));
        let info = FdInfo::parse(&text[..read.unwrap_or(0)]);
        info.mount.is_some_and(|mount| self.filter.is_remote(mount))
    }

    /// Returns the usage that a descriptor of the drive stands for.
    fn file(
        &mut self,
        task_ref: &TaskRef<'_>,
        name: &CStr,
        stat: &FileStat,
        index: DeviceIndex,
        kind: Option<UsageKind>,
    ) -> Option<Usage> {
        let fd: u32 = parse(name.to_bytes())?;
        let info =
            match task_ref.task.read(ProcPath::within("fdinfo/", fd).as_c_str(), &mut self.text) {
                Ok(()) => FdInfo::parse(&self.text),
                Err(_) => FdInfo::default(),
            };
        let ours = task_ref.pid == std::process::id();
        if ours && info.is_own() && (stat.directory || stat.node.is_some()) {
            return None; // A handle of the release itself.
        }
        let link = ProcPath::within("fd/", fd);
        let (path, deleted) = self.path(task_ref.task, link.as_c_str(), stat);
        let kind = kind.unwrap_or(match (stat.directory, deleted, info.writing()) {
            (true, ..) => UsageKind::Directory,
            (_, true, _) => UsageKind::DeletedFile,
            (_, _, true) => UsageKind::OpenForWriting,
            _ => UsageKind::OpenFile,
        });
        let mut usage = Usage::new(kind, &self.names[index]);
        (usage.path, usage.deleted, usage.thread) = (path, deleted, task_ref.thread);
        (usage.fd, usage.writing) = (Some(fd.into()), info.writing());
        Some(usage)
    }

    /// Returns the path of a link's target, and true if the target is deleted.
    fn path(&mut self, task: &Task, link: &CStr, stat: &FileStat) -> (Option<PathBuf>, bool) {
        if task.link(link, &mut self.text).is_err() {
            return (None, stat.links == 0);
        }
        // The name of a file may end in "(deleted)" too, so the link count decides.
        let deleted = stat.links == 0;
        let path = match self.text.strip_suffix(b" (deleted)") {
            Some(path) if deleted => path,
            _ => &self.text[..],
        };
        (Some(PathBuf::from(OsString::from_vec(path.to_vec()))), deleted)
    }
}

/// Returns true if the process has shared writable mappings, or if the kernel cannot tell.
fn may_map_device(task: &Task) -> Result<bool> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let maps = rustix::fs::openat(task, c"maps", flags, Mode::empty())?;
    match has_shared_writable_file(&maps) {
        Err(Errno::NOTTY) => Ok(true),
        other => other,
    }
}

/// Returns true if this thread shares the table with none of the known threads.
///
/// Also true where kcmp(2) fails; [`dedup_from`] drops what the thread shares with the others.
fn is_new(known: &[u32], tid: u32, what: Shared) -> bool {
    !known.iter().any(|other| kcmp(*other, tid, what).unwrap_or(false))
}

/// Drops the uses from `from` on that another thread, or the whole process, has too.
fn dedup_from(uses: &mut Vec<Usage>, from: usize) {
    for usage in uses.split_off(from) {
        let same = |known: &Usage| Usage { thread: usage.thread, ..known.clone() } == usage;
        if !uses[..from].iter().any(same) {
            uses.push(usage);
        }
    }
}

/// Returns true if this user may not inspect the process.
pub(crate) fn was_denied(result: &Result<()>) -> bool {
    matches!(result, Err(errno) if is_denied(*errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_cannot_be_compared_is_scanned() {
        assert!(is_new(&[std::process::id()], u32::MAX >> 1, Shared::Files));
        assert!(is_new(&[], std::process::id(), Shared::Fs));
    }

    #[test]
    fn files_that_threads_share_are_reported_once() {
        let usage = |fd, thread| {
            let mut usage = Usage::new(UsageKind::OpenFile, "sdb1").at("/file");
            (usage.fd, usage.thread) = (Some(fd), thread);
            usage
        };
        let mut uses = vec![usage(3, None), usage(3, Some(8)), usage(4, Some(8))];
        dedup_from(&mut uses, 1);
        assert_eq!(uses, [usage(3, None), usage(4, Some(8))]);
    }
}
