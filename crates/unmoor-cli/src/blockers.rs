//! What is in the way, in lines for a person: grouped by process, what to close first comes first.

use crate::text::escape_os;
use unmoor::{Blocker, Ended, Ending, Process, Scan, Use, UseKind};

/// How many uses of one process are shown in a refusal; `who` shows them all.
const FEW: usize = 3;

/// One line a use, with the process in front, and below it what would move it.
pub fn lines(scan: &Scan, all: bool) -> Vec<String> {
    let mut out = Vec::new();
    for blocker in &scan.blockers {
        describe(blocker, all, &mut out);
    }
    for blocker in &scan.bystanders {
        let who = blocker.process.as_ref().map_or_else(|| blocker.description.clone(), name);
        out.push(format!("  note: {who} has the device itself open: not in the way of a release"));
    }
    out.extend(scan.notes.iter().map(|note| format!("  note: {note}")));
    if scan.unseen_processes > 0 {
        out.push(format!(
            "  note: {} could not be looked into for want of permission",
            processes(scan.unseen_processes)
        ));
    } else if !scan.complete && scan.notes.is_empty() {
        out.push("  note: the search did not see everything".into());
    }
    out
}

/// Who it is and what it uses, without what would move it.
pub fn who(blocker: &Blocker) -> Vec<String> {
    let mut out = Vec::new();
    uses(blocker, false, &mut out);
    out
}

/// Everything in the way by its name alone, to tell who has left: a process by its number.
pub fn names(scan: &Scan) -> Vec<String> {
    let name = |blocker: &Blocker| match &blocker.process {
        Some(process) => format!("{} (pid {})", escape_os(&process.name), process.pid),
        None => blocker.description.clone(),
    };
    scan.blockers.iter().map(name).collect()
}

fn describe(blocker: &Blocker, all: bool, out: &mut Vec<String>) {
    uses(blocker, all, out);
    out.extend(remedy(blocker).map(|remedy| format!("      to move it: {remedy}")));
}

fn uses(blocker: &Blocker, all: bool, out: &mut Vec<String>) {
    let who = match &blocker.process {
        Some(process) => name(process),
        None => blocker.description.clone(),
    };
    match (&blocker.process, blocker.uses.as_slice()) {
        (Some(_), [one]) => out.push(format!("  {who}: {}", usage(one))),
        (Some(_), []) => out.push(format!("  {who}: {}", blocker.description)),
        (None, _) => out.push(format!("  {who}")),
        (Some(_), uses) => {
            out.push(format!("  {who}:"));
            let shown = if all { uses.len() } else { FEW };
            out.extend(uses.iter().take(shown).map(|u| format!("    {}", usage(u))));
            if uses.len() > shown {
                out.push(format!("    and {} more (`unmoor who` lists all)", uses.len() - shown));
            }
        }
    }
}

fn remedy(blocker: &Blocker) -> Option<String> {
    match (&blocker.remedy, &blocker.command) {
        (Some(words), Some(command)) => Some(format!("{words}: {command}")),
        (words, command) => words.clone().or_else(|| command.clone()),
    }
}

/// What came of a program that was told to end.
pub fn ended(ended: &Ended) -> String {
    let who = name(&ended.process);
    match ended.how {
        Ending::Terminated => format!("  {who}: ended, as it was asked to"),
        Ending::Killed => format!("  {who}: killed, because it did not end when asked to"),
        Ending::Asked => format!("  {who}: asked to end; whether it did was not waited for"),
        _ => format!("  {who}: killed, and still there: the system does not let go of it"),
    }
}

/// `vim (pid 4312, anna, session-3.scope)`.
fn name(process: &Process) -> String {
    let parts = [Some(format!("pid {}", process.pid)), process.user.clone(), process.unit.clone()];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{} ({})", escape_os(&process.name), parts.join(", "))
}

fn usage(one: &Use) -> String {
    let path = one.path.as_ref().map_or_else(|| one.volume.clone(), escape_os);
    let fd = one.fd.map(|fd| format!(" (handle {fd})")).unwrap_or_default();
    let dead = if one.deleted && one.kind != UseKind::DeletedFile { ", deleted" } else { "" };
    let path = format!("{path}{dead}");
    match one.kind {
        UseKind::OpenForWriting => format!("{path}, open for writing{fd}"),
        UseKind::OpenFile => format!("{path}, open{fd}"),
        UseKind::Directory => format!("{path}, open directory{fd}"),
        UseKind::DeletedFile => format!("{path}, deleted but still open{fd}"),
        UseKind::WorkingDirectory => format!("{path}, working directory"),
        UseKind::Root => format!("{path}, root directory"),
        UseKind::Executable => format!("{path}, running program"),
        UseKind::MappedFile => format!("{path}, mapped into memory"),
        UseKind::Device => format!("{path}, the device itself is held open{fd}"),
        UseKind::MountPoint => format!("{path}, mount point"),
        _ => format!("{path}, used by the kernel"),
    }
}

/// `1 process`, `12 processes`.
pub fn processes(count: usize) -> String {
    if count == 1 { "1 process".into() } else { format!("{count} processes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unmoor::BlockerKind;

    fn editor(uses: usize) -> Scan {
        let mut open = Use::new(UseKind::OpenForWriting, "sdb1").at("/mnt/letter.txt");
        open.fd = Some(3);
        let process = Process {
            pid: 4312,
            name: "vim".into(),
            command_line: Vec::new(),
            user: Some("anna".into()),
            unit: None,
            started: 0,
        };
        let mut blocker = Blocker::new(BlockerKind::Process, "");
        blocker.process = Some(process);
        blocker.uses = vec![open; uses];
        Scan { blockers: vec![blocker], complete: true, ..Scan::default() }
    }

    #[test]
    fn one_use_takes_one_line() {
        assert_eq!(
            lines(&editor(1), false),
            ["  vim (pid 4312, anna): /mnt/letter.txt, open for writing (handle 3)"]
        );
    }

    #[test]
    fn many_uses_are_cut_short_in_a_refusal_and_complete_on_request() {
        assert_eq!(lines(&editor(9), false).len(), 1 + FEW + 1);
        assert_eq!(lines(&editor(9), true).len(), 1 + 9);
    }

    #[test]
    fn a_search_that_did_not_see_everything_says_so() {
        let scan = Scan { unseen_processes: 7, ..Scan::default() };
        assert_eq!(
            lines(&scan, false),
            ["  note: 7 processes could not be looked into for want of permission"]
        );
        assert_eq!(lines(&Scan::default(), false).len(), 1);
    }
}
