//! The command on real block devices of this machine: loop devices with image files made by the tests.
//!
//! Tests that need root or loop devices are reported as ignored where there are none. The virtual machine
//! tests the same promises on emulated drives.

#[cfg(target_os = "linux")]
mod batch;
#[cfg(target_os = "linux")]
mod command;
#[cfg(target_os = "linux")]
mod drives;
#[cfg(target_os = "linux")]
mod kill;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod process_load;
#[cfg(target_os = "linux")]
mod raw;
#[cfg(target_os = "linux")]
mod release;
#[cfg(target_os = "linux")]
mod served;
#[cfg(target_os = "linux")]
mod stacks;
#[cfg(target_os = "linux")]
mod targets;
#[cfg(all(target_os = "linux", feature = "udisks"))]
mod udisks;
#[cfg(target_os = "linux")]
mod unprivileged;
#[cfg(target_os = "linux")]
mod volume;
#[cfg(target_os = "linux")]
mod waiting;
#[cfg(target_os = "linux")]
mod watch;

#[cfg(target_os = "linux")]
fn main() {
    unmoor_test_support::answer_as_udev_if_asked();
    unmoor_test_support::run(&[
        batch::TESTS,
        drives::TESTS,
        kill::TESTS,
        mounts::TESTS,
        names::TESTS,
        process_load::TESTS,
        raw::TESTS,
        release::TESTS,
        served::TESTS,
        stacks::TESTS,
        targets::TESTS,
        #[cfg(feature = "udisks")]
        udisks::TESTS,
        unprivileged::TESTS,
        volume::TESTS,
        waiting::TESTS,
        watch::TESTS,
    ]);
}

#[cfg(not(target_os = "linux"))]
fn main() {}
