//! proc(5): processes, their tables and links, read through directory descriptors.
//!
//! A descriptor of `/proc/PID` stays bound to that process: once it is gone every access fails with
//! ESRCH or ENOENT, even if the number has been given to another one. Nothing here allocates per file.

use crate::platform::linux::sys::device_number::{self, number};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Statx, StatxFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Result of a call on proc. [`is_gone`] recognises a process that has ended.
pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// Buffer for directory entries: a few thousand descriptors in one call.
pub(crate) type DirBuf = Box<[MaybeUninit<u8>]>;

/// Creates a buffer for directory entries.
pub(crate) fn dir_buf() -> DirBuf {
    vec![MaybeUninit::uninit(); 64 * 1024].into_boxed_slice()
}

/// Returns true if the process has ended meanwhile, which is no error.
pub(crate) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::SRCH | Errno::NOENT)
}

/// Returns true if this user may not read it.
pub(crate) fn is_denied(errno: Errno) -> bool {
    matches!(errno, Errno::ACCESS | Errno::PERM)
}

/// `/proc` itself.
#[derive(Debug)]
pub(crate) struct Proc(OwnedFd);

impl Proc {
    /// Opens `/proc`.
    pub(crate) fn open() -> Result<Proc> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(c"/proc", flags, Mode::empty()).map(Proc)
    }

    /// Calls `each` with the number of every process.
    pub(crate) fn pids(&self, each: impl FnMut(u32)) -> Result<()> {
        numbers(self.0.as_fd(), c".", &mut dir_buf(), each)
    }

    /// Returns true if the process numbers in it are those of this process's PID namespace (pid_namespaces(7)).
    ///
    /// After `unshare --pid` without a mount of proc, they are those of another namespace, and `/proc/7` is another
    /// process than `kill 7` ends.
    pub(crate) fn shows_own_namespace(&self) -> bool {
        let mut text = Vec::new();
        let named =
            self.link(c"self", &mut text).is_ok() && parse(&text) == Some(std::process::id());
        // One number for each namespace, from that of this /proc to that of the process.
        let numbers = |status: &[u8]| {
            let words =
                status_line(status, b"NSpid:").map(|line| line.split(u8::is_ascii_whitespace));
            words.map_or(1, |words| words.filter(|word| !word.is_empty()).count())
        };
        named && self.read(c"self/status", &mut text).is_ok() && numbers(&text) == 1
    }

    /// Opens the directory of this process. It never means another process.
    pub(crate) fn task(&self, pid: u32) -> Result<Task> {
        Task::at(self.0.as_fd(), pid)
    }

    /// Calls `each` with every number in a directory below `/proc`: `7/task`.
    pub(crate) fn numbers(
        &self,
        dir: &CStr,
        buffer: &mut DirBuf,
        each: impl FnMut(u32),
    ) -> Result<()> {
        numbers(self.0.as_fd(), dir, buffer, each)
    }

    /// Returns the attributes of the file at a path below `/proc`.
    pub(crate) fn stat(&self, path: &CStr) -> Result<FileStat> {
        stat_no_sync(self.0.as_fd(), path)
    }

    /// Reads a link below `/proc`: `self/ns/mnt`.
    pub(crate) fn link(&self, path: &CStr, text: &mut Vec<u8>) -> Result<()> {
        link(self.0.as_fd(), path, text)
    }

    /// Reads the first bytes of a file below `/proc`, as many as fit.
    pub(crate) fn read_prefix(&self, path: &CStr, buffer: &mut [u8]) -> Result<usize> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, path, flags, Mode::empty())?;
        rustix::io::read(file, buffer)
    }

    /// Reads a file below `/proc`: `swaps`.
    pub(crate) fn read(&self, path: &CStr, text: &mut Vec<u8>) -> Result<()> {
        read(self.0.as_fd(), path, text)
    }
}

/// One process, or one of its threads: a directory of proc.
#[derive(Debug)]
pub(crate) struct Task(OwnedFd);

