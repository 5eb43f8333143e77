//! The helper's side: receives one request after the other, makes the calls, and answers.
//!
//! This runs in a process that was forked from a program with other threads, whose locks may be held for good
//! in the copy. So nothing here allocates, takes a lock or formats text: it makes system calls, on the stack.

use crate::platform::linux::helper::channel::{receive, receive_now, send};
use crate::platform::linux::helper::request::{
    ANSWER, DeviceCall, MAX_ANSWERS, MAX_REQUEST, Request, START, Values, decode, encode_answer,
    is_followed,
};
use crate::platform::linux::helper::{mount_again, mount_calls};
use crate::platform::linux::sys::mtio::Operation;
use crate::platform::linux::sys::procfs::ProcPath;
use crate::platform::linux::sys::without_links::open_parent;
use crate::platform::linux::sys::{
    blkdev, blkpg, cdrom, device_number, dm_ioctl, fs_shutdown, loop_ioctl, md, mtio, nbd, sg,
    swaps, usbfs,
};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{
    Advice, AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, fadvise, fstat, openat, statx,
};
use rustix::io::{Errno, pread};
use rustix::process::{Pid, Signal, chdir, getppid, set_parent_process_death_signal};
use std::ffi::CStr;
use std::num::NonZeroU64;

/// Serves requests until the other end of the socket is closed.
///
/// Ends with its parent: what the parent was killed in the middle of is not continued. Holds nothing but its
/// socket: no descriptor that was open in the parent at the fork, and no working directory.
pub fn serve(socket: RawFd, parent: Pid) {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid() != Some(parent) {
        return;
    }
    close_all_but(socket);
    let _ = chdir(c"/");
    // SAFETY: the process has a table of its own, in which nothing closes this number.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let mut held = HeldAnswers { socket, bytes: [0; MAX_ANSWERS], length: 0 };
    let (mut now, mut next) = (&mut Incoming::new(), &mut Incoming::new());
    loop {
        if next.length > 0 {
            (now, next) = (next, now);
        } else if !now.receive(|message| held.next_request(message)) {
            return;
        }
        next.length = 0;
        now.begin_read();
        // The kernel reads from two devices at a time.
        let is_followed = is_followed(now.bytes());
        if is_followed && next.receive(|message| receive_now(socket, message)) {
            next.begin_read();
        }
        let device = now.device.take();
        let (sequence, request) = now.decode();
        let (result, opened, read) = match request {
            Ok(Request::Close { .. }) => {
                // The sender closes its own descriptor before it sends this byte.
                let closing = receive(socket, &mut [0; 1]);
                now.fd = None;
                (closing.map(|_| Values::default()), None, 0)
            }
            Ok(request) => split(carry_out(request, device, held.room())),
            Err(errno) => (Err(errno), None, 0),
        };
        let answer = encode_answer(sequence, result, opened.is_some(), read);
        let opened = opened.as_ref().map(AsFd::as_fd);
        if held.push(&answer, read, opened, is_followed).is_err() {
            return;
        }
        // Between two requests, no drive is held.
        now.fd = None;
    }
}

/// A request that was received, and the device whose start it reads.
struct Incoming {
    message: [u8; MAX_REQUEST],
    /// 0 if there is none.
    length: usize,
    fd: Option<OwnedFd>,
    device: Option<Result<OwnedFd, Errno>>,
}

impl Incoming {
    fn new() -> Incoming {
        Incoming { message: [0; MAX_REQUEST], length: 0, fd: None, device: None }
    }

    /// Returns true if a request was received.
    fn receive(
        &mut self,
        receive: impl FnOnce(&mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno>,
    ) -> bool {
        (self.length, self.fd) = receive(&mut self.message).unwrap_or_default();
        self.length > 0
    }

    fn bytes(&self) -> &[u8] {
        self.message.get(..self.length).unwrap_or_default()
    }

    fn decode(&self) -> (u64, Result<Request<'_>, Errno>) {
        decode(self.bytes(), self.fd.as_ref())
    }

    /// Opens the device whose start is wanted, and starts the read without waiting for it.
    fn begin_read(&mut self) {
        if self.device.is_some() {
            return;
        }
        let (Ok(Request::ReadStart { path }) | Ok(Request::LoopBacking { path, start: true })) =
            self.decode().1
        else {
            return;
        };
        let device = open_device(path);
        if let Ok(device) = &device {
            // No more than that is read.
            let _ = fadvise(device, 0, None, Advice::Random);
            let _ = fadvise(device, 0, NonZeroU64::new(START as u64), Advice::WillNeed);
        }
        self.device = Some(device);
    }
}

/// Answers that are sent together: while the next request is there, the parent is not woken for each.
struct HeldAnswers<'s> {
    socket: BorrowedFd<'s>,
    bytes: [u8; MAX_ANSWERS],
    length: usize,
}

