//! Errors from errno values.

use crate::model::error::{Error, ErrorKind};
use crate::model::hint::Hint;
use rustix::io::Errno;

/// Returns the error for this errno about `subject`, while doing `what`.
pub fn error(errno: Errno, subject: impl Into<String>, what: &str) -> Error {
    let kind = kind(errno);
    let error =
        Error::new(kind, subject, format!("{what}: {errno}")).with_os_code(errno.raw_os_error());
    match kind {
        ErrorKind::NotPermitted => error.with_hint(Hint::Elevate),
        _ => error,
    }
}

/// Returns the kind of error this errno means when a block device is concerned (`errno(3)`).
pub fn kind(errno: Errno) -> ErrorKind {
    match errno {
        Errno::BUSY | Errno::TXTBSY => ErrorKind::Busy,
        Errno::PERM | Errno::ACCESS => ErrorKind::NotPermitted,
        // The name is gone, the device behind an open descriptor is gone, or has no driver any more.
        Errno::NODEV | Errno::NXIO | Errno::NOENT => ErrorKind::Gone,
        Errno::NOMEDIUM => ErrorKind::NoMedium,
        Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => ErrorKind::NotSupported,
        _ => ErrorKind::Failed,
    }
}

/// Returns the error for an errno of a flush: data did not reach the drive.
pub fn unwritten(errno: Errno, subject: impl Into<String>, what: &str) -> Error {
    let lost = match errno {
        Errno::IO => "the drive reported an I/O error",
        Errno::NOSPC | Errno::DQUOT => "there is no room for it",
        Errno::ROFS => "the file system has been made read-only after an error",
        Errno::NODEV | Errno::NXIO => "the drive is gone",
        _ => "it could not be written",
    };
    let kind = match kind(errno) {
        ErrorKind::Gone => ErrorKind::Gone,
        _ => ErrorKind::Unwritten,
    };
    Error::new(kind, subject, format!("data may be lost: {lost} ({what}: {errno})"))
        .with_os_code(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_has_its_kind() {
        for (errno, kind) in [
            (Errno::BUSY, ErrorKind::Busy),
            (Errno::NOMEDIUM, ErrorKind::NoMedium),
            (Errno::PERM, ErrorKind::NotPermitted),
            (Errno::ACCESS, ErrorKind::NotPermitted),
            (Errno::NOTTY, ErrorKind::NotSupported),
            (Errno::IO, ErrorKind::Failed),
            (Errno::NODEV, ErrorKind::Gone),
        ] {
            assert_eq!(error(errno, "sdb", "open").kind(), kind, "{errno}");
        }
    }

    #[test]
    fn a_failed_flush_is_unwritten_data_unless_the_drive_is_gone() {
        assert_eq!(unwritten(Errno::IO, "sdb1", "syncfs").kind(), ErrorKind::Unwritten);
        assert_eq!(unwritten(Errno::NODEV, "sdb1", "syncfs").kind(), ErrorKind::Gone);
    }
}
