//! Processes that `--kill` has signaled, whose services are started again.

use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::platform::ProcessHandle;

/// A process that was signaled.
pub(crate) struct Signaled<'p> {
    pub(crate) handle: Box<dyn ProcessHandle + 'p>,
    /// Index of its [`Termination`](crate::Termination).
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) exited: bool,
}

/// Starts the services again that were stopped.
pub(crate) fn restart(signaled: &mut Vec<Signaled<'_>>) -> StepOutcome {
    let mut outcome = StepOutcome::default();
    for mut one in signaled.drain(..) {
        match one.handle.restart() {
            Ok(None) => {}
            Ok(Some(method)) => {
                outcome.attempts.push(Attempt::accepted(method).with_detail(one.name));
            }
            Err(error) => outcome.warnings.push(format!(
                "the service of {} was stopped, and could not be started again: {}",
                one.name,
                error.detail()
            )),
        }
    }
    outcome
}
