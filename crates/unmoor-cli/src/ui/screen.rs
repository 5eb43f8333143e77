//! Draws the picker.

use super::state::State;
use crate::commands::list::kind;
use crate::console;
use crate::escape::{escape, escape_os};
use crate::messages;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table, TableState, Wrap};
use unmoor::{Drive, Medium};

const KEYS: &str =
    " ↑↓ select  e eject  u dismount  p power off  f flush  l load  x end programs  q quit ";

/// Draws drives, users of the selected one, log and keys.
pub fn draw(frame: &mut Frame<'_>, state: &State) {
    let drives = u16::try_from(state.drives.len()).unwrap_or(u16::MAX).saturating_add(3);
    let half = frame.area().height / 2;
    let [top, middle, bottom, keys] = Layout::vertical([
        Constraint::Length(drives.clamp(4, half.max(4))),
        Constraint::Min(3),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_drives(frame, top, state);
    draw_users(frame, middle, state);
    draw_log(frame, bottom, state);
    frame.render_widget(Line::from(KEYS).style(Modifier::REVERSED), keys);
    if let Some(question) = &state.question {
        draw_question(frame, &question.lines);
    }
}

fn draw_drives(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let block = Block::bordered().title(" unmoor: removable drives ");
    let message = match (&state.error, state.drives.is_empty()) {
        (Some(error), _) => Some(escape(error).into_owned()),
        (None, true) if state.is_listed => Some("There is no removable drive.".into()),
        (None, true) => Some("Looking for drives …".into()),
        (None, false) => None,
    };
    if let Some(message) = message {
        return frame.render_widget(Paragraph::new(message).block(block), area);
    }
    let headings = ["NAME", "SIZE", "TYPE", "LABEL OR MODEL", "MOUNTED ON", "UNWRITTEN", "STATE"];
    let rows = state.drives.iter().map(|drive| {
        let activity = state.activities.get(&drive.name);
        let cells = cells(drive, activity).map(|text| Cell::from(escape(&text).into_owned()));
        Row::new(cells).style(color(if activity.is_some() { Color::Yellow } else { Color::Reset }))
    });
    let widths = [
        Constraint::Max(12),
        Constraint::Max(9),
        Constraint::Max(11),
        Constraint::Fill(2),
        Constraint::Fill(3),
        Constraint::Max(9),
        Constraint::Fill(2),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(headings).style(Modifier::BOLD))
        .row_highlight_style(Modifier::REVERSED)
        .block(block);
    let mut selection = TableState::default().with_selected(state.selected_index());
    frame.render_stateful_widget(table, area, &mut selection);
}

fn cells(drive: &Drive, activity: Option<&String>) -> [String; 7] {
    let labels = drive.volumes.iter().filter_map(|volume| volume.label.clone());
    let labels = labels.collect::<Vec<_>>().join(", ");
    let mounts = drive.volumes.iter().flat_map(|volume| &volume.mounts);
    let mounts = mounts.map(|mount| escape_os(&mount.path)).collect::<Vec<_>>().join(", ");
    let unwritten = drive.unwritten().filter(|bytes| *bytes > 0).map(messages::size);
    let state = match (activity, drive.medium) {
        (Some(activity), _) => activity.clone(),
        (None, Medium::Absent) => "no medium".into(),
        (None, Medium::TrayOpen) => "tray open".into(),
        (None, _) if drive.carries_system() => "system".into(),
        (None, _) => String::new(),
    };
    [
        drive.name.clone(),
        drive.size.filter(|size| *size > 0).map(messages::size).unwrap_or_default(),
        kind(drive),
        if labels.is_empty() { messages::model(drive).unwrap_or_default() } else { labels },
        mounts,
        unwritten.unwrap_or_default(),
        state,
    ]
}

fn draw_users(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let name = state.selected_drive().map(|drive| drive.name.clone()).unwrap_or_default();
    let block = Block::bordered().title(format!(" what uses {} ", escape(&name)));
    let lines =
        state.users().unwrap_or_default().iter().map(|line| Line::from(escape(line).into_owned()));
    let text: Vec<Line<'_>> = lines.collect();
    frame.render_widget(Paragraph::new(text).block(block).wrap(Wrap { trim: false }), area);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let rows = usize::from(area.height.saturating_sub(2));
    let width = usize::from(area.width.saturating_sub(2)).max(1);
    // The newest lines that fit, as they are wrapped.
    let (mut first, mut used) = (state.log.len(), 0);
    while first > 0 && used < rows {
        first -= 1;
        used += escape(&state.log[first].1).chars().count().div_ceil(width).max(1);
    }
    let lines = state.log[first..]
        .iter()
        .map(|(style, line)| Line::from(escape(line).into_owned()).style(log_style(*style)));
    let text: Vec<Line<'_>> = lines.collect();
    let block = Block::bordered().title(" what happened ");
    frame.render_widget(Paragraph::new(text).block(block).wrap(Wrap { trim: false }), area);
}

fn draw_question(frame: &mut Frame<'_>, lines: &[String]) {
    let screen = frame.area();
    let height =
        u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(screen.height);
    let area = Rect { y: (screen.height - height) / 2, height, ..screen };
    let text: Vec<Line<'_>> =
        lines.iter().map(|line| Line::from(escape(line).into_owned())).collect();
    let block = Block::bordered().title(" question ").style(color(Color::Yellow));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(text).block(block), area);
}

fn log_style(style: console::Style) -> Style {
    match style {
        console::Style::Good => color(Color::Green),
        console::Style::Bad => color(Color::Red),
        console::Style::Warning => color(Color::Yellow),
        _ => Style::new(),
    }
}

/// Returns the color, or none if the user wants none.
fn color(color: Color) -> Style {
    if console::uses_color(true) { Style::new().fg(color) } else { Style::new() }
}
