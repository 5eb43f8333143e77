//! The Linux platform: `sys` (one kernel interface a file), `helper`, `inventory`, `blockers`, `release`, and the
//! sessions over them.

pub(crate) mod blockers;
pub(crate) mod helper;
pub(crate) mod inventory;
pub(crate) mod release;
pub(crate) mod session;
pub(crate) mod sys;
pub(crate) mod tape_session;
#[cfg(feature = "udisks")]
pub(crate) mod udisks;

use crate::deadline::{Clock, Deadline};
use crate::model::blocker::Process;
use crate::model::drive::{Drive, Port};
use crate::model::error::Result;
use crate::model::report::StepOutcome;
use crate::model::step::Action;
use crate::model::target::Target;
use crate::platform::linux::helper::Helper;
use crate::platform::linux::helper::pool::Pool;
use crate::platform::linux::inventory::watcher::LinuxWatcher;
use crate::platform::linux::inventory::{resolve, resolve_volume};
use crate::platform::linux::release::{attach, eject, process_handle, remains};
use crate::platform::linux::sys::clock::MonotonicClock;
use crate::platform::linux::sys::device_number;
use crate::platform::{Platform, ProcessHandle, Session, Watcher};
use std::sync::Arc;
use std::time::Duration;

/// The drives of this Linux machine, as a [`Platform`].
#[derive(Debug, Default)]
pub struct Linux {
    helpers: Arc<Pool>,
}

impl Linux {
    /// Creates the platform. The kernel is asked at the first call.
    pub fn new() -> Self {
        Linux::default()
    }
}

impl Clock for Linux {
    fn now(&self) -> Duration {
        MonotonicClock.now()
    }

    fn sleep(&self, time: Duration) {
        MonotonicClock.sleep(time);
    }
}

impl Platform for Linux {
    fn list(&self, all: bool) -> Result<Vec<Drive>> {
        resolve::list(all)
    }

    fn watch(&self) -> Result<Box<dyn Watcher>> {
        Ok(Box::new(LinuxWatcher::start()?))
    }

    fn resolve(&self, target: &Target) -> Result<Drive> {
        resolve::resolve(target, Helper::from_pool(&self.helpers))
    }

    fn resolve_volume(&self, target: &Target) -> Result<Drive> {
        let helper = Helper::from_pool(&self.helpers);
        let drive = resolve::resolve(target, helper)?;
        resolve_volume::only_named(drive, target, Helper::from_pool(&self.helpers))
    }

    fn remove_remains(&self, target: &Target, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let helper = Helper::from_pool(&self.helpers);
        match resolve::remains_of(target, &helper) {
            Some(drive) => remains::remove(&drive, &helper, deadline),
            None => Ok(StepOutcome::skipped("nothing is left of it")),
        }
    }

    fn open(&self, drive: &Drive, deadline: &mut Deadline<'_>) -> Result<Box<dyn Session + '_>> {
        let helper = Helper::from_pool(&self.helpers);
        if device_number::is_tape(drive.id.device) {
            return Ok(Box::new(tape_session::TapeSession::open(drive, helper, deadline)?));
        }
        #[cfg(feature = "udisks")]
        if !rustix::process::geteuid().is_root() {
            return Ok(Box::new(udisks::session::UdisksSession::open(drive, helper, deadline)?));
        }
        Ok(Box::new(session::LinuxSession::open(drive, helper, deadline)?))
    }

    fn batch_started(&self, workers: usize) {
        self.helpers.batch_started(workers);
    }

    fn batch_finished(&self) {
        self.helpers.batch_finished();
    }

    fn undetectable_users(&self) -> &'static [&'static str] {
        &[
            "a file on its way through a socket (SCM_RIGHTS)",
            "before Linux 6.7, a file that is registered with io_uring",
        ]
    }

    fn elevated_account(&self) -> Option<&'static str> {
        match rustix::process::geteuid().is_root() {
            false => Some("root"),
            true => blockers::is_in_container().then_some("root outside of this container"),
        }
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
