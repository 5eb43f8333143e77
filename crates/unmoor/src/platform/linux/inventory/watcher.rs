//! Watch for changes: events of devices, and of the mount table.

use crate::deadline::Clock;
use crate::model::error::Result;
use crate::platform::Watcher;
use crate::platform::linux::sys::clock::MonotonicClock;
use crate::platform::linux::sys::errno;
use crate::platform::linux::sys::mount_events::MountEvents;
use crate::platform::linux::sys::uevent::Uevents;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::time::Duration;

/// Time without events after which a series of them is over. One stick causes a dozen.
const QUIET: Duration = Duration::from_millis(100);

/// Longest time for a series of events, which need not end.
const LONGEST_SERIES: Duration = Duration::from_secs(1);

/// Watch for changes of drives, media and mounts.
pub struct LinuxWatcher {
    devices: Uevents,
    mounts: MountEvents,
}

impl LinuxWatcher {
    /// Starts the watch.
    ///
    /// # Errors
    /// Where netlink or proc is not available.
    pub fn start() -> Result<LinuxWatcher> {
        let failed = |errno| errno::error(errno, "drives", "cannot be watched");
        Ok(LinuxWatcher {
            devices: Uevents::subscribe().map_err(failed)?,
            mounts: MountEvents::watch().map_err(failed)?,
        })
    }

    /// Waits for one event, and receives all that wait.
    fn event(&self, time: Duration) -> Result<bool, Errno> {
        let mut fds =
            [PollFd::new(&self.devices, PollFlags::IN), PollFd::new(&self.mounts, PollFlags::PRI)];
        let time = time.try_into().map_err(|_| Errno::INVAL)?;
        match poll(&mut fds, Some(&time)) {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(errno) => return Err(errno),
        }
        let mounts = !fds[1].revents().is_empty();
        Ok(self.devices.drain()? || mounts)
    }
}

impl Watcher for LinuxWatcher {
    fn wait(&mut self, time: Duration) -> Result<bool> {
        let failed = |errno| errno::error(errno, "drives", "cannot be watched");
        if !self.event(time).map_err(failed)? {
            return Ok(false);
        }
        let end = MonotonicClock.now() + LONGEST_SERIES;
        while MonotonicClock.now() < end && self.event(QUIET).map_err(failed)? {}
        Ok(true)
    }
}
