//! Commands that act on targets.

use unmoor::Goal;

/// Command, which decides what success is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandKind {
    Eject(Goal),
    Load,
    Flush,
    Remount,
    Attach,
    Status,
    Who,
}

impl CommandKind {
    /// Returns the name on the command line and in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            CommandKind::Eject(_) => "eject",
            CommandKind::Load => "load",
            CommandKind::Flush => "flush",
            CommandKind::Remount => "remount",
            CommandKind::Attach => "attach",
            CommandKind::Status => "status",
            CommandKind::Who => "who",
        }
    }
}
