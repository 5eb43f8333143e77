//! Hang-up of the terminal. crossterm reads a terminal that is gone for ever, and never returns.

use std::io;
use std::time::Duration;

/// Waits for input for this long at most. Returns true if the terminal is gone.
#[cfg(target_os = "linux")]
pub fn await_input(time: Duration) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, poll};
    let stdin = io::stdin();
    let mut terminal = [PollFd::new(&stdin, PollFlags::IN)];
    let time = time.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut terminal, Some(&time)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(terminal[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
}

/// Waits for input for this long at most. A console of Windows ends its programs when it closes.
#[cfg(not(target_os = "linux"))]
pub fn await_input(time: Duration) -> io::Result<bool> {
    ratatui::crossterm::event::poll(time).map(|_| false)
}
