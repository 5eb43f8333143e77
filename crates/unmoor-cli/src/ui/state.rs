//! State of the picker, and how keys and messages change it.

use super::work::{Message, Operation};
use crate::commands::lines;
use crate::console::Style;
use crate::duration;
use crate::messages;
use crate::target_result::TargetResult;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use unmoor::{Drive, Error, Event, Hint};

/// Lines of the log that are kept.
const LOG_LENGTH: usize = 200;

/// Request that a key makes.
pub enum Request {
    Quit,
    /// Cancels the operations that run.
    Cancel,
    Start(Operation, Box<Drive>),
}

/// A question that waits for its answer.
pub struct Question {
    pub lines: Vec<String>,
    answer: Sender<bool>,
}

/// State of the picker.
#[derive(Default)]
pub struct State {
    pub drives: Vec<Drive>,
    /// Name of the selected drive.
    selected: Option<String>,
    /// Name of the selected drive, and lines about its users.
    users: Option<(String, Vec<String>)>,
    /// Steps of the operations that run, by the names of their drives.
    pub activities: BTreeMap<String, String>,
    pub log: Vec<(Style, String)>,
    pub question: Option<Question>,
    /// Error of the last list.
    pub error: Option<String>,
    /// True once the drives were listed.
    pub is_listed: bool,
}

impl State {
    /// Returns the index of the selected drive.
    pub fn selected_index(&self) -> Option<usize> {
        let name = self.selected.as_ref()?;
        self.drives.iter().position(|drive| drive.name == *name)
    }

    /// Returns the selected drive.
    pub fn selected_drive(&self) -> Option<&Drive> {
        self.selected_index().map(|index| &self.drives[index])
    }

    /// Returns what uses the selected drive, once it was looked for.
    pub fn users(&self) -> Option<&[String]> {
        let (name, lines) = self.users.as_ref()?;
        (Some(name) == self.selected.as_ref()).then_some(lines)
    }

    pub fn on_message(&mut self, message: Message) {
        match message {
            Message::Drives(Ok(drives)) => self.set_drives(drives),
            Message::Drives(Err(error)) => self.error = Some(messages::failure(None, &error)),
            Message::Users(name, lines) => self.users = Some((name, lines)),
            Message::Event(name, event) => self.on_event(name, event),
            Message::Finished(name, command, report) => {
                self.activities.remove(&name);
                let mut result = TargetResult::from_report(name.into(), command, *report);
                // Other hints name options of the command line.
                let hint = result.error.as_ref().and_then(Error::hint);
                if result.error.is_some() && !matches!(hint, Some(Hint::Text(_) | Hint::Elevate)) {
                    result.help = None;
                }
                let warnings =
                    result.warnings.iter().map(|w| (Style::Warning, format!("warning: {w}")));
                let warnings: Vec<_> = warnings.collect();
                self.log.extend(lines(command, &result, false, None));
                self.log.extend(warnings);
            }
            Message::NotStarted(name, error) => {
                self.activities.remove(&name);
                self.log.push((Style::Bad, messages::failure(None, &error)));
            }
            Message::Question(lines, answer) => self.question = Some(Question { lines, answer }),
        }
        let excess = self.log.len().saturating_sub(LOG_LENGTH);
        self.log.drain(..excess);
    }

    /// Takes the new list. The selection stays on its drive, or moves to the one in its place.
    fn set_drives(&mut self, drives: Vec<Drive>) {
        let index = self.selected_index().unwrap_or(0);
        self.drives = drives;
        (self.error, self.is_listed) = (None, true);
        if self.selected_index().is_none() {
            let last = self.drives.len().saturating_sub(1);
            self.selected = self.drives.get(index.min(last)).map(|drive| drive.name.clone());
        }
    }

