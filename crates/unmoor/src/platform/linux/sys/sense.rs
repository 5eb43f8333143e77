//! Sense data: what a drive says when it says no (SPC-4 4.5).

use std::fmt;

/// Sense key and additional sense code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sense {
    /// Sense key (SPC-4 table 46).
    pub key: u8,
    /// Additional sense code (SPC-4 annex D).
    pub asc: u8,
    /// Its qualifier.
    pub ascq: u8,
}

impl Sense {
    /// Reads fixed (70h, 71h) and descriptor (72h, 73h) format. Bytes beyond what was sent count as
    /// zero, as SPC-4 4.5.3 has it. `None` for an empty answer, an unknown format, and "no sense".
    pub fn parse(bytes: &[u8]) -> Option<Sense> {
        let byte = |n: usize| bytes.get(n).copied().unwrap_or(0);
        let sense = match bytes.first()? & 0x7f {
            0x70 | 0x71 => Sense { key: byte(2) & 0x0f, asc: byte(12), ascq: byte(13) },
            0x72 | 0x73 => Sense { key: byte(1) & 0x0f, asc: byte(2), ascq: byte(3) },
            _ => return None,
        };
        (sense.key != 0).then_some(sense)
    }

    /// NOT READY, medium not present (02h/3Ah).
    pub fn no_medium(self) -> bool {
        self.key == 0x2 && self.asc == 0x3a
    }

    /// NOT READY, medium not present, tray open (02h/3Ah/02h, MMC-6).
    pub fn tray_open(self) -> bool {
        self.no_medium() && self.ascq == 0x02
    }

    /// NOT READY, initializing command required (02h/04h/02h): stopped, and waits for START.
    pub fn stopped(self) -> bool {
        (self.key, self.asc, self.ascq) == (0x2, 0x04, 0x02)
    }

    /// NOT READY, becoming ready (02h/04h/01h), or UNIT ATTENTION (06h): ask again.
    pub fn transient(self) -> bool {
        self.key == 0x6 || (self.key, self.asc, self.ascq) == (0x2, 0x04, 0x01)
    }

    /// ILLEGAL REQUEST (05h): the drive does not know this command, or not with these bits.
    pub fn unknown_command(self) -> bool {
        self.key == 0x5 && !self.removal_prevented()
    }

    /// ILLEGAL REQUEST, medium removal prevented (05h/53h/02h).
    pub fn removal_prevented(self) -> bool {
        (self.key, self.asc) == (0x5, 0x53)
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.key {
            _ if self.tray_open() => "no medium, tray open",
            _ if self.no_medium() => "no medium",
            _ if self.stopped() => "stopped",
            _ if self.removal_prevented() => "medium removal is prevented",
            0x1 => "recovered error",
            0x2 => "not ready",
            0x3 => "medium error",
            0x4 => "hardware error",
            0x5 => "illegal request",
            0x6 => "unit attention",
            0x7 => "data protect",
            0xb => "aborted command",
            _ => "sense",
        };
        write!(f, "{words} ({:02X}h/{:02X}h/{:02X}h)", self.key, self.asc, self.ascq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_formats_say_medium_not_present() {
        let mut fixed = [0u8; 18];
        (fixed[0], fixed[2], fixed[12]) = (0x70, 0x02, 0x3a);
        assert!(Sense::parse(&fixed).unwrap().no_medium());
        assert!(Sense::parse(&[0x72, 0x02, 0x3a, 0x02]).unwrap().tray_open());
    }

    #[test]
    fn no_sense_is_no_complaint() {
        assert_eq!(Sense::parse(&[0x70, 0, 0, 0]), None);
        assert_eq!(Sense::parse(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(sense) = Sense::parse(&bytes) {
                prop_assert!(sense.key < 16);
                prop_assert!(!sense.to_string().is_empty());
            }
        }
    }
}
