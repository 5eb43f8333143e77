//! `umount` and `fusermount3`: set-user-ID programs that unmount what belongs to this user.
//!
//! `umount` does so for a mount that fstab lists with `user` or `users` (umount(8), "Non-superuser umounts"),
//! `fusermount3` for a FUSE mount of this user (fusermount3(1)).

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::platform::linux::udisks::bus::in_time;
use rustix::io::Errno;
use std::io::ErrorKind as IoError;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs a program with this path as the last argument, after `--`.
///
/// # Errors
/// `Busy`; `NotPermitted`; `NotSupported` if the program is not installed; `TimedOut`; `Interrupted`.
pub fn run(
    program: &'static str,
    options: &'static [&'static str],
    path: &Path,
    deadline: &mut Deadline<'_>,
    tick: impl FnMut(&mut Deadline<'_>),
) -> Result<()> {
    let shown = path.display().to_string();
    let mut command = Command::new(program);
    command.args(options).arg("--").arg(path).env("LC_ALL", "C").stdin(Stdio::null());
    match in_time(deadline, tick, move || command.output())? {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(refusal(program, &output, &shown)),
        Err(error) if error.kind() == IoError::NotFound => {
            let why = format!("{program} is not installed");
            Err(Error::new(ErrorKind::NotSupported, shown, why).with_hint(Hint::Elevate))
        }
        Err(error) => Err(Error::new(ErrorKind::Failed, shown, format!("{program}: {error}"))),
    }
}

fn refusal(program: &str, output: &Output, shown: &str) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    if said.contains("busy") {
        return Error::new(ErrorKind::Busy, shown, "is in use")
            .with_os_code(Errno::BUSY.raw_os_error());
    }
    if said.contains("superuser") || said.contains("ermission") || said.contains("permitted") {
        let why = format!("{program} does not permit it to this user: {said}");
        return Error::new(ErrorKind::NotPermitted, shown, why).with_hint(Hint::Elevate);
    }
    Error::new(ErrorKind::Failed, shown, format!("{program}: {said}"))
}
