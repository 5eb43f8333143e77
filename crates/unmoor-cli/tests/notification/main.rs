//! `--notify`: a real bus, and a minimal desktop that keeps what it is asked to show.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
fn main() {
    unmoor_test_support::run(&[linux::TESTS]);
}

#[cfg(not(target_os = "linux"))]
fn main() {}
