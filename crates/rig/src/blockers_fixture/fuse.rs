//! Minimal FUSE server (`linux/fuse.h`, protocol 7.31): a root with `file` and `dir`.
//!
//! Tests stop this server: a request to a stopped server blocks for ever. With a container, `file` is its content,
//! and what is written stays in the server's memory until `fsync` or the unmount, as programs of that kind do.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const ACCESS: u32 = 34;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;
const BATCH_FORGET: u32 = 42;

const ROOT: u64 = 1;
const FILE: u64 = 2;
const DIRECTORY: u64 = 3;

/// Size of the file without a container. It reads as zeros.
const FILE_SIZE: u64 = 4 << 20;

/// Size of a block in the server's memory.
const BLOCK: u64 = 4096;

/// Content of `file`.
struct Content {
    container: Option<File>,
    size: u64,
    /// Blocks that are not in the container yet.
    unwritten: BTreeMap<u64, Vec<u8>>,
}

impl Content {
    fn new(container: Option<&Path>) -> Result<Content> {
        let open = |path| OpenOptions::new().read(true).write(true).open(path);
        let container = container.map(open).transpose()?;
        let size = match &container {
            // A block device tells its size by its end only.
            Some(file) => (&*file).seek(SeekFrom::End(0))?,
            None => FILE_SIZE,
        };
        Ok(Content { container, size, unwritten: BTreeMap::new() })
    }

    fn block(&self, number: u64) -> std::io::Result<Vec<u8>> {
        if let Some(block) = self.unwritten.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK as usize];
        if let Some(file) = &self.container {
            let mut done = 0;
            while done < block.len() {
                match file.read_at(&mut block[done..], number * BLOCK + done as u64)? {
                    0 => break,
                    length => done += length,
                }
            }
        }
        Ok(block)
    }

    fn read(&self, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
        let end = (offset + length).min(self.size);
        let mut out = Vec::new();
        let mut at = offset;
        while at < end {
            let block = self.block(at / BLOCK)?;
            let upto = (end - at + at % BLOCK).min(BLOCK);
            out.extend(&block[(at % BLOCK) as usize..upto as usize]);
            at = at - at % BLOCK + upto;
        }
        Ok(out)
    }

    fn write(&mut self, offset: u64, mut bytes: &[u8]) -> std::io::Result<()> {
        let mut at = offset;
        while !bytes.is_empty() {
            let mut block = self.block(at / BLOCK)?;
            let within = (at % BLOCK) as usize;
            let length = bytes.len().min(block.len() - within);
            block[within..within + length].copy_from_slice(&bytes[..length]);
            self.unwritten.insert(at / BLOCK, block);
            (bytes, at) = (&bytes[length..], at + length as u64);
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let Some(file) = &self.container else { return Ok(()) };
        for (number, block) in std::mem::take(&mut self.unwritten) {
            file.write_all_at(&block, number * BLOCK)?;
        }
        file.sync_data()
    }
}

/// Mounts the file system, calls `ready`, and serves requests until it is unmounted or the process is killed.
pub fn serve(
    directory: &Path,
    container: Option<&Path>,
    ready: fn() -> Result<()>,
) -> Result<ExitCode> {
    let mut content = Content::new(container)?;
    let mut device =
        OpenOptions::new().read(true).write(true).open("/dev/fuse").context("/dev/fuse")?;
    let options =
        format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    let options = std::ffi::CString::new(options)?;
    mount(c"unmoor", directory, c"fuse.unmoor", MountFlags::empty(), &*options)?;
    let mut request = vec![0; 1 << 18];
    let mut said = false;
    loop {
        let length = match device.read(&mut request) {
            // It was unmounted.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                content.flush()?;
                return Ok(ExitCode::SUCCESS);
            }
            length => length?,
        };
        let initialised = reply(&mut device, &mut content, &request[..length])?;
        if initialised && !said {
            said = true;
            ready()?;
        }
    }
}

/// Answers one request. Returns true if the request was `FUSE_INIT`.
fn reply(device: &mut File, content: &mut Content, request: &[u8]) -> Result<bool> {
    let number = |at: usize| Some(u32::from_ne_bytes(request.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_ne_bytes(request.get(at..at + 8)?.try_into().ok()?));
    let operation = number(4).context("no operation")?;
    let (unique, node) = (long(8).context("no number")?, long(16).context("no node")?);
    let body = request.get(40..).unwrap_or_default();
    let failed = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EIO);
    let size = content.size;
    let reply = match operation {
        FORGET | BATCH_FORGET | INTERRUPT => return Ok(false),
        INIT => Ok(init()),
        LOOKUP => match body.split(|b| *b == 0).next() {
            Some(b"file") => Ok(entry(FILE, size)),
            Some(b"dir") => Ok(entry(DIRECTORY, 0)),
            _ => Err(libc::ENOENT),
        },
        GETATTR => Ok(words(&[0, 0, 0, 0]).into_iter().chain(attributes(node, size)).collect()),
        OPEN | OPENDIR => Ok(words(&[0, 0, 0, 0])),
        // `struct fuse_read_in`, `struct fuse_write_in`: handle, offset, size; 40 bytes with flags.
        READ => {
            let length = number(56).context("no size")?.min(1 << 17);
            content.read(long(48).context("no offset")?, length.into()).map_err(failed)
        }
        WRITE => {
            let length = number(56).context("no size")?;
            let bytes = request.get(80..80 + length as usize).context("no bytes")?;
            let written = content.write(long(48).context("no offset")?, bytes);
            written.map(|()| words(&[length, 0])).map_err(failed)
        }
        FSYNC | DESTROY => content.flush().map(|()| Vec::new()).map_err(failed),
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
fn entry(node: u64, size: u64) -> Vec<u8> {
    let mut out = node.to_ne_bytes().to_vec();
    out.resize(40, 0);
    out.extend(attributes(node, size));
    out
}

/// Returns `struct fuse_attr`.
fn attributes(node: u64, size: u64) -> Vec<u8> {
    let mut out = node.to_ne_bytes().to_vec();
    out.extend(if node == FILE { size } else { 0 }.to_ne_bytes());
    out.resize(60, 0); // Blocks, times.
    let mode = if matches!(node, ROOT | DIRECTORY) {
        libc::S_IFDIR | 0o755
    } else {
        libc::S_IFREG | 0o644
    };
    out.extend(words(&[mode, 1, 0, 0, 0, 4096, 0]));
    out
}
