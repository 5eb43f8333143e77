//! Veto of the removal of a device: `PNP_VETO_TYPE` of `cfg.h`, in words.

use crate::model::error::{Error, ErrorKind};
use crate::model::hint::Hint;

/// Refused removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Veto {
    /// Name of the call: `CM_Request_Device_EjectW`.
    pub call: &'static str,
    /// `PNP_VETO_TYPE`.
    pub kind: i32,
    /// Program, service, device instance or driver, depending on the type.
    pub name: String,
    /// `CONFIGRET` of the call.
    pub status: u32,
}

/// `CR_ACCESS_DENIED` of `cfgmgr32.h`.
const CR_ACCESS_DENIED: u32 = 0x33;
/// `CR_REMOVE_VETOED`.
const CR_REMOVE_VETOED: u32 = 0x17;

impl Veto {
    /// Returns true if the device was gone already.
    pub fn is_gone_already(&self) -> bool {
        self.kind == 13
    }

    /// Returns true if another request may succeed. Services open drives for moments; a missing privilege
    /// stays missing.
    pub fn may_pass(&self) -> bool {
        self.status != CR_ACCESS_DENIED && matches!(self.kind, 0 | 2..=7)
    }

    /// Returns true if the device is not one that "Safely Remove Hardware" removes: illegal request (8),
    /// or not disableable (10).
    pub(crate) fn is_not_ejectable(&self) -> bool {
        self.status != CR_ACCESS_DENIED && matches!(self.kind, 8 | 10)
    }

    /// Returns the error about this drive.
    pub fn into_error(self, drive: &str) -> Error {
        let by = match self.name.trim() {
            "" => String::new(),
            name => format!(" by {name}"),
        };
        let text = |help: &str| Hint::Text(help.into());
        let (kind, what, help) = match (self.status, self.kind) {
            (CR_ACCESS_DENIED, _) | (_, 12) => (
                ErrorKind::NotPermitted,
                "this user may not remove it",
                text("run it as administrator, or from the console session"),
            ),
            (_, 1 | 11) => {
                (ErrorKind::Vetoed, "its driver cannot be unloaded", text("shut down first"))
            }
            (_, 2) => (ErrorKind::Vetoed, "a program is just closing it", text("try again")),
            (_, 3) => (ErrorKind::Vetoed, "a program keeps it open", text("close it")),
            (_, 4) => (ErrorKind::Vetoed, "a service keeps it open", text("stop the service")),
            (_, 5) => {
                (ErrorKind::Vetoed, "something has it open", text("close what uses the drive"))
            }
            (_, 6) => {
                (ErrorKind::Vetoed, "a device on it refuses", text("close what uses the drive"))
            }
            (_, 7) => (ErrorKind::Vetoed, "a driver refuses", text("close what uses the drive")),
            (_, 8 | 10) => (
                ErrorKind::NotSupported,
                "the device cannot be removed while the machine runs",
                Hint::EjectOnly,
            ),
            (_, 9) => (ErrorKind::Failed, "there is not enough power", text("try again")),
            (CR_REMOVE_VETOED, _) => {
                (ErrorKind::Vetoed, "the removal was vetoed", text("close what uses the drive"))
            }
            _ => (ErrorKind::Failed, "the removal failed", text("try again")),
        };
        let numbers = format!("{}: {:#x}, veto type {}", self.call, self.status, self.kind);
        let word = if kind == ErrorKind::Vetoed && !by.is_empty() { "; vetoed" } else { "" };
        Error::new(kind, drive, format!("{what}{word}{by} ({numbers})"))
            .with_os_code(i32::try_from(self.status).unwrap_or(i32::MAX))
            .with_hint(help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veto(kind: i32, name: &str) -> Veto {
        let call = "CM_Request_Device_EjectW";
        Veto { call, kind, name: name.into(), status: CR_REMOVE_VETOED }
    }

    #[test]
    fn a_veto_names_who_said_no_and_is_something_in_the_way() {
        let error = veto(3, r"C:\Windows\notepad.exe").into_error("E:");
        assert_eq!(error.kind(), ErrorKind::Vetoed);
        assert!(error.to_string().contains(r"vetoed by C:\Windows\notepad.exe"), "{error}");
        assert_eq!(veto(5, r"STORAGE\Volume\7").into_error("E:").kind(), ErrorKind::Vetoed);
    }

    #[test]
    fn every_veto_type_gives_an_error_with_help() {
        for kind in -1..=14 {
            for status in [CR_REMOVE_VETOED, CR_ACCESS_DENIED, 0, u32::MAX] {
                let error = Veto { status, ..veto(kind, "") }.into_error("E:");
                assert!(error.hint().is_some() && !error.to_string().contains(" by "));
            }
        }
    }

    #[test]
    fn a_missing_right_is_not_asked_for_twice() {
        assert!(veto(5, "").may_pass());
        assert!(!veto(12, "").may_pass());
        assert!(!Veto { status: CR_ACCESS_DENIED, ..veto(5, "") }.may_pass());
        assert!(veto(13, "").is_gone_already());
        assert!(veto(8, "").is_not_ejectable() && veto(10, "").is_not_ejectable());
        assert!(!veto(5, "").is_not_ejectable() && !veto(12, "").is_not_ejectable());
        assert_eq!(veto(12, "").into_error("E:").kind(), ErrorKind::NotPermitted);
    }
}
