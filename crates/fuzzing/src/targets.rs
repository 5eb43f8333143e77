//! Names that a user gives a drive.

use crate::Parser;
use crate::bytes::os;
use unmoor::Target;

/// The parser of targets.
pub const PARSERS: [Parser; 1] = [("target", target)];

/// Parses the name of a drive: [`Target::parse`].
///
/// What a target says of itself means the same target when it is typed again.
pub fn target(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for given in [os(bytes), text.as_ref().into()] {
        match Target::parse(&given) {
            Ok(target) => {
                let shown = target.to_string();
                let exact = given.to_str().is_some();
                if exact {
                    assert_eq!(Target::parse(&shown).ok(), Some(target), "{shown:?}");
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), unmoor::ErrorKind::InvalidTarget);
                assert!(error.to_string().chars().count() < 200, "too long to repeat");
            }
        }
    }
}
