//! Overrides: the errors and blockers that `force` and `kill` may override.

use crate::model::blocker::{Blocker, BlockerKind, BlockerScan, NotTerminable, Process};
use crate::model::error::{Error, ErrorKind};
use crate::options::Options;

/// Returns true if [`Options::force`] lets a release continue after this error.
pub(crate) fn may_force(error: &Error, options: &Options) -> bool {
    // A volume that refuses the lock may still grant a dismount without one.
    let refused = matches!(
        error.kind(),
        ErrorKind::Busy | ErrorKind::NotPermitted | ErrorKind::NotSupported | ErrorKind::Failed
    );
    options.force && refused
}

/// Returns true if only processes may block a drive on which processes are terminated.
pub(crate) fn must_kill_suffice(options: &Options) -> bool {
    !options.force
}

/// Returns the process if a release with these options may terminate it, or stop its service.
///
/// # Errors
/// The reason why it may not.
pub(crate) fn check_terminable<'b>(
    blocker: &'b Blocker,
    options: &Options,
) -> Result<&'b Process, NotTerminable> {
    let stops_services = options.kill.as_ref().is_some_and(|kill| kill.services);
    match blocker.sole_service().filter(|_| stops_services) {
        Some(process) => Ok(process),
        None => blocker.check_terminable(),
    }
}

/// Returns true if terminating processes cannot free the drive, because something else blocks it too.
pub(crate) fn is_kill_futile(scan: &BlockerScan, options: &Options) -> bool {
    let mut blockers = scan.blockers.iter().filter(|b| b.kind != BlockerKind::Unknown);
    blockers.any(|blocker| match check_terminable(blocker, options) {
        Ok(_) => false,
        // Force stops at a server too.
        Err(NotTerminable::Server) => true,
        Err(_) => must_kill_suffice(options),
    })
}
