//! Result of a scan: the blockers, sorted, and notes on what could not be seen.

use crate::deadline::Deadline;
use crate::model::blocker::{self, Blocker, BlockerKind, BlockerScan};
use crate::model::drive::Drive;
use crate::platform::linux::blockers::processes::{identity, process_blocker, readers, servers};
use crate::platform::linux::blockers::scan::{PREPARATION, Scope, Search};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Number of polls for processes that are stuck in their exit.
const EXIT_POLLS: u32 = 10;

/// Interval between those polls.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Largest number of inaccessible processes that are named.
const MAX_CANDIDATES: usize = 3;

impl Search {
    /// Waits a moment for exiting processes, most of which are gone soon.
    pub(crate) fn await_exits(&self, deadline: &mut Deadline<'_>) {
        for _ in 0..EXIT_POLLS {
            let mut exiting = std::mem::take(&mut self.state().exiting);
            exiting.retain(|pid| self.is_exiting(*pid));
            let none = exiting.is_empty();
            self.state().exiting = exiting;
            if none || deadline.sleep(EXIT_POLL_INTERVAL).is_err() {
                return;
            }
        }
    }

    /// Returns a note with the names of the first inaccessible processes, one of which may be a blocker.
    fn candidates(&self, inaccessible: &[u32]) -> Option<String> {
        let identified = inaccessible.iter().filter_map(|pid| self.identify(*pid));
        let names: Vec<String> = identified
            .take(MAX_CANDIDATES)
            .map(|process| process_blocker::description(&process))
            .collect();
        let more = match inaccessible.len().saturating_sub(names.len()) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        (!names.is_empty()).then(|| {
            format!(
                "one of the processes that could not be inspected may use it: {}{more}",
                names.join(", ")
            )
        })
    }

    /// Returns a note that no process of a person can be the blocker.
    ///
    /// A mount below a directory that no other user may enter (`/media/USER` of udisks2) is used by its owner and
    /// by root. Services with a user of their own (polkitd, dbus-daemon) run on every desktop, and cannot reach it.
    fn only_services_left(&self, inaccessible: &[u32]) -> Option<String> {
        let mut mounts = self.drives.iter().flat_map(|drive| drive.mounts()).peekable();
        mounts.peek()?;
        let is_private = mounts.all(|mount| private_folder(&mount.path).is_some_and(is_closed));
        if inaccessible.is_empty() || !is_private {
            return None;
        }
        let of_service =
            |pid: &u32| self.proc.task(*pid).is_ok_and(|task| identity::is_of_service(&task));
        inaccessible.iter().all(of_service).then(|| {
            "those are all processes of root, or of users that cannot reach the mount: only a service of the system \
             could use it unseen"
                .into()
        })
    }

    /// Returns the findings so far; `stuck` are the processes whose scan hangs.
    pub(crate) fn result(&self, stuck: &[usize]) -> BlockerScan {
        let mut state = self.state();
        let mounts_complete = state.mounts_complete;
        let mut scan = std::mem::take(&mut state.scan);
        let exiting = std::mem::take(&mut state.exiting);
        let mut inaccessible = std::mem::take(&mut state.inaccessible);
        drop(state);
        let scanned = self.scanned.load(Ordering::Relaxed);
        scan.inaccessible_processes = inaccessible.len();
        let total = self.total.get().copied().unwrap_or(0);
        for pid in stuck.iter().filter(|pid| **pid != PREPARATION) {
            scan.notes
                .push(format!("process {pid} was not fully inspected: the kernel did not answer"));
        }
        for process in exiting.into_iter().filter_map(|pid| self.identify(pid)) {
            let name = process_blocker::description(&process);
            scan.notes.push(format!(
                "{name} is exiting and waits in the kernel: its open files cannot be seen"
            ));
        }
        inaccessible.sort_unstable();
        scan.notes.extend(self.candidates(&inaccessible));
        scan.notes.extend(self.only_services_left(&inaccessible));
        if !mounts_complete || scanned + stuck.len() < total {
            scan.notes.push(format!(
                "the time ran out: {scanned} of {} processes were inspected",
                if total == 0 { "all".to_string() } else { total.to_string() },
            ));
        }
        scan.complete = mounts_complete && scanned >= total && scan.inaccessible_processes == 0;
        scan.complete &= scan.notes.is_empty();
        servers::mark(&self.drives, &mut scan.blockers);
        if !self.proc.shows_own_namespace() {
            scan.blockers.iter_mut().for_each(process_blocker::make_unreachable);
        }
        if let [drive] = &*self.drives
            && self.scope != Scope::Hidden
        {
            scan.readers = readers::split_readers(drive, &mut scan.blockers);
            let is_unknown = self.scope == Scope::Everything
                && scan.blockers.is_empty()
                && scan.readers.is_empty()
                && readers::is_claimed(drive);
            scan.blockers.extend(is_unknown.then(|| unknown_user(drive)));
        }
        blocker::sort(&mut scan.blockers);
        scan
    }
}

/// Returns the folder of one user that udisks2 mounts in: `/media/USER`, `/run/media/USER`.
fn private_folder(mount: &Path) -> Option<PathBuf> {
    ["/media", "/run/media"].iter().find_map(|media| {
        let below = mount.strip_prefix(media).ok()?;
        let mut parts = below.components();
        let user = parts.next()?;
        parts.next().map(|_| Path::new(media).join(user))
    })
}

/// Returns true if only the owner, root and the users of an access list may enter the folder.
fn is_closed(folder: PathBuf) -> bool {
    std::fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 == 0)
}

/// Returns the blocker for a drive that the kernel reports busy.
fn unknown_user(drive: &Drive) -> Blocker {
    let description =
        format!("the kernel reports {} busy, but no user was found", drive.path.display());
    Blocker::new(BlockerKind::Unknown, description)
        .with_remedy("try again: it may have been closed since", None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drive::tests::drive;
    use crate::platform::linux::blockers::scan::deadline::ScanDeadline;

    #[test]
    fn a_folder_of_one_user_lies_right_below_media() {
        let folder = |path: &str| private_folder(Path::new(path));
        assert_eq!(folder("/media/ann/STICK").as_deref(), Some(Path::new("/media/ann")));
        assert_eq!(folder("/run/media/ann/A/B").as_deref(), Some(Path::new("/run/media/ann")));
        for shared in ["/media/STICK", "/media", "/mnt/ann/STICK", "/run/media", "/"] {
            assert_eq!(folder(shared), None, "{shared}");
        }
    }

    #[test]
    fn the_first_inaccessible_processes_are_named() {
        let search =
            Search::new(&[drive()], Scope::Everything, ScanDeadline::of(Duration::MAX)).unwrap();
        let me = std::process::id();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        let note = |pids: &[u32]| search.candidates(pids).unwrap_or_default();
        assert!(
            note(&[me]).ends_with(&format!(": {} (pid {me})", name.trim_end())),
            "{}",
            note(&[me])
        );
        assert!(note(&[me; 9]).ends_with(", and 6 more"), "{}", note(&[me; 9]));
        assert_eq!(note(&[]), "");
    }
}