impl HeldAnswers<'_> {
    /// Receives the next request. Sends the answers before it waits for one.
    fn next_request(&mut self, message: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
        if self.length > 0 {
            match receive_now(self.socket, message) {
                Err(Errno::AGAIN) => self.flush(None)?,
                received => return received,
            }
        }
        receive(self.socket, message)
    }

    /// Returns the place for the content of the next answer.
    fn room(&mut self) -> &mut [u8] {
        let start = self.length + ANSWER;
        self.bytes.get_mut(start..start + START).unwrap_or_default()
    }

    /// Adds an answer, whose content is in its place. One to a request that another follows may wait for that.
    fn push(
        &mut self,
        answer: &[u8; ANSWER],
        content: usize,
        fd: Option<BorrowedFd<'_>>,
        is_followed: bool,
    ) -> Result<(), Errno> {
        if fd.is_some() && self.length > 0 {
            self.flush(None)?;
        }
        self.bytes[self.length..self.length + ANSWER].copy_from_slice(answer);
        self.length += ANSWER + content;
        match fd.is_some() || !is_followed || self.room().len() < START {
            true => self.flush(fd),
            false => Ok(()),
        }
    }

    fn flush(&mut self, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        let length = std::mem::take(&mut self.length);
        send(self.socket, [&self.bytes[..length], &[]], fd)
    }
}

/// Result of a request: numbers, and perhaps a descriptor, or the length of what was read.
enum Reply {
    Values(Values),
    Opened(OwnedFd, Values),
    Read(usize, Values),
}

fn split(reply: Result<Reply, Errno>) -> (Result<Values, Errno>, Option<OwnedFd>, usize) {
    match reply {
        Ok(Reply::Values(values)) => (Ok(values), None, 0),
        Ok(Reply::Opened(fd, values)) => (Ok(values), Some(fd), 0),
        Ok(Reply::Read(length, values)) => (Ok(values), None, length),
        Err(errno) => (Err(errno), None, 0),
    }
}

