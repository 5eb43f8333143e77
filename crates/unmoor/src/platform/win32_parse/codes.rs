//! Win32 error codes, with the kind of error of each.
//!
//! Source: "System Error Codes" of the Win32 documentation, and for the storage controls the remarks
//! of each control's page (`FSCTL_LOCK_VOLUME`, `IOCTL_STORAGE_EJECT_MEDIA`, …).

use crate::model::error::{Error, ErrorKind};
use crate::model::hint::Hint;

/// Win32 error code, as `GetLastError` returns it.
pub(crate) type Code = u32;

struct Row {
    code: Code,
    name: &'static str,
    kind: ErrorKind,
    means: &'static str,
}

const fn row(code: Code, name: &'static str, kind: ErrorKind, means: &'static str) -> Row {
    Row { code, name, kind, means }
}

/// Code of a BitLocker volume that was not unlocked (`winerror.h`).
const FVE_E_LOCKED_VOLUME: Code = 0x8031_0000;

/// Meaning of each code. `FSCTL_LOCK_VOLUME` returns ERROR_ACCESS_DENIED for "in use", which
/// [`refusal`](crate::platform::win32_parse::refusal) handles.
const TABLE: &[Row] = {
    use ErrorKind::*;
    &[
        row(1, "ERROR_INVALID_FUNCTION", NotSupported, "its driver does not know this request"),
        row(2, "ERROR_FILE_NOT_FOUND", NoSuchTarget, "there is no such drive or volume"),
        row(3, "ERROR_PATH_NOT_FOUND", NoSuchTarget, "there is no such drive or folder"),
        row(5, "ERROR_ACCESS_DENIED", NotPermitted, "access is denied"),
        row(6, "ERROR_INVALID_HANDLE", Gone, "the drive is no longer there"),
        row(15, "ERROR_INVALID_DRIVE", NoSuchTarget, "there is no such drive"),
        row(19, "ERROR_WRITE_PROTECT", NotSupported, "the medium is write protected"),
        row(20, "ERROR_BAD_UNIT", Gone, "the drive is no longer there"),
        row(21, "ERROR_NOT_READY", NoMedium, "the drive is not ready"),
        row(22, "ERROR_BAD_COMMAND", NotSupported, "the drive does not know this command"),
        row(23, "ERROR_CRC", Unwritten, "data error (cyclic redundancy check)"),
        row(27, "ERROR_SECTOR_NOT_FOUND", Unwritten, "the drive cannot find a sector"),
        row(29, "ERROR_WRITE_FAULT", Unwritten, "the drive could not write"),
        row(31, "ERROR_GEN_FAILURE", Failed, "the drive does not work properly"),
        row(32, "ERROR_SHARING_VIOLATION", Busy, "another program is using it"),
        row(33, "ERROR_LOCK_VIOLATION", Busy, "another program has locked it"),
        row(34, "ERROR_WRONG_DISK", Replaced, "the medium in the drive is another one"),
        row(50, "ERROR_NOT_SUPPORTED", NotSupported, "the request is not supported"),
        row(55, "ERROR_DEV_NOT_EXIST", Gone, "the drive is no longer there"),
        row(87, "ERROR_INVALID_PARAMETER", NotSupported, "its driver refuses the request"),
        row(112, "ERROR_DISK_FULL", Unwritten, "there is no space left on it"),
        row(121, "ERROR_SEM_TIMEOUT", TimedOut, "the drive did not answer in time"),
        row(123, "ERROR_INVALID_NAME", NoSuchTarget, "this cannot be the name of a drive"),
        row(144, "ERROR_DIR_NOT_ROOT", NoSuchTarget, "this folder is not the root of a volume"),
        row(158, "ERROR_NOT_LOCKED", Failed, "it is not locked"),
        row(161, "ERROR_BAD_PATHNAME", NoSuchTarget, "this cannot be a path"),
        row(170, "ERROR_BUSY", Busy, "it is in use"),
        row(206, "ERROR_FILENAME_EXCED_RANGE", NoSuchTarget, "the name is too long"),
        row(303, "ERROR_DELETE_PENDING", Gone, "it is being removed"),
        row(433, "ERROR_NO_SUCH_DEVICE", Gone, "the drive is no longer there"),
        row(483, "ERROR_DEVICE_HARDWARE_ERROR", Unwritten, "the drive reports a hardware error"),
        row(995, "ERROR_OPERATION_ABORTED", TimedOut, "it was cut short"),
        row(1005, "ERROR_UNRECOGNIZED_VOLUME", NotSupported, "there is no known file system on it"),
        row(1006, "ERROR_FILE_INVALID", Gone, "the volume was changed under an open file"),
        row(1110, "ERROR_MEDIA_CHANGED", Gone, "the medium was changed"),
        row(1111, "ERROR_BUS_RESET", Failed, "the bus was reset"),
        row(1112, "ERROR_NO_MEDIA_IN_DRIVE", NoMedium, "there is no medium in it"),
        row(1117, "ERROR_IO_DEVICE", Unwritten, "the drive reports an I/O error"),
        row(1164, "ERROR_DEVICE_REINITIALIZATION_NEEDED", Failed, "the drive asks for a reset"),
        row(1166, "ERROR_DEVICE_DOOR_OPEN", NoMedium, "the door is open"),
        row(1167, "ERROR_DEVICE_NOT_CONNECTED", Gone, "the drive is not connected"),
        row(1223, "ERROR_CANCELLED", Interrupted, "it was cancelled"),
        row(1314, "ERROR_PRIVILEGE_NOT_HELD", NotPermitted, "a privilege is missing"),
        row(1392, "ERROR_FILE_CORRUPT", Failed, "the file system is damaged"),
        row(1393, "ERROR_DISK_CORRUPT", Failed, "the file system is damaged"),
        row(1460, "ERROR_TIMEOUT", TimedOut, "the drive did not answer in time"),
        row(1617, "ERROR_DEVICE_REMOVED", Gone, "the device was removed"),
        row(2401, "ERROR_OPEN_FILES", Refused, "Windows has its page file or other files on it"),
        row(4315, "ERROR_MEDIA_INCOMPATIBLE", NotSupported, "the medium does not fit"),
        row(4317, "ERROR_INVALID_OPERATION", NotSupported, "the drive cannot do this"),
        row(4319, "ERROR_DEVICE_NOT_AVAILABLE", Gone, "the drive is no longer there"),
        row(4390, "ERROR_NOT_A_REPARSE_POINT", NoSuchTarget, "nothing is mounted in this folder"),
        row(6851, "ERROR_VOLUME_DIRTY", Failed, "the volume has to be checked first"),
        row(FVE_E_LOCKED_VOLUME, "FVE_E_LOCKED_VOLUME", NotSupported, "BitLocker keeps it locked"),
    ]
};