impl Task {
    fn at(dir: BorrowedFd<'_>, pid: u32) -> Result<Task> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(dir, ProcPath::new(pid).as_c_str(), flags, Mode::empty()).map(Task)
    }

    /// Opens the directory of one of its threads.
    pub(crate) fn thread(&self, tid: u32) -> Result<Task> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tasks = rustix::fs::openat(&self.0, c"task", flags, Mode::empty())?;
        Task::at(tasks.as_fd(), tid)
    }

    /// Calls `each` with every number in one of its directories: `fd`, `task`.
    pub(crate) fn numbers(
        &self,
        dir: &CStr,
        buffer: &mut DirBuf,
        each: impl FnMut(u32),
    ) -> Result<()> {
        numbers(self.0.as_fd(), dir, buffer, each)
    }

    /// Opens one of its directories.
    pub(crate) fn dir(&self, dir: &CStr) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, dir, flags, Mode::empty())
    }

    /// Reads one of its files.
    pub(crate) fn read(&self, file: &CStr, text: &mut Vec<u8>) -> Result<()> {
        read(self.0.as_fd(), file, text)
    }

    /// Reads one of its links.
    pub(crate) fn link(&self, name: &CStr, text: &mut Vec<u8>) -> Result<()> {
        link(self.0.as_fd(), name, text)
    }

    /// Returns the attributes of the file that one of its links leads to.
    pub(crate) fn stat(&self, name: &CStr) -> Result<FileStat> {
        stat_no_sync(self.0.as_fd(), name)
    }
}

impl AsFd for Task {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Attributes of a file, without a request to a server or a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStat {
    /// Device number of its file system, `major << 32 | minor`.
    pub(crate) device: u64,
    /// Number of the device that it is a node of, for block and character devices.
    pub(crate) node: Option<u64>,
    /// The mount it was reached through; `None` before Linux 5.8.
    pub(crate) mount: Option<u64>,
    /// True for a directory.
    pub(crate) directory: bool,
    /// Inode number of the socket that it is, or of the file of one.
    pub(crate) socket: Option<u64>,
    /// Number of names: 0 once the file is deleted. For a directory of proc, 2 and its entries.
    pub(crate) links: u32,
}

/// `statx(2)` of what `name` in `dir` leads to.
///
/// `AT_STATX_DONT_SYNC`: the kernel answers from memory, and waits for no server.
pub(crate) fn stat_no_sync(dir: BorrowedFd<'_>, name: &CStr) -> Result<FileStat> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let wanted = StatxFlags::TYPE | StatxFlags::NLINK | StatxFlags::INO | StatxFlags::MNT_ID;
    let x = rustix::fs::statx(dir, name, flags, wanted)?;
    let kind = FileType::from_raw_mode(x.stx_mode.into());
    Ok(FileStat {
        device: number(x.stx_dev_major, x.stx_dev_minor),
        node: match kind {
            FileType::BlockDevice => Some(number(x.stx_rdev_major, x.stx_rdev_minor)),
            FileType::CharacterDevice => {
                Some(device_number::of_character_device(x.stx_rdev_major, x.stx_rdev_minor))
            }
            _ => None,
        },
        mount: mount_id_of(&x),
        directory: kind == FileType::Directory,
        socket: (kind == FileType::Socket).then_some(x.stx_ino),
        links: x.stx_nlink,
    })
}

/// Emulates a kernel before 5.8, for all tests of this process.
#[cfg(test)]
pub(crate) static WITHOUT_MNT_ID: std::sync::atomic::AtomicBool =
    std::sync::atomic::AtomicBool::new(false);

/// Returns the mount ID in the result of statx(2); `None` before Linux 5.8.
pub(crate) fn mount_id_of(stat: &Statx) -> Option<u64> {
    #[cfg(test)]
    if WITHOUT_MNT_ID.load(std::sync::atomic::Ordering::Relaxed) {
        return None;
    }
    let mask = StatxFlags::from_bits_retain(stat.stx_mask);
    mask.contains(StatxFlags::MNT_ID).then_some(stat.stx_mnt_id)
}

/// As [`stat_no_sync`], of a path.
pub(crate) fn stat_at(path: &CStr) -> Result<FileStat> {
    stat_no_sync(CWD, path)
}

/// A number as a file name, or as the beginning of a path, without an allocation.
pub(crate) struct ProcPath([u8; 32]);

impl ProcPath {
    /// This number.
    pub(crate) fn new(number: u32) -> ProcPath {
        ProcPath::below(number, "")
    }

