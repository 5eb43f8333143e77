//! Sentences: what happened, to which drive, why, and what to do next.
//!
//! They may hold untrusted text, which is escaped when it is printed (`escape`).

use crate::command_kind::CommandKind;
use crate::elevation;
use crate::escape::shell_quoted;
use crate::typo::UnknownWord;
use std::ffi::OsString;
use unmoor::{
    Action, Drive, DriveKind, Error, ErrorKind, Goal, Hint, Outcome, Presence, Report, Status,
    Step, StepReport,
};

/// Describes the drive: `sdb (SanDisk Cruzer, 16.0 GB)`.
pub fn describe(drive: &Drive) -> String {
    let what = match &drive.backing_file {
        Some(file) => Some(crate::escape::escape_os(file)),
        None => model(drive),
    };
    let size = drive.size.filter(|s| *s > 0).map(size);
    let parts: Vec<String> = what.into_iter().chain(size).collect();
    let name = match &drive.selection {
        Some(one) if one.volume != drive.name => format!("{} on {}", one.volume, drive.name),
        _ => drive.name.clone(),
    };
    match parts.is_empty() {
        true => name,
        false => format!("{name} ({})", parts.join(", ")),
    }
}

/// Returns vendor and model as the drive reports them.
pub fn model(drive: &Drive) -> Option<String> {
    let given = [&drive.vendor, &drive.model];
    let parts: Vec<&str> = given.into_iter().flatten().map(|s| s.trim()).collect();
    let text = parts.join(" ").trim().to_string();
    (!text.is_empty()).then_some(text)
}

/// Formats bytes in decimal units, as printed on drives: 1 GB is 10⁹ bytes.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (1_000, "kB"),
        (1_000_000, "MB"),
        (1_000_000_000, "GB"),
        (1_000_000_000_000, "TB"),
        (1_000_000_000_000_000, "PB"),
        (1_000_000_000_000_000_000, "EB"),
    ];
    let tenths = |unit: u64| bytes.saturating_add(unit / 20) / (unit / 10);
    // 999.96 would be rounded to 1000.0.
    match UNITS.iter().find(|(unit, name)| tenths(*unit) < 10_000 || *name == "EB") {
        Some((unit, name)) if bytes >= 1000 => {
            format!("{}.{} {name}", tenths(*unit) / 10, tenths(*unit) % 10)
        }
        _ => format!("{bytes} B"),
    }
}

/// Returns one sentence about the outcome.
pub fn message(command: CommandKind, report: &Report) -> String {
    let drive = report.drive.as_ref();
    let named = drive.map_or_else(|| report.target.clone(), describe);
    match (&report.outcome, command) {
        (Outcome::Failed(error), _) => failure(drive, error),
        (Outcome::Planned, _) => {
            subject(&named, "nothing was touched. This is what would be done:")
        }
        (Outcome::Completed, CommandKind::Load) => {
            subject(&named, &format!("loaded; {}.", presence(report)))
        }
        (Outcome::Completed, CommandKind::Eject(goal)) => subject(&named, &released(goal, report)),
        (Outcome::Completed, CommandKind::Remount) => subject(&named, "mounted."),
        (Outcome::Completed, CommandKind::Attach) => subject(&named, &attached(report)),
        (Outcome::Completed, _) => subject(&named, &flushed(report)),
    }
}

/// Returns one sentence about an error. The drive's description replaces its bare name.
pub fn failure(drive: Option<&Drive>, error: &Error) -> String {
    let Some(drive) = drive else { return with_full_stop(error.to_string()) };
    let named = describe(drive);
    let text = match error.subject() {
        about if about.is_empty() || about == drive.name => subject(&named, error.detail()),
        _ => subject(&named, &error.to_string()),
    };
    with_full_stop(match (error.kind(), error.step()) {
        (ErrorKind::Busy | ErrorKind::NotExclusive, Some(Step::Lock)) => {
            format!("{text}; nothing was dismounted")
        }
        (ErrorKind::Interrupted, Some(step)) => format!("{text} (during {})", step.name()),
        _ => text,
    })
}

/// Joins subject and statement. A drive letter brings its own colon.
fn subject(named: &str, said: &str) -> String {
    let colon = if named.ends_with(':') { "" } else { ":" };
    format!("{named}{colon} {said}")
}

fn with_full_stop(text: String) -> String {
    if text.ends_with(['.', '!', '?']) { text } else { text + "." }
}

