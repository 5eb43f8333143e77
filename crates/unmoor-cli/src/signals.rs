//! Ctrl-C and termination: the first sets a flag that the procedure looks at, so that it unlocks and
//! reports; the second ends the program at once, and the system drops every lock with its handles.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use unmoor::Cancel;

/// The exit code of what was interrupted.
const INTERRUPTED: i32 = 130;

/// The user's wish to stop, from now on.
pub fn cancel() -> Cancel {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: what is registered first sees the flag as the first signal left it.
        // A system that refuses leaves the default, which ends the program: no lock outlives it.
        _ = flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&flag));
        _ = flag::register(signal, Arc::clone(&flag));
    }
    Cancel::from(flag)
}

/// As [`cancel`], for a program that must clean up in any case: no signal ends it at once.
pub fn cancel_only() -> Cancel {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        _ = flag::register(signal, Arc::clone(&flag));
    }
    #[cfg(unix)]
    {
        _ = flag::register(signal_hook::consts::SIGHUP, Arc::clone(&flag));
    }
    Cancel::from(flag)
}
