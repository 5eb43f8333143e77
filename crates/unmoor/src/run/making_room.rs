//! A drive in use, and the wish to end the programs that use it: lock, end them, lock again.

use super::Run;
use crate::error::ErrorKind;
use crate::kill::{Ending, Kill};
use crate::report::Step;
use crate::stages::{Halted, Locked, Opened};

/// How often programs that are in the way are ended before the release gives up.
const ROUNDS: usize = 3;

impl Run<'_> {
    /// Finds everything idle. Where that was wished, the programs that are in the way are ended; others
    /// may come up meanwhile, and who comes again and again is not to be won against.
    pub(crate) fn lock_or_make_room<'p>(
        &mut self,
        mut opened: Opened<'p>,
    ) -> Result<Locked<'p>, Halted<'p>> {
        for _ in 0..ROUNDS {
            let Some(kill) = self.options.kill.clone() else { break };
            match self.lock_once(opened) {
                Err(halted) if halted.error.kind() == ErrorKind::Busy => {
                    opened = self.make_room(halted, &kill)?;
                }
                other => return other,
            }
        }
        self.lock_once(opened)
    }

    /// Ends the programs that are in the way. Gives the drive back to be tried again, or, when nobody
    /// was ended, the refusal as it was.
    fn make_room<'p>(&mut self, halted: Halted<'p>, kill: &Kill) -> Result<Opened<'p>, Halted<'p>> {
        // Telling it once more would not help either.
        if self.report.ended.iter().any(|ended| ended.how == Ending::Remains) {
            return Err(halted);
        }
        let Halted { error, mut opened } = halted;
        let scan = error.scan().cloned().unwrap_or_default();
        let mut ended = Vec::new();
        let result = self.step(Step::Kill, || {
            opened.unlock()?;
            let done = opened.end_programs(kill, &scan, &mut ended)?;
            Ok((done.skipped.is_none(), done))
        });
        self.report.ended.extend(ended);
        match result {
            Ok(true) => Ok(opened),
            Ok(false) => Err(Halted { error, opened }),
            Err(error) => Err(Halted { error: error.at(Step::Kill), opened }),
        }
    }
}
