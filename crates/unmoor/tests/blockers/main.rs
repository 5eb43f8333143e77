//! The blocker scan, and releases that are refused, on loop devices of this machine.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod taken_back;

#[cfg(target_os = "linux")]
fn main() {
    unmoor_test_support::run(&[linux::TESTS, kernel::TESTS, taken_back::TESTS]);
}

#[cfg(not(target_os = "linux"))]
fn main() {}
