//! `list --watch`: each drive that is there, and then each that is added, changed or removed.

use super::changes::Changes;
use super::list::{columns, drives, is_number, print_error, rows};
use crate::args;
use crate::console::{self, Style, print_out, write_out};
use crate::outcome::Outcome;
use crate::platforms::Platforms;
use crate::table::Table;
use crate::{json, signals};
use std::fmt::Write;
use unmoor::{Drive, DriveKind, Error, ErrorKind, Target};

/// Event of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveEvent {
    /// There when the watch began.
    Present,
    Added,
    Changed,
    Removed,
}

impl DriveEvent {
    /// Returns the name of the event in text and JSON.
    pub fn name(self) -> &'static str {
        match self {
            DriveEvent::Present => "present",
            DriveEvent::Added => "added",
            DriveEvent::Changed => "changed",
            DriveEvent::Removed => "removed",
        }
    }
}

pub fn run(args: args::List) -> Result<u8, Error> {
    let platforms = Platforms::default();
    let simulated =
        args.targets.iter().any(|name| matches!(Target::parse(name), Ok(Target::Simulated(_))));
    let platform = platforms.listed(args.simulated || simulated)?;
    let mut changes = Changes::start(platform, signals::cancel())?;
    let mut output = Output::new(&args);
    let mut known: Option<Vec<Drive>> = None;
    loop {
        let (now, errors) = drives(&platforms, &args)?;
        // A drive that is not there yet, or no longer, is what a watch is for.
        let absent = [ErrorKind::NoSuchTarget, ErrorKind::Gone, ErrorKind::NoMedium];
        if let Some(error) = errors.iter().find(|error| !absent.contains(&error.kind())) {
            print_error(error);
            return Ok(Outcome::from(error).exit_code());
        }
        for (event, drive) in events(known.as_deref(), &now) {
            output.print(event, drive);
        }
        output.flush();
        known = Some(now);
        if !changes.wait(None)? {
            return Ok(changes.exit_code());
        }
    }
}

/// Returns what has happened between two lists. Without an earlier one, every drive is present.
fn events<'d>(before: Option<&'d [Drive]>, now: &'d [Drive]) -> Vec<(DriveEvent, &'d Drive)> {
    let Some(before) = before else {
        return now.iter().map(|drive| (DriveEvent::Present, drive)).collect();
    };
    let find = |all: &'d [Drive], drive: &Drive| all.iter().find(|one| is_same(one, drive));
    let gone = before.iter().filter(|drive| find(now, drive).is_none());
    let gone = gone.map(|drive| (DriveEvent::Removed, drive));
    let new = now.iter().filter_map(|drive| match find(before, drive) {
        None => Some((DriveEvent::Added, drive)),
        Some(was) if without_counters(was) != without_counters(drive) => {
            Some((DriveEvent::Changed, drive))
        }
        Some(_) => None,
    });
    gone.chain(new).collect()
}

/// Returns true if it is the same drive. The identity of an optical drive changes with its disc.
fn is_same(one: &Drive, other: &Drive) -> bool {
    let named = |drive: &Drive| (drive.name.clone(), drive.model.clone(), drive.serial.clone());
    named(one) == named(other) && (one.id == other.id || one.kind == DriveKind::Optical)
}

/// Returns the drive without what changes all the time and causes no event.
fn without_counters(drive: &Drive) -> Drive {
    let mut drive = drive.clone();
    drive.volumes.iter_mut().for_each(|volume| volume.unwritten = None);
    drive
}

/// Prints events, as lines of a table or of JSON.
struct Output<'a> {
    args: &'a args::List,
    table: Table,
    /// True until the names of the columns are printed.
    has_headings: bool,
}

impl<'a> Output<'a> {
    fn new(args: &'a args::List) -> Self {
        let columns = columns(&args.layout);
        let right: Vec<usize> =
            (0..columns.len()).filter(|at| is_number(columns[*at])).map(|at| at + 1).collect();
        let mut table = Table::new(&right);
        let has_headings = !args.json && !args.layout.no_headings;
        if has_headings {
            let headings = columns.iter().map(|column| column.heading());
            table.row(std::iter::once("EVENT".into()).chain(headings));
        }
        Output { args, table, has_headings }
    }

    fn print(&mut self, event: DriveEvent, drive: &Drive) {
        if self.args.json {
            let mut line = json::of_event(event.name(), drive);
            if cfg!(windows) {
                line = json::ascii(&line);
            }
            _ = writeln!(line);
            return write_out(&line);
        }
        let mut rows = rows(drive, &self.args.layout);
        if event == DriveEvent::Removed {
            rows.truncate(1);
        }
        for row in rows {
            self.table.row(std::iter::once(event.name().into()).chain(row));
        }
    }

    fn flush(&mut self) {
        for line in self.table.lines(console::width()) {
            let style = if self.has_headings { Style::Strong } else { Style::Plain };
            print_out(style, &line);
            self.has_headings = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unmoor::{Bus, DriveId, Volume, VolumeKind};

    fn drive(name: &str, generation: u64) -> Drive {
        let id = DriveId::new(1, generation);
        let mut drive = Drive::new(id, name, "/dev/x", DriveKind::Disk, Bus::Usb);
        drive.volumes = vec![Volume::new("x1", "/dev/x1", VolumeKind::Partition)];
        drive
    }

    fn names<'d>(before: &'d [Drive], now: &'d [Drive]) -> Vec<(&'static str, &'d str)> {
        events(Some(before), now).iter().map(|(event, d)| (event.name(), &*d.name)).collect()
    }

    #[test]
    fn another_stick_under_the_same_name_is_no_change_of_the_first() {
        let (first, second) = ([drive("sdb", 1)], [drive("sdb", 2)]);
        assert_eq!(names(&first, &second), [("removed", "sdb"), ("added", "sdb")]);
        assert!(names(&first, &first).is_empty());
    }

    #[test]
    fn another_disc_is_a_change_of_its_drive() {
        let disc = |generation| {
            let mut drive = drive("sr0", generation);
            drive.kind = DriveKind::Optical;
            drive
        };
        assert_eq!(names(&[disc(1)], &[disc(2)]), [("changed", "sr0")]);
    }

    #[test]
    fn bytes_that_are_written_are_no_event() {
        let mut dirty = drive("sdb", 1);
        dirty.volumes[0].unwritten = Some(7);
        assert!(names(&[drive("sdb", 1)], &[dirty.clone()]).is_empty());
        dirty.volumes[0].label = Some("HOLIDAY".into());
        assert_eq!(names(&[drive("sdb", 1)], &[dirty]), [("changed", "sdb")]);
    }
}
