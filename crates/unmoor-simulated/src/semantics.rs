//! Semantics of an operating system.

/// The operating system whose semantics a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Semantics {
    /// Mounts are unmounted one by one. A lock is a probe that excludes no process; the drive is claimed
    /// at the end.
    Linux,
    /// A lock excludes every process until the unlock. A volume is dismounted as a whole, with its
    /// letters, and is mounted again when a process opens a file.
    Windows,
}

impl Semantics {
    /// Returns the semantics of the system that this program runs on.
    pub fn native() -> Self {
        if cfg!(windows) { Semantics::Windows } else { Semantics::Linux }
    }
}
