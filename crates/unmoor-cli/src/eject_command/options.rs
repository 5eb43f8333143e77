//! Options of the command `eject`: those of eject(1), util-linux 2.38, with the same errors.

use crate::console::{Style, print_out};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};
use std::ffi::OsString;

/// Ejects removable media
///
/// Flushes what is cached for the drive, unmounts all its file systems, ejects the medium and verifies that
/// it left. Nothing is unmounted while any of it is in use; the programs that use it are listed then.
#[derive(Debug, Parser)]
#[command(
    name = "eject",
    disable_help_flag = true,
    disable_version_flag = true,
    infer_long_args = true,
    args_override_self = true,
    max_term_width = 100,
    override_usage = "eject [OPTIONS] [DEVICE|MOUNTPOINT]",
    after_help = AFTER_HELP
)]
pub struct EjectOptions {
    /// Drive to eject: sr0, /dev/sdb, /dev/sdb1, /media/stick, LABEL=…, UUID=… [default: /dev/cdrom]
    #[arg(value_name = "DEVICE|MOUNTPOINT", hide = true)]
    targets: Vec<OsString>,
    /// Turn auto-eject on or off
    #[arg(long, short, value_name = "on|off", allow_hyphen_values = true, value_parser = parse_switch)]
    pub auto: Option<bool>,
    /// Switch discs of a CD changer
    #[arg(long, short, value_name = "SLOT", allow_hyphen_values = true, value_parser = parse_slot)]
    pub changerslot: Option<u32>,
    /// Print the default device
    #[arg(long, short)]
    pub default: bool,
    /// Eject a floppy
    #[arg(long, short)]
    pub floppy: bool,
    /// Eject a drive that is built in
    #[arg(long, short = 'F')]
    pub force: bool,
    /// Lock or unlock the button of a CD drive
    #[arg(long, short = 'i', value_name = "on|off", allow_hyphen_values = true, value_parser = parse_switch)]
    pub manualeject: Option<bool>,
    /// Flush, but do not unmount
    #[arg(long, short = 'm')]
    pub no_unmount: bool,
    /// Do not unmount other partitions; fail if one is mounted
    #[arg(long, short = 'M')]
    pub no_partitions_unmount: bool,
    /// Print the device, and do nothing
    #[arg(long, short)]
    pub noop: bool,
    /// Ignored: the mount table is always that of the kernel
    #[arg(long, short)]
    pub proc: bool,
    /// Eject a tape
    #[arg(long, short = 'q')]
    pub tape: bool,
    /// Eject a disc
    #[arg(long, short = 'r')]
    pub cdrom: bool,
    /// Eject a SCSI or USB drive
    #[arg(long, short)]
    pub scsi: bool,
    /// Close the tray
    #[arg(long, short)]
    pub trayclose: bool,
    /// Open the tray if it is closed, and close it if it is open
    #[arg(long, short = 'T')]
    pub traytoggle: bool,
    /// Print each step
    #[arg(long, short)]
    pub verbose: bool,
    /// Set the maximum speed of a CD drive
    #[arg(long, short = 'x', value_name = "SPEED", allow_hyphen_values = true, value_parser = parse_speed)]
    pub cdspeed: Option<u32>,
    /// List the speeds of a CD drive
    #[arg(long, short = 'X')]
    pub listspeed: bool,
    /// Print help
    #[arg(long, short, action = ArgAction::SetTrue)]
    help: bool,
    /// Print version
    #[arg(long, short = 'V', action = ArgAction::SetTrue)]
    version: bool,
}

const AFTER_HELP: &str = "\
Without -f, -q, -r and -s, each kind of drive is ejected by its own method.

Exit codes: 0 ejected, 1 failed.

This is the `eject` of unmoor. It takes the options of util-linux's; `unmoor --help` has more.";

impl EjectOptions {
    /// Returns the given device or mount point.
    pub fn target(&self) -> Option<&OsString> {
        self.targets.first()
    }

    /// Prints a line with --verbose.
    pub fn explain(&self, text: &str) {
        if self.verbose {
            say(text);
        }
    }
}

/// Prints a line on standard output, as util-linux's `eject` prints information.
pub fn say(text: &str) {
    print_out(Style::Plain, &format!("eject: {text}"));
}

/// Result of parsing the command line.
pub enum Parsed {
    Options(Box<EjectOptions>),
    /// Help or version.
    Text(String),
    /// Lines of an error.
    Wrong(Vec<String>),
}

/// Returns the definition of the command line.
pub fn command_line() -> clap::Command {
    EjectOptions::command()
}

/// Parses the command line; the first word is the command's name.
pub fn parse(words: &[OsString]) -> Parsed {
    let parsed = command_line()
        .try_get_matches_from(words)
        .and_then(|matches| EjectOptions::from_arg_matches(&matches));
    match parsed {
        Ok(options) if options.help => Parsed::Text(command_line().render_help().to_string()),
        Ok(options) if options.version => {
            Parsed::Text(format!("eject from unmoor {}", env!("CARGO_PKG_VERSION")))
        }
        Ok(options) if options.targets.len() > 1 => {
            Parsed::Wrong(vec!["eject: too many arguments".into()])
        }
        Ok(options) => Parsed::Options(Box::new(options)),
        Err(error) => Parsed::Wrong(explain(&error)),
    }
}

