//! The command `eject`: takes the options of util-linux's, and releases drives as `unmoor` does.
//!
//! Meaning, exit codes (0 and 1) and silence are those of eject(1) in util-linux 2.38. The release itself is
//! the library's: it is refused as a whole if anything uses the drive, and it is verified. What the two do
//! differently is in docs/eject.md.

mod cdrom;
mod device;
mod failure;
mod options;
mod release;
mod tray;

use crate::console::{Style, print_err, print_out};
use device::{DEFAULT_DEVICE, Device};
use failure::{FAILED, Failure};
use options::{EjectOptions, Parsed, say};
use std::ffi::OsString;
use std::path::Path;

pub use options::command_line;

/// Returns true if the program was called as `eject`.
pub fn is_meant(words: &[OsString]) -> bool {
    let name = words.first().and_then(|word| Path::new(word).file_name());
    name.is_some_and(|name| name == "eject" || name == "eject.unmoor")
}

/// Runs the command; the first word is its name. Returns the exit code.
pub fn run(words: &[OsString]) -> u8 {
    let options = match options::parse(words) {
        Parsed::Options(options) => options,
        Parsed::Text(text) => {
            text.lines().for_each(|line| print_out(Style::Plain, line));
            return 0;
        }
        Parsed::Wrong(lines) => {
            lines.iter().for_each(|line| print_err(Style::Plain, line));
            return FAILED;
        }
    };
    match carry_out(&options) {
        Ok(()) => 0,
        Err(failure) => failure.print(),
    }
}

fn carry_out(options: &EjectOptions) -> Result<(), Failure> {
    if options.default {
        say(&format!("default device: `{DEFAULT_DEVICE}'"));
        return Ok(());
    }
    let platforms = crate::platforms::Platforms::default();
    let device = Device::find(options, &platforms)?;
    if options.noop {
        say(&format!("device is `{}'", device.name()));
        options.explain("exiting due to -n/--noop option");
        return Ok(());
    }
    if let Some(locked) = options.manualeject {
        return cdrom::lock_button(&device, locked);
    }
    if let Some(on) = options.auto {
        return cdrom::set_auto_eject(&device, on, options);
    }
    if options.trayclose {
        tray::close(&device, options)?;
        return options
            .cdspeed
            .map_or(Ok(()), |speed| cdrom::select_speed(&device, speed, options));
    }
    if options.traytoggle {
        tray::toggle(&device, options)?;
        return options
            .cdspeed
            .map_or(Ok(()), |speed| cdrom::select_speed(&device, speed, options));
    }
    if options.listspeed {
        return cdrom::list_speeds(&device, options);
    }
    match (options.changerslot, options.cdspeed) {
        (None, Some(speed)) => cdrom::select_speed(&device, speed, options),
        (Some(slot), speed) => {
            release::dismount(&device, options)?;
            cdrom::select_slot(&device, slot, options)?;
            speed.map_or(Ok(()), |speed| cdrom::select_speed(&device, speed, options))
        }
        (None, None) => release::eject(&device, options),
    }
}
