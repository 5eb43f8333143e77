//! The least that the work in the kernel costs, without any program around it.

use std::fs::{self, File};
use std::process::ExitCode;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, RawDir, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use unmoor::fuzzing::linux::{bpf, btf};

use crate::loop_control;

const ITERATOR: &str = "bpf_iter_task_file";

/// Returns the command that runs an empty program for each open file.
///
/// # Errors
/// The kernel does not describe its types, or does not allow such a program.
pub fn every_file_command() -> Result<Vec<String>> {
    let wanted = btf::WantedTypes { functions: &[ITERATOR], members: &[] };
    let number = btf::find_in(&btf::open()?, &wanted)?.function(ITERATOR).context(ITERATOR)?;
    bpf::iterate(&empty_program(), number)?;
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    Ok(vec![program, "every-file".into(), number.to_string()])
}

fn empty_program() -> [bpf::Instruction; 2] {
    // r0 = 0; exit
    [0xb7, 0x95].map(|code| bpf::Instruction { code, registers: 0, offset: 0, immediate: 0 })
}

/// Runs an empty program for each open file; `function` is the type number of the iterator.
pub fn every_file(function: u32) -> Result<ExitCode> {
    let files = bpf::iterate(&empty_program(), function)?;
    loop {
        match rustix::io::read(&files, &mut [0u8; 4096]) {
            Ok(0) => return Ok(ExitCode::SUCCESS),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Lists the descriptors of each process, and asks the kernel once for each which file it is.
pub fn every_descriptor() -> Result<ExitCode> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
    for process in Dir::read_from(&proc)? {
        let process = process?;
        let name = process.file_name().to_bytes();
        if !name.first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let path = [name, b"/fd"].concat();
        let Ok(descriptors) = openat(&proc, &*path, flags, Mode::empty()) else { continue };
        let mut buffer = Vec::with_capacity(64 << 10);
        let mut entries = RawDir::new(&descriptors, buffer.spare_capacity_mut());
        while let Some(Ok(entry)) = entries.next() {
            let _ = statx(
                &descriptors,
                entry.file_name(),
                AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT,
                StatxFlags::TYPE | StatxFlags::INO,
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Unmounts what is mounted from this drive, or from the drive of this mount point, and ejects it. A loop device is
/// detached.
pub fn eject(target: &str) -> Result<ExitCode> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let of_point = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let source = words.next()?;
        (words.next()? == target).then_some(source)
    });
    let node = of_point.unwrap_or(target);
    let of_drive = |line: &&str| line.starts_with(node);
    let points = mounts.lines().filter(of_drive).filter_map(|line| line.split(' ').nth(1));
    for point in points.collect::<Vec<_>>().into_iter().rev() {
        unmount(point, UnmountFlags::empty()).with_context(|| point.to_owned())?;
    }
    let drive = rustix::fs::open(node, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
    let drive = File::from(drive);
    match node.starts_with("/dev/loop") {
        true => loop_control::detach(&drive)?,
        false => loop_control::eject(&drive)?,
    }
    Ok(ExitCode::SUCCESS)
}
