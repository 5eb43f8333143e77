//! Linux: one file for each kernel interface, and above them what a release asks.

mod apart;
mod attach;
mod blkdev;
mod blkpg;
mod blockers;
mod bpf;
mod btf;
mod btrfs;
mod cdrom;
mod child;
mod cut_off;
mod describe;
mod dm_ioctl;
mod errno;
mod fs_shutdown;
mod fuse_abort;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod idle;
mod ioctl;
mod kcmp;
mod kernel_file;
mod let_go;
mod loopdev;
mod loops;
mod machine;
mod md;
mod mountinfo;
mod mtio;
mod nbd;
mod pidfd;
mod port;
mod procfs;
mod promptly;
mod resolve;
mod running;
mod running_system;
mod sense;
mod session;
mod setns;
mod sg;
mod sock_diag;
mod stack;
mod superblock;
mod swaps;
mod sysfs;
mod tape;
mod udev;
mod umount;
mod usbfs;
mod worker;
mod writeback;

use crate::blocker::Process;
use crate::deadline::{Clock, Deadline};
use crate::drive::{Drive, Port};
use crate::error::Result;
use crate::plan::Action;
use crate::platform::{Platform, ProcessHandle, Session};
use crate::report::StepOutcome;
use crate::target::Target;
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

/// The drives of this Linux machine.
#[derive(Debug, Default)]
pub struct Linux {}

impl Linux {
    /// Costs nothing: the kernel is asked when there is a question.
    pub fn new() -> Self {
        Linux {}
    }
}

impl Clock for Linux {
    fn now(&self) -> Duration {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
        Duration::new(tv_sec.unsigned_abs(), u32::try_from(tv_nsec).unwrap_or(0))
    }

    /// Ends early when a signal arrives, as the trait allows: whoever pressed Ctrl-C waits for us.
    fn sleep(&self, time: Duration) {
        let request = Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ };
        let _ = rustix::thread::nanosleep(&request);
    }
}

impl Platform for Linux {
    fn list(&self, all: bool) -> Result<Vec<Drive>> {
        resolve::list(all)
    }

    fn resolve(&self, target: &Target) -> Result<Drive> {
        resolve::resolve(target)
    }

    fn open(&self, drive: &Drive, deadline: &mut Deadline<'_>) -> Result<Box<dyn Session + '_>> {
        if tape::is_tape(drive.id.device) {
            return Ok(Box::new(tape::TapeSession::open(drive)?));
        }
        Ok(Box::new(session::LinuxSession::open(drive, deadline)?))
    }

    fn worker_started(&self, _number: u64) {
        apart::unshare_files();
    }

    fn undetectable_users(&self) -> &'static [&'static str] {
        &[
            "a file on its way through a socket (SCM_RIGHTS)",
            "a file that io_uring keeps open",
            "an interpreter that binfmt_misc keeps open",
            "an image behind a USB gadget or a target of the kernel",
        ]
    }

    fn elevated_account(&self) -> Option<&'static str> {
        (!rustix::process::geteuid().is_root()).then_some("root")
    }

    fn lock_is_probe(&self) -> bool {
        true
    }

    fn can_terminate(&self) -> bool {
        true
    }

    fn open_process(&self, process: &Process) -> Result<Option<Box<dyn ProcessHandle + '_>>> {
        running::open_process(process)
    }

    fn detached_ports(&self) -> Result<Vec<Port>> {
        attach::detached_devices()
    }

    fn attach_methods(&self, target: &Target) -> Result<Vec<String>> {
        resolve::port(target).map(|port| attach::method_names(&port))
    }

    fn attach(&self, target: &Target, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        attach::attach(&resolve::port(target)?, deadline)
    }

    fn methods(&self, drive: &Drive, action: Action) -> Vec<String> {
        let_go::methods(drive, action).iter().map(|m| m.name(drive)).collect()
    }
}
