//! Processes with a file of the drive open, found by a BPF iterator (`bpf_iter/task_file`).
//!
//! One stat(2) of a descriptor through /proc costs two to four microseconds. The BPF program compares the open files in
//! the kernel, costs a twentieth, and touches no file system. Where the kernel does not allow it (not root, a container,
//! no BTF), every descriptor is stat'ed.

use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::sys::bpf::{Instruction, iterate};
use crate::platform::linux::sys::{btf, device_number};
use rustix::io::{Errno, read};
use std::collections::HashSet;

const FUNCTION: &str = "bpf_iter_task_file";
const MEMBERS: [(&str, &str); 6] = [
    ("file", "f_inode"),
    ("inode", "i_sb"),
    ("inode", "i_rdev"),
    ("inode", "i_mode"),
    ("super_block", "s_dev"),
    ("task_struct", "tgid"),
];

/// Returns the processes that have at least one file of the drive open, or an anonymous file.
///
/// An anonymous file may be an io_uring instance with registered files.
///
/// # Errors
/// Errors of bpf(2) where the kernel does not allow the program; ETIMEDOUT at the deadline.
pub(crate) fn holders(
    filter: &DeviceFilter,
    deadline: &ScanDeadline,
) -> Result<HashSet<u32>, Errno> {
    let types = btf::find(&[FUNCTION], &MEMBERS)?;
    let function = types.function(FUNCTION).ok_or(Errno::NOTSUP)?;
    let program = program(filter, &types).ok_or(Errno::NOTSUP)?;
    let files = iterate(&program, function)?;
    let mut holders = HashSet::new();
    let mut buf = [0u8; 4096];
    loop {
        if deadline.is_ended() {
            return Err(Errno::TIMEDOUT);
        }
        match read(&files, &mut buf) {
            Ok(0) => return Ok(holders),
            Ok(len) => holders
                .extend(buf[..len].as_chunks().0.iter().map(|number| u32::from_ne_bytes(*number))),
            // The kernel pauses the iterator after a million files without output.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const R4: u8 = 4;
const R5: u8 = 5;
const R6: u8 = 6;
const R7: u8 = 7;
const R10: u8 = 10;
const SEQ_WRITE: i32 = 127;
const S_IFMT: i32 = 0xf000;
const S_IFBLK: i32 = 0x6000;
const S_IFCHR: i32 = 0x2000;

/// Builds the program that runs for each open file.
///
/// The program writes the PID of the process if the file system of the file, or the device that it is a node of, is in
/// the filter.
fn program(filter: &DeviceFilter, types: &btf::TypeInfo) -> Option<Vec<Instruction>> {
    let member = |of, name| types.member(of, name);
    let fs_devices: Vec<i32> = filter.all_fs_devices().map(kernel_number).collect::<Option<_>>()?;
    let (characters, blocks): (Vec<u64>, Vec<u64>) =
        filter.all_nodes().partition(|device| device_number::is_character_device(*device));
    let numbers = |nodes: &[u64]| -> Option<Vec<i32>> {
        nodes.iter().map(|device| kernel_number(device_number::without_type(*device)?)).collect()
    };
    let (characters, blocks) = (numbers(&characters)?, numbers(&blocks)?);
    let mut code = vec![
        // struct bpf_iter__task_file: meta, task, fd, file; each in eight bytes.
        op(0xbf, R6, R1, 0, 0),  // r6 = context
        op(0x79, R7, R6, 24, 0), // r7 = file
        op(0x55, R7, 0, 2, 0),   // none at the end
        op(0xb7, R0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
        op(0x79, R1, R7, member("file", "f_inode")?, 0),
        op(0x79, R2, R1, member("inode", "i_sb")?, 0),
        op(0x61, R3, R2, member("super_block", "s_dev")?, 0),
        op(0x61, R4, R1, member("inode", "i_rdev")?, 0),
        op(0x69, R5, R1, member("inode", "i_mode")?, 0),
    ];
    // Comparisons, each of which jumps to the match. Devices are compared after their type: first the block
    // devices, then the character devices. Two instructions at the end return.
    let matched =
        code.len() + fs_devices.len() + 1 + (1 + blocks.len()) + (1 + characters.len()) + 2;
    let compare = |code: &mut Vec<Instruction>, register, number| {
        let jump = i16::try_from(matched - code.len() - 1).ok()?;
        code.push(op(0x16, register, 0, jump, number));
        Some(())
    };
    for device in &fs_devices {
        compare(&mut code, R3, *device)?;
    }
    code.push(op(0x57, R5, 0, 0, S_IFMT));
    for (kind, nodes) in [(S_IFBLK, &blocks), (S_IFCHR, &characters)] {
        code.push(op(0x55, R5, 0, i16::try_from(nodes.len()).ok()?, kind));
        for node in nodes {
            compare(&mut code, R4, *node)?;
        }
    }
    code.extend([
        op(0xb7, R0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
        // The match.
        op(0x79, R1, R6, 8, 0), // r1 = task
        op(0x55, R1, 0, 2, 0),
        op(0xb7, R0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
        op(0x61, R2, R1, member("task_struct", "tgid")?, 0),
        op(0x63, R10, R2, -4, 0),
        op(0x79, R1, R6, 0, 0), // meta
        op(0x79, R1, R1, 0, 0), // meta->seq
        op(0xbf, R2, R10, 0, 0),
        op(0x07, R2, 0, 0, -4),
        op(0xb7, R3, 0, 0, 4),
        op(0x85, 0, 0, 0, SEQ_WRITE),
        op(0xb7, R0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
    ]);
    Some(code)
}

fn op(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: from << 4 | to, offset, immediate }
}

/// Returns a device number in the kernel's own form: twelve bits and twenty (linux/kdev_t.h).
fn kernel_number(device: u64) -> Option<i32> {
    let (major, minor) = (device >> 32, device & 0xffff_ffff);
    (major < 1 << 12 && minor < 1 << 20).then_some((major << 20 | minor) as u32 as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::blockers::kernel_users;
    use crate::platform::linux::blockers::mounts::ns_members::processes;
    use crate::platform::linux::blockers::mounts::scan::MountScan;
    use crate::platform::linux::blockers::test_support::{Holder, drive, image};
    use crate::platform::linux::sys::procfs::Proc;

    #[test]
    #[ignore = "needs root and loop devices"]
    fn processes_with_a_file_or_the_device_open_are_found() {
        let stick = image();
        let file = Holder::shell("exec 7>\"$1/file\"", &stick.mount);
        let device = Holder::shell("exec 7<\"$1\"", &stick.device);
        let other = Holder::shell("exec 7</dev/null", &stick.mount);
        let nodes = kernel_users::nodes(&drive(&stick));
        let deadline = ScanDeadline::of(std::time::Duration::from_secs(60));
        let proc = Proc::open().unwrap();
        let pids = processes(&proc).unwrap();
        let mut mounts = MountScan::run(&proc, &pids, &nodes, &deadline);
        match holders(&DeviceFilter::new(nodes, &mut mounts), &deadline) {
            // A process with an anonymous file, which may be an io_uring instance, is found too.
            Ok(found) => {
                assert!(found.contains(&file.pid()) && found.contains(&device.pid()), "{found:?}");
                assert!(!found.contains(&other.pid()), "{found:?}");
            }
            Err(errno) => panic!("the kernel allows no BPF iterator here: {errno}"),
        }
    }
}
