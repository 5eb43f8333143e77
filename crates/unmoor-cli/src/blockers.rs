//! Formats blockers for people: one block per process, in the order in which to close them.

use crate::escape::escape_os;
use crate::truncate::{cut, shortened};
use unicode_width::UnicodeWidthStr;
use unmoor::{
    Blocker, BlockerKind, BlockerScan, Process, Termination, TerminationResult, Usage, UsageKind,
};

/// Maximum number of uses of one process in a refusal; `who` prints all of them.
const MAX_NAMED: usize = 3;

/// Amount of detail.
#[derive(Debug, Clone, Copy, Default)]
pub struct Room {
    /// Prints every use, and command lines.
    pub all: bool,
    /// Maximum line width in columns; longer paths are shortened. Commands are never shortened, so that
    /// they can be pasted.
    pub width: Option<usize>,
}

/// Formats one line per use, with the process first and its remedy below.
pub fn lines(scan: &BlockerScan, room: Room) -> Vec<String> {
    let mut out = Vec::new();
    for blocker in &scan.blockers {
        uses(blocker, room, &mut out);
        out.extend(remedy(blocker).map(|remedy| format!("      fix: {remedy}")));
    }
    for blocker in &scan.readers {
        let who = blocker.process.as_ref().map_or_else(|| blocker.description.clone(), name);
        out.push(format!(
            "  note: {who} has the device itself open: does not block a release, and is cut off by it"
        ));
    }
    out.extend(scan.notes.iter().map(|note| format!("  note: {note}")));
    if scan.inaccessible_processes > 0 {
        out.push(format!(
            "  note: {} could not be inspected (permission denied)",
            processes(scan.inaccessible_processes)
        ));
    } else if !scan.complete && scan.notes.is_empty() {
        out.push("  note: the search was incomplete".into());
    }
    out
}

/// Formats one blocker and its uses, without the remedy.
pub fn who(blocker: &Blocker, room: Room) -> Vec<String> {
    let mut out = Vec::new();
    uses(blocker, room, &mut out);
    out
}

/// Returns one name per blocker, to compare two scans: a process by its number.
pub fn names(scan: &BlockerScan) -> Vec<String> {
    let name = |blocker: &Blocker| match user(blocker) {
        Some(process) => format!("{} (pid {})", escape_os(&process.name), process.pid),
        None => blocker.description.clone(),
    };
    scan.blockers.iter().map(name).collect()
}

/// Returns the process that uses the drive. A process that merely lives in a mount namespace where the
/// drive is mounted uses nothing by itself.
pub fn user(blocker: &Blocker) -> Option<&Process> {
    blocker.process.as_ref().filter(|_| blocker.kind == BlockerKind::Process)
}

fn uses(blocker: &Blocker, room: Room, out: &mut Vec<String>) {
    let Some(process) = user(blocker) else {
        out.push(format!("  {}", blocker.description));
        return;
    };
    let who = name(process);
    match blocker.uses.as_slice() {
        [one] => out.push(usage(&format!("  {who}: "), one, room)),
        [] => out.push(format!("  {who}: {}", blocker.description)),
        uses => {
            out.push(format!("  {who}:"));
            let shown = if room.all { uses.len() } else { MAX_NAMED };
            out.extend(uses.iter().take(shown).map(|u| usage("    ", u, room)));
            if uses.len() > shown {
                out.push(format!("    and {} more (`unmoor who` lists all)", uses.len() - shown));
            }
        }
    }
    // The command line distinguishes several processes named python3.
    if room.all && process.command_line.len() > 1 {
        let words: Vec<String> = process.command_line.iter().map(escape_os).collect();
        let before = "      runs as: ";
        let limit = room.width.map(|width| width.saturating_sub(before.len()));
        out.push(format!("{before}{}", cut(&words.join(" "), limit)));
    }
}

fn remedy(blocker: &Blocker) -> Option<String> {
    match (&blocker.remedy, &blocker.command) {
        (Some(words), Some(command)) => Some(format!("{words}: {command}")),
        (words, command) => words.clone().or_else(|| command.clone()),
    }
}

/// Formats the result of terminating one process.
pub fn termination(ended: &Termination) -> String {
    let who = name(&ended.process);
    match ended.result {
        TerminationResult::Exited => format!("  {who}: exited when asked to"),
        TerminationResult::Killed => {
            format!("  {who}: killed, because it did not exit when asked to")
        }
        TerminationResult::Signaled => {
            format!("  {who}: asked to exit; its exit was not waited for")
        }
        _ => format!("  {who}: killed, but still there: the kernel has not removed it"),
    }
}

/// Formats a process: `vim (pid 4312, anna, session-3.scope)`.
fn name(process: &Process) -> String {
    let parts = [Some(format!("pid {}", process.pid)), process.user.clone(), process.unit.clone()];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{} ({})", escape_os(&process.name), parts.join(", "))
}

