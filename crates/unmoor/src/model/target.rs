//! Targets: the names of drives that a user may give.

use crate::model::error::{Error, ErrorKind, Result};
use std::ffi::{OsStr, OsString};
use std::fmt;

/// A name of a drive: a device, a volume, a mount, a label, a port.
///
/// [`Platform::resolve`](crate::platform::Platform::resolve) finds the drive that it means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// A drive or volume by name or path, a mount point, or any path on a volume.
    Path(OsString),
    /// A file system label: `LABEL=Holiday`.
    Label(String),
    /// A file system UUID or serial number: `UUID=1234-ABCD`.
    Uuid(String),
    /// A partition's name in its table: `PARTLABEL=data`.
    PartLabel(String),
    /// A partition's UUID in its table: `PARTUUID=…`.
    PartUuid(String),
    /// A port that a drive is plugged into: `usb:1-4.1`, `scsi:2:0:0:0`, `pci:0000:01:00`.
    ///
    /// It is the only name that still means the drive after a power-off.
    Port(String),
    /// A simulated drive: `sim:stick`.
    Simulated(String),
}

/// Maximum length of a name in bytes. No system has longer paths (Windows: 32,767 characters).
const LONGEST: usize = 32_767;

impl Target {
    /// Parses what a user typed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTarget`] for an empty name, one with a NUL, and one that is too long.
    pub fn parse(given: impl AsRef<OsStr>) -> Result<Target> {
        let given = given.as_ref();
        let bytes = given.as_encoded_bytes();
        let invalid = |why: &str| Err(Error::new(ErrorKind::InvalidTarget, shortened(given), why));
        if bytes.is_empty() {
            return invalid("a target must not be empty");
        }
        if bytes.contains(&0) {
            return invalid("a target must not hold a NUL character");
        }
        if bytes.len() > LONGEST {
            return invalid("this name is longer than any path can be");
        }
        let Some(text) = given.to_str() else {
            return Ok(Target::Path(given.to_os_string()));
        };
        type Make = fn(String) -> Target;
        let tagged: [(&str, Make); 5] = [
            ("LABEL=", Target::Label),
            ("UUID=", Target::Uuid),
            ("PARTLABEL=", Target::PartLabel),
            ("PARTUUID=", Target::PartUuid),
            ("sim:", Target::Simulated),
        ];
        for (tag, make) in tagged {
            if let Some(rest) = text.strip_prefix(tag) {
                let plain = without_quotes(rest).unwrap_or(rest);
                if plain.is_empty() {
                    return invalid("nothing follows the tag");
                }
                return Ok(make(plain.to_string()));
            }
        }
        if ["usb:", "scsi:", "pci:"].iter().any(|bus| text.starts_with(bus)) {
            return Ok(Target::Port(text.to_string()));
        }
        Ok(Target::Path(given.to_os_string()))
    }
}

/// fstab(5) and mount(8) allow quotes around the value of a tag.
fn without_quotes(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

/// Returns the name, cut to a length that fits a message.
fn shortened(name: &OsStr) -> String {
    let text = name.to_string_lossy();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

/// Formats the target as it can be typed. [`Target::parse`] reads the same target, if it is Unicode.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tag, value) = match self {
            Target::Path(p) => return f.write_str(&p.to_string_lossy()),
            Target::Label(l) => ("LABEL=", l),
            Target::Uuid(u) => ("UUID=", u),
            Target::PartLabel(l) => ("PARTLABEL=", l),
            Target::PartUuid(u) => ("PARTUUID=", u),
            Target::Port(port) => return f.write_str(port),
            Target::Simulated(n) => ("sim:", n),
        };
        // Quotes that belong to the value need others around them.
        match without_quotes(value) {
            Some(_) => write!(f, "{tag}\"{value}\""),
            None => write!(f, "{tag}{value}"),
        }
    }
}

impl std::str::FromStr for Target {
    type Err = Error;
    fn from_str(given: &str) -> Result<Target> {
        Target::parse(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_from_paths() {
        let label = Target::parse("LABEL=Holiday 2026").unwrap();
        assert_eq!(label, Target::Label("Holiday 2026".into()));
        assert_eq!(Target::parse("UUID=\"12-AB\"").unwrap(), Target::Uuid("12-AB".into()));
        assert_eq!(Target::parse("sim:cd").unwrap(), Target::Simulated("cd".into()));
        assert_eq!(Target::parse("/dev/sdb").unwrap(), Target::Path("/dev/sdb".into()));
        assert_eq!(Target::parse("usb:1-4").unwrap(), Target::Port("usb:1-4".into()));
        assert_eq!(Target::parse("E:").unwrap(), Target::Path("E:".into()));
    }

    #[test]
    fn a_target_can_be_typed_as_it_is_shown() {
        for given in ["LABEL=\"\"a\"\"", "LABEL=\"", "UUID=\"12-AB\"", "sim:cd", "/dev/sdb"] {
            let target = Target::parse(given).unwrap();
            assert_eq!(Target::parse(target.to_string()).unwrap(), target, "{given}");
        }
        assert_eq!(Target::parse("LABEL=\"\"a\"\"").unwrap(), Target::Label("\"a\"".into()));
    }

    #[test]
    fn an_impossible_name_is_wrong_usage() {
        for bad in ["", "LABEL=", "LABEL=\"\"", "a\0b", &"x".repeat(40_000)] {
            let error = Target::parse(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidTarget);
            assert!(error.to_string().chars().count() < 200, "{error}");
        }
    }
}
