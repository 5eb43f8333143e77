//! Requests to the helper, and the messages that carry them: numbers, one path or text, one descriptor.

use crate::model::cdrom::CdromSetting;
use crate::platform::linux::sys::sg::Command;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::ffi::CStr;
use std::time::Duration;

/// One system call of the helper, or a short fixed sequence of them.
#[derive(Debug, Clone, Copy)]
pub enum Request<'r> {
    /// `openat`: returns the descriptor, with the device's number and `diskseq` where it is a block device.
    /// A relative path begins at `directory`.
    Open { path: &'r CStr, flags: OFlags, directory: Option<BorrowedFd<'r>> },
    /// Opens the device at the path without waiting for a medium, and reads its first bytes into the kernel's
    /// page cache. An error of that read is not returned.
    OpenAndReadAhead { path: &'r CStr, length: u64 },
    /// Opens the root of the mount, if the mount of this ID is at the path: for `reading`, or with `O_PATH`.
    OpenMount { path: &'r CStr, id: u64, reading: bool },
    /// `close` by the helper as the last holder: the sender closes its own descriptor, then sends one byte.
    Close { device: BorrowedFd<'r> },
    /// `openat(O_PATH)` and `statx`: automounts are not triggered.
    Stat { path: &'r CStr, directory: Option<BorrowedFd<'r>> },
    /// `LOOP_GET_STATUS64` of the loop device at the path. With `start`, what [`Request::ReadStart`] returns too.
    LoopBacking { path: &'r CStr, start: bool },
    /// Opens and closes the drive at the path; asks an `optical` one for its status in between.
    ProbeMedium { path: &'r CStr, optical: bool },
    /// `umount2(MNT_EXPIRE)`, then an access, so that the mount does not expire.
    ProbeMount { path: &'r CStr, id: u64 },
    /// `syncfs` of the file system mounted there.
    SyncMount { path: &'r CStr, id: u64 },
    /// `syncfs` where `sync` is set, then `umount2` of the mount of this ID.
    Unmount { path: &'r CStr, id: u64, sync: bool },
    /// `umount2(MNT_DETACH)` of the mount of this ID.
    Detach { path: &'r CStr, id: u64 },
    /// `mount`, and a bind remount with the flags of `remount`. `text` is the mount point, the source, the type
    /// and the options, each with a NUL at its end; without a type it is a bind mount.
    Mount { text: &'r [u8], device: u64, flags: MountFlags, remount: Option<MountFlags> },
    /// `swapoff`, if the path is this device or a file on it.
    SwapOff { path: &'r CStr, device: u64 },
    /// A call that takes the device alone.
    Device { device: BorrowedFd<'r>, call: DeviceCall },
    /// An ioctl of an optical drive with a number.
    Cdrom { device: BorrowedFd<'r>, setting: CdromSetting },
    /// `SG_IO`.
    Scsi { device: BorrowedFd<'r>, command: Command, timeout: Duration },
    /// `DM_DEV_STATUS`: how often the mapping is open.
    DmOpenCount { control: BorrowedFd<'r>, device: u64 },
    /// `DM_DEV_REMOVE`.
    DmRemove { control: BorrowedFd<'r>, device: u64 },
    /// `DM_TABLE_LOAD` of the `error` target, and `DM_DEV_SUSPEND` (resume).
    DmReplaceByErrors { control: BorrowedFd<'r>, device: u64, sectors: u64 },
    /// `BLKPG_RESIZE_PARTITION`.
    ResizePartition { disk: BorrowedFd<'r>, number: u32, start: u64, length: u64 },
    /// `USBDEVFS_CONTROL`: is something plugged into the hub's port.
    HubConnected { hub: BorrowedFd<'r>, port: u16 },
    /// `USBDEVFS_CONTROL`: switches the power of the hub's port.
    HubPower { hub: BorrowedFd<'r>, port: u16, on: bool },
    /// `write` of a short text, in one piece.
    Write { file: BorrowedFd<'r>, text: &'r [u8] },
    /// `pread` of a range, so that the kernel has it in its page cache.
    ReadAhead { device: BorrowedFd<'r>, offset: u64, length: u64 },
    /// Opens the device at the path, and reads its first bytes, [`START`] at most. The third number that it
    /// returns is 1 if an error came after them.
    ReadStart { path: &'r CStr },
    /// Indexes an array out of its bounds.
    #[cfg(test)]
    Panic { index: usize },
    /// `nanosleep`, in seconds.
    #[cfg(test)]
    Sleep { seconds: u64 },
    /// Returns 1 for each that holds: the descriptor is closed, signals are blocked, the directory is `/`.
    #[cfg(test)]
    Describe { descriptor: u64 },
}

/// A call that takes an open device (or file) and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceCall {
    /// `syncfs`
    SyncFs,
    /// `fsync`
    Fsync,
    /// `BLKFLSBUF`
    FlushBuffers,
    /// `BLKRRPART`
    RereadPartitions,
    /// `FS_IOC_SHUTDOWN`
    ShutDown,
    /// `CDROM_DRIVE_STATUS`: returns the kernel's number.
    DriveStatus,
    /// `CDROM_LOCKDOOR` with 0
    UnlockDoor,
    /// `CDROMEJECT`
    OpenTray,
    /// `CDROMCLOSETRAY`
    CloseTray,
    /// `MTOFFL`
    TapeOffline,
    /// `MTUNLOCK`
    TapeUnlock,
    /// `MTLOAD`
    TapeLoad,
    /// `LOOP_CLR_FD`
    DetachLoop,
    /// `NBD_DISCONNECT`
    DisconnectNbd,
    /// `NBD_CLEAR_SOCK`
    ClearNbdSocket,
    /// `STOP_ARRAY`
    StopArray,
}

impl DeviceCall {
    const ALL: [DeviceCall; 16] = [
        DeviceCall::SyncFs,
        DeviceCall::Fsync,
        DeviceCall::FlushBuffers,
        DeviceCall::RereadPartitions,
        DeviceCall::ShutDown,
        DeviceCall::DriveStatus,
        DeviceCall::UnlockDoor,
        DeviceCall::OpenTray,
        DeviceCall::CloseTray,
        DeviceCall::TapeOffline,
        DeviceCall::TapeUnlock,
        DeviceCall::TapeLoad,
        DeviceCall::DetachLoop,
        DeviceCall::DisconnectNbd,
        DeviceCall::ClearNbdSocket,
        DeviceCall::StopArray,
    ];
}

/// Number in the place of the flags of a remount that is not wanted.
const NO_REMOUNT: u64 = u64::MAX;

/// Longest path or text of a request, with the NUL at its end (`PATH_MAX`).
const MAX_TEXT: usize = 4096;

/// Sequence number, kind of request, and five numbers.
const HEAD: usize = 7 * 8;

/// Place of the number that is 1 if another request follows at once.
const FOLLOWED: usize = HEAD - 8;

/// Longest message of a request.
pub const MAX_REQUEST: usize = HEAD + MAX_TEXT;

/// Encoded request: the two parts of its message, and its descriptor.
pub struct Encoded<'r> {
    pub head: [u8; HEAD],
    /// Path or other bytes.
    pub text: &'r [u8],
    pub fd: Option<BorrowedFd<'r>>,
}

impl<'r> Encoded<'r> {
    /// Encodes a request; `ENAMETOOLONG` if its path or text does not fit.
    ///
    /// `followed` tells the helper that another request follows at once, so that its answer may wait.
    pub fn new(request: &Request<'r>, sequence: u64, followed: bool) -> Result<Encoded<'r>, Errno> {
        let (kind, [a, b, c], text, fd) = parts(request);
        if text.len() > MAX_TEXT {
            return Err(Errno::NAMETOOLONG);
        }
        let mut head = [0; HEAD];
        write_words(&mut head, &[sequence, kind, a, b, c, fd.is_some().into(), followed.into()]);
        Ok(Encoded { head, text, fd })
    }
}

/// Kind, numbers, text and descriptor of a request.
type Parts<'r> = (u64, [u64; 3], &'r [u8], Option<BorrowedFd<'r>>);

fn parts<'r>(request: &Request<'r>) -> Parts<'r> {
    let path = CStr::to_bytes_with_nul;
    match *request {
        Request::Open { path: p, flags, directory } => {
            (1, [flags.bits().into(), 0, 0], path(p), directory)
        }
        Request::OpenMount { path: p, id, reading } => (2, [id, reading.into(), 0], path(p), None),
        Request::Close { device } => (3, [0; 3], b"", Some(device)),
        Request::Stat { path: p, directory } => (4, [0; 3], path(p), directory),
        Request::LoopBacking { path: p, start } => (5, [start.into(), 0, 0], path(p), None),
        Request::ProbeMedium { path: p, optical } => (6, [optical.into(), 0, 0], path(p), None),
        Request::ProbeMount { path: p, id } => (7, [id, 0, 0], path(p), None),
        Request::SyncMount { path: p, id } => (8, [id, 0, 0], path(p), None),
        Request::Unmount { path: p, id, sync } => (9, [id, sync.into(), 0], path(p), None),
        Request::Detach { path: p, id } => (10, [id, 0, 0], path(p), None),
        Request::SwapOff { path: p, device } => (11, [device, 0, 0], path(p), None),
        Request::Device { device, call } => {
            let number = DeviceCall::ALL.iter().position(|known| *known == call).unwrap_or(0);
            (12, [number as u64, 0, 0], b"", Some(device))
        }
        Request::Scsi { device, command, timeout } => {
            let number = Command::ALL.iter().position(|known| *known == command).unwrap_or(0);
            let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            (13, [number as u64, timeout, 0], b"", Some(device))
        }
        Request::DmOpenCount { control, device } => (14, [device, 0, 0], b"", Some(control)),
        Request::DmRemove { control, device } => (15, [device, 0, 0], b"", Some(control)),
        Request::DmReplaceByErrors { control, device, sectors } => {
            (16, [device, sectors, 0], b"", Some(control))
        }
        Request::ResizePartition { disk, number, start, length } => {
            (17, [number.into(), start, length], b"", Some(disk))
        }
        Request::HubConnected { hub, port } => (18, [port.into(), 0, 0], b"", Some(hub)),
        Request::HubPower { hub, port, on } => (19, [port.into(), on.into(), 0], b"", Some(hub)),
        Request::Write { file, text } => (20, [0; 3], text, Some(file)),
        Request::Mount { text, device, flags, remount } => {
            let remount = remount.map_or(NO_REMOUNT, |flags| flags.bits().into());
            (22, [device, flags.bits().into(), remount], text, None)
        }
        Request::ReadAhead { device, offset, length } => {
            (21, [offset, length, 0], b"", Some(device))
        }
        Request::Cdrom { device, setting } => {
            let (kind, number) = match setting {
                CdromSetting::ButtonLocked(locked) => (0, locked.into()),
                CdromSetting::AutoEject(on) => (1, on.into()),
                CdromSetting::Speed(speed) => (2, speed.into()),
                CdromSetting::Slot(slot) => (3, slot.into()),
            };
            (23, [kind, number, 0], b"", Some(device))
        }
        Request::ReadStart { path: p } => (24, [0; 3], path(p), None),
        Request::OpenAndReadAhead { path: p, length } => (25, [length, 0, 0], path(p), None),
        #[cfg(test)]
        Request::Panic { index } => (100, [index as u64, 0, 0], b"", None),
        #[cfg(test)]
        Request::Sleep { seconds } => (101, [seconds, 0, 0], b"", None),
        #[cfg(test)]
        Request::Describe { descriptor } => (102, [descriptor, 0, 0], b"", None),
    }
}

/// Reads a request and its sequence number from a message. Does not allocate: it runs in the helper.
///
/// # Errors
/// `EMFILE` if the descriptor of the request did not arrive, `EINVAL` if the message is no request.
pub fn decode<'r>(message: &'r [u8], fd: Option<&'r OwnedFd>) -> (u64, Result<Request<'r>, Errno>) {
    let [sequence, kind, a, b, c, has_fd, _] = read_words(message);
    if has_fd == 1 && fd.is_none() {
        return (sequence, Err(Errno::MFILE));
    }
    let text = message.get(HEAD..).unwrap_or_default();
    (sequence, request(kind, [a, b, c], text, fd.map(AsFd::as_fd)).ok_or(Errno::INVAL))
}

/// Returns true if another request follows this one at once.
pub fn is_followed(message: &[u8]) -> bool {
    read_words(message.get(FOLLOWED..).unwrap_or_default()) == [1]
}

fn request<'r>(
    kind: u64,
    [a, b, c]: [u64; 3],
    text: &'r [u8],
    fd: Option<BorrowedFd<'r>>,
) -> Option<Request<'r>> {
    let path = || CStr::from_bytes_with_nul(text).ok();
    Some(match kind {
        1 => {
            let flags = OFlags::from_bits_retain(u32::try_from(a).ok()?);
            Request::Open { path: path()?, flags, directory: fd }
        }
        2 => Request::OpenMount { path: path()?, id: a, reading: b == 1 },
        3 => Request::Close { device: fd? },
        4 => Request::Stat { path: path()?, directory: fd },
        5 => Request::LoopBacking { path: path()?, start: a == 1 },
        6 => Request::ProbeMedium { path: path()?, optical: a == 1 },
        7 => Request::ProbeMount { path: path()?, id: a },
        8 => Request::SyncMount { path: path()?, id: a },
        9 => Request::Unmount { path: path()?, id: a, sync: b == 1 },
        10 => Request::Detach { path: path()?, id: a },
        11 => Request::SwapOff { path: path()?, device: a },
        12 => {
            let call = *DeviceCall::ALL.get(usize::try_from(a).ok()?)?;
            Request::Device { device: fd?, call }
        }
        13 => {
            let command = *Command::ALL.get(usize::try_from(a).ok()?)?;
            Request::Scsi { device: fd?, command, timeout: Duration::from_millis(b) }
        }
        14 => Request::DmOpenCount { control: fd?, device: a },
        15 => Request::DmRemove { control: fd?, device: a },
        16 => Request::DmReplaceByErrors { control: fd?, device: a, sectors: b },
        17 => {
            let number = u32::try_from(a).ok()?;
            Request::ResizePartition { disk: fd?, number, start: b, length: c }
        }
        18 => Request::HubConnected { hub: fd?, port: u16::try_from(a).ok()? },
        19 => Request::HubPower { hub: fd?, port: u16::try_from(a).ok()?, on: b == 1 },
        20 => Request::Write { file: fd?, text },
        22 => {
            let flags = |bits| u32::try_from(bits).ok().map(MountFlags::from_bits_retain);
            Request::Mount { text, device: a, flags: flags(b)?, remount: flags(c) }
        }
        21 => Request::ReadAhead { device: fd?, offset: a, length: b },
        23 => {
            let setting = match a {
                0 => CdromSetting::ButtonLocked(b == 1),
                1 => CdromSetting::AutoEject(b == 1),
                2 => CdromSetting::Speed(u32::try_from(b).ok()?),
                3 => CdromSetting::Slot(u32::try_from(b).ok()?),
                _ => return None,
            };
            Request::Cdrom { device: fd?, setting }
        }
        24 => Request::ReadStart { path: path()? },
        25 => Request::OpenAndReadAhead { path: path()?, length: a },
        #[cfg(test)]
        100 => Request::Panic { index: usize::try_from(a).ok()? },
        #[cfg(test)]
        101 => Request::Sleep { seconds: a },
        #[cfg(test)]
        102 => Request::Describe { descriptor: a },
        _ => return None,
    })
}

/// Numbers that a call returned. Each request defines its own.
pub type Values = [u64; 6];

/// Length of an answer without its content, in bytes.
///
/// That is the sequence number, errno, [`Values`], whether a descriptor goes with it, and the length of the content.
pub const ANSWER: usize = 10 * 8;

/// Longest content of an answer, in bytes. Most file systems have their superblock there.
pub const START: usize = 0x2000;

/// Longest message of answers. Several with content may share one.
pub const MAX_ANSWERS: usize = 4 * (ANSWER + START);

/// Encodes an answer.
pub fn encode_answer(
    sequence: u64,
    result: Result<Values, Errno>,
    has_fd: bool,
    content: usize,
) -> [u8; ANSWER] {
    let errno = result.err().map_or(0, Errno::raw_os_error);
    let [a, b, c, d, e, f] = result.unwrap_or_default();
    let mut bytes = [0; ANSWER];
    let errno = u64::from(errno.unsigned_abs());
    let words = [sequence, errno, a, b, c, d, e, f, has_fd.into(), content as u64];
    write_words(&mut bytes, &words);
    bytes
}

/// An answer, as it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded<'m> {
    pub sequence: u64,
    pub result: Result<Values, Errno>,
    pub has_fd: bool,
    pub content: &'m [u8],
}

/// Reads the first answer of a message, and returns what is behind it.
pub fn decode_answer(message: &[u8]) -> Option<(Decoded<'_>, &[u8])> {
    let (head, rest) = message.split_at_checked(ANSWER)?;
    let [sequence, errno, a, b, c, d, e, f, has_fd, length] = read_words(head);
    let (content, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let result = match i32::try_from(errno) {
        Ok(0) => Ok([a, b, c, d, e, f]),
        errno => Err(Errno::from_raw_os_error(errno.unwrap_or(libc::EIO))),
    };
    Some((Decoded { sequence, result, has_fd: has_fd == 1, content }, rest))
}

fn write_words(bytes: &mut [u8], words: &[u64]) {
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
}

/// Bytes that are missing read as 0.
fn read_words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_request_arrives_as_it_was_sent() {
        let file = OwnedFd::from(tempfile::tempfile().unwrap());
        let (fd, path) = (file.as_fd(), c"/some path");
        let mut requests = vec![
            Request::Open { path, flags: OFlags::RDWR | OFlags::EXCL, directory: None },
            Request::Open { path, flags: OFlags::PATH, directory: Some(fd) },
            Request::OpenAndReadAhead { path, length: 9 },
            Request::OpenMount { path, id: 7, reading: true },
            Request::OpenMount { path, id: 7, reading: false },
            Request::Close { device: fd },
            Request::Stat { path, directory: None },
            Request::LoopBacking { path, start: true },
            Request::ProbeMedium { path, optical: true },
            Request::ProbeMount { path, id: u64::MAX },
            Request::SyncMount { path, id: 1 },
            Request::Unmount { path, id: 2, sync: true },
            Request::Detach { path, id: 3 },
            Request::SwapOff { path, device: 8 },
            Request::DmOpenCount { control: fd, device: 3 },
            Request::DmRemove { control: fd, device: 3 },
            Request::DmReplaceByErrors { control: fd, device: 3, sectors: 4 },
            Request::ResizePartition { disk: fd, number: 1, start: 2, length: 3 },
            Request::HubConnected { hub: fd, port: 4 },
            Request::HubPower { hub: fd, port: 4, on: true },
            Request::Write { file: fd, text: b"1" },
            Request::Cdrom { device: fd, setting: CdromSetting::ButtonLocked(true) },
            Request::Cdrom { device: fd, setting: CdromSetting::AutoEject(false) },
            Request::Cdrom { device: fd, setting: CdromSetting::Speed(u32::MAX) },
            Request::Cdrom { device: fd, setting: CdromSetting::Slot(3) },
            Request::ReadAhead { device: fd, offset: 5, length: 6 },
            Request::ReadStart { path },
            Request::Mount {
                text: b"/mnt\0/dev/sdb1\0ext4\0\0",
                device: 8,
                flags: MountFlags::NOSUID,
                remount: Some(MountFlags::RDONLY),
            },
            Request::Mount { text: b"", device: 0, flags: MountFlags::BIND, remount: None },
        ];
        requests.extend(DeviceCall::ALL.map(|call| Request::Device { device: fd, call }));
        let timeout = Duration::from_millis(1500);
        requests.extend(Command::ALL.map(|command| Request::Scsi { device: fd, command, timeout }));
        for (sequence, sent) in (1..).zip(&requests) {
            let encoded = Encoded::new(sent, sequence, sequence % 2 == 0).unwrap();
            let message = [&encoded.head, encoded.text].concat();
            let carried = encoded.fd.map(|_| &file);
            let (number, arrived) = decode(&message, carried);
            assert_eq!((number, is_followed(&message)), (sequence, sequence % 2 == 0));
            assert_eq!(format!("{:?}", arrived.unwrap()), format!("{sent:?}"));
            if carried.is_some() && !format!("{sent:?}").contains("directory") {
                assert_eq!(decode(&message, None).1.unwrap_err(), Errno::MFILE);
            }
        }
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let path = std::ffi::CString::new(vec![b'a'; MAX_TEXT]).unwrap();
        let request = Request::Detach { path: &path, id: 1 };
        assert_eq!(Encoded::new(&request, 1, false).err(), Some(Errno::NAMETOOLONG));
    }

    proptest! {
        #[test]
        fn any_message_is_survived(message in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&message, None);
        }

        #[test]
        fn every_answer_arrives_as_it_was_sent(
            answers in prop::collection::vec(
                (
                    any::<u64>(), any::<Values>(), prop::option::of(1i32..4000), any::<bool>(),
                    prop::collection::vec(any::<u8>(), 0..20),
                ),
                0..5,
            ),
        ) {
            let mut message = Vec::new();
            for (sequence, values, errno, has_fd, content) in &answers {
                let result = errno.map_or(Ok(*values), |n| Err(Errno::from_raw_os_error(n)));
                message.extend(encode_answer(*sequence, result, *has_fd, content.len()));
                message.extend(content);
            }
            let mut rest = &message[..];
            for (sequence, values, errno, has_fd, content) in &answers {
                let result = errno.map_or(Ok(*values), |n| Err(Errno::from_raw_os_error(n)));
                let expected = Decoded { sequence: *sequence, result, has_fd: *has_fd, content };
                let (answer, behind) = decode_answer(rest).unwrap();
                prop_assert_eq!(answer, expected);
                rest = behind;
            }
            prop_assert_eq!(decode_answer(rest), None);
        }

        #[test]
        fn any_answer_is_survived(message in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_answer(&message);
        }
    }
}
