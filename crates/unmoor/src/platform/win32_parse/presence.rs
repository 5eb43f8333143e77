//! Medium and drive, by the result of `IOCTL_STORAGE_CHECK_VERIFY2`.

use crate::model::drive::{Medium, Presence};
use crate::model::error::ErrorKind;
use crate::platform::win32_parse::{Code, error};

/// Returns what the result shows. ERROR_NOT_READY is STATUS_NO_MEDIA_IN_DEVICE (with the tray open or not)
/// or STATUS_DEVICE_NOT_READY. A drive whose medium cannot leave it always has one, so that "not ready"
/// proves nothing there.
pub(crate) fn presence(answer: Result<(), Code>, removable: bool) -> Presence {
    const ERROR_NOT_READY: Code = 21;
    const ERROR_MEDIA_CHANGED: Code = 1110;
    const ERROR_NO_MEDIA_IN_DRIVE: Code = 1112;
    const ERROR_DEVICE_DOOR_OPEN: Code = 1166;
    match answer {
        Ok(()) | Err(ERROR_MEDIA_CHANGED) => Presence::Present,
        Err(ERROR_NOT_READY) if !removable => Presence::Unknown,
        Err(ERROR_NO_MEDIA_IN_DRIVE | ERROR_NOT_READY) => Presence::Absent,
        Err(ERROR_DEVICE_DOOR_OPEN) => Presence::TrayOpen,
        Err(code) => match error(code, "", "").kind() {
            ErrorKind::Gone | ErrorKind::NoSuchTarget => Presence::Gone,
            _ => Presence::Unknown,
        },
    }
}

/// Returns the state of the medium, by the same result.
pub(crate) fn medium(answer: Result<(), Code>, removable: bool) -> Medium {
    match presence(answer, removable) {
        Presence::Present => Medium::Present,
        Presence::Absent | Presence::Gone => Medium::Absent,
        Presence::TrayOpen => Medium::TrayOpen,
        _ => Medium::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_ready_is_no_medium_only_where_one_can_be_missing() {
        assert_eq!(presence(Err(21), true), Presence::Absent);
        assert_eq!(presence(Err(21), false), Presence::Unknown);
        assert_eq!(medium(Err(21), false), Medium::Unknown);
        for removable in [true, false] {
            assert_eq!(presence(Ok(()), removable), Presence::Present);
            assert_eq!(presence(Err(1110), removable), Presence::Present);
            assert_eq!(presence(Err(1112), removable), Presence::Absent);
            assert_eq!(presence(Err(1166), removable), Presence::TrayOpen);
            assert_eq!(presence(Err(1167), removable), Presence::Gone);
            assert_eq!(presence(Err(2), removable), Presence::Gone);
            assert_eq!(presence(Err(5), removable), Presence::Unknown);
        }
    }
}
