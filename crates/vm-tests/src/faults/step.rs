//! The steps of a release: the rows.

use unmoor_rig::step_tracer::marker::Point;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Resolve,
    Flush,
    Lock,
    Dismount,
    Eject,
    Verify,
    Unlock,
}

impl Step {
    pub const ALL: [Self; 7] = [
        Self::Resolve,
        Self::Flush,
        Self::Lock,
        Self::Dismount,
        Self::Eject,
        Self::Verify,
        Self::Unlock,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Flush => "flush",
            Self::Lock => "lock",
            Self::Dismount => "dismount",
            Self::Eject => "eject",
            Self::Verify => "verify",
            Self::Unlock => "unlock",
        }
    }

    /// When it begins, nothing is mounted any more.
    pub fn is_after_dismounting(self) -> bool {
        matches!(self, Self::Eject | Self::Verify | Self::Unlock)
    }

    /// Where the program is stopped for the fault to happen.
    pub fn point(self) -> Point {
        match self {
            Self::Resolve => Point::Resolve,
            Self::Flush => Point::Flush,
            Self::Lock => Point::Lock,
            Self::Dismount => Point::Dismount,
            Self::Eject => Point::Eject,
            Self::Verify => Point::Verify,
            Self::Unlock => Point::Unlock,
        }
    }
}