fn flushed(report: &Report) -> String {
    match report.step(Step::Flush) {
        Some(StepReport { status: Status::Skipped, reason: Some(why), .. }) => {
            format!("nothing to flush: {why}.")
        }
        _ if !report.warnings.is_empty() => "flushed, but not all of it: see the warning.".into(),
        _ => "flushed; everything written is on the drive.".into(),
    }
}

fn attached(report: &Report) -> String {
    let already = report.step(Step::Attach).is_some_and(|s| s.status == Status::Skipped);
    let beside = report.drive.as_ref().map(|d| d.siblings.join(", ")).unwrap_or_default();
    let beside = if beside.is_empty() { beside } else { format!(", and with it {beside}") };
    let command = if already { "is already attached" } else { "attached" };
    format!("{command}{beside}.")
}

/// Returns how to undo a power-off without replugging.
pub fn reattach_hint(report: &Report) -> Option<String> {
    let off = report.outcome == Outcome::Completed && report.action == Some(Action::PowerOff);
    let port = report.drive.as_ref().filter(|_| off)?.port.as_ref()?;
    Some(format!("to bring it back without replugging: unmoor attach {port}"))
}

fn presence(report: &Report) -> &'static str {
    report.medium_after.map_or("not verified", Presence::description)
}

fn released(goal: Goal, report: &Report) -> String {
    let verified = report.step(Step::Verify).is_some_and(|s| s.status == Status::Done);
    let through = match is_through_udisks(report) {
        true => " through udisks2",
        false => "",
    };
    let doubt = match (verified, !report.lost.is_empty()) {
        (true, false) => "",
        (false, false) => " (not verified)",
        (true, true) => " (data that could not be written is lost)",
        (false, true) => " (not verified; data that could not be written is lost)",
    };
    let kind = report.drive.as_ref().map_or(DriveKind::Other, |d| d.kind);
    let medium = match kind {
        DriveKind::Optical => "disc",
        DriveKind::Card => "card",
        DriveKind::Tape => "tape",
        DriveKind::Floppy => "floppy",
        _ => "medium",
    };
    match (report.action, report.medium_after) {
        (Some(Action::Nothing), _) if goal == Goal::Dismount => {
            let selection = report.drive.as_ref().and_then(|drive| drive.selection.as_ref());
            let left = match selection.is_some_and(|one| !one.left_out.is_empty()) {
                true => "the other volumes of the drive were left alone",
                false => "left in the drive",
            };
            format!("flushed and dismounted{through}{doubt}; {left}.")
        }
        (Some(Action::Nothing), _) => format!(
            "flushed and dismounted{doubt}; nothing to eject: this kind of drive has no command for \
             it. Take the {medium} out."
        ),
        (Some(Action::PowerOff), _) => format!("powered off{through}{doubt}. You can unplug it."),
        (Some(Action::Stop), Some(Presence::Gone)) => {
            format!("released and powered off{through}{doubt}. You can unplug it.")
        }
        (Some(Action::Stop), _) => {
            format!("released and stopped{through}{doubt}. You can unplug it.")
        }
        (Some(Action::Detach), _) => format!("released and detached{through}{doubt}."),
        (_, Some(Presence::TrayOpen)) => {
            format!("released{through}{doubt}; the tray is open. Take the {medium} out.")
        }
        _ if kind == DriveKind::Optical => {
            format!("released{through}{doubt}. Take the {medium} out.")
        }
        _ => format!("released{through}{doubt}. You can take it out."),
    }
}

/// Returns true if udisks2 has made calls of the release.
fn is_through_udisks(report: &Report) -> bool {
    let attempts = report.steps.iter().flat_map(|step| &step.attempts);
    attempts.into_iter().any(|attempt| attempt.ok && attempt.method.starts_with("udisks2 "))
}

/// Returns what to do next: the library's help, or the command's own.
pub fn help(command: CommandKind, error: &Error, steps: &[StepReport]) -> Option<String> {
    let may_force = match error.hint() {
        Some(Hint::CloseOrWait) => false,
        Some(hint) => return Some(self::hint(hint)),
        None => true,
    };
    match error.kind() {
        ErrorKind::NotPermitted => Some(elevation::advice()),
        ErrorKind::NoSuchTarget => Some("`unmoor list --all` shows all drives".into()),
        ErrorKind::Busy if matches!(command, CommandKind::Eject(_)) => {
            let options = match (kill_would_help(error, steps), may_force) {
                (true, true) => ", --kill to end the programs, or --force to cut them off",
                (true, false) => ", or --kill to end the programs",
                (false, true) => ", or --force to cut it off",
                (false, false) => "",
            };
            Some(format!("close what is open there, or pass --wait 30s to wait for it{options}"))
        }
        ErrorKind::Gone => {
            Some("if it was pulled out: plug it in again and check the files written last".into())
        }
        _ => None,
    }
}

