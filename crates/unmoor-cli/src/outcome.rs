//! Outcomes of a target: the names and exit codes of docs/json.md.

use unmoor::{Error, ErrorKind};

/// Exit code for a command line that cannot be understood.
pub const WRONG_USAGE: u8 = 2;

/// Outcome of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Released,
    Done,
    Planned,
    Failed,
    Refused,
    Busy,
    NoMedium,
    NotPermitted,
    NoSuchTarget,
    InvalidTarget,
    NotStarted,
    NotSupported,
    Interrupted,
}

/// Exit codes from the worst to the best. A command line that cannot be parsed also ends with 2.
const WORST_FIRST: [u8; 9] = [130, 1, 3, 5, 7, 2, 6, 4, 0];

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Released => "released",
            Outcome::Done => "done",
            Outcome::Planned => "planned",
            Outcome::Failed => "failed",
            Outcome::Refused => "refused",
            Outcome::Busy => "busy",
            Outcome::NoMedium => "no-medium",
            Outcome::NotPermitted => "not-permitted",
            Outcome::NoSuchTarget => "no-such-target",
            Outcome::InvalidTarget => "invalid-target",
            Outcome::NotStarted => "not-started",
            Outcome::NotSupported => "not-supported",
            Outcome::Interrupted => "interrupted",
        }
    }

    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Released | Outcome::Done | Outcome::Planned => 0,
            Outcome::Failed | Outcome::Refused => 1,
            Outcome::Busy => 3,
            Outcome::NoMedium => 4,
            Outcome::NotPermitted => 5,
            Outcome::NoSuchTarget | Outcome::NotStarted => 6,
            Outcome::InvalidTarget => 2,
            Outcome::NotSupported => 7,
            Outcome::Interrupted => 130,
        }
    }

    pub fn is_success(self) -> bool {
        self.exit_code() == 0
    }

    /// Returns the worst of several exit codes; 0 for none.
    pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
        let rank = |code: &u8| WORST_FIRST.iter().position(|c| c == code).unwrap_or(1);
        codes.into_iter().min_by_key(rank).unwrap_or(0)
    }
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Outcome {
        match error.kind() {
            ErrorKind::Busy | ErrorKind::NotExclusive | ErrorKind::Vetoed => Outcome::Busy,
            ErrorKind::NoMedium => Outcome::NoMedium,
            ErrorKind::NotPermitted => Outcome::NotPermitted,
            ErrorKind::NoSuchTarget => Outcome::NoSuchTarget,
            ErrorKind::InvalidTarget => Outcome::InvalidTarget,
            ErrorKind::NotStarted => Outcome::NotStarted,
            ErrorKind::NotSupported => Outcome::NotSupported,
            ErrorKind::Refused => Outcome::Refused,
            ErrorKind::Interrupted => Outcome::Interrupted,
            _ => Outcome::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_is_the_exit_code() {
        assert_eq!(Outcome::worst([0, 0]), 0);
        assert_eq!(Outcome::worst([0, 4, 6]), 6);
        assert_eq!(Outcome::worst([3, 1, 5]), 1);
        assert_eq!(Outcome::worst([3, 130]), 130);
        assert_eq!(Outcome::worst([]), 0);
    }

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        for (kind, code) in [
            (ErrorKind::Failed, 1),
            (ErrorKind::Refused, 1),
            (ErrorKind::Gone, 1),
            (ErrorKind::Replaced, 1),
            (ErrorKind::TimedOut, 1),
            (ErrorKind::Unwritten, 1),
            (ErrorKind::NotVerified, 1),
            (ErrorKind::Busy, 3),
            (ErrorKind::NotExclusive, 3),
            (ErrorKind::Vetoed, 3),
            (ErrorKind::NoMedium, 4),
            (ErrorKind::NotPermitted, 5),
            (ErrorKind::InvalidTarget, 2),
            (ErrorKind::NotStarted, 6),
            (ErrorKind::NoSuchTarget, 6),
            (ErrorKind::NotSupported, 7),
            (ErrorKind::Interrupted, 130),
        ] {
            let error = Error::new(kind, "sdb", "");
            assert_eq!(Outcome::from(&error).exit_code(), code, "{kind:?}");
        }
    }
}