fn find(code: Code) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.code == code)
}

/// Returns the name and number of the code.
pub fn name(code: Code) -> String {
    match find(code) {
        Some(row) => format!("{} ({code})", row.name),
        None => format!("Windows error {code}"),
    }
}

/// Returns the error of a code, about `subject`.
pub fn error(code: Code, subject: &str, doing: &str) -> Error {
    let row = find(code);
    let kind = row.map_or(ErrorKind::Failed, |row| row.kind);
    let because = row.map_or("", |row| row.means);
    let detail = match because {
        "" => format!("{doing} failed: {}", name(code)),
        because => format!("{because} ({doing}: {})", name(code)),
    };
    let error = Error::new(kind, subject, detail).with_os_code(code as i32);
    match kind {
        ErrorKind::NotPermitted => error.with_hint(Hint::Elevate),
        ErrorKind::Gone => error.with_hint(Hint::ReplugAndList),
        ErrorKind::NoSuchTarget => error.with_hint(Hint::ListAllDrives),
        _ => error,
    }
}

/// Returns the error of a code, of `FSCTL_LOCK_VOLUME` and `FSCTL_DISMOUNT_VOLUME`: the FAT driver answers
/// ERROR_INVALID_PARAMETER (its STATUS_INVALID_PARAMETER) to a user who opened the volume without the right
/// to manage it (`FatLockVolume` and `FatDismountVolume` in Microsoft's published fastfat sample).
pub(crate) fn volume_error(code: Code, subject: &str, doing: &str) -> Error {
    const ERROR_INVALID_PARAMETER: Code = 87;
    if code != ERROR_INVALID_PARAMETER {
        return error(code, subject, doing);
    }
    let why = format!("this user may not manage the volume ({doing}: {})", name(code));
    Error::new(ErrorKind::NotPermitted, subject, why)
        .with_os_code(code as i32)
        .with_hint(Hint::Elevate)
}

