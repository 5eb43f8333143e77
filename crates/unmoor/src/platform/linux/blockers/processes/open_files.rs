//! How one process uses the drive.

use crate::model::blocker::{Usage, UsageKind};
use crate::platform::linux::blockers::mounts::scan::DeviceIndex;
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::sys::fdinfo::FdInfo;
use crate::platform::linux::sys::kcmp::{Shared, kcmp};
use crate::platform::linux::sys::maps::Mapping;
use crate::platform::linux::sys::procfs::{
    DirBuf, FileStat, ProcPath, Result, Task, dir_buf, is_denied, parse, seen,
};
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Looks at one process after the other; its room is used again for each.
pub(crate) struct ProcessScanner<'w> {
    wanted: &'w DeviceFilter,
    names: &'w [String],
    patience: &'w ScanDeadline,
    room: DirBuf,
    text: Vec<u8>,
    /// The process looked at last runs no program: it is the kernel's, or on its way out.
    no_program: bool,
    /// The thread that shows its memory, where the first one has ended.
    live_thread: Option<Task>,
}

/// A thread of a process, or the process itself.
struct TaskRef<'t> {
    pid: u32,
    /// The thread, if it is not the first.
    thread: Option<u32>,
    task: &'t Task,
}

impl<'w> ProcessScanner<'w> {
    /// Looks for this; `names` are the names of the devices.
    pub(crate) fn new(
        wanted: &'w DeviceFilter,
        names: &'w [String],
        patience: &'w ScanDeadline,
    ) -> ProcessScanner<'w> {
        ProcessScanner {
            wanted,
            names,
            patience,
            room: dir_buf(),
            text: Vec::with_capacity(8192),
            no_program: false,
            live_thread: None,
        }
    }

    /// Did the process looked at last run no program.
    pub(crate) fn no_program(&self) -> bool {
        self.no_program
    }

    /// Room for text, for whoever else asks proc meanwhile.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Open files, working directory, root, program; of every thread that has its own. Without `files`,
    /// no open file is looked at: it is known that none is of the drive.
    ///
    /// # Errors
    /// EACCES where this process may not be looked into; ESRCH, ENOENT when it has gone.
    pub(crate) fn tables(
        &mut self,
        pid: u32,
        task: &Task,
        files: bool,
        uses: &mut Vec<Usage>,
    ) -> Result<()> {
        let at = TaskRef { pid, thread: None, task };
        (self.no_program, self.live_thread) = (false, None);
        if files {
            self.files(&at, uses)?;
        }
        self.cwd_and_root(&at, uses)?;
        self.link(&at, c"exe", UsageKind::Executable, uses)?;
        // A directory of proc has two names and one for each entry.
        if task.stat(c"task")?.links > 3 {
            self.threads(pid, task, files, uses)?;
            if self.no_program {
                self.program_of_a_thread(pid, task, uses)?;
            }
        }
        Ok(())
    }

    /// A process goes on when its first thread has ended: what all threads share (memory, program) is then
    /// to be seen at the others only.
    fn program_of_a_thread(&mut self, pid: u32, task: &Task, uses: &mut Vec<Usage>) -> Result<()> {
        for tid in self.others(pid, task)? {
            let Ok(thread) = task.thread(tid) else { continue };
            self.no_program = false;
            let at = TaskRef { pid, thread: None, task: &thread };
            self.link(&at, c"exe", UsageKind::Executable, uses)?;
            if !self.no_program {
                self.live_thread = Some(thread);
                break;
            }
        }
        Ok(())
    }

    /// The threads of this process but the first.
    fn others(&mut self, pid: u32, task: &Task) -> Result<Vec<u32>> {
        let mut tids = Vec::new();
        task.numbers(c"task", &mut self.room, |tid| tids.push(tid))?;
        tids.retain(|tid| *tid != pid);
        Ok(tids)
    }

    /// Mapped files. They come last: the lock that guards them may be held for long.
    pub(crate) fn maps(&mut self, task: &Task, uses: &mut Vec<Usage>) -> Result<()> {
        let alive = self.live_thread.take();
        let task = alive.as_ref().unwrap_or(task);
        task.read(c"maps", &mut self.text)?;
        let mut known: Vec<((u64, u64), usize)> = Vec::new();
        for mapping in Mapping::all(&self.text) {
            let on = self.wanted.fs_device(mapping.device);
            if on.is_none() && !self.wanted.is_nested(mapping.device) {
                continue;
            }
            let file = (mapping.device, mapping.inode);
            if let Some((_, at)) = known.iter().find(|(known, _)| *known == file) {
                uses[*at].writing |= mapping.writing;
                continue;
            }
            let Some(on) = on.or_else(|| self.mapped_on_nested(task, &mapping)) else { continue };
            let (path, deleted) = mapping.path();
            let running = uses
                .iter()
                .any(|u| u.kind == UsageKind::Executable && u.path.as_ref() == Some(&path));
            if running {
                continue;
            }
            known.push((file, uses.len()));
            let mut used = Usage::new(UsageKind::MappedFile, &self.names[on]).at(path);
            (used.deleted, used.writing) = (deleted, mapping.writing);
            uses.push(used);
        }
        Ok(())
    }

    /// Which of the devices the mount lies on through which this file was mapped: only that tells, of a file
    /// system that may be mounted elsewhere, too. Needs CAP_CHECKPOINT_RESTORE (proc(5), `map_files`).
    fn mapped_on_nested(&self, task: &Task, mapping: &Mapping<'_>) -> Option<DeviceIndex> {
        let seen = self.scan_entry(task, &mapping.link()?).ok()??;
        self.wanted.file(&seen)
    }

    fn threads(
        &mut self,
        pid: u32,
        task: &Task,
        with_files: bool,
        uses: &mut Vec<Usage>,
    ) -> Result<()> {
        let tids = self.others(pid, task)?;
        // Tables that were looked at: the first thread's, then of each that shares none of those.
        let (mut files, mut places) = (vec![pid], vec![pid]);
        for tid in tids {
            if self.patience.has_passed() {
                break;
            }
            let new_files = with_files && is_new(&files, tid, Shared::Files);
            let new_places = is_new(&places, tid, Shared::Fs);
            let before = uses.len();
            if !new_files && !new_places {
                continue;
            }
            let Ok(thread) = task.thread(tid) else { continue };
            let at = TaskRef { pid, thread: Some(tid), task: &thread };
            if new_files && self.files(&at, uses).is_ok() {
                files.push(tid);
            }
            if new_places && self.cwd_and_root(&at, uses).is_ok() {
                places.push(tid);
            }
            dedup_from(uses, before);
        }
        Ok(())
    }

    fn cwd_and_root(&mut self, at: &TaskRef<'_>, uses: &mut Vec<Usage>) -> Result<()> {
        self.link(at, c"cwd", UsageKind::WorkingDirectory, uses)?;
        self.link(at, c"root", UsageKind::Root, uses)
    }

    fn link(
        &mut self,
        at: &TaskRef<'_>,
        name: &CStr,
        kind: UsageKind,
        uses: &mut Vec<Usage>,
    ) -> Result<()> {
        let seen = match self.scan_entry(at.task, name) {
            Ok(seen) => seen,
            // A kernel thread has no program, and one that is ending has nothing any more.
            Err(Errno::NOENT | Errno::SRCH) => {
                self.no_program |= kind == UsageKind::Executable;
                return Ok(());
            }
            Err(errno) => return Err(errno),
        };
        let Some((seen, on)) = seen.and_then(|s| Some((s, self.wanted.file(&s)?))) else {
            return Ok(());
        };
        let (path, deleted) = self.path(at.task, name, &seen);
        let mut used = Usage::new(kind, &self.names[on]);
        (used.path, used.deleted, used.thread) = (path, deleted, at.thread);
        uses.push(used);
        Ok(())
    }

    /// What a link leads to; `None` where that is not to be asked.
    fn scan_entry(&self, task: &Task, name: &CStr) -> Result<Option<FileStat>> {
        if self.wanted.has_remote() {
            // A descriptor that is only a place touches no file, and proc knows the mount it is on.
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let place = rustix::fs::openat(task, name, flags, Mode::empty())?;
            let info = format!("/proc/thread-self/fdinfo/{}", place.as_raw_fd());
            let info = std::fs::read(info).unwrap_or_default();
            if FdInfo::parse(&info).mount.is_some_and(|mount| self.wanted.is_remote(mount)) {
                return Ok(None);
            }
        }
        task.stat(name).map(Some)
    }

    fn files(&mut self, at: &TaskRef<'_>, uses: &mut Vec<Usage>) -> Result<()> {
        let dir = at.task.dir(c"fd")?;
        let careful = match self.wanted.has_remote() {
            true => Some(at.task.dir(c"fdinfo")?),
            false => None,
        };
        // The room is lent to the listing, and comes back: a hit needs the rest of `self`.
        let mut room = std::mem::take(&mut self.room);
        let mut entries = RawDir::new(&dir, &mut room);
        while let Some(entry) = entries.next() {
            let (Ok(entry), false) = (entry, self.patience.has_passed()) else { break };
            let name = entry.file_name();
            if name.to_bytes().starts_with(b".") {
                continue;
            }
            if careful.as_ref().is_some_and(|info| self.stat_may_block(info.as_fd(), name)) {
                continue;
            }
            // Closed meanwhile, or of a kind that has nothing to tell.
            let Ok(seen) = seen(dir.as_fd(), name) else { continue };
            if let Some(on) = self.wanted.file(&seen) {
                uses.extend(self.file(at, name, &seen, on, None));
            } else if let Some(on) = self.wanted.node(&seen) {
                uses.extend(self.file(at, name, &seen, on, Some(UsageKind::Device)));
            } else if let Some((on, path)) = self.wanted.socket(&seen) {
                let mut used = Usage::new(UsageKind::OpenFile, &self.names[on]).at(path);
                used.fd = parse::<u32>(name.to_bytes()).map(u64::from);
                used.thread = at.thread;
                uses.push(used);
            }
        }
        self.room = room;
        Ok(())
    }

    fn stat_may_block(&mut self, info: BorrowedFd<'_>, name: &CStr) -> bool {
        let mut text = [0; 256];
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let read = rustix::fs::openat(info, name, flags, Mode::empty())
            .and_then(|file| rustix::io::read(&file, &mut text[..]));
        let info = FdInfo::parse(&text[..read.unwrap_or(0)]);
        info.mount.is_some_and(|mount| self.wanted.is_remote(mount))
    }

    /// A descriptor that leads to the drive.
    fn file(
        &mut self,
        at: &TaskRef<'_>,
        name: &CStr,
        seen: &FileStat,
        on: DeviceIndex,
        kind: Option<UsageKind>,
    ) -> Option<Usage> {
        let fd: u32 = parse(name.to_bytes())?;
        let info = match at.task.read(ProcPath::within("fdinfo/", fd).as_c_str(), &mut self.text) {
            Ok(()) => FdInfo::parse(&self.text),
            Err(_) => FdInfo::default(),
        };
        let ours = at.pid == std::process::id();
        if ours && info.is_own() && (seen.directory || seen.node.is_some()) {
            return None; // The release's own handles.
        }
        let link = ProcPath::within("fd/", fd);
        let (path, deleted) = self.path(at.task, link.as_c_str(), seen);
        let kind = kind.unwrap_or(match (seen.directory, deleted, info.writing()) {
            (true, ..) => UsageKind::Directory,
            (_, true, _) => UsageKind::DeletedFile,
            (_, _, true) => UsageKind::OpenForWriting,
            _ => UsageKind::OpenFile,
        });
        let mut used = Usage::new(kind, &self.names[on]);
        (used.path, used.deleted, used.thread) = (path, deleted, at.thread);
        (used.fd, used.writing) = (Some(fd.into()), info.writing());
        Some(used)
    }

    /// Where a link leads, and whether that is deleted.
    fn path(&mut self, task: &Task, link: &CStr, seen: &FileStat) -> (Option<PathBuf>, bool) {
        if task.link(link, &mut self.text).is_err() {
            return (None, seen.links == 0);
        }
        // A file may bear the word in its name, so the count of its names decides.
        let deleted = seen.links == 0;
        let path = match self.text.strip_suffix(b" (deleted)") {
            Some(path) if deleted => path,
            _ => &self.text[..],
        };
        (Some(PathBuf::from(OsString::from_vec(path.to_vec()))), deleted)
    }
}

