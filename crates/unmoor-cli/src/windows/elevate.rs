//! Starts the command again as administrator (`--elevate`).
//!
//! A program that was started by `runas` inherits neither handles nor environment, so its output comes
//! through two named pipes. A third one carries nothing: when this process closes it, or ends, the other
//! one stops as after Ctrl-C.

use super::{named_pipe, runas};
use crate::{console, signals};
use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::thread;
use std::time::Duration;
use unmoor::{Error, ErrorKind, Result};
use windows_sys::Win32::Foundation::ERROR_CANCELLED;
use windows_sys::Win32::System::Console::{STD_ERROR_HANDLE, STD_OUTPUT_HANDLE};

/// Hidden option that names the pipes to the elevated process.
const OPTION: &str = "--elevated-output";
/// Start of the names of all pipes.
const PREFIX: &str = r"\\.\pipe\unmoor-";
/// Interval between checks for Ctrl-C.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Runs this command line as administrator and returns the exit code. `None` if this process is one.
///
/// # Errors
/// `NotPermitted` if the user declined; `Failed` if Windows could not start it.
pub fn run(words: &[OsString]) -> Result<Option<u8>> {
    if runas::is_elevated() {
        return Ok(None);
    }
    run_elevated(words).map(Some).map_err(|error| {
        let code = error.raw_os_error();
        let error = match code.is_some_and(|code| code as u32 == ERROR_CANCELLED) {
            true => Error::new(ErrorKind::NotPermitted, "--elevate", "the user declined it"),
            false => {
                let why = format!("cannot start unmoor as administrator: {error}");
                Error::new(ErrorKind::Failed, "--elevate", why)
            }
        };
        code.into_iter().fold(error, Error::with_os_code)
    })
}

fn run_elevated(words: &[OsString]) -> io::Result<u8> {
    let name = format!("{PREFIX}{}-{:016x}", std::process::id(), random());
    let output = Relay::start(format!("{name}-out"), console::write_out)?;
    let errors = Relay::start(format!("{name}-err"), console::write_err)?;
    let mut alive = Some(named_pipe::create_to_write(&format!("{name}-alive"))?);
    let cancel = signals::cancel();
    let mut line = OsString::from(format!("{OPTION} {name}"));
    for word in words.iter().skip(1) {
        line.push(" ");
        line.push(quoted(word));
    }
    let program = std::env::current_exe()?;
    let process = runas::Elevated::start(&program, &line, &std::env::current_dir()?)?;
    let code = loop {
        if let Some(code) = process.wait(POLL_INTERVAL)? {
            break code;
        }
        if cancel.is_cancelled() {
            alive = None;
        }
    };
    drop(alive);
    output.finish();
    errors.finish();
    Ok(u8::try_from(code).unwrap_or(crate::outcome::Outcome::Failed.exit_code()))
}

/// Thread that prints what comes through a pipe.
struct Relay {
    name: String,
    thread: thread::JoinHandle<()>,
}

impl Relay {
    fn start(name: String, print: fn(&str)) -> io::Result<Self> {
        let pipe = named_pipe::create_to_read(&name)?;
        let thread = thread::Builder::new().spawn(move || {
            if named_pipe::wait_for_client(&pipe).is_ok() {
                relay(pipe, print);
            }
        })?;
        Ok(Self { name, thread })
    }

    /// Waits until everything was printed. Opens the pipe first, in case the other process never did.
    fn finish(self) {
        drop(named_pipe::open(&self.name, true));
        _ = self.thread.join();
    }
}

/// Prints whole characters until the other end is closed.
fn relay(mut pipe: File, print: fn(&str)) {
    let (mut rest, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        rest.extend_from_slice(&buffer[..count]);
        let whole = match std::str::from_utf8(&rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => rest.len(),
        };
        print(&String::from_utf8_lossy(&rest[..whole]));
        rest.drain(..whole);
    }
}

/// Takes over the pipes of the process that started this one.
///
/// # Errors
/// `InvalidTarget` if the name is none that [`run`] gives; `Failed` if that process has gone.
pub fn connect(name: &OsStr) -> Result<()> {
    let name = name
        .to_str()
        .filter(|name| name.strip_prefix(PREFIX).is_some_and(|rest| !rest.contains(['\\', '/'])));
    let Some(name) = name else {
        return Err(Error::new(ErrorKind::InvalidTarget, OPTION, "is no name of a pipe of unmoor"));
    };
    let failed = |error: io::Error| Error::new(ErrorKind::Failed, OPTION, error.to_string());
    let open =
        |end: &str, to_write| named_pipe::open(&format!("{name}-{end}"), to_write).map_err(failed);
    let mut alive = open("alive", false)?;
    named_pipe::set_standard_handle(STD_OUTPUT_HANDLE, open("out", true)?);
    named_pipe::set_standard_handle(STD_ERROR_HANDLE, open("err", true)?);
    console::set_relayed();
    thread::Builder::new()
        .spawn(move || {
            _ = alive.read(&mut [0]);
            _ = signal_hook::low_level::raise(signal_hook::consts::SIGINT);
        })
        .map(drop)
        .map_err(failed)
}

/// Returns a number that no other process can guess.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Quotes a word for a command line, as `CommandLineToArgvW` reads it.
fn quoted(word: &OsStr) -> OsString {
    let [quote, backslash] = [b'"', b'\\'].map(u16::from);
    let units: Vec<u16> = word.encode_wide().collect();
    let is_plain = |unit: &u16| ![b' ', b'\t', b'\n', b'"'].map(u16::from).contains(unit);
    if !units.is_empty() && units.iter().all(is_plain) {
        return word.to_owned();
    }
    let (mut line, mut backslashes) = (vec![quote], 0);
    for unit in units {
        // Backslashes before a quotation mark count double.
        if unit == quote {
            line.extend(std::iter::repeat_n(backslash, backslashes + 1));
        }
        backslashes = if unit == backslash { backslashes + 1 } else { 0 };
        line.push(unit);
    }
    line.extend(std::iter::repeat_n(backslash, backslashes));
    line.push(quote);
    OsString::from_wide(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_windows_reads_them() {
        for (word, line) in [
            ("E:", "E:"),
            (r"E:\", r"E:\"),
            ("", r#""""#),
            ("My Stick", r#""My Stick""#),
            (r"C:\My Folder\", r#""C:\My Folder\\""#),
            (r#"a"b"#, r#""a\"b""#),
            (r#"a\"b c"#, r#""a\\\"b c""#),
        ] {
            assert_eq!(quoted(word.as_ref()), line);
        }
    }

    #[test]
    fn only_pipes_of_unmoor_are_opened() {
        for name in [r"\\.\pipe\other", r"\\.\E:", r"\\.\pipe\unmoor-\x", r"\\server\pipe\unmoor-1"]
        {
            assert_eq!(connect(name.as_ref()).unwrap_err().kind(), ErrorKind::InvalidTarget);
        }
    }

    #[test]
    fn a_relay_prints_everything_and_ends_without_a_client() {
        static PRINTED: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());
        let name = format!("{PREFIX}test-{}", std::process::id());
        let start = || Relay::start(name.clone(), |text| PRINTED.lock().unwrap().push_str(text));
        start().unwrap().finish();
        let relay = start().unwrap();
        let mut end = named_pipe::open(&name, true).unwrap();
        let text = "Ü€".repeat(3000);
        io::Write::write_all(&mut end, text.as_bytes()).unwrap();
        drop(end);
        relay.finish();
        assert_eq!(*PRINTED.lock().unwrap(), text);
    }
}
