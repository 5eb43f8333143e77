//! Minimal FUSE server (`linux/fuse.h`, protocol 7.31): a root with `file` (zeros) and `dir`.
//!
//! Tests stop this server: a request to a stopped server blocks for ever.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const ACCESS: u32 = 34;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

const ROOT: u64 = 1;
const FILE: u64 = 2;
const DIRECTORY: u64 = 3;

/// Size of the file, which reads as zeros.
const FILE_SIZE: u64 = 4 << 20;

/// Mounts the file system, calls `ready`, and serves requests until the process is killed.
pub fn serve(directory: &Path, ready: fn() -> Result<()>) -> Result<ExitCode> {
    let mut device =
        OpenOptions::new().read(true).write(true).open("/dev/fuse").context("/dev/fuse")?;
    let options =
        format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    let options = std::ffi::CString::new(options)?;
    mount(c"unmoor", directory, c"fuse.unmoor", MountFlags::empty(), &*options)?;
    let mut request = vec![0; 1 << 17];
    let mut said = false;
    loop {
        let length = device.read(&mut request)?;
        let initialised = reply(&mut device, &request[..length])?;
        if initialised && !said {
            said = true;
            ready()?;
        }
    }
}

/// Answers one request. Returns true if the request was `FUSE_INIT`.
fn reply(device: &mut File, request: &[u8]) -> Result<bool> {
    let number = |at: usize| Some(u32::from_ne_bytes(request.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_ne_bytes(request.get(at..at + 8)?.try_into().ok()?));
    let operation = number(4).context("no operation")?;
    let (unique, node) = (long(8).context("no number")?, long(16).context("no node")?);
    let body = request.get(40..).unwrap_or_default();
    let reply = match operation {
        FORGET | BATCH_FORGET | INTERRUPT => return Ok(false),
        INIT => Ok(init()),
        LOOKUP => match body.split(|b| *b == 0).next() {
            Some(b"file") => Ok(entry(FILE)),
            Some(b"dir") => Ok(entry(DIRECTORY)),
            _ => Err(libc::ENOENT),
        },
        GETATTR => Ok(words(&[0, 0, 0, 0]).into_iter().chain(attributes(node)).collect()),
        OPEN | OPENDIR => Ok(words(&[0, 0, 0, 0])),
        // `struct fuse_read_in`: handle, offset, size.
        READ => Ok(vec![0; usize::try_from(number(56).context("no size")?)?.min(1 << 16)]),
        READDIR | FLUSH | RELEASE | RELEASEDIR | ACCESS => Ok(Vec::new()),
        STATFS => Ok(vec![0; 80]),
        _ => Err(libc::ENOSYS),
    };
    let (error, body) = match reply {
        Ok(body) => (0, body),
        Err(error) => (-error, Vec::new()),
    };
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend(u32::try_from(16 + body.len())?.to_ne_bytes());
    message.extend(error.to_ne_bytes());
    message.extend(unique.to_ne_bytes());
    message.extend(body);
    // Whoever asked may have been killed meanwhile: the kernel knows no such request then.
    match device.write(&message) {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error.into()),
        _ => Ok(operation == INIT),
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Returns `struct fuse_init_out`: version, readahead, flags, background, write size, granularity.
fn init() -> Vec<u8> {
    let mut out = words(&[7, 31, 4096, 0, 0, 4096, 1]);
    out.resize(64, 0);
    out
}

/// Returns `struct fuse_entry_out` with no validity time, so that the kernel asks each time.
fn entry(node: u64) -> Vec<u8> {
    let mut out = node.to_ne_bytes().to_vec();
    out.resize(40, 0);
    out.extend(attributes(node));
    out
}

/// Returns `struct fuse_attr`.
fn attributes(node: u64) -> Vec<u8> {
    let mut out = node.to_ne_bytes().to_vec();
    out.extend(if node == FILE { FILE_SIZE } else { 0 }.to_ne_bytes());
    out.resize(60, 0); // Blocks, times.
    let mode = if matches!(node, ROOT | DIRECTORY) {
        libc::S_IFDIR | 0o755
    } else {
        libc::S_IFREG | 0o644
    };
    out.extend(words(&[mode, 1, 0, 0, 0, 4096, 0]));
    out
}
