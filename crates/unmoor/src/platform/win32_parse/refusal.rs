//! Meaning of ERROR_ACCESS_DENIED: one code for "in use", "locked", "being burned" and "not permitted".

use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind};
use crate::model::hint::Hint;
use crate::platform::win32_parse::codes::{Code, error, name, says_unsupported};

const ERROR_ACCESS_DENIED: Code = 5;
const ERROR_SHARING_VIOLATION: Code = 32;

/// Returns the error for a volume that could not be opened.
///
/// A locked volume refuses every open, that of its root folder too (`FatCommonCreate` and
/// `CdCommonCreate` of Microsoft's published drivers; the I/O manager does so for a volume that is
/// locked and dismounted). A user who may not open the volume may still open its root folder. `root` is
/// the result of that, `burner` the program that has a CD drive in exclusive access; `may_manage` is true
/// for a user who may open every volume.
pub(crate) fn opening_refused(
    code: Code,
    volume: &str,
    root: Result<(), Code>,
    burner: Option<&str>,
    may_manage: bool,
) -> Error {
    let busy = |why: String, help: &str| {
        let why = format!("{why} (open: {})", name(code));
        Error::new(ErrorKind::Busy, volume, why).with_os_code(code as i32).with_help(help)
    };
    match (code, burner, root) {
        (ERROR_ACCESS_DENIED | ERROR_SHARING_VIOLATION, Some(program), _) => {
            let program = match program.trim() {
                "" => "a program",
                program => program,
            };
            let why = format!("{program} has the drive to itself: it may be burning a disc");
            busy(why, "wait until it has finished, or close it")
        }
        (ERROR_ACCESS_DENIED, None, Err(ERROR_ACCESS_DENIED)) => {
            let wait = "wait until that program has finished (a format, a check, an imager)";
            match may_manage {
                true => busy("another program has locked it".into(), wait),
                false => busy(
                    "another program has locked it, or this user may not open it".into(),
                    &format!("{wait}, or run it as administrator"),
                ),
            }
        }
        _ => error(code, volume, "open"),
    }
}

/// Returns the error for `FSCTL_LOCK_VOLUME` that answered ERROR_ACCESS_DENIED: files are open, or, on
/// NTFS, this user may not manage the volume (`may_manage`: the user has `SeManageVolumePrivilege`).
pub(crate) fn lock_refused(volume: &str, method: &str, may_manage: bool) -> Error {
    let code = name(ERROR_ACCESS_DENIED);
    let (why, hint) = match may_manage {
        true => ("is in use: something on it is open", Hint::CloseOrForce),
        false => ("is in use, or this user may not lock it", Hint::CloseForceOrElevate),
    };
    Error::new(ErrorKind::Busy, volume, format!("{why} ({method}: {code})"))
        .with_os_code(ERROR_ACCESS_DENIED as i32)
        .with_hint(hint)
}

/// Returns the error for `IOCTL_STORAGE_EJECT_MEDIA` that was refused on every handle. A drive whose
/// medium is locked in (sense 5/53/02) answers as one whose driver does not know the request
/// (ERROR_INVALID_FUNCTION).
pub(crate) fn not_ejected(code: Code, drive: &Drive) -> Error {
    if says_unsupported(code) {
        let why = format!(
            "is flushed and dismounted, but not ejected: the drive refuses, or its driver does not know \
             the request ({})",
            name(code)
        );
        return Error::new(ErrorKind::NotSupported, &drive.name, why)
            .with_os_code(code as i32)
            .with_help("nothing of it is left to be written: take it out by hand");
    }
    let failed = error(code, &drive.name, "IOCTL_STORAGE_EJECT_MEDIA");
    let failed = match failed.kind() {
        // Everything was written before.
        ErrorKind::Unwritten => failed.with_kind(ErrorKind::Failed),
        _ => failed,
    };
    failed.append_detail("it is flushed and dismounted, but not ejected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_whose_root_is_refused_too_is_locked_by_another_program() {
        let locked = opening_refused(5, "E:", Err(5), None, false);
        assert_eq!(locked.kind(), ErrorKind::Busy);
        assert!(locked.to_string().contains("another program has locked it, or"), "{locked}");
        let admin = opening_refused(5, "E:", Err(5), None, true);
        assert!(admin.to_string().contains("another program has locked it (open"), "{admin}");
        assert!(!admin.hint().unwrap().to_string().contains("administrator"));
    }

    #[test]
    fn a_volume_whose_root_opens_or_has_no_file_system_is_not_this_users_to_open() {
        for root in [Ok(()), Err(1005), Err(21)] {
            let error = opening_refused(5, "E:", root, None, false);
            assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
            assert_eq!(error.hint(), Some(&Hint::Elevate));
        }
    }

    #[test]
    fn a_drive_that_burns_names_the_program() {
        for (name, shown) in [("Burner", "Burner has"), (" ", "a program has")] {
            let error = opening_refused(5, "D:", Ok(()), Some(name), false);
            assert_eq!(error.kind(), ErrorKind::Busy);
            assert!(error.detail().starts_with(shown), "{error}");
        }
    }

    #[test]
    fn an_io_error_of_an_ejection_is_no_lost_data() {
        let drive = crate::model::drive::tests::drive();
        assert_eq!(not_ejected(1117, &drive).kind(), ErrorKind::Failed);
        let refused = not_ejected(1, &drive);
        assert_eq!(refused.kind(), ErrorKind::NotSupported);
        assert!(refused.to_string().contains("the drive refuses"), "{refused}");
    }

    #[test]
    fn other_codes_keep_their_meaning() {
        assert_eq!(opening_refused(2, "E:", Err(5), None, false).kind(), ErrorKind::NoSuchTarget);
        assert_eq!(opening_refused(32, "E:", Ok(()), None, false).kind(), ErrorKind::Busy);
    }

    #[test]
    fn a_refused_lock_mentions_the_missing_right_only_where_it_is_missing() {
        let admin = lock_refused("E:", "FSCTL_LOCK_VOLUME on E:", true);
        assert!(!admin.to_string().contains("user"), "{admin}");
        let user = lock_refused("E:", "FSCTL_LOCK_VOLUME on E:", false);
        assert_eq!((user.kind(), user.os_code()), (ErrorKind::Busy, Some(5)));
        assert!(user.to_string().contains("this user may not lock it"), "{user}");
        assert_eq!(user.hint(), Some(&Hint::CloseForceOrElevate));
    }
}