/// Does this thread share none of the tables that were looked at. Where that cannot be told, it is looked
/// at: what it shares with the others is dropped again ([`dedup_from`]).
fn is_new(known: &[u32], tid: u32, what: Shared) -> bool {
    !known.iter().any(|other| kcmp(*other, tid, what).unwrap_or(false))
}

/// Drops of the uses from `from` on those that are another thread's, or the whole process's, too.
fn dedup_from(uses: &mut Vec<Usage>, from: usize) {
    for used in uses.split_off(from) {
        let same = |known: &Usage| Usage { thread: used.thread, ..known.clone() } == used;
        if !uses[..from].iter().any(same) {
            uses.push(used);
        }
    }
}

/// Was the process closed to this user.
pub(crate) fn was_denied(result: &Result<()>) -> bool {
    matches!(result, Err(errno) if is_denied(*errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_cannot_be_compared_is_looked_at() {
        assert!(is_new(&[std::process::id()], u32::MAX >> 1, Shared::Files));
        assert!(is_new(&[], std::process::id(), Shared::Fs));
    }

    #[test]
    fn what_a_thread_shares_with_its_process_is_named_once() {
        let of = |fd, thread| {
            let mut used = Usage::new(UsageKind::OpenFile, "sdb1").at("/file");
            (used.fd, used.thread) = (Some(fd), thread);
            used
        };
        let mut uses = vec![of(3, None), of(3, Some(8)), of(4, Some(8))];
        dedup_from(&mut uses, 1);
        assert_eq!(uses, [of(3, None), of(4, Some(8))]);
    }
}
