//! Errors about a drive that is not there any more, or is another one.

use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind};
use crate::model::hint::Hint;
use crate::platform::linux::sys::errno;
use rustix::io::Errno;

/// Returns the error for a drive that has left its bus.
pub fn gone(drive: &Drive) -> Error {
    Error::new(
        ErrorKind::Gone,
        &drive.name,
        "the drive is gone: it was unplugged or taken off its bus",
    )
    .with_help("what was not written before is lost; plug it in again and check it")
}

/// Returns the error for another drive or medium than the resolved one.
pub fn replaced(drive: &Drive) -> Error {
    Error::new(
        ErrorKind::Replaced,
        &drive.name,
        "another drive or medium is there now; nothing was done to it",
    )
    .with_hint(Hint::ListAndRetry)
}

/// Returns the error for a drive that cannot be opened.
pub fn cannot_open(errno: Errno, drive: &Drive) -> Error {
    match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => gone(drive),
        Errno::ACCESS | Errno::PERM => Error::new(
            ErrorKind::NotPermitted,
            &drive.name,
            format!("may not be opened by this user: {errno}"),
        )
        .with_os_code(errno.raw_os_error())
        .with_hint(Hint::Elevate),
        errno => errno::error(errno, &drive.name, "open"),
    }
}