    fn on_event(&mut self, name: String, event: Event) {
        let activity = match event {
            Event::Started(step) => step.name().to_string(),
            Event::Flushing { remaining, .. } if remaining > 0 => {
                format!("writing, {} left", messages::size(remaining))
            }
            Event::Waiting { remaining, .. } => {
                format!("in use; waiting {}", duration::words(remaining))
            }
            Event::Warning(warning) => {
                self.log.push((Style::Warning, format!("{name}: {warning}")));
                return;
            }
            _ => return,
        };
        self.activities.insert(name, activity);
    }

    /// Handles a key. A question takes every key.
    pub fn on_key(&mut self, key: KeyEvent) -> Option<Request> {
        let is_interrupt =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if let Some(question) = self.question.take() {
            _ = question.answer.send(!is_interrupt && matches!(key.code, KeyCode::Char('y' | 'Y')));
            return None;
        }
        if is_interrupt {
            let idle = self.activities.is_empty();
            return Some(if idle { Request::Quit } else { Request::Cancel });
        }
        let operation = match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Request::Quit),
            KeyCode::Up | KeyCode::Char('k') => return self.move_selection(-1),
            KeyCode::Down | KeyCode::Char('j') => return self.move_selection(1),
            KeyCode::Enter | KeyCode::Char('e') => Operation::Eject,
            KeyCode::Char('u') => Operation::Dismount,
            KeyCode::Char('p') => Operation::PowerOff,
            KeyCode::Char('x') => Operation::Kill,
            KeyCode::Char('f') => Operation::Flush,
            KeyCode::Char('l') => Operation::Load,
            _ => return None,
        };
        let drive = self.selected_drive()?.clone();
        if self.activities.contains_key(&drive.name) {
            return None;
        }
        self.activities.insert(drive.name.clone(), "starting".into());
        Some(Request::Start(operation, Box::new(drive)))
    }

    fn move_selection(&mut self, by: isize) -> Option<Request> {
        let last = self.drives.len().checked_sub(1)?;
        let index = self.selected_index().unwrap_or(0).saturating_add_signed(by).min(last);
        self.selected = Some(self.drives[index].name.clone());
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use unmoor_simulated::Simulated;

    fn state() -> State {
        let mut state = State::default();
        state.on_message(Message::Drives(unmoor::list(&Simulated::demo(), true)));
        state
    }

    fn key(state: &mut State, code: KeyCode) -> Option<Request> {
        state.on_key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn the_selection_stays_on_its_drive_when_others_come_and_go() {
        let mut state = state();
        key(&mut state, KeyCode::Down);
        key(&mut state, KeyCode::Down);
        let name = state.selected_drive().expect("there are many").name.clone();
        let mut fewer = state.drives.clone();
        fewer.remove(0);
        state.on_message(Message::Drives(Ok(fewer)));
        assert_eq!(state.selected_drive().map(|drive| &drive.name), Some(&name));
        state.on_message(Message::Drives(Ok(Vec::new())));
        assert!(state.selected_drive().is_none());
        assert!(key(&mut state, KeyCode::Char('e')).is_none(), "there is nothing to eject");
    }

    #[test]
    fn a_drive_that_is_being_released_is_not_released_again() {
        let mut state = state();
        let is_start = |request| matches!(request, Some(Request::Start(Operation::Eject, _)));
        assert!(is_start(key(&mut state, KeyCode::Char('e'))));
        assert!(key(&mut state, KeyCode::Enter).is_none());
    }

    #[test]
    fn only_y_answers_a_question_with_yes_and_no_other_key_does_anything_else() {
        for (code, yes) in
            [(KeyCode::Char('y'), true), (KeyCode::Enter, false), (KeyCode::Char('q'), false)]
        {
            let mut state = state();
            let (answer, answered) = mpsc::channel();
            state.on_message(Message::Question(vec!["end it?".into()], answer));
            assert!(key(&mut state, code).is_none());
            assert_eq!(answered.try_recv(), Ok(yes), "{code:?}");
        }
    }
}
