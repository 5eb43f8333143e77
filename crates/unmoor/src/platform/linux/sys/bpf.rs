//! bpf(2): programs that run for each task, open file or mapping (Documentation/bpf/bpf_iterators.rst).

use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

/// One instruction (Documentation/bpf/standardization/instruction-set.rst).
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Source register in the high four bits, destination in the low ones.
    pub registers: u8,
    /// Offset.
    pub offset: i16,
    /// Immediate value.
    pub immediate: i32,
}

const PROG_LOAD: libc::c_long = 5;
const LINK_CREATE: libc::c_long = 28;
const ITER_CREATE: libc::c_long = 33;
const PROG_TYPE_TRACING: u32 = 26;
const TRACE_ITER: u32 = 28;

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`, linux/bpf.h.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    core_relo_cnt: u32,
}

/// The same for `BPF_LINK_CREATE` and, with less of it, `BPF_ITER_CREATE`.
#[repr(C)]
#[derive(Default)]
struct Link {
    fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    reserved: u32,
}

/// Loads a program for the iterator whose function has this type number.
///
/// Reading the descriptor runs the program.
///
/// # Errors
/// EPERM without CAP_BPF and CAP_PERFMON, EINVAL or EACCES where the kernel does not accept the program.
pub fn iterate(program: &[Instruction], function: u32) -> Result<OwnedFd, Errno> {
    iterate_over(program, function, None)
}

/// The same for the threads of one process, from Linux 6.1 on. Older kernels run the program for all.
///
/// # Errors
/// As [`iterate`].
pub(crate) fn iterate_process(
    program: &[Instruction],
    function: u32,
    process: u32,
) -> Result<OwnedFd, Errno> {
    iterate_over(program, function, Some(process))
}

fn iterate_over(
    program: &[Instruction],
    function: u32,
    process: Option<u32>,
) -> Result<OwnedFd, Errno> {
    let load = loaded(program, function);
    let program = bpf(PROG_LOAD, &load)?;
    let fd = u32::try_from(program.as_raw_fd()).map_err(|_| Errno::BADF)?;
    // `union bpf_iter_link_info`: thread, process, pidfd.
    let scope = [0, process.unwrap_or(0), 0, 0];
    let mut link = Link { fd, attach_type: TRACE_ITER, ..Link::default() };
    if process.is_some() {
        link.iter_info = scope.as_ptr() as u64;
        link.iter_info_len = size_of_val(&scope) as u32;
    }
    let link = bpf(LINK_CREATE, &link)?;
    let fd = u32::try_from(link.as_raw_fd()).map_err(|_| Errno::BADF)?;
    bpf(ITER_CREATE, &Link { fd, ..Link::default() })
}

/// Returns why the kernel does not accept a program, in the words of its verifier.
#[cfg(test)]
pub(crate) fn verifier_log(program: &[Instruction], function: u32) -> String {
    let mut log = vec![0u8; 1 << 20];
    let load = Load {
        log_level: 1,
        log_size: log.len() as u32,
        log_buf: log.as_mut_ptr() as u64,
        ..loaded(program, function)
    };
    let result = bpf(PROG_LOAD, &load);
    let len = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    format!("{:?}: {}", result.err(), String::from_utf8_lossy(&log[..len]))
}

/// Returns the attributes that load this program.
fn loaded(program: &[Instruction], function: u32) -> Load {
    Load {
        prog_type: PROG_TYPE_TRACING,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        // The kernel lends its functions to programs under a licence compatible with its own: this
        // program may be used under either of the two named.
        license: c"Dual MIT/GPL".as_ptr() as u64,
        prog_name: *b"unmoor\0\0\0\0\0\0\0\0\0\0",
        expected_attach_type: TRACE_ITER,
        attach_btf_id: function,
        ..Load::default()
    }
}

/// A command that gives a descriptor.
fn bpf<A>(command: libc::c_long, attributes: &A) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel reads as many bytes as the structure has, and through the addresses in it the
    // instructions and the licence, which live for the length of the call; it writes nothing.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<A>())
    };
    match i32::try_from(fd) {
        // SAFETY: these commands give a new descriptor, which nobody else owns.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
