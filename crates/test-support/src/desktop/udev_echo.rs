//! Stands in for udevd: passes the kernel's events of a few block devices on to listeners of udev.
//!
//! udisks2 waits for udev after each mount and unmount. A real udevd would probe every device of this machine.
//! Nothing is probed here: the properties come from files that the test has written to `/run/udev/data`.

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, bind, recv, sendto, socket};
use std::collections::BTreeMap;

/// Multicast groups of NETLINK_KOBJECT_UEVENT: the kernel's, and libudev's.
const KERNEL_GROUP: u32 = 1;
const UDEV_GROUP: u32 = 2;

/// Answers the events of these devices (`loop1000`) until the process is killed.
pub fn run(names: &[String]) -> rustix::io::Result<()> {
    let open = || socket(AddressFamily::NETLINK, SocketType::RAW, Some(KOBJECT_UEVENT));
    let (kernel, udev) = (open()?, open()?);
    bind(&kernel, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
    let mut buffer = vec![0u8; 16 << 10];
    loop {
        let (_, length) = recv(&kernel, &mut buffer[..], RecvFlags::empty())?;
        if let Some(message) = answer(&buffer[..length.min(buffer.len())], names) {
            let to = SocketAddrNetlink::new(0, UDEV_GROUP);
            // There may be no listener yet.
            let _ = sendto(&udev, &message, SendFlags::empty(), &to);
        }
    }
}

/// Returns udev's message for the kernel's event of one of the devices.
fn answer(event: &[u8], names: &[String]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(event);
    let mut properties: BTreeMap<String, String> = text
        .split('\0')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let name = properties.get("DEVNAME").filter(|name| names.contains(name))?.clone();
    let number = format!("{}:{}", properties.get("MAJOR")?, properties.get("MINOR")?);
    properties.insert("DEVNAME".into(), format!("/dev/{name}"));
    properties.insert("USEC_INITIALIZED".into(), "1".into());
    let database = std::fs::read_to_string(format!("/run/udev/data/b{number}")).unwrap_or_default();
    let stored = database.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    properties.extend(stored.map(|(name, value)| (name.to_string(), value.to_string())));
    let kind = properties.get("DEVTYPE").cloned().unwrap_or_default();
    let body: String = properties.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
    let length = u32::try_from(body.len()).ok()?;
    // `struct monitor_netlink_header` of libudev.
    let mut message = b"libudev\0".to_vec();
    message.extend(0xfeed_cafe_u32.to_be_bytes());
    for number in [40, 40, length] {
        message.extend(u32::to_ne_bytes(number));
    }
    for number in [murmur(b"block"), murmur(kind.as_bytes()), 0, 0] {
        message.extend(u32::to_be_bytes(number));
    }
    message.extend(body.bytes());
    Some(message)
}

/// MurmurHash2 with the seed 0, by which libudev filters.
fn murmur(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = u32::try_from(key.len()).unwrap_or(0);
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_ne_bytes(*word).wrapping_mul(M);
        word = (word ^ word >> 24).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}
