//! Signals: the first sets a flag that the procedure polls, so that it unlocks and reports. The second
//! ends the program at once; the system drops every lock with its handles.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use unmoor::Cancel;

/// Exit code after an interrupt.
const INTERRUPTED: i32 = 130;

/// Returns a flag that the first signal sets.
pub fn cancel() -> Cancel {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the shutdown handler must see the flag as the first signal left it. If
        // registration fails, the default action ends the program, and no lock outlives it.
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