/// Makes the calls of a request. The device is the one that was opened before, if one was.
fn carry_out(
    request: Request<'_>,
    device: Option<Result<OwnedFd, Errno>>,
    content: &mut [u8],
) -> Result<Reply, Errno> {
    let open_device = |path| device.unwrap_or_else(|| open_device(path));
    let values = match request {
        Request::Open { path, flags, directory } => {
            return open(path, flags, directory).map(|(fd, values)| Reply::Opened(fd, values));
        }
        Request::OpenAndReadAhead { path, length } => {
            let (device, values) = open(path, DEVICE_FLAGS, None)?;
            let _ = read_ahead(device.as_fd(), 0, length, content);
            return Ok(Reply::Opened(device, values));
        }
        Request::OpenMount { path, id, reading } => {
            return mount_calls::open_mount(path, id, reading)
                .map(|root| Reply::Opened(root, Values::default()));
        }
        // Done by the caller, which owns the descriptor.
        Request::Close { .. } => return Err(Errno::INVAL),
        Request::Stat { path, directory } => stat(path, directory)?,
        Request::ReadStart { path } => {
            let (length, failed) = read_start(&open_device(path)?, content)?;
            return Ok(Reply::Read(length, [0, 0, failed.into(), 0, 0, 0]));
        }
        Request::LoopBacking { path, start } => {
            let device = open_device(path)?;
            let backing = loop_ioctl::backing(&device)?;
            let read = start.then(|| read_start(&device, content));
            let (length, failed) = read.and_then(Result::ok).unwrap_or((0, start));
            return Ok(Reply::Read(
                length,
                [backing.device, backing.inode, failed.into(), 0, 0, 0],
            ));
        }
        Request::ProbeMedium { path, optical } => {
            let device = open_device(path)?;
            one(match optical {
                true => cdrom::drive_status(&device)?.number().into(),
                false => 0,
            })
        }
        Request::ProbeMount { path, id } => mount_calls::probe(path, id)?.to_values(),
        Request::SyncMount { path, id } => mount_calls::sync(path, id)?.to_values(),
        Request::Unmount { path, id, sync } => {
            mount_calls::unmount_checked(path, id, sync)?.to_values()
        }
        Request::Detach { path, id } => mount_calls::detach(path, id)?.to_values(),
        Request::Mount { text, device, flags, remount } => {
            none(mount_again::mount_again(text, device, flags, remount))?
        }
        Request::SwapOff { path, device } => none(swap_off(path, device))?,
        Request::Device { device, call } => device_call(device, call)?,
        Request::Cdrom { device, setting } => none(cdrom::set(device, setting))?,
        Request::Scsi { device, command, timeout } => {
            one(u64::from_ne_bytes(sg::send(device, command, timeout)?.to_bytes()))
        }
        Request::DmOpenCount { control, device } => {
            one(dm_ioctl::open_count(control, device)?.into())
        }
        Request::DmRemove { control, device } => none(dm_ioctl::remove(control, device))?,
        Request::DmReplaceByErrors { control, device, sectors } => {
            none(dm_ioctl::replace_by_errors(control, device, sectors))?
        }
        Request::ResizePartition { disk, number, start, length } => {
            none(blkpg::resize(disk, number, start, length))?
        }
        Request::HubConnected { hub, port } => one(usbfs::is_connected(hub, port)?.into()),
        Request::HubPower { hub, port, on } => none(usbfs::power(hub, port, on))?,
        Request::Write { file, text } => none(rustix::io::write(file, text).map(drop))?,
        Request::ReadAhead { device, offset, length } => {
            read_ahead(device, offset, length, content)?
        }
        #[cfg(test)]
        Request::Panic { index } => one([1, 2, 3][index]),
        #[cfg(test)]
        Request::Sleep { seconds } => {
            let time = std::time::Duration::from_secs(seconds);
            let _ = rustix::thread::nanosleep(&crate::platform::linux::sys::clock::timespec(time));
            Values::default()
        }
        #[cfg(test)]
        Request::Describe { descriptor } => describe(descriptor),
    };
    Ok(Reply::Values(values))
}

fn one(value: u64) -> Values {
    [value, 0, 0, 0, 0, 0]
}

fn none(result: Result<(), Errno>) -> Result<Values, Errno> {
    result.map(|()| Values::default())
}

/// Flags that open a device without waiting for a medium, without closing a tray, and without a claim.
const DEVICE_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

fn open_device(path: &CStr) -> Result<OwnedFd, Errno> {
    openat(CWD, path, DEVICE_FLAGS, Mode::empty())
}

/// Opens the file, and returns the number and the `diskseq` of a block device, else 0.
fn open(
    path: &CStr,
    flags: OFlags,
    directory: Option<BorrowedFd<'_>>,
) -> Result<(OwnedFd, Values), Errno> {
    let file = openat(directory.unwrap_or(CWD), path, flags | OFlags::CLOEXEC, Mode::empty())?;
    if flags.contains(OFlags::PATH) {
        return Ok((file, Values::default()));
    }
    let stat = fstat(&file)?;
    let values = match FileType::from_raw_mode(stat.st_mode) {
        // Before Linux 5.15 there is no diskseq.
        FileType::BlockDevice => {
            [device_number::from_dev(stat.st_rdev), blkdev::diskseq(&file).unwrap_or(0), 0, 0, 0, 0]
        }
        _ => Values::default(),
    };
    Ok((file, values))
}

/// File type, device number of the file system, device number of the node, inode number, mount ID.
fn stat(path: &CStr, directory: Option<BorrowedFd<'_>>) -> Result<Values, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat(directory.unwrap_or(CWD), path, flags, Mode::empty())?;
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID;
    let stat = statx(file, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted)?;
    Ok([
        stat.stx_mode.into(),
        device_number::number(stat.stx_dev_major, stat.stx_dev_minor),
        device_number::number(stat.stx_rdev_major, stat.stx_rdev_minor),
        stat.stx_ino,
        stat.stx_mnt_id,
        0,
    ])
}

