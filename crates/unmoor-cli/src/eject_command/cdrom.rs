//! The CD-ROM ioctls that only `eject` offers: button, auto-eject, speed, changer
//! (`linux/cdrom.h`, Documentation/userspace-api/ioctl/cdrom.rst).

use super::device::Device;
use super::failure::Failure;
use super::options::EjectOptions;
use super::options::say;
use crate::console::{Style, print_out};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use unmoor::Options;

const CDROM_SELECT_SPEED: libc::c_ulong = 0x5322;
const CDROM_SELECT_DISC: libc::c_ulong = 0x5323;
const CDROM_LOCKDOOR: libc::c_ulong = 0x5329;
const CDROM_SET_OPTIONS: libc::c_ulong = 0x5320;
const CDROM_CLEAR_OPTIONS: libc::c_ulong = 0x5321;
/// `CDO_AUTO_EJECT`: open the tray when the device is closed.
const CDO_AUTO_EJECT: usize = 2;

/// Locks or unlocks the button of the drive. `eject` unlocks it again.
pub fn lock_button(device: &Device<'_>, locked: bool) -> Result<(), Failure> {
    call(device, CDROM_LOCKDOOR, locked.into(), "CD-ROM lock door command failed")?;
    let may = if locked { "may NOT be" } else { "may be" };
    say(&format!("CD-Drive {may} ejected with device button"));
    Ok(())
}

/// Turns auto-eject on or off.
pub fn set_auto_eject(
    device: &Device<'_>,
    on: bool,
    options: &EjectOptions,
) -> Result<(), Failure> {
    let (verb, request) =
        if on { ("enabling", CDROM_SET_OPTIONS) } else { ("disabling", CDROM_CLEAR_OPTIONS) };
    options.explain(&format!("{}: {verb} auto-eject mode", device.name()));
    call(device, request, CDO_AUTO_EJECT, "CD-ROM auto-eject command failed").map(drop)
}

/// Selects a disc of a changer.
pub fn select_slot(
    device: &Device<'_>,
    slot: usize,
    options: &EjectOptions,
) -> Result<(), Failure> {
    options.explain(&format!("{}: selecting CD-ROM disc #{slot}", device.name()));
    call(device, CDROM_SELECT_DISC, slot, "CD-ROM select disc command failed").map(drop)
}

/// Sets the maximum speed; 0 is the highest.
pub fn select_speed(
    device: &Device<'_>,
    speed: usize,
    options: &EjectOptions,
) -> Result<(), Failure> {
    match speed {
        0 => options.explain("setting CD-ROM speed to auto"),
        speed => options.explain(&format!("setting CD-ROM speed to {speed}X")),
    }
    set_speed(device, speed)
}

fn set_speed(device: &Device<'_>, speed: usize) -> Result<(), Failure> {
    call(device, CDROM_SELECT_SPEED, speed, "CD-ROM select speed command failed").map(drop)
}

/// Prints the speeds that the drive accepts. Each is tried.
pub fn list_speeds(device: &Device<'_>, options: &EjectOptions) -> Result<(), Failure> {
    options.explain(&format!("{}: listing CD-ROM speed", device.name()));
    set_speed(device, 0)?;
    let highest = current_speed(device)?;
    let (mut speeds, mut wanted) = (Vec::new(), 1);
    while wanted <= highest {
        set_speed(device, wanted)?;
        let current = current_speed(device)?;
        if current > wanted {
            speeds.push(current.to_string());
        }
        wanted = wanted.max(current) + 1;
    }
    let line: String = speeds.iter().map(|speed| format!("{speed} ")).collect();
    print_out(Style::Plain, &line);
    Ok(())
}

/// Returns the drive's speed, which the kernel reports in `/proc/sys/dev/cdrom/info`.
fn current_speed(device: &Device<'_>) -> Result<usize, Failure> {
    let info = fs::read_to_string("/proc/sys/dev/cdrom/info").unwrap_or_default();
    let name = device.drive.path.file_name().unwrap_or_default().to_string_lossy();
    speed_in(&info, &name).ok_or_else(|| Failure::Text("failed to read speed".into()))
}

fn speed_in(info: &str, name: &str) -> Option<usize> {
    let row = |title: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(title));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>())
    };
    let column = row("drive name:")?.iter().position(|drive| *drive == name)?;
    row("drive speed:")?.get(column)?.parse().ok()
}

/// Sends a request with a number to the drive.
///
/// The thread that does so is left behind if the drive does not answer.
fn call(
    device: &Device<'_>,
    request: libc::c_ulong,
    argument: usize,
    failed: &str,
) -> Result<i32, Failure> {
    let failure = |why: &dyn std::fmt::Display| Failure::Text(format!("{failed}: {why}"));
    let (sender, receiver) = mpsc::channel();
    let path = device.drive.path.clone();
    let answer = move || _ = sender.send(open_and_call(&path, request, argument));
    std::thread::Builder::new().spawn(answer).map_err(|error| failure(&error))?;
    let time: Duration = Options::DEFAULT_STEP_TIMEOUT;
    match receiver.recv_timeout(time) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(CallError::Open(error))) => {
            let name = device.name();
            Err(Failure::Text(format!("cannot open {name}: {}", words(&error))))
        }
        Ok(Err(CallError::Call(error))) => Err(failure(&words(&error))),
        Err(_) => Err(failure(&"the drive does not answer")),
    }
}

enum CallError {
    Open(io::Error),
    Call(io::Error),
}

fn open_and_call(path: &Path, request: libc::c_ulong, argument: usize) -> Result<i32, CallError> {
    let path: PathBuf = path.into();
    let open = |write| {
        OpenOptions::new().read(true).write(write).custom_flags(libc::O_NONBLOCK).open(&path)
    };
    let file = open(true).or_else(|_| open(false)).map_err(CallError::Open)?;
    // SAFETY: each of the requests above takes a number, not a pointer.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), request, argument) };
    match answer {
        0.. => Ok(answer),
        _ => Err(CallError::Call(io::Error::last_os_error())),
    }
}

/// Returns the system's words without the number that the standard library adds.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_in_the_column_of_the_drive() {
        let info = "CD-ROM information\n\ndrive name:\t\tsr1\tsr0\ndrive speed:\t\t4\t48\n";
        assert_eq!(speed_in(info, "sr0"), Some(48));
        assert_eq!(speed_in(info, "sr1"), Some(4));
        assert_eq!(speed_in(info, "sr2"), None);
        assert_eq!(speed_in("", "sr0"), None);
    }
}
