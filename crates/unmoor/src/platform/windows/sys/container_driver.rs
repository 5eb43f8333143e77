//! Drivers of VeraCrypt and TrueCrypt: `TC_IOCTL_GET_MOUNTED_VOLUMES` of their `Apidrvr.h`.

use crate::platform::win32_parse;
use crate::platform::win32_parse::Container;
use crate::platform::windows::sys::device::{Access, Device};

/// Devices of the drivers, and the programs that dismount what they have mounted.
const DRIVERS: [(&str, &str); 2] =
    [(r"\\.\VeraCrypt", "VeraCrypt"), (r"\\.\TrueCrypt", "TrueCrypt")];

/// `CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + 6, METHOD_BUFFERED, FILE_ANY_ACCESS)`.
const TC_IOCTL_GET_MOUNTED_VOLUMES: u32 = 0x22_2018;

/// Room for the list of every version, in bytes.
const ROOM: usize = 32 << 10;

/// Returns the mounted containers of this user, each with the name of its program.
pub(crate) fn mounted() -> Vec<(&'static str, Container)> {
    let list = |(path, program): (&str, &'static str)| {
        let driver = Device::open(path, Access::Query).ok()?;
        // The drivers insist on input of the same length as the output.
        let answer = driver.ioctl(TC_IOCTL_GET_MOUNTED_VOLUMES, &[0; ROOM], ROOM).ok()?;
        Some(win32_parse::containers(&answer).into_iter().map(move |found| (program, found)))
    };
    DRIVERS.into_iter().filter_map(list).flatten().collect()
}