/// Switches swap off, unless the path leads to another device by now: `EINVAL`, as for what is no swap.
fn swap_off(path: &CStr, device: u64) -> Result<(), Errno> {
    let (directory, name) = open_parent(path)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    let number = device_number::from_dev(match FileType::from_raw_mode(stat.st_mode) {
        FileType::BlockDevice => stat.st_rdev,
        _ => stat.st_dev,
    });
    // The files of a btrfs have an anonymous number.
    if number != device && number >> 32 != 0 {
        return Err(Errno::INVAL);
    }
    let link = ProcPath::within("/proc/self/fd/", file.as_raw_fd().unsigned_abs());
    swaps::swapoff(link.as_c_str())
}

fn device_call(device: BorrowedFd<'_>, call: DeviceCall) -> Result<Values, Errno> {
    none(match call {
        DeviceCall::SyncFs => rustix::fs::syncfs(device),
        DeviceCall::Fsync => rustix::fs::fsync(device),
        DeviceCall::FlushBuffers => blkdev::flush_buffers(device),
        DeviceCall::RereadPartitions => blkdev::reread_partitions(device),
        DeviceCall::ShutDown => fs_shutdown::shutdown(device),
        DeviceCall::DriveStatus => return Ok(one(cdrom::drive_status(device)?.number().into())),
        DeviceCall::UnlockDoor => cdrom::lock_door(device, false),
        DeviceCall::OpenTray => cdrom::eject(device),
        DeviceCall::CloseTray => cdrom::close_tray(device),
        DeviceCall::TapeOffline => mtio::operate(device, Operation::Offline),
        DeviceCall::TapeUnlock => mtio::operate(device, Operation::Unlock),
        DeviceCall::TapeLoad => mtio::operate(device, Operation::Load),
        DeviceCall::DetachLoop => loop_ioctl::detach(device),
        DeviceCall::DisconnectNbd => nbd::disconnect(device),
        DeviceCall::ClearNbdSocket => nbd::clear_socket(device),
        DeviceCall::StopArray => md::stop(device),
    })
}

/// Returns the number of bytes read, and true if an error came after them.
fn read_start(device: &OwnedFd, content: &mut [u8]) -> Result<(usize, bool), Errno> {
    let mut filled = 0;
    while filled < content.len() {
        match pread(device, &mut content[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(errno) if filled == 0 => return Err(errno),
            Err(_) => return Ok((filled, true)),
        }
    }
    Ok((filled, false))
}

fn read_ahead(
    device: BorrowedFd<'_>,
    offset: u64,
    length: u64,
    scratch: &mut [u8],
) -> Result<Values, Errno> {
    let mut done = 0;
    while done < length && !scratch.is_empty() {
        let left = usize::try_from(length - done).unwrap_or(usize::MAX).min(scratch.len());
        pread(device, &mut scratch[..left], offset.saturating_add(done))?;
        done += left as u64;
    }
    Ok(Values::default())
}

/// Closes every descriptor but the socket.
///
/// Copies of the parent's descriptors would keep other drives in use, and the reader of its output waiting.
fn close_all_but(socket: RawFd) {
    let socket = socket.unsigned_abs();
    if let Some(last) = socket.checked_sub(1) {
        close_range(0, last);
    }
    close_range(socket.saturating_add(1), u32::MAX);
}

/// close_range(2).
fn close_range(first: u32, last: u32) {
    // SAFETY: three integers by value. The process uses none of these descriptors.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0;
    if !closed {
        // Linux before 5.9. No drive is opened beyond that number unless very many are released at once.
        for fd in first..=last.min(1024) {
            // SAFETY: as above.
            unsafe { libc::close(fd.cast_signed()) };
        }
    }
}

#[cfg(test)]
fn describe(descriptor: u64) -> Values {
    let mut mask = std::mem::MaybeUninit::uninit();
    let descriptor = RawFd::try_from(descriptor).unwrap_or(-1);
    // SAFETY: the set is written by the first call and read by the others; F_GETFD takes no argument.
    let (blocked, closed) = unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), mask.as_mut_ptr());
        let blocked = [libc::SIGINT, libc::SIGTERM, libc::SIGTSTP]
            .map(|signal| libc::sigismember(mask.as_ptr(), signal) == 1);
        (blocked, libc::fcntl(descriptor, libc::F_GETFD) == -1)
    };
    let mut directory = [0; 8];
    let root = rustix::fs::readlinkat_raw(CWD, c"/proc/self/cwd", &mut directory[..])
        .is_ok_and(|length| length == 1);
    [closed.into(), blocked.iter().all(|blocked| *blocked).into(), root.into(), 0, 0, 0]
}
