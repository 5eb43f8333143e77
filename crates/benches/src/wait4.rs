//! `wait4(2)`: waits for one process and returns its resource usage, which the standard library lacks.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

/// Resource usage of a process and the children it waited for.
pub struct Usage {
    pub cpu_us: u64,
    pub peak_kib: u64,
}

/// Runs the program and waits for its end.
///
/// The process is made by fork, not vfork: after a vfork the kernel counts the *parent's* memory as the
/// child's until it executes its program, and the peak would be the parent's.
pub fn run(command: &mut Command) -> io::Result<(ExitStatus, Usage)> {
    // SAFETY: the function does nothing, so it does nothing that is forbidden between fork and exec. That
    // there is one makes the standard library fork.
    unsafe { command.pre_exec(|| Ok(())) };
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to live, writable values of the right types; `child` has not been
        // waited for, so its pid is still its own.
        let got = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
        if got == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: all-zero is a valid rusage, and wait4 has filled it in.
    let usage = unsafe { usage.assume_init() };
    let cpu_us = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    let peak_kib = u64::try_from(usage.ru_maxrss).unwrap_or_default();
    Ok((ExitStatus::from_raw(status), Usage { cpu_us, peak_kib }))
}

fn microseconds(time: libc::timeval) -> u64 {
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or_default()
}
