//! `status`: drives in detail, and what `eject` would do. Changes nothing.

use super::document::print_document;
use super::{list, parse};
use crate::args;
use crate::command_kind::CommandKind;
use crate::console::{Style, print_err, print_out};
use crate::escape::escape_os;
use crate::outcome::Outcome;
use crate::platforms::Platforms;
use crate::target_result::TargetResult;
use crate::{json, messages, steps};
use std::ffi::OsString;
use unmoor::{Drive, DriveKind, Error, Medium, Options, Target, Volume, platform};

pub fn run(args: args::Status) -> Result<u8, Error> {
    let targets = match args.targets.is_empty() {
        true => match removable() {
            Ok(targets) => targets,
            Err(error) if args.json => {
                let code = Outcome::from(&error).exit_code();
                let command = CommandKind::Status.name();
                return Ok(print_document(&json::of_no_targets(command, code, &error, &[]), code));
            }
            Err(error) => return Err(error),
        },
        false => args.targets,
    };
    let platforms = Platforms::default();
    let results: Vec<TargetResult> =
        parse(targets)?.into_iter().map(|(given, t)| look(&platforms, given, &t)).collect();
    let code = Outcome::worst(results.iter().map(|a| a.outcome.exit_code()));
    if args.json {
        return Ok(print_document(
            &json::of_targets(CommandKind::Status.name(), code, &results, None),
            code,
        ));
    }
    if results.is_empty() {
        list::print_none(false);
    }
    for (index, result) in results.iter().enumerate() {
        if index > 0 {
            print_out(Style::Plain, "");
        }
        print(result);
    }
    Ok(code)
}

fn removable() -> Result<Vec<OsString>, Error> {
    let drives = unmoor::list(&*platform::native()?, false)?;
    Ok(drives.into_iter().map(|d| d.path.into_os_string()).collect())
}

/// Describes the drive and plans an ejection. A refusal of `eject` is part of the answer and not a
/// failure of `status`.
fn look(platforms: &Platforms, given: OsString, target: &Target) -> TargetResult {
    let report = match platforms.of(target) {
        Ok(platform) => unmoor::dry_run(platform, target, &Options::default()),
        Err(error) => return TargetResult::from_error(given, CommandKind::Status, None, error),
    };
    let mut result = TargetResult::from_report(given, CommandKind::Status, report);
    if let Some(drive) = &result.drive {
        result.message = match &result.error {
            Some(error) => {
                format!("{}: `eject` would stop: {}.", messages::describe(drive), error.detail())
            }
            None => format!(
                "{}: `eject` would do this, if the drive is not in use (`unmoor who` checks):",
                messages::describe(drive)
            ),
        };
        result.outcome = Outcome::Done;
        result.error = None;
    }
    result
}

fn print(result: &TargetResult) {
    let Some(drive) = &result.drive else {
        print_err(Style::Bad, &result.message);
        if let Some(help) = &result.help {
            print_err(Style::Plain, &format!("  {help}"));
        }
        return;
    };
    print_out(Style::Strong, &messages::describe(drive));
    for (name, value) in facts(drive) {
        print_out(Style::Plain, &format!("  {name:<10} {value}"));
    }
    for volume in &drive.volumes {
        print_out(Style::Plain, &format!("  volume     {}", describe(volume)));
    }
    print_out(Style::Plain, &result.message);
    for (number, step) in planned(result).enumerate() {
        print_out(Style::Plain, &steps::planned(number + 1, step));
    }
    if let Some(help) = &result.help {
        print_out(Style::Plain, &format!("  {help}"));
    }
}

fn planned(result: &TargetResult) -> impl Iterator<Item = &unmoor::StepReport> {
    use unmoor::Status::{NotRequested, Planned, Skipped};
    result.steps.iter().filter(|s| matches!(s.status, NotRequested | Planned | Skipped))
}

fn facts(drive: &Drive) -> Vec<(&'static str, String)> {
    let mut facts = vec![("path", escape_os(&drive.path)), ("kind", list::kind(drive))];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|v| (name, v)));
    add("serial", drive.serial.clone());
    add("image", drive.backing_file.as_ref().map(escape_os));
    add("medium", Some(medium(drive).into()));
    add("leaves", Some(leaves(drive).into()));
    add("read-only", drive.read_only.then(|| "nothing can be written to it".into()));
    add("system", (!drive.system_uses.is_empty()).then(|| drive.system_description()));
    add("siblings", (!drive.siblings.is_empty()).then(|| drive.siblings.join(", ")));
    add("unwritten", drive.unwritten().map(messages::size));
    facts
}

fn medium(drive: &Drive) -> &'static str {
    match drive.medium {
        Medium::Present => "present",
        Medium::Absent => "none",
        Medium::TrayOpen => "the tray is open",
        _ => "the drive does not say",
    }
}

fn leaves(drive: &Drive) -> &'static str {
    if matches!(drive.kind, DriveKind::Loop | DriveKind::Network) {
        return "it can be detached";
    }
    match (drive.removable, drive.hotplug) {
        (true, true) => "the medium can be taken out, and the drive unplugged",
        (true, false) => "the medium can be taken out",
        (false, true) => "the drive can be unplugged",
        (false, false) => "built in",
    }
}

fn describe(volume: &Volume) -> String {
    let label = volume.label.as_ref().map(|l| format!("\"{l}\""));
    let uuid = volume.uuid.as_ref().map(|u| format!("UUID={u}"));
    let size = volume.size.map(messages::size);
    let unwritten = volume.unwritten.filter(|b| *b > 0);
    let unwritten = unwritten.map(|b| format!("{} unwritten", messages::size(b)));
    let mut parts = vec![volume.name.clone()];
    parts.extend(volume.file_system.clone());
    parts.extend([label, uuid, size, unwritten].into_iter().flatten());
    let line = parts.join(", ");
    let mounts: Vec<String> = volume.mounts.iter().map(|m| escape_os(&m.path)).collect();
    match mounts.is_empty() {
        true => format!("{line}: not mounted"),
        false => format!("{line}: mounted on {}", mounts.join(" and ")),
    }
}
