//! Steps of a release, which are the rows of the matrix.

use unmoor_rig::step_tracer::pause_point::PausePoint;

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

    /// Returns true if nothing is mounted any more when the step begins.
    pub fn is_after_dismounting(self) -> bool {
        matches!(self, Self::Eject | Self::Verify | Self::Unlock)
    }

    /// Returns the moment at which the program is paused.
    pub fn point(self) -> PausePoint {
        match self {
            Self::Resolve => PausePoint::Resolve,
            Self::Flush => PausePoint::Flush,
            Self::Lock => PausePoint::Lock,
            Self::Dismount => PausePoint::Dismount,
            Self::Eject => PausePoint::Eject,
            Self::Verify => PausePoint::Verify,
            Self::Unlock => PausePoint::Unlock,
        }
    }
}