/// Returns the code that says more than the one Windows made of this NTSTATUS. ERROR_NOT_READY stands for
/// a drive without a medium and for one that still spins up; ERROR_ACCESS_DENIED also for a device that
/// is leaving.
pub(crate) fn refined(code: Code, status: u32) -> Code {
    const STATUS_NO_MEDIA_IN_DEVICE: u32 = 0xc000_0013;
    const STATUS_DELETE_PENDING: u32 = 0xc000_0056;
    match (code, status) {
        (21, STATUS_NO_MEDIA_IN_DEVICE) => 1112,
        (5, STATUS_DELETE_PENDING) => 303,
        _ => code,
    }
}

/// Returns true if the code means that the driver does not know the request. Drivers use several; Wine 8.0
/// returns ERROR_INVALID_PARAMETER for requests to a USB stick.
pub fn says_unsupported(code: Code) -> bool {
    matches!(code, 1 | 22 | 50 | 87)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorKind::*;

    /// One line for each row, written from what a user has to be told: exit code and kind.
    #[test]
    fn every_code_has_the_kind_that_a_script_relies_on() {
        let expected = [
            (1, NotSupported),
            (2, NoSuchTarget),
            (3, NoSuchTarget),
            (5, NotPermitted),
            (6, Gone),
            (15, NoSuchTarget),
            (19, NotSupported),
            (20, Gone),
            (21, NoMedium),
            (22, NotSupported),
            (23, Unwritten),
            (27, Unwritten),
            (29, Unwritten),
            (31, Failed),
            (32, Busy),
            (33, Busy),
            (34, Replaced),
            (50, NotSupported),
            (55, Gone),
            (87, NotSupported),
            (112, Unwritten),
            (121, TimedOut),
            (123, NoSuchTarget),
            (144, NoSuchTarget),
            (158, Failed),
            (161, NoSuchTarget),
            (170, Busy),
            (206, NoSuchTarget),
            (303, Gone),
            (433, Gone),
            (483, Unwritten),
            (995, TimedOut),
            (1005, NotSupported),
            (1006, Gone),
            (1110, Gone),
            (1111, Failed),
            (1112, NoMedium),
            (1117, Unwritten),
            (1164, Failed),
            (1166, NoMedium),
            (1167, Gone),
            (1223, Interrupted),
            (1314, NotPermitted),
            (1392, Failed),
            (1393, Failed),
            (1460, TimedOut),
            (1617, Gone),
            (2401, Refused),
            (4315, NotSupported),
            (4317, NotSupported),
            (4319, Gone),
            (4390, NoSuchTarget),
            (6851, Failed),
            (FVE_E_LOCKED_VOLUME, NotSupported),
        ];
        assert_eq!(TABLE.len(), expected.len());
        for (row, (code, kind)) in TABLE.iter().zip(expected) {
            assert_eq!((row.code, row.kind), (code, kind));
            let error = error(code, "E:", "eject");
            assert_eq!((error.kind(), error.os_code()), (kind, Some(code as i32)));
            assert!(error.to_string().starts_with("E: "), "{error}");
            assert!(error.to_string().contains(row.name), "{error}");
        }
    }

    #[test]
    fn a_volume_that_this_user_may_not_manage_is_not_permitted() {
        let error = volume_error(87, "E:", "FSCTL_LOCK_VOLUME");
        assert_eq!((error.kind(), error.os_code()), (NotPermitted, Some(87)));
        assert!(error.to_string().contains("ERROR_INVALID_PARAMETER (87)"), "{error}");
        assert_eq!(error.hint(), Some(&Hint::Elevate));
        assert_eq!(volume_error(1167, "E:", "FSCTL_LOCK_VOLUME").kind(), Gone);
    }

    #[test]
    fn the_status_tells_an_empty_drive_from_a_slow_one_and_a_leaving_device_from_a_refusal() {
        assert_eq!(refined(21, 0xc000_0013), 1112);
        assert_eq!(refined(21, 0xc000_00a3), 21);
        assert_eq!(refined(5, 0xc000_0056), 303);
        assert_eq!((refined(5, 0xc000_0022), refined(1, 0xc000_0013)), (5, 1));
    }

    #[test]
    fn a_code_stands_in_the_table_once() {
        assert!(TABLE.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn an_unknown_code_is_a_failure_that_names_its_number() {
        let error = error(31_337, "E:", "IOCTL_STORAGE_EJECT_MEDIA");
        assert_eq!(error.kind(), Failed);
        assert!(error.to_string().contains("31337"));
    }

    #[test]
    fn a_drive_that_cannot_is_told_from_one_that_failed() {
        assert!([1, 22, 50, 87].into_iter().all(says_unsupported));
        assert!(![5, 21, 31, 1117].into_iter().any(says_unsupported));
    }
}
