//! Signals: the first sets a flag that the procedure polls, so that it unlocks and reports. The second
//! ends the program at once; the system drops every lock with its handles.

use signal_hook::flag;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use unmoor::Cancel;

/// Exit code after an interrupt.
const INTERRUPTED: i32 = 130;

/// Signals that end a program: Ctrl-C, Ctrl-\, a closed terminal, kill(1).
#[cfg(unix)]
const SIGNALS: [i32; 4] = {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    [SIGINT, SIGTERM, SIGHUP, SIGQUIT]
};
#[cfg(not(unix))]
const SIGNALS: [i32; 2] = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];

/// Returns a flag that the first signal sets.
pub fn cancel() -> Cancel {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in heeded() {
        // The order matters: the shutdown handler must see the flag as the first signal left it.
        // If registration fails, the default action ends the program, and no lock outlives it.
        _ = flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&flag));
        _ = flag::register(signal, Arc::clone(&flag));
    }
    Cancel::from(flag)
}

/// As [`cancel`], for a program that must clean up in any case: no signal ends it at once.
#[cfg(feature = "demo")]
pub fn cancel_only() -> Cancel {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in heeded() {
        _ = flag::register(signal, Arc::clone(&flag));
    }
    Cancel::from(flag)
}

/// Returns the signals that were not ignored when the program was started, as by nohup(1).
fn heeded() -> impl Iterator<Item = i32> {
    let ignored = ignored_signals();
    SIGNALS.into_iter().filter(move |signal| ignored & (1 << (signal - 1)) == 0)
}

/// Returns the set of signals that were ignored at first: `SigIgn` in `/proc/self/status` (proc_pid_status(5)).
fn ignored_signals() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED.get_or_init(|| {
        let mut status = Vec::with_capacity(4096);
        let file = File::open("/proc/self/status");
        _ = file.and_then(|mut file| file.read_to_end(&mut status));
        let status = String::from_utf8_lossy(&status);
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    })
}
