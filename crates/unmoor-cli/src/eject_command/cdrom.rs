//! The settings of optical drives that only `eject` offers: button, auto-eject, speed, changer.

use super::device::Device;
use super::failure::Failure;
use super::options::EjectOptions;
use super::options::say;
use crate::console::{Style, print_out};
use crate::signals;
use std::fs;
use std::io;
use unmoor::{CdromSetting, Error, ErrorKind, Opened, Options};

/// Locks or unlocks the button of the drive. `eject` unlocks it again.
pub fn lock_button(device: &Device<'_>, locked: bool) -> Result<(), Failure> {
    let setting = CdromSetting::ButtonLocked(locked);
    set(device, &mut open(device)?, setting, "CD-ROM lock door command failed")?;
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
    let verb = if on { "enabling" } else { "disabling" };
    options.explain(&format!("{}: {verb} auto-eject mode", device.name()));
    let setting = CdromSetting::AutoEject(on);
    set(device, &mut open(device)?, setting, "CD-ROM auto-eject command failed")
}

/// Selects a disc of a changer.
pub fn select_slot(device: &Device<'_>, slot: u32, options: &EjectOptions) -> Result<(), Failure> {
    options.explain(&format!("{}: selecting CD-ROM disc #{slot}", device.name()));
    let setting = CdromSetting::Slot(slot);
    set(device, &mut open(device)?, setting, "CD-ROM select disc command failed")
}

/// Sets the maximum speed; 0 is the highest.
pub fn select_speed(
    device: &Device<'_>,
    speed: u32,
    options: &EjectOptions,
) -> Result<(), Failure> {
    match speed {
        0 => options.explain("setting CD-ROM speed to auto"),
        speed => options.explain(&format!("setting CD-ROM speed to {speed}X")),
    }
    set_speed(device, &mut open(device)?, speed)
}

fn set_speed(device: &Device<'_>, opened: &mut Opened<'_>, speed: u32) -> Result<(), Failure> {
    set(device, opened, CdromSetting::Speed(speed), "CD-ROM select speed command failed")
}

/// Prints the speeds that the drive accepts. Each is tried.
pub fn list_speeds(device: &Device<'_>, options: &EjectOptions) -> Result<(), Failure> {
    options.explain(&format!("{}: listing CD-ROM speed", device.name()));
    let mut opened = open(device)?;
    set_speed(device, &mut opened, 0)?;
    let highest = current_speed(device)?;
    let (mut speeds, mut wanted) = (Vec::new(), 1);
    while wanted <= highest {
        set_speed(device, &mut opened, wanted)?;
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
fn current_speed(device: &Device<'_>) -> Result<u32, Failure> {
    let info = fs::read_to_string("/proc/sys/dev/cdrom/info").unwrap_or_default();
    let name = device.drive.path.file_name().unwrap_or_default().to_string_lossy();
    speed_in(&info, &name).ok_or_else(|| Failure::Text("failed to read speed".into()))
}

fn speed_in(info: &str, name: &str) -> Option<u32> {
    let row = |title: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(title));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>())
    };
    let column = row("drive name:")?.iter().position(|drive| *drive == name)?;
    row("drive speed:")?.get(column)?.parse().ok()
}

fn open<'p>(device: &Device<'p>) -> Result<Opened<'p>, Failure> {
    let options = Options::cancelled_by(signals::cancel());
    Ok(Opened::open(device.platform, device.drive.clone(), &options)?)
}

/// Changes a setting. `failed` begins the line about an error.
fn set(
    device: &Device<'_>,
    opened: &mut Opened<'_>,
    setting: CdromSetting,
    failed: &str,
) -> Result<(), Failure> {
    opened.set_cdrom(setting).map_err(|error| match (error.kind(), system_error(&error)) {
        (ErrorKind::Interrupted, _) => error.into(),
        (ErrorKind::NotPermitted, Some(why)) => {
            Failure::Text(format!("cannot open {}: {why}", device.name()))
        }
        (_, Some(why)) => Failure::Text(format!("{failed}: {why}")),
        (_, None) => Failure::Text(format!("{failed}: {error}")),
    })
}

/// Returns the system's words for the error, without the number that the standard library adds.
fn system_error(error: &Error) -> Option<String> {
    let text = io::Error::from_raw_os_error(error.os_code()?).to_string();
    text.split(" (os error").next().map(String::from)
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
