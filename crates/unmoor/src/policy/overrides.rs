//! Overrides: the errors and blockers that `force` and `kill` may override.

use crate::model::blocker::{BlockerKind, BlockerScan, NotTerminable};
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

/// Returns true if terminating processes cannot free the drive, because something else blocks it too.
pub(crate) fn is_kill_futile(scan: &BlockerScan, options: &Options) -> bool {
    let mut blockers = scan.blockers.iter().filter(|b| b.kind != BlockerKind::Unknown);
    blockers.any(|blocker| match blocker.check_terminable() {
        Ok(_) => false,
        // Force stops at a server too.
        Err(NotTerminable::Server) => true,
        Err(_) => must_kill_suffice(options),
    })
}
