//! `list`: drives and their volumes, one line each.

use super::document::print_document;
use super::parse;
use crate::args::{self, Column};
use crate::console::{self, Style, print_err};
use crate::escape::escape_os;
use crate::outcome::Outcome;
use crate::platforms::Platforms;
use crate::table::Table;
use crate::{json, messages};
use unmoor::{Drive, DriveKind, Error, Medium, Volume};

pub fn run(args: args::List) -> Result<u8, Error> {
    let (drives, errors) = drives(&Platforms::default(), &args)?;
    let code = Outcome::worst(errors.iter().map(|e| Outcome::from(e).exit_code()));
    if args.json {
        return Ok(print_document(&json::of_drives(code, &drives, errors.first()), code));
    }
    errors.iter().for_each(print_error);
    if !drives.is_empty() {
        print(&drives, &args.layout);
    } else if errors.is_empty() {
        print_none(args.all);
    }
    Ok(code)
}

/// Returns the drives that the arguments mean, and the error of each target that is none.
pub fn drives(platforms: &Platforms, args: &args::List) -> Result<(Vec<Drive>, Vec<Error>), Error> {
    let (mut drives, mut errors) = (Vec::new(), Vec::new());
    if args.targets.is_empty() {
        match platforms.listed(args.simulated).and_then(|of| unmoor::list(of, args.all)) {
            Ok(listed) => drives = listed,
            Err(error) => errors.push(error),
        }
    }
    for (_, target) in parse(args.targets.clone())? {
        match platforms.of(&target).and_then(|platform| unmoor::resolve(platform, &target)) {
            Ok(drive) => drives.push(drive),
            Err(error) => errors.push(error),
        }
    }
    Ok((drives, errors))
}

/// Prints the error and what to do about it.
pub fn print_error(error: &Error) {
    print_err(Style::Bad, &messages::failure(None, error));
    if let Some(help) = error.hint().map(messages::hint) {
        print_err(Style::Plain, &format!("  {help}"));
    }
}

/// Says on standard error that there is no drive: standard output is for results.
pub fn print_none(all: bool) {
    let more = if all { "" } else { " `unmoor list --all` shows the built-in ones." };
    print_err(Style::Plain, &format!("There is no removable drive.{more}"));
}

/// One line of the list: a drive, or a volume on it.
struct Line<'d> {
    drive: &'d Drive,
    /// The line's own volume. For a drive, the volume that fills it.
    volume: Option<&'d Volume>,
    is_drive: bool,
    name: String,
}

/// Returns the columns that the layout prints.
pub fn columns(layout: &args::Layout) -> &[Column] {
    match &layout.columns[..] {
        [] => &Column::DEFAULT,
        chosen => chosen,
    }
}

/// Returns true if the column has numbers, which are aligned on the right.
pub fn is_number(column: Column) -> bool {
    matches!(column, Column::Size | Column::Unwritten)
}

fn print(drives: &[Drive], layout: &args::Layout) {
    let columns = columns(layout);
    let right: Vec<usize> = (0..columns.len()).filter(|at| is_number(columns[*at])).collect();
    let mut table = Table::new(&right);
    if !layout.no_headings {
        table.row(columns.iter().map(|column| column.heading()));
    }
    drives.iter().flat_map(|drive| rows(drive, layout)).for_each(|row| table.row(row));
    let style = |index| match index == 0 && !layout.no_headings {
        true => Style::Strong,
        false => Style::Plain,
    };
    let lines = table.lines(console::width());
    console::print_lines(lines.iter().enumerate().map(|(index, line)| (style(index), &**line)));
}

/// Returns the rows of a drive: its own, and one per volume.
pub fn rows(drive: &Drive, layout: &args::Layout) -> Vec<Vec<String>> {
    // A tree is for people; a script gets plain names.
    let branches = console::width().map(|_| console::has_lines());
    let cells = |line| columns(layout).iter().map(|c| cell(*c, &line, layout.bytes)).collect();
    lines(drive, branches).into_iter().map(cells).collect()
}

