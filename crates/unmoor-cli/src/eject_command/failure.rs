//! Failures of the command `eject`: what is printed on standard error, and the exit code.

use crate::blockers::{self, Room};
use crate::console::{self, Style, print_err};
use crate::messages;
use unmoor::{Error, ErrorKind, Hint};

/// Exit code of a failure, and of wrong usage.
pub const FAILED: u8 = 1;

/// Exit code after an interrupt.
const INTERRUPTED: u8 = 130;

/// Why the command failed.
pub enum Failure {
    /// One line.
    Text(String),
    /// An error of the library, and the mount point that could not be unmounted.
    Error { error: Error, mount_point: Option<String> },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error { error, mount_point: None }
    }
}

impl Failure {
    /// Prints it on standard error and returns the exit code.
    pub fn print(&self) -> u8 {
        let line = |text: &str| print_err(Style::Plain, &format!("eject: {text}"));
        let (error, mount_point) = match self {
            Failure::Text(text) => {
                line(text);
                return FAILED;
            }
            Failure::Error { error, mount_point } => (error, mount_point),
        };
        let reason = messages::failure(None, error);
        line(reason.trim_end_matches('.'));
        if let Some(mount_point) = mount_point {
            line(&format!("unmount of `{mount_point}' failed"));
        }
        let room = Room { all: false, width: console::width_of_errors() };
        let users = error.scan().into_iter().flat_map(|scan| blockers::lines(scan, room));
        users.for_each(|user| print_err(Style::Plain, &user));
        // The other hints name options of `unmoor`.
        if let Some(hint @ (Hint::Text(_) | Hint::Elevate)) = error.hint() {
            print_err(Style::Plain, &format!("  {hint}"));
        }
        if error.kind() == ErrorKind::Interrupted { INTERRUPTED } else { FAILED }
    }
}
