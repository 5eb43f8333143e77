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
use crate::platform::linux::blockers::shell_quote::command_on;
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::helper::{Device, Helper, c_path};
use crate::platform::linux::sys::bpf::{Instruction, iterate};
use crate::platform::linux::sys::btf;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::{Errno, read};
use std::sync::OnceLock;

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
    let frozen = frozen_descriptors().unwrap_or_default();
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

const FUNCTION: &str = "bpf_iter_task_file";
const MEMBERS: [(&str, &str); 5] = [
    ("file", "f_inode"),
    ("inode", "i_sb"),
    ("super_block", "s_writers"),
    ("sb_writers", "frozen"),
    ("task_struct", "tgid"),
];

/// Returns the descriptors of this process that are on a frozen file system.
///
/// # Errors
/// Errors of bpf(2) where the kernel does not allow the program.
fn frozen_descriptors() -> std::result::Result<Vec<i32>, Errno> {
    static TYPES: OnceLock<std::result::Result<btf::TypeInfo, Errno>> = OnceLock::new();
    let types = TYPES.get_or_init(|| btf::find(&[FUNCTION], &MEMBERS)).as_ref();
    let types = types.map_err(|errno| *errno)?;
    let function = types.function(FUNCTION).ok_or(Errno::NOTSUP)?;
    let program = program(types, std::process::id()).ok_or(Errno::NOTSUP)?;
    let files = iterate(&program, function)?;
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

/// Builds the program that runs for each open file: it writes the number of a descriptor of this process, if
/// `file->f_inode->i_sb->s_writers.frozen` is not 0.
fn program(types: &btf::TypeInfo, process: u32) -> Option<Vec<Instruction>> {
    const SEQ_WRITE: i32 = 127;
    let member = |of, name| types.member(of, name);
    let frozen = member("super_block", "s_writers")? + member("sb_writers", "frozen")?;
    let [r0, r1, r2, r3, r6, r7, r10] = [0, 1, 2, 3, 6, 7, 10];
    let op = Instruction::new;
    let code = vec![
        // struct bpf_iter__task_file: meta, task, fd, file; each in eight bytes.
        op(0xbf, r6, r1, 0, 0),  // r6 = context
        op(0x79, r7, r6, 24, 0), // r7 = file
        op(0x15, r7, 0, 18, 0),  // none at the end
        op(0x79, r1, r6, 8, 0),  // r1 = task
        op(0x15, r1, 0, 16, 0),
        op(0x61, r1, r1, member("task_struct", "tgid")?, 0),
        op(0x56, r1, 0, 14, i32::try_from(process).ok()?),
        op(0x79, r1, r7, member("file", "f_inode")?, 0),
        op(0x79, r1, r1, member("inode", "i_sb")?, 0),
        op(0x69, r1, r1, frozen, 0),
        op(0x15, r1, 0, 10, 0),
        op(0x61, r2, r6, 16, 0), // r2 = fd
        op(0x63, r10, r2, -4, 0),
        op(0x79, r1, r6, 0, 0), // meta
        op(0x79, r1, r1, 0, 0), // meta->seq
        op(0xbf, r2, r10, 0, 0),
        op(0x07, r2, 0, 0, -4),
        op(0xb7, r3, 0, 0, 4),
        op(0x85, 0, 0, 0, SEQ_WRITE),
        op(0xb7, r0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
        op(0xb7, r0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
    ];
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs root and a kernel with BTF"]
    fn the_kernel_takes_the_program_and_finds_nothing_frozen() {
        assert_eq!(frozen_descriptors(), Ok(Vec::new()));
    }
}
