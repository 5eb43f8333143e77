//! What a search has found, as it is told.

use crate::deadline::Deadline;
use crate::model::blocker;
use crate::model::blocker::BlockerScan;
use crate::platform::linux::blockers::processes::{process_blocker, readers};
use crate::platform::linux::blockers::scan::{Scope, Search};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often, and how long apart, it is looked whether a process gets on with ending.
const EXIT_POLLS: u32 = 10;
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// So many of the processes that are closed to this user are named.
const CANDIDATES: usize = 3;

impl Search {
    /// Most who wait on their way out do so for a moment: those are nobody's trouble.
    pub(crate) fn await_exits(&self, deadline: &mut Deadline<'_>) {
        for _ in 0..EXIT_POLLS {
            let mut held_up = std::mem::take(&mut self.state().exiting);
            held_up.retain(|pid| self.is_exiting(*pid));
            let none = held_up.is_empty();
            self.state().exiting = held_up;
            if none || deadline.sleep(EXIT_POLL_INTERVAL).is_err() {
                return;
            }
        }
    }

    /// Whoever could not be looked into may be who is in the way: the first of them, by name.
    fn candidates(&self, closed: &[u32]) -> Option<String> {
        let people = closed.iter().filter_map(|pid| self.identify(*pid));
        let who: Vec<String> =
            people.take(CANDIDATES).map(|person| process_blocker::description(&person)).collect();
        let more = match closed.len().saturating_sub(who.len()) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        (!who.is_empty()).then(|| {
            format!(
                "it may be one of those that could not be looked into: {}{more}",
                who.join(", ")
            )
        })
    }

    /// What was found, as it stands now.
    pub(crate) fn result(&self, stuck: &[u32]) -> BlockerScan {
        let mut board = self.state();
        let surveyed = board.surveyed;
        let mut scan = std::mem::take(&mut board.scan);
        let held_up = std::mem::take(&mut board.exiting);
        let mut closed = std::mem::take(&mut board.inaccessible);
        drop(board);
        let looked = self.looked.load(Ordering::Relaxed);
        scan.inaccessible_processes = self.unseen.load(Ordering::Relaxed);
        let total = self.total.get().copied().unwrap_or(0);
        for pid in stuck.iter().filter(|pid| **pid != 0) {
            scan.notes
                .push(format!("process {pid} was not seen to the end: the kernel did not answer"));
        }
        for person in held_up.into_iter().filter_map(|pid| self.identify(pid)) {
            let who = process_blocker::description(&person);
            scan.notes.push(format!(
                "{who} is ending and waits in the kernel: what it has open cannot be seen"
            ));
        }
        closed.sort_unstable();
        scan.notes.extend(self.candidates(&closed));
        if !surveyed || looked + stuck.len() < total {
            scan.notes.push(format!(
                "the time ran out: {looked} of {} processes were looked at",
                if total == 0 { "all".to_string() } else { total.to_string() },
            ));
        }
        scan.complete = surveyed && looked >= total && scan.inaccessible_processes == 0;
        scan.complete &= scan.notes.is_empty();
        if let [drive] = &*self.drives
            && self.depth != Scope::Hidden
        {
            scan.readers = readers::split_readers(drive, &mut scan.blockers);
        }
        blocker::sort(&mut scan.blockers);
        scan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_those_that_could_not_be_looked_into_are_named() {
        let search =
            Search::new(&[crate::model::drive::tests::drive()], Scope::Everything).unwrap();
        let me = std::process::id();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        let said = |closed: &[u32]| search.candidates(closed).unwrap_or_default();
        assert!(
            said(&[me]).ends_with(&format!(": {} (pid {me})", name.trim_end())),
            "{}",
            said(&[me])
        );
        assert!(said(&[me; 9]).ends_with(", and 6 more"), "{}", said(&[me; 9]));
        assert_eq!(said(&[]), "");
    }
}