/// Returns the lines about a first word that is neither a command nor a drive.
pub fn unknown_word(unknown: &UnknownWord, targets: &[OsString]) -> Vec<String> {
    let UnknownWord { word, suggestion } = unknown;
    let mut lines = vec![format!("unmoor: unknown command or drive: {word}")];
    if let Some(command) = suggestion {
        let targets: String =
            targets.iter().map(|target| format!(" {}", shell_quoted(target))).collect();
        lines.push(format!("  did you mean: unmoor {command}{targets}"));
    }
    lines.push(format!(
        "  `unmoor --help` lists the commands, `unmoor list` the drives; to eject a drive called {word}: \
         unmoor eject {word}"
    ));
    lines
}

/// Returns true if ending programs would clear all blockers and was not tried yet.
fn kill_would_help(error: &Error, steps: &[StepReport]) -> bool {
    error.step() == Some(Step::Lock)
        && !steps.iter().any(|step| step.step == Step::Kill)
        && error.scan().is_some_and(|scan| unmoor::all_terminable(&scan.blockers))
}

/// Words the library's advice in terms of this command's options.
pub fn hint(hint: &Hint) -> String {
    match hint {
        Hint::AllowMoreTime => "allow more time with --timeout",
        Hint::Elevate => return elevation::advice(),
        Hint::SwapOff => "pass --swapoff to switch the swap on it off first",
        Hint::DiscardUnwritten => {
            "the medium stays in, because data would be lost; --discard-unwritten gives it up"
        }
        Hint::CloseOrForce => "close what uses it, or pass --force to cut it off",
        Hint::CloseOrWait => "close what uses it, or pass --wait 30s to wait for it",
        Hint::CloseForceOrElevate => {
            "close what uses it, or pass --force to cut it off; if nothing uses it, run this as \
             administrator or pass --power-off"
        }
        Hint::CloseOrEject => {
            "close them, or let the medium go too: without --dismount-only, or with --power-off"
        }
        Hint::EjectOnly => "leave --power-off out to eject the medium only",
        Hint::EjectThisDriveOnly => {
            "or leave --power-off out, to eject the medium of this drive alone"
        }
        Hint::DismountOnly => "pass --dismount-only to flush and dismount it",
        Hint::DismountOrPowerOff => {
            "pass --dismount-only to flush and dismount it, or --power-off if its slot is made for that"
        }
        Hint::PressButtonOrPowerOff => {
            "everything was flushed and dismounted before: press the drive's own button, or pass \
             --power-off if it is to be unplugged"
        }
        Hint::RemoveByHandOrPowerOff => "take the medium out by hand, or pass --power-off",
        Hint::LeaveOnline => "leave --offline out",
        Hint::LeaveServices => "leave --services out, and stop the services by their commands",
        Hint::LeaveProcesses => "leave --kill out; the blockers are named, and how to remove them",
        Hint::ListDrives => "`unmoor list` shows what there is",
        Hint::ListAllDrives => "see what there is with: unmoor list --all",
        Hint::ListAndRetry => "look at `unmoor list` and name it again if that is the one you mean",
        Hint::ReplugAndList => "plug it in again and see with: unmoor list",
        Hint::UseDriveName => {
            "a file system on the way to it may wait for its server: name the drive (`unmoor list`)"
        }
        Hint::ListPorts => "`unmoor attach` lists what can be brought back",
        Hint::Attach(port) => return format!("if it was powered off: unmoor attach {port}"),
        Hint::RemoveRemains => "remove what is left of it with: unmoor eject, and the same name",
        Hint::UseSimulated => "simulated drives work everywhere: try sim:stick",
        other => return other.to_string(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_the_units_of_the_label() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(999_999), "1.0 MB");
        assert_eq!(size(16_008_609_792), "16.0 GB");
        assert_eq!(size(u64::MAX), "18.4 EB");
    }
}
