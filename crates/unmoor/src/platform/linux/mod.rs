//! Linux: one file for each kernel interface, and above them what a release asks.

pub(crate) mod blockers;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod helper;
pub(crate) mod inventory;
pub(crate) mod release;
pub(crate) mod session;
pub(crate) mod sys;
pub(crate) mod tape_session;

use crate::deadline::{Clock, Deadline};
use crate::model::blocker::Process;
use crate::model::drive::{Drive, Port};
use crate::model::error::Result;
use crate::model::report::StepOutcome;
use crate::model::step::Action;
use crate::model::target::Target;
use crate::platform::linux::inventory::resolve;
use crate::platform::linux::release::{attach, eject, process_handle};
use crate::platform::linux::sys::unshare;
use crate::platform::{Platform, ProcessHandle, Session};
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
        if tape_session::is_tape(drive.id.device) {
            return Ok(Box::new(tape_session::TapeSession::open(drive)?));
        }
        Ok(Box::new(session::LinuxSession::open(drive, deadline)?))
    }

    fn worker_started(&self, _number: u64) {
        unshare::unshare_files();
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
        process_handle::open_process(process)
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
        eject::methods(drive, action).iter().map(|m| m.name(drive)).collect()
    }
}