    /// This number and what follows it: `/ns/mnt`.
    pub(crate) fn below(number: u32, rest: &str) -> ProcPath {
        let mut name = [0; 32];
        let written = write!(&mut name[..31], "{number}{rest}");
        debug_assert!(written.is_ok(), "ten digits and a short name fit");
        ProcPath(name)
    }

    /// This number after a directory: `fdinfo/7`.
    pub(crate) fn within(dir: &str, number: u32) -> ProcPath {
        let mut name = [0; 32];
        let written = write!(&mut name[..31], "{dir}{number}");
        debug_assert!(written.is_ok(), "a short name and ten digits fit");
        ProcPath(name)
    }

    /// The name.
    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// The number that these digits are.
pub fn parse<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    // `+7` is a number to Rust and to nobody else here.
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Returns the inode number of a mount namespace from its link: `mnt:[4026531841]` (namespaces(7)).
pub fn namespace_number(link: &[u8]) -> Option<u64> {
    parse(link.strip_prefix(b"mnt:[")?.strip_suffix(b"]")?)
}

/// Returns the value of a line of `/proc/PID/status` (proc(5)).
pub(crate) fn status_line<'t>(status: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let mut lines = status.split(|b| *b == b'\n');
    lines.find_map(|line| line.strip_prefix(name)).map(<[u8]>::trim_ascii)
}

fn numbers(
    at: BorrowedFd<'_>,
    dir: &CStr,
    buffer: &mut DirBuf,
    mut each: impl FnMut(u32),
) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(at, dir, flags, Mode::empty())?;
    let mut entries = RawDir::new(&dir, buffer);
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) => {
                if let Some(number) = parse(entry.file_name().to_bytes()) {
                    each(number);
                }
            }
            Err(errno) if is_gone(errno) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads a whole file of proc. They have no size: it is read until nothing comes.
fn read(at: BorrowedFd<'_>, file: &CStr, text: &mut Vec<u8>) -> Result<()> {
    text.clear();
    let file = rustix::fs::openat(at, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        if text.capacity() - text.len() < 1024 {
            text.reserve(8192);
        }
        match rustix::io::read(&file, rustix::buffer::spare_capacity(text)) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reads a link of proc. One longer than a page cannot be read at all: ENAMETOOLONG.
fn link(at: BorrowedFd<'_>, name: &CStr, text: &mut Vec<u8>) -> Result<()> {
    text.clear();
    text.reserve(4096);
    rustix::fs::readlinkat_raw(at, name, rustix::buffer::spare_capacity(text)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_among_the_processes_and_has_its_descriptors() {
        let proc = Proc::open().unwrap();
        let mut found = false;
        proc.pids(|pid| found |= pid == std::process::id()).unwrap();
        assert!(found);

        let file = std::fs::File::open("/proc/self/status").unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file) as u32;
        let mut found = false;
        let me = proc.task(std::process::id()).unwrap();
        me.numbers(c"fd", &mut dir_buf(), |n| found |= n == fd).unwrap();
        assert!(found);
    }

    #[test]
    fn a_task_stays_bound_to_its_process() {
        let proc = Proc::open().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let task = proc.task(child.id()).unwrap();
        child.wait().unwrap();
        let mut text = Vec::new();
        assert!(is_gone(task.read(c"status", &mut text).unwrap_err()));
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(parse::<u32>(b"17"), Some(17));
        for not in [&b"+17"[..], b"", b"-1", b"1x", b"99999999999", b"self"] {
            assert_eq!(parse::<u32>(not), None);
        }
    }
}
