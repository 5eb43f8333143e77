//! The network block device's ioctls (`linux/nbd.h`): disconnecting a remote disk.

use crate::platform::linux::sys::ioctl;
use crate::platform::linux::sys::pseudo_file::text_at;
use crate::platform::linux::sys::sysfs::SysfsDir;
use rustix::fd::AsFd;
use rustix::fs::CWD;
use rustix::io::Errno;

const NBD_CLEAR_SOCK: ioctl::Request = 0xab04; // _IO(0xab, 4)
const NBD_DISCONNECT: ioctl::Request = 0xab08; // _IO(0xab, 8)

/// `NBD_DISCONNECT`: disconnects from the server, once pending requests are answered. Works on devices
/// that were set up over netlink too (`nbd_ioctl`: "unless it's DISCONNECT or CLEAR_SOCK").
pub fn disconnect(device: impl AsFd) -> Result<(), Errno> {
    call(device, NBD_DISCONNECT)
}

/// `NBD_CLEAR_SOCK`: drops the connection. The device is free after its last `close`.
pub fn clear_socket(device: impl AsFd) -> Result<(), Errno> {
    call(device, NBD_CLEAR_SOCK)
}

/// Returns the connected devices, each with the thread that carries its requests.
///
/// The thread has ended where the device was set up over netlink.
pub fn connected() -> Vec<(String, u32)> {
    let names = SysfsDir::open("/sys/block").and_then(|folder| folder.names()).unwrap_or_default();
    let devices = names.into_iter().filter(|name| name.starts_with("nbd"));
    devices.filter_map(|name| thread_of(&name).map(|thread| (name, thread))).collect()
}

fn thread_of(name: &str) -> Option<u32> {
    text_at(CWD, format!("/sys/block/{name}/pid"))?.trim().parse().ok()
}

/// Returns true if a thread of this process carries the device's requests (`NBD_DO_IT`).
///
/// It has the device open for as long as it is connected. The kernel names the thread in `pid`.
pub fn is_client(name: &str, pid: u32) -> bool {
    thread_of(name)
        .is_some_and(|thread| std::path::Path::new(&format!("/proc/{pid}/task/{thread}")).exists())
}

fn call(device: impl AsFd, request: ioctl::Request) -> Result<(), Errno> {
    // SAFETY: neither request takes an argument.
    unsafe { ioctl::with_number(device, request, 0) }.map(drop)
}
