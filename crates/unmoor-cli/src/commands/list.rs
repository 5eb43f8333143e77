//! `list`: the drives and their volumes, as a tree.

use super::print_document;
use crate::console::{self, Style, print_err, print_out};
use crate::escape::escape_os;
use crate::outcome::Outcome;
use crate::table::Table;
use crate::{args, json, messages};
use unmoor::{Drive, DriveKind, Error, Medium, Volume, platform};
use unmoor_simulated::Simulated;

pub fn run(args: args::List) -> u8 {
    let listed = match args.simulated {
        true => unmoor::list(&Simulated::demo(), args.all),
        false => platform::native().and_then(|platform| unmoor::list(&*platform, args.all)),
    };
    let code = listed.as_ref().err().map_or(0, |e| Outcome::from(e).exit_code());
    if args.json {
        let drives = listed.as_deref().unwrap_or_default();
        return print_document(&json::of_drives(code, drives, listed.as_ref().err()), code);
    }
    match listed {
        Ok(drives) => print(&drives, args.all),
        Err(error) => fail(&error),
    }
    code
}

fn fail(error: &Error) {
    print_err(Style::Bad, &messages::failure(None, error));
    if let Some(help) = error.help() {
        print_err(Style::Plain, &format!("  {help}"));
    }
}

/// Prints the tree.
pub fn print(drives: &[Drive], all: bool) {
    if drives.is_empty() {
        let more = if all { "" } else { " `unmoor list --all` shows the built-in ones." };
        return print_out(Style::Plain, &format!("There is no removable drive.{more}"));
    }
    let mut table = Table::new(&[1]);
    table.row(["NAME", "SIZE", "TYPE", "MODEL OR LABEL", "STATE"].map(String::from));
    let lines = console::has_lines();
    for drive in drives {
        add(drive, lines, &mut table);
    }
    let lines = table.lines(console::width());
    for (index, line) in lines.iter().enumerate() {
        print_out(if index == 0 { Style::Strong } else { Style::Plain }, line);
    }
}

fn add(drive: &Drive, lines: bool, table: &mut Table) {
    let size = drive.size.filter(|s| *s > 0).map(messages::size).unwrap_or_default();
    let model = match &drive.backing_file {
        Some(file) => escape_os(file),
        None => messages::model(drive).unwrap_or_default(),
    };
    let mut state = state(drive);
    // A file system directly on the drive is printed in the drive's line.
    let (whole, parts): (Vec<_>, Vec<_>) = drive.volumes.iter().partition(|v| v.name == drive.name);
    state.extend(whole.iter().flat_map(|v| content(v)));
    table.row([drive.name.clone(), size, kind(drive), model, state.join(", ")]);
    for (index, volume) in parts.iter().enumerate() {
        let branch = match (lines, index + 1 == parts.len()) {
            (true, false) => "├─",
            (true, true) => "└─",
            (false, false) => "|-",
            (false, true) => "`-",
        };
        let deeper = if volume.parents.contains(&drive.name) { "" } else { "  " };
        table.row([
            format!("{deeper}{branch} {}", volume.name),
            volume.size.map(messages::size).unwrap_or_default(),
            volume.file_system.clone().unwrap_or_default(),
            volume.label.clone().unwrap_or_default(),
            attached(volume).join(", "),
        ]);
    }
}

/// Returns bus and kind: `usb disk`, `mmc card`, `loop`.
pub fn kind(drive: &Drive) -> String {
    let kind = json::kind_of(drive);
    match drive.kind {
        DriveKind::Loop | DriveKind::Network => kind.into(),
        _ => format!("{} {kind}", json::bus_of(drive)),
    }
}

fn state(drive: &Drive) -> Vec<String> {
    let mut state = Vec::new();
    if !drive.system_uses.is_empty() {
        state.push(format!("system ({})", drive.system_uses.join(", ")));
    } else if !drive.removable && !drive.hotplug && drive.kind != DriveKind::Loop {
        state.push("built in".into());
    }
    match drive.medium {
        Medium::Absent => state.push("no medium".into()),
        Medium::TrayOpen => state.push("tray open".into()),
        _ => {}
    }
    if drive.read_only {
        state.push("read-only".into());
    }
    state
}

/// Returns file system, label and mounts of a volume that fills its drive.
fn content(volume: &Volume) -> Vec<String> {
    let named = match (&volume.file_system, &volume.label) {
        (Some(fs), Some(label)) => Some(format!("{fs} \"{label}\"")),
        (fs, label) => fs.clone().or_else(|| label.clone()),
    };
    named.into_iter().chain(attached(volume)).collect()
}

/// Returns the mount points and the number of unwritten bytes.
fn attached(volume: &Volume) -> Vec<String> {
    let mut parts: Vec<String> = volume.mounts.iter().map(|m| escape_os(&m.path)).collect();
    if let Some(bytes) = volume.unwritten.filter(|b| *b > 0) {
        parts.push(format!("{} unwritten", messages::size(bytes)));
    }
    parts
}
