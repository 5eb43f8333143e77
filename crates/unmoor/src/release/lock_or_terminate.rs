//! A drive in use, and the wish to end the programs that use it: lock, end them, lock again.

use crate::model::error::ErrorKind;
use crate::model::report::TerminationResult;
use crate::model::step::Step;
use crate::options::Kill;
use crate::release::opened::{Locked, Opened, StageError};
use crate::release::operation::DriveOperation;

/// How often programs that are in the way are ended before the release gives up.
const MAX_ATTEMPTS: usize = 3;

impl DriveOperation<'_> {
    /// Finds everything idle. Where that was wished, the programs that are in the way are ended; others
    /// may come up meanwhile, and who comes again and again is not to be won against.
    pub(crate) fn lock_or_terminate<'p>(
        &mut self,
        mut opened: Opened<'p>,
    ) -> Result<Locked<'p>, StageError<'p>> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(kill) = self.options.kill.clone() else { break };
            match self.try_lock(opened) {
                Err(halted) if halted.error.kind() == ErrorKind::Busy => {
                    opened = self.terminate_blockers(halted, &kill)?;
                }
                other => return other,
            }
        }
        self.try_lock(opened)
    }

    /// Ends the programs that are in the way. Gives the drive back to be tried again, or, when nobody
    /// was ended, the refusal as it was.
    fn terminate_blockers<'p>(
        &mut self,
        halted: StageError<'p>,
        kill: &Kill,
    ) -> Result<Opened<'p>, StageError<'p>> {
        // Telling it once more would not help either.
        if self.report.ended.iter().any(|ended| ended.result == TerminationResult::Unkillable) {
            return Err(halted);
        }
        let StageError { error, mut opened } = halted;
        let scan = error.scan().cloned().unwrap_or_default();
        let mut ended = Vec::new();
        let result = self.step(Step::Kill, || {
            opened.unlock()?;
            let done = opened.terminate_processes(kill, &scan, &mut ended)?;
            Ok((done.skipped.is_none(), done))
        });
        self.report.ended.extend(ended);
        match result {
            Ok(true) => Ok(opened),
            Ok(false) => Err(StageError { error, opened }),
            Err(error) => Err(StageError { error: error.with_step(Step::Kill), opened }),
        }
    }
}