/// Words the error as getopt_long(3) and util-linux do.
fn explain(error: &clap::Error) -> Vec<String> {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.as_str(),
        _ => "",
    };
    // clap adds the value's name: `--manualeject <on|off>`.
    let name = argument.split([' ', '=']).next().unwrap_or_default();
    let try_help = "Try 'eject --help' for more information.".to_string();
    match error.kind() {
        ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error).map(ToString::to_string);
            vec![format!("eject: {}", reason.unwrap_or_default())]
        }
        ErrorKind::InvalidValue => {
            vec![format!("eject: option '{name}' requires an argument"), try_help]
        }
        ErrorKind::TooManyValues => {
            vec![format!("eject: option '{name}' doesn't allow an argument"), try_help]
        }
        _ if name.starts_with("--") => {
            vec![format!("eject: unrecognized option '{name}'"), try_help]
        }
        _ => vec![format!("eject: invalid option -- '{}'", name.trim_start_matches('-')), try_help],
    }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match &*text.to_ascii_lowercase() {
        "on" | "1" => Ok(true),
        "off" | "0" => Ok(false),
        _ => Err(format!("argument error: '{text}'")),
    }
}

fn parse_slot(text: &str) -> Result<u32, String> {
    let wrong = |_| format!("invalid argument to --changerslot/-c option: '{text}'");
    text.trim_start().parse().map_err(wrong)
}

fn parse_speed(text: &str) -> Result<u32, String> {
    let wrong = |_| format!("invalid argument to --cdspeed/-x option: '{text}'");
    text.trim_start().parse().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Parsed {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse(&words)
    }

    fn options(line: &str) -> EjectOptions {
        match parsed(line) {
            Parsed::Options(options) => *options,
            Parsed::Text(text) => panic!("{line}: {text}"),
            Parsed::Wrong(lines) => panic!("{line}: {lines:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        command_line().debug_assert();
    }

    #[test]
    fn options_have_util_linux_letters_and_names() {
        for (short, long, is_set) in [
            ("-d", "--default", (|o| o.default) as fn(&EjectOptions) -> bool),
            ("-f", "--floppy", |o| o.floppy),
            ("-F", "--force", |o| o.force),
            ("-m", "--no-unmount", |o| o.no_unmount),
            ("-M", "--no-partitions-unmount", |o| o.no_partitions_unmount),
            ("-n", "--noop", |o| o.noop),
            ("-p", "--proc", |o| o.proc),
            ("-q", "--tape", |o| o.tape),
            ("-r", "--cdrom", |o| o.cdrom),
            ("-s", "--scsi", |o| o.scsi),
            ("-t", "--trayclose", |o| o.trayclose),
            ("-T", "--traytoggle", |o| o.traytoggle),
            ("-v", "--verbose", |o| o.verbose),
            ("-X", "--listspeed", |o| o.listspeed),
            ("-a on", "--auto=1", |o| o.auto == Some(true)),
            ("-ioff", "--manualeject OFF", |o| o.manualeject == Some(false)),
            ("-c 3", "--changerslot=3", |o| o.changerslot == Some(3)),
            ("-x8", "--cdspeed 8", |o| o.cdspeed == Some(8)),
        ] {
            for option in [short, long] {
                let both = [format!("eject {option} sr0"), format!("eject sr0 {option}")];
                for line in both.iter().chain([&format!("eject {option} {option} sr0")]) {
                    let options = options(line);
                    assert!(is_set(&options), "{line}");
                    assert_eq!(options.target(), Some(&"sr0".into()), "{line}");
                }
                assert!(!is_set(&options("eject sr0")), "{option}");
            }
        }
        assert!(options("eject --trayc").trayclose, "getopt_long(3) accepts a beginning");
    }

    #[test]
    fn errors_are_worded_as_util_linux_words_them() {
        for (line, first) in [
            ("eject --bogus", "eject: unrecognized option '--bogus'"),
            ("eject --bogus=3 sr0", "eject: unrecognized option '--bogus'"),
            ("eject -Z", "eject: invalid option -- 'Z'"),
            ("eject a b", "eject: too many arguments"),
            ("eject -x abc", "eject: invalid argument to --cdspeed/-x option: 'abc'"),
            ("eject -c -1 sr0", "eject: invalid argument to --changerslot/-c option: '-1'"),
            ("eject -i maybe sr0", "eject: argument error: 'maybe'"),
            ("eject --man", "eject: option '--manualeject' requires an argument"),
            ("eject --noop=1", "eject: option '--noop' doesn't allow an argument"),
        ] {
            match parsed(line) {
                Parsed::Wrong(lines) => assert_eq!(lines[0], first, "{line}"),
                _ => panic!("{line} is wrong"),
            }
        }
    }
}
