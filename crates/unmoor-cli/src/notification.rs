//! Desktop notifications of results, for a user who sees no terminal.

use crate::command_kind::CommandKind;
use crate::target_result::TargetResult;

#[cfg(all(target_os = "linux", feature = "notify"))]
mod session_bus;

/// Notifications of one call of the command.
pub struct Notifications {
    #[cfg(all(target_os = "linux", feature = "notify"))]
    pending: Option<session_bus::Pending>,
}

#[cfg(all(target_os = "linux", feature = "notify"))]
impl Notifications {
    pub fn new(wanted: bool) -> Self {
        Notifications { pending: wanted.then(session_bus::Pending::default) }
    }

    /// Shows the result of one target, unless it was a dry run.
    pub fn show(&mut self, command: CommandKind, result: &TargetResult) {
        if let Some(pending) = &mut self.pending
            && let Some(title) = title(command, result)
        {
            let lines = crate::commands::lines(command, result, false, None);
            let lines: Vec<String> = lines.iter().map(|(_, line)| escaped(line)).collect();
            pending.send(title, lines.join("\n"), result.outcome.is_success());
        }
    }

    /// Waits for a moment until the desktop has taken every notification.
    pub fn wait(self) {
        if let Some(pending) = self.pending {
            pending.wait();
        }
    }
}

#[cfg(not(all(target_os = "linux", feature = "notify")))]
impl Notifications {
    pub fn new(_wanted: bool) -> Self {
        Notifications {}
    }

    pub fn show(&mut self, _command: CommandKind, _result: &TargetResult) {}

    pub fn wait(self) {}
}

/// Returns the summary of the result; `None` for a dry run.
#[cfg(all(target_os = "linux", feature = "notify"))]
fn title(command: CommandKind, result: &TargetResult) -> Option<&'static str> {
    use crate::outcome::Outcome;
    use unmoor::{Action, Goal};
    Some(match (result.outcome, result.action) {
        (Outcome::Planned, _) => return None,
        (Outcome::Released, _) if command == CommandKind::Eject(Goal::Dismount) => "Dismounted",
        (Outcome::Released, Some(Action::PowerOff)) => "Safe to unplug",
        (Outcome::Released, _) => "Safe to take out",
        (Outcome::Busy, _) => "In use: not released",
        _ => "Not released",
    })
}

/// Returns the line as text without markup, which the desktop would interpret.
///
/// (Desktop Notifications Specification, "Markup")
#[cfg(all(target_os = "linux", feature = "notify"))]
fn escaped(line: &str) -> String {
    crate::escape::escape(line).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(all(test, target_os = "linux", feature = "notify"))]
mod tests {
    #[test]
    fn a_name_from_a_stranger_is_no_markup() {
        let line = super::escaped("<a href=\"x\">A & B</a>\x1b[2J");
        assert_eq!(line, "&lt;a href=\"x\"&gt;A &amp; B&lt;/a&gt;\\x1b[2J");
    }
}
