//! `ptrace(2)`: stopping another process at its system calls.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use libc::{c_int, pid_t};

/// Event of a traced process or thread.
#[derive(Debug)]
pub enum Event {
    /// Entry to or exit from a system call.
    Call,
    /// Delivery of this signal.
    Signal(c_int),
    /// Start of the process or of a child; it only needs to be resumed.
    Other,
    /// Exit, with the exit code, or 128 and the number of the signal as a shell reports it.
    Exited(i32),
}

/// One system call.
#[derive(Debug)]
pub enum Call {
    Enters(Entry),
    Leaves { result: i64 },
}

/// A system call that has not begun.
#[derive(Debug)]
pub struct Entry {
    pub number: i64,
    pub arguments: [u64; 6],
}

/// Point up to which a stopped process runs.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    NextCall,
    End,
}

/// Starts the program in its own process group, stopped before its first instruction. Its future children are
/// traced too.
pub fn start(command: &mut Command) -> Result<pid_t> {
    // SAFETY: between fork and exec it calls setpgid and ptrace, which are plain system calls.
    unsafe {
        command.pre_exec(|| {
            check(libc::c_long::from(libc::setpgid(0, 0)))?;
            check(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0))
        });
    }
    let child = command.spawn().context("cannot start it")?;
    let pid = pid_t::try_from(child.id())?;
    wait_for(pid)?;
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC;
    // SAFETY: the process is ours and stopped; this request takes a number.
    check(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, options) })?;
    Ok(pid)
}

/// Resumes a stopped process, with this signal unless it is 0. Does nothing for a process that was killed
/// meanwhile: [`next`] reports its end.
pub fn resume(pid: pid_t, until: Until, signal: c_int) {
    let request = match until {
        Until::NextCall => libc::PTRACE_SYSCALL,
        Until::End => libc::PTRACE_CONT,
    };
    // SAFETY: both requests take a process number and a signal number.
    let _ = unsafe { libc::ptrace(request, pid, 0, signal) };
}

/// Returns the next event of the traced processes. Without `block`, returns `None` if there is none.
pub fn next(block: bool) -> Result<Option<(pid_t, Event)>> {
    let mut status = 0;
    let flags = libc::__WALL | if block { 0 } else { libc::WNOHANG };
    // SAFETY: the kernel writes one c_int to the address, which is `status`'s.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
    match pid {
        0 => return Ok(None),
        -1 => return Err(io::Error::last_os_error()).context("waitpid"),
        _ => {}
    }
    let event = if libc::WIFEXITED(status) {
        Event::Exited(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Event::Exited(128 + libc::WTERMSIG(status))
    } else {
        match (status >> 16, libc::WSTOPSIG(status)) {
            (0, signal) if signal == libc::SIGTRAP | 0x80 => Event::Call,
            // A new child begins with a stop of its own.
            (0, libc::SIGSTOP | libc::SIGTRAP) => Event::Other,
            (0, signal) => Event::Signal(signal),
            _ => Event::Other,
        }
    };
    Ok(Some((pid, event)))
}

/// Returns the call at which a process is stopped; `None` if the process was killed meanwhile.
pub fn call(pid: pid_t) -> Option<Call> {
    // SAFETY: all zeros is a value of this structure of numbers.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes to the address, which is `info`'s.
    let written = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &raw mut info) };
    if written <= 0 {
        return None;
    }
    // SAFETY: `op` says which member of the union the kernel has written.
    unsafe {
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => Some(Call::Enters(Entry {
                number: i64::try_from(info.u.entry.nr).unwrap_or(-1),
                arguments: info.u.entry.args,
            })),
            libc::PTRACE_SYSCALL_INFO_EXIT => Some(Call::Leaves { result: info.u.exit.sval }),
            _ => None,
        }
    }
}

/// Returns the text at an address of a stopped process, up to its end or 255 bytes.
pub fn text(pid: pid_t, address: u64) -> String {
    let mut bytes = [0; 255];
    let read = File::open(format!("/proc/{pid}/mem"))
        .and_then(|memory| memory.read_at(&mut bytes, address))
        .unwrap_or(0);
    let text = bytes[..read].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn wait_for(pid: pid_t) -> Result<()> {
    // SAFETY: waitpid with no place for a status.
    check(libc::c_long::from(unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) }))?;
    Ok(())
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