/// Returns the lines of a drive: its own, and one per volume.
fn lines(drive: &Drive, branches: Option<bool>) -> Vec<Line<'_>> {
    // A file system directly on the drive is shown in the drive's line.
    let (whole, parts): (Vec<_>, Vec<_>) = drive.volumes.iter().partition(|v| v.name == drive.name);
    let volume = whole.first().copied();
    let mut lines = vec![Line { drive, volume, is_drive: true, name: drive.name.clone() }];
    for (index, volume) in parts.iter().enumerate() {
        let branch = match (branches, index + 1 == parts.len()) {
            (None, _) => "",
            (Some(true), false) => "├─ ",
            (Some(true), true) => "└─ ",
            (Some(false), false) => "|- ",
            (Some(false), true) => "`- ",
        };
        let is_direct = branches.is_none() || volume.parents.contains(&drive.name);
        let indent = if is_direct { "" } else { "  " };
        let name = format!("{indent}{branch}{}", volume.name);
        lines.push(Line { drive, volume: Some(volume), is_drive: false, name });
    }
    lines
}

fn cell(column: Column, line: &Line<'_>, bytes: bool) -> String {
    let Line { drive, volume, is_drive, .. } = *line;
    let size = |size: u64| if bytes { size.to_string() } else { messages::size(size) };
    let of_drive = |text: &Option<String>| text.clone().filter(|_| is_drive);
    let text = match column {
        Column::Name => Some(line.name.clone()),
        Column::Path if is_drive => Some(escape_os(&drive.path)),
        Column::Path => volume.map(|v| escape_os(&v.path)),
        Column::Size if is_drive => drive.size.filter(|s| *s > 0).map(size),
        Column::Size => volume.and_then(|v| v.size).map(size),
        Column::Type if is_drive => Some(kind(drive)),
        Column::Type | Column::Fstype => volume.and_then(|v| v.file_system.clone()),
        Column::Bus => is_drive.then(|| drive.bus.name().to_string()),
        Column::Vendor => of_drive(&drive.vendor),
        Column::Model => of_drive(&drive.model),
        Column::Serial => of_drive(&drive.serial),
        Column::Port => of_drive(&drive.port),
        Column::ModelOrLabel if is_drive => match &drive.backing_file {
            Some(file) => Some(escape_os(file)),
            None => messages::model(drive),
        },
        Column::ModelOrLabel | Column::Label => volume.and_then(|v| v.label.clone()),
        Column::Uuid => volume.and_then(|v| v.uuid.clone()),
        Column::Mountpoint => volume.map(|v| mount_points(v).join(", ")),
        Column::Unwritten if is_drive => drive.unwritten().map(size),
        Column::Unwritten => volume.and_then(|v| v.unwritten).map(size),
        Column::State => {
            let mut state = if is_drive { state(drive) } else { Vec::new() };
            if is_drive {
                state.extend(volume.iter().flat_map(|v| content(v)));
            }
            state.extend(volume.iter().flat_map(|v| mounts_and_cache(v, bytes)));
            Some(state.join(", "))
        }
    };
    text.unwrap_or_default()
}

/// Returns bus and kind: `usb disk`, `mmc card`, `loop`.
pub fn kind(drive: &Drive) -> String {
    let kind = drive.kind.name();
    match drive.kind {
        DriveKind::Loop | DriveKind::Network => kind.into(),
        _ => format!("{} {kind}", drive.bus.name()),
    }
}

fn state(drive: &Drive) -> Vec<String> {
    let mut state = Vec::new();
    if !drive.system_uses.is_empty() {
        state.push(format!("system ({})", drive.system_description()));
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

/// Returns file system and label of a volume that fills its drive.
fn content(volume: &Volume) -> Option<String> {
    match (&volume.file_system, &volume.label) {
        (Some(fs), Some(label)) => Some(format!("{fs} \"{label}\"")),
        (fs, label) => fs.clone().or_else(|| label.clone()),
    }
}

fn mount_points(volume: &Volume) -> Vec<String> {
    volume.mounts.iter().map(|m| escape_os(&m.path)).collect()
}

/// Returns the mount points and the number of unwritten bytes.
fn mounts_and_cache(volume: &Volume, bytes: bool) -> Vec<String> {
    let mut parts = mount_points(volume);
    if let Some(count) = volume.unwritten.filter(|b| *b > 0) {
        let count = if bytes { format!("{count} B") } else { messages::size(count) };
        parts.push(format!("{count} unwritten"));
    }
    parts
}
