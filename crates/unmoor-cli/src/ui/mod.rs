//! The live picker: shows the library's drives and events, and starts its operations. Decides nothing.

mod hangup;
mod screen;
mod state;
mod work;

use crate::outcome::Outcome;
use crate::{platforms, signals};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input, KeyEventKind};
use state::{Request, State};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use unmoor::platform::{self, Platform};
use unmoor::{Cancel, Error, ErrorKind};
use work::{Message, Workers};

/// Interval between two redraws while nothing is typed.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Returns true if a terminal can show the picker and read its keys.
pub fn has_terminal() -> bool {
    io::stdin().is_terminal()
        && io::stdout().is_terminal()
        && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
}

/// Shows the drives until the user quits. Returns the exit code.
pub fn run(simulated: bool) -> Result<u8, Error> {
    if !has_terminal() {
        let why = "needs a terminal for input and output";
        return Err(Error::new(ErrorKind::InvalidTarget, "ui", why)
            .with_help("without one: unmoor list, unmoor status, unmoor eject"));
    }
    let platform: Arc<dyn Platform> =
        if simulated { platforms::simulated()? } else { platform::native()? }.into();
    let cancel = signals::cancel();
    let (sender, receiver) = mpsc::channel();
    let workers = Workers::start(platform, sender, cancel.clone(), simulated);
    let failed = |error: io::Error| Error::new(ErrorKind::Failed, "terminal", error.to_string());
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let shown = show(&mut terminal, &workers, &receiver, &cancel);
    ratatui::restore();
    shown.map_err(failed)?;
    Ok(if cancel.is_cancelled() { Outcome::Interrupted.exit_code() } else { 0 })
}

/// Draws, and handles keys and messages, until the user quits or a signal arrives.
fn show(
    terminal: &mut DefaultTerminal,
    workers: &Workers,
    messages: &Receiver<Message>,
    cancel: &Cancel,
) -> io::Result<()> {
    let mut state = State::default();
    loop {
        messages.try_iter().for_each(|message| state.on_message(message));
        workers.select(state.selected_drive());
        terminal.draw(|frame| screen::draw(frame, &state))?;
        if hangup::await_input(REDRAW_INTERVAL)? {
            workers.cancel_operations();
            return Ok(());
        }
        if event::poll(Duration::ZERO)?
            && let Input::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            match state.on_key(key) {
                Some(Request::Quit) => return Ok(()),
                Some(Request::Cancel) => workers.cancel_operations(),
                Some(Request::Start(operation, drive)) => workers.operate(operation, &drive),
                None => {}
            }
        }
        if cancel.is_cancelled() {
            workers.cancel_operations();
            return Ok(());
        }
    }
}
