//! Frozen file systems (`FIFREEZE`, fsfreeze(8)).
//!
//! A frozen file system can be unmounted, and lives on: the drive stays in use, and the mount is gone. No system call
//! tells that it is frozen without waiting for its thaw or changing something. So a BPF iterator (`bpf_iter/task_file`)
//! reads it in the kernel, from the roots of the mounts, which this program opens for a moment. Where the kernel does
//! not allow that, a frozen file system is not found; the release takes its dismount back then.

use crate::deadline::Deadline;
use crate::model::blocker::{Blocker, BlockerKind, Usage, UsageKind};
use crate::model::drive::Drive;
use crate::model::error::Result;
use crate::model::volume::{Mount, Volume};
use crate::platform::linux::blockers::processes::bpf_scan;
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::shell_quote::command_on;
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::helper::{Device, Helper, c_path};
use crate::platform::linux::sys::bpf::{Instruction, iterate_process};
use crate::platform::linux::sys::bpf_assembler::Condition::{Equal, NotEqual};
use crate::platform::linux::sys::bpf_assembler::Register::{R1, R2, R3, R6, R7, R10};
use crate::platform::linux::sys::bpf_assembler::Size::{Bits16, Bits32, Bits64};
use crate::platform::linux::sys::bpf_assembler::{self, Assembler};
use crate::platform::linux::sys::btf::TypeInfo;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::{Errno, read};
use std::time::Duration;

/// File systems that support `FIFREEZE` (`freeze_fs` or `freeze_super` in their `super_operations`).
const FREEZABLE: [&str; 12] = [
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "gfs2", "jfs", "nilfs2", "reiserfs",
    "xfs", "zonefs",
];

/// Returns one blocker for each frozen file system of the drive.
///
/// # Errors
/// `TimedOut`; `Interrupted`.
pub(crate) fn blockers(
    drive: &Drive,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> Result<Vec<Blocker>> {
    let candidates = drive.volumes.iter().filter_map(freezable_mount);
    let mut roots: Vec<(&Volume, &Mount, Device)> = Vec::new();
    for (volume, mount) in candidates {
        let Ok(path) = c_path(&mount.path) else { continue };
        let request = Request::OpenMount { path: &path, id: mount.id };
        if let Ok(root) = helper.open_by(&request, deadline)? {
            roots.push((volume, mount, root));
        }
    }
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    let frozen = frozen_descriptors(deadline.remaining()).unwrap_or_default();
    let frozen = roots.iter().filter(|(_, _, root)| frozen.contains(&root.as_fd().as_raw_fd()));
    Ok(frozen.map(|(volume, mount, _)| blocker(volume, mount)).collect())
}

/// Returns a mount of the volume, if its file system may be frozen.
fn freezable_mount(volume: &Volume) -> Option<(&Volume, &Mount)> {
    let mount = volume.mounts.iter().find(|mount| mount.covered_by.is_empty())?;
    FREEZABLE.contains(&&*mount.file_system).then_some((volume, mount))
}

fn blocker(volume: &Volume, mount: &Mount) -> Blocker {
    let path = mount.path.display();
    let what = format!(
        "the file system of {} on {path} is frozen, by fsfreeze or by a program that takes a snapshot",
        volume.name
    );
    let thaw = command_on(&["fsfreeze", "--unfreeze"], &mount.path);
    Blocker::new(BlockerKind::Kernel, what)
        .with_usage(Usage::new(UsageKind::Kernel, &volume.name).at(&mount.path))
        .with_remedy("thaw it", thaw)
}

/// Returns the descriptors of this process that are on a frozen file system.
///
/// # Errors
/// Errors of bpf(2) where the kernel does not allow the program.
fn frozen_descriptors(time: Duration) -> std::result::Result<Vec<i32>, Errno> {
    let types = bpf_scan::types(&ScanDeadline::of(time))?;
    let function = types.function(bpf_scan::FILES).ok_or(Errno::NOTSUP)?;
    let process = std::process::id();
    let files = iterate_process(&program(types, process)?, function, process)?;
    let (mut found, mut buffer) = (Vec::new(), [0u8; 4096]);
    loop {
        match read(&files, &mut buffer) {
            Ok(0) => return Ok(found),
            Ok(length) => {
                let numbers = buffer[..length].as_chunks().0.iter();
                found.extend(numbers.map(|number| i32::from_ne_bytes(*number)));
            }
            // The kernel pauses the iterator after a million files without output.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Returns the program that runs for each open file.
///
/// It writes the number of a descriptor of this process if `file->f_inode->i_sb->s_writers.frozen` is not 0.
fn program(types: &TypeInfo, process: u32) -> std::result::Result<Vec<Instruction>, Errno> {
    let member = |of, name| types.member(of, name).ok_or(Errno::NOTSUP);
    let process = i32::try_from(process).map_err(|_| Errno::RANGE)?;
    let mut code = Assembler::default();
    let end = code.label();
    // struct bpf_iter__task_file: meta, task, fd, file; each in eight bytes.
    code.copy(R6, R1);
    code.load(Bits64, R7, R6, 24); // file; none at the end
    code.jump_if(R7, Equal, 0, end);
    code.load(Bits64, R1, R6, 8); // task
    code.jump_if(R1, Equal, 0, end);
    code.load(Bits32, R1, R1, member("task_struct", "tgid")?);
    code.jump_if(R1, NotEqual, process, end);
    code.load(Bits64, R1, R7, member("file", "f_inode")?);
    code.load(Bits64, R1, R1, member("inode", "i_sb")?);
    code.load(
        Bits16,
        R1,
        R1,
        member("super_block", "s_writers")? + member("sb_writers", "frozen")?,
    );
    code.jump_if(R1, Equal, 0, end);
    code.load(Bits32, R2, R6, 16); // fd
    code.store(Bits32, R10, -4, R2);
    code.load(Bits64, R1, R6, 0); // meta
    code.load(Bits64, R1, R1, 0); // meta->seq
    code.copy(R2, R10);
    code.add_number(R2, -4);
    code.set(R3, 4);
    code.call(bpf_assembler::Helper::SeqWrite);
    code.place(end);
    code.exit(0);
    code.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs root and a kernel with BTF"]
    fn the_kernel_takes_the_program_and_finds_nothing_frozen() {
        assert_eq!(frozen_descriptors(Duration::from_secs(60)), Ok(Vec::new()));
    }
}