/// Formats one use: path, kind of use, descriptor, thread.
fn usage(before: &str, one: &Usage, room: Room) -> String {
    let fd = one.fd.map(|fd| format!(" (handle {fd})")).unwrap_or_default();
    let thread = one.thread.map(|thread| format!(", by thread {thread}")).unwrap_or_default();
    let dead = if one.deleted && one.kind != UsageKind::DeletedFile { ", deleted" } else { "" };
    let how = match one.kind {
        UsageKind::OpenForWriting => "open for writing",
        UsageKind::OpenFile => "open",
        UsageKind::Directory => "open directory",
        UsageKind::DeletedFile => "deleted but still open",
        UsageKind::WorkingDirectory => "working directory",
        UsageKind::Root => "root directory",
        UsageKind::Executable => "running program",
        UsageKind::MappedFile => "mapped into memory",
        UsageKind::Device => "the device itself is held open",
        UsageKind::MountPoint => "mount point",
        _ => "used by the kernel",
    };
    let after = format!("{dead}, {how}{fd}{thread}");
    let path = one.path.as_ref().map_or_else(|| one.volume.clone(), escape_os);
    let limit = room.width.map(|width| width.saturating_sub(before.width() + after.width()));
    format!("{before}{}{after}", shortened(&path, limit))
}

/// Formats a count: `1 process`, `12 processes`.
pub fn processes(count: usize) -> String {
    if count == 1 { "1 process".into() } else { format!("{count} processes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unmoor::BlockerKind;

    const ALL: Room = Room { all: true, width: None };

    fn editor(uses: usize) -> BlockerScan {
        let mut open = Usage::new(UsageKind::OpenForWriting, "sdb1").at("/mnt/letter.txt");
        open.fd = Some(3);
        let mut process = Process::new(4312, "vim");
        process.user = Some("anna".into());
        let mut blocker = Blocker::new(BlockerKind::Process, "");
        blocker.process = Some(process);
        blocker.uses = vec![open; uses];
        BlockerScan::complete(vec![blocker])
    }

    #[test]
    fn one_use_takes_one_line() {
        assert_eq!(
            lines(&editor(1), Room::default()),
            ["  vim (pid 4312, anna): /mnt/letter.txt, open for writing (handle 3)"]
        );
    }

    #[test]
    fn many_uses_are_cut_short_in_a_refusal_and_complete_on_request() {
        assert_eq!(lines(&editor(9), Room::default()).len(), 1 + MAX_NAMED + 1);
        assert_eq!(lines(&editor(9), ALL).len(), 1 + 9);
    }

    #[test]
    fn a_search_that_did_not_see_everything_says_so() {
        let mut scan = BlockerScan::default();
        scan.inaccessible_processes = 7;
        assert_eq!(
            lines(&scan, Room::default()),
            ["  note: 7 processes could not be inspected (permission denied)"]
        );
        assert_eq!(lines(&BlockerScan::default(), Room::default()).len(), 1);
    }

    #[test]
    fn a_path_gives_way_to_the_width_of_the_terminal_and_a_command_does_not() {
        let mut scan = editor(1);
        scan.blockers[0].uses[0].path =
            Some(format!("/mnt/{}/letter.txt", "deep/".repeat(30)).into());
        let command = format!("kill {}", "9".repeat(90));
        scan.blockers[0].command = Some(command.clone());
        let told = lines(&scan, Room { all: false, width: Some(80) });
        assert_eq!(told[0].width(), 80, "{told:?}");
        assert!(told[0].contains("/letter.txt, open for writing (handle 3)"), "{told:?}");
        assert!(told[1].ends_with(&command), "{told:?}");
    }

    #[test]
    fn a_mount_namespace_is_shown_as_itself_and_not_as_its_process() {
        let mut scan = editor(1);
        scan.blockers[0].kind = BlockerKind::Namespace;
        scan.blockers[0].description = "sdb1 is mounted in the mount namespace of vim too".into();
        assert_eq!(lines(&scan, ALL), ["  sdb1 is mounted in the mount namespace of vim too"]);
        assert_eq!(names(&scan), ["sdb1 is mounted in the mount namespace of vim too"]);
    }

    #[test]
    fn command_lines_tell_apart_what_has_the_same_name() {
        let mut scan = editor(1);
        let process = scan.blockers[0].process.as_mut().unwrap();
        process.command_line = vec!["python3".into(), "a\nb".into()];
        assert!(lines(&scan, ALL).contains(&"      runs as: python3 a\\nb".to_string()));
        assert!(!lines(&scan, Room::default()).iter().any(|line| line.contains("runs as")));
    }
}
