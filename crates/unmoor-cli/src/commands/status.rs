//! `status`: one drive in full, and what `eject` would do with it. Changes nothing.

use super::{list, parse, print_document};
use crate::answer::{Answer, Verb};
use crate::args;
use crate::console::{Tone, say, tell};
use crate::machines::Machines;
use crate::outcome::Outcome;
use crate::text::escape_os;
use crate::{json, steps, words};
use std::ffi::OsString;
use unmoor::{Drive, DriveKind, Error, Medium, Options, Target, Volume, platform};

pub fn run(args: args::Status) -> Result<u8, Error> {
    let targets = match args.targets.is_empty() {
        true => match removable() {
            Ok(targets) => targets,
            Err(error) if args.json => {
                let code = Outcome::from(&error).exit_code();
                let verb = Verb::Status.name();
                return Ok(print_document(&json::of_no_targets(verb, code, &error, &[]), code));
            }
            Err(error) => return Err(error),
        },
        false => args.targets,
    };
    let machines = Machines::default();
    let answers: Vec<Answer> =
        parse(targets)?.into_iter().map(|(given, t)| look(&machines, given, &t)).collect();
    let code = Outcome::worst(answers.iter().map(|a| a.outcome.exit_code()));
    if args.json {
        return Ok(print_document(
            &json::of_targets(Verb::Status.name(), code, &answers, None),
            code,
        ));
    }
    if answers.is_empty() {
        list::print(&[], false);
    }
    for (index, answer) in answers.iter().enumerate() {
        if index > 0 {
            say(Tone::Plain, "");
        }
        print(answer);
    }
    Ok(code)
}

fn removable() -> Result<Vec<OsString>, Error> {
    let drives = unmoor::list(&*platform::native()?, false)?;
    Ok(drives.into_iter().map(|d| d.path.into_os_string()).collect())
}

/// The drive, and the plan of an ejection. That `eject` would refuse is news, not a failure of
/// `status`.
fn look(machines: &Machines, given: OsString, target: &Target) -> Answer {
    let report = match machines.of(target) {
        Ok(machine) => unmoor::dry_run(machine, target, &Options::default()),
        Err(error) => return Answer::from_error(given, Verb::Status, None, error),
    };
    let mut answer = Answer::from_report(given, Verb::Status, report);
    if let Some(drive) = &answer.drive {
        answer.message = match &answer.error {
            Some(error) => {
                format!("{}: `eject` would stop: {}.", words::describe(drive), error.detail())
            }
            None => format!(
                "{}: `eject` would do this, if nothing is in the way (`unmoor who` looks):",
                words::describe(drive)
            ),
        };
        answer.outcome = Outcome::Done;
        answer.error = None;
    }
    answer
}

fn print(answer: &Answer) {
    let Some(drive) = &answer.drive else {
        tell(Tone::Bad, &answer.message);
        if let Some(help) = &answer.help {
            tell(Tone::Plain, &format!("  {help}"));
        }
        return;
    };
    say(Tone::Strong, &words::describe(drive));
    for (name, value) in facts(drive) {
        say(Tone::Plain, &format!("  {name:<10} {value}"));
    }
    for volume in &drive.volumes {
        say(Tone::Plain, &format!("  volume     {}", describe(volume)));
    }
    say(Tone::Plain, &answer.message);
    for (number, step) in planned(answer).enumerate() {
        say(Tone::Plain, &steps::planned(number + 1, step));
    }
    if let Some(help) = &answer.help {
        say(Tone::Plain, &format!("  {help}"));
    }
}

fn planned(answer: &Answer) -> impl Iterator<Item = &unmoor::StepReport> {
    use unmoor::Status::{Planned, Skipped};
    answer.steps.iter().filter(|s| matches!(s.status, Planned | Skipped))
}

fn facts(drive: &Drive) -> Vec<(&'static str, String)> {
    let mut facts = vec![("path", escape_os(&drive.path)), ("kind", list::kind(drive))];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|v| (name, v)));
    add("serial", drive.serial.clone());
    add("image", drive.backing_file.as_ref().map(escape_os));
    add("medium", Some(medium(drive).into()));
    add("leaves", Some(leaves(drive).into()));
    add("read-only", drive.read_only.then(|| "nothing can be written to it".into()));
    add("system", (!drive.system.is_empty()).then(|| drive.system.join(", ")));
    add("siblings", (!drive.siblings.is_empty()).then(|| drive.siblings.join(", ")));
    add("unwritten", drive.unwritten().map(words::size));
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
    let size = volume.size.map(words::size);
    let unwritten = volume.unwritten.filter(|b| *b > 0);
    let unwritten = unwritten.map(|b| format!("{} unwritten", words::size(b)));
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
