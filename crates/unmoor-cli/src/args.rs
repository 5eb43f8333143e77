//! The command line: one struct a command, with comments written for the reader of `--help`.

use crate::duration;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::time::Duration;

/// Lets go of removable media safely
///
/// Flushes what was written, makes sure that nobody uses the drive, dismounts it, ejects the medium
/// or powers the device off, and looks whether that really happened. If something is in the way, it
/// says what.
#[derive(Debug, Parser)]
#[command(
    name = "unmoor",
    version,
    max_term_width = 100,
    override_usage = "unmoor [OPTIONS] TARGET...\n       unmoor COMMAND [OPTIONS] [TARGET...]",
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = AFTER_HELP
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
A word that is no command is a target to eject: `unmoor sdb` is `unmoor eject sdb`.

A target is a drive (sdb, /dev/sdb, E:), a volume on it (/dev/sdb1), the place where it is mounted
or any file there (/media/stick), LABEL=Holiday, UUID=1234-ABCD, PARTLABEL=…, PARTUUID=…, or a
simulated drive (sim:stick). It always means the whole drive.

Exit codes: 0 released, 1 failed or refused, 2 wrong usage, 3 in use, 4 no medium, 5 not permitted,
6 no such target, 7 not supported by this drive, 130 interrupted.

`unmoor demo` shows all of it, with nothing plugged in.";

/// What to do. Keep [`COMMANDS`] in step.
#[derive(Debug, Subcommand)]
pub enum Command {
    Eject(Eject),
    Load(Load),
    Flush(Flush),
    Remount(Remount),
    Attach(Attach),
    List(List),
    Status(Status),
    Who(Who),
    Demo(Demo),
}

/// The first words that are commands and not targets.
pub const COMMANDS: [&str; 10] =
    ["eject", "load", "flush", "remount", "attach", "list", "status", "who", "demo", "help"];

/// Flush, dismount and eject, and look whether it really happened
///
/// Nothing is dismounted until everything on the drive was found idle, and nothing is ejected unless
/// everything could be written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unmoor eject /media/stick         by the place where it is mounted
  unmoor eject --wait 30s sdb       if it is in use, try again for half a minute
  unmoor eject --kill sdb           end what uses it, after a question
  unmoor eject --power-off sdb      the USB disk may be unplugged afterwards
  unmoor eject sdb sdc sr0          all three at the same time
  unmoor eject --all-removable      whatever can be taken out
  unmoor eject --dry-run E:         what would be done")]
pub struct Eject {
    /// Drives to release: sdb, /dev/sdb1, /media/stick, LABEL=Holiday, E:
    ///
    /// Several are released at the same time. What lies on several of them (an array, a volume group)
    /// is taken down once, and all of those are released or none.
    #[arg(required_unless_present = "all_removable", value_name = "TARGET")]
    pub targets: Vec<OsString>,
    /// Release every drive that can be taken out or unplugged and has a medium in it
    ///
    /// Never a drive of the running system, a built-in one, or an image; -v says which are left out and
    /// why.
    #[arg(long, conflicts_with = "targets")]
    pub all_removable: bool,
    /// With --all-removable: the simulated drives
    #[arg(long, hide = true, requires = "all_removable", conflicts_with = "targets")]
    pub simulated: bool,
    /// Dismount even what is in use; what is open there then fails
    ///
    /// Everything is flushed first. Programs that still have files open get an error from then on
    /// (Linux: EIO, Windows: ERROR_NOT_READY).
    #[arg(long, short)]
    pub force: bool,
    /// Go on although something could not be written: it is lost
    ///
    /// --force alone never does this.
    #[arg(long)]
    pub discard_unwritten: bool,
    /// Switch swap on the drive off first, instead of refusing the drive (Linux)
    #[arg(long)]
    pub swapoff: bool,
    /// If it is in use, try again for this long [default: 0]
    ///
    /// 10s, 2m, 500ms; a bare number is seconds. Even without it, a moment is waited for programs that
    /// look at every new drive.
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    pub wait: Option<Duration>,
    /// End the programs that are in the way, once --wait is over (Linux)
    ///
    /// Shows them and asks on a terminal; elsewhere it needs --yes. Each is asked to end (SIGTERM), and
    /// made to (SIGKILL) when it has not done so after --grace. Services and containers are named with
    /// the command that stops them, and never ended; nor is anybody while something else would be in
    /// the way all the same.
    #[arg(long, short)]
    pub kill: bool,
    /// End them without asking
    #[arg(long, short, requires = "kill")]
    pub yes: bool,
    /// How long a program gets to end by itself [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "kill")]
    pub grace: Option<Duration>,
    /// Give up after this long altogether [default: 30s a step, as long as needed to write]
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// Flush and dismount, and leave the medium in the drive
    #[arg(long, short = 'u', conflicts_with = "power_off")]
    pub dismount_only: bool,
    /// Take the whole device off its bus, as before unplugging it
    #[arg(long, short)]
    pub power_off: bool,
    /// Take the volumes offline once they are dismounted, so that nothing mounts them again (Windows)
    ///
    /// Needs an administrator. `unmoor remount` takes them online.
    #[arg(long)]
    pub offline: bool,
    /// Do not look whether the drive did what it said
    #[arg(long)]
    pub no_verify: bool,
    /// Say what would be done, and touch nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: Output,
}

/// Take the medium in: close the tray
#[derive(Debug, Args)]
pub struct Load {
    /// Drives to load
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<OsString>,
    /// Give up after this long [default: 30s]
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub output: Output,
}

/// Write everything that is in the cache for these drives, and leave them as they are
#[derive(Debug, Args)]
pub struct Flush {
    /// Drives to flush
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<OsString>,
    /// Give up after this long [default: as long as bytes still move]
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub output: Output,
}

/// Have the system mount again what was dismounted and is still in the drive (Windows)
#[derive(Debug, Args)]
pub struct Remount {
    /// Drives to mount
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<OsString>,
    #[command(flatten)]
    pub output: Output,
}

/// Bring back what --power-off took off its bus and nobody has unplugged since (Linux)
///
/// Without a port it lists those that have something plugged in which the system does not use.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unmoor attach                what could be brought back
  unmoor attach usb:1-4.1      the port that `eject --power-off` named")]
pub struct Attach {
    /// Ports: usb:1-4.1, scsi:2:0:0:0, pci:0000:01:00
    #[arg(value_name = "PORT")]
    pub targets: Vec<OsString>,
    /// Give up after this long [default: 30s]
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// Say what would be done, and touch nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: Output,
}

/// Show removable drives and what is on them
#[derive(Debug, Args)]
pub struct List {
    /// Show the built-in drives too
    #[arg(long, short)]
    pub all: bool,
    /// Show the simulated drives instead, which `sim:NAME` names
    #[arg(long)]
    pub simulated: bool,
    /// Print a JSON document instead (see docs/json.md)
    #[arg(long, short)]
    pub json: bool,
}

/// Show one drive in full, and what `eject` would do with it
#[derive(Debug, Args)]
pub struct Status {
    /// Drives to show; without any, all removable ones
    #[arg(value_name = "TARGET")]
    pub targets: Vec<OsString>,
    /// Print a JSON document instead (see docs/json.md)
    #[arg(long, short)]
    pub json: bool,
}

/// Show who is in the way of a release, and what would move them
///
/// Exits with 0 when nothing is in the way, 3 when something is, and 5 when nothing was found but not
/// everything could be seen.
#[derive(Debug, Args)]
pub struct Who {
    /// Drives to look at
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<OsString>,
    #[command(flatten)]
    pub output: Output,
}

/// Show a refused and a successful release, with nothing to plug in
///
/// As root on Linux with loop devices: on a real file system in an image file. Elsewhere, on drives in
/// memory. It touches only what it made, and takes that away again.
#[derive(Debug, Args)]
pub struct Demo {
    /// Use drives in memory even where a real one could be made
    #[arg(long)]
    pub simulated: bool,
}

/// How much is said, and in which language.
#[derive(Debug, Args)]
pub struct Output {
    /// Print one JSON document on standard output instead (see docs/json.md)
    #[arg(long, short)]
    pub json: bool,
    /// Show every step, how long it took, and every method tried
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Show errors only
    #[arg(long, short)]
    pub quiet: bool,
}

/// The command line with its command in front: `unmoor sdb` means `unmoor eject sdb`, and
/// `unmoor --json list` means `unmoor list --json`.
pub fn with_command_first(mut words: Vec<OsString>) -> Vec<OsString> {
    let is = |w: &OsString, all: &[&str]| all.iter().any(|c| w.as_os_str() == *c);
    let Some(first) = words.get(1) else { return words };
    if is(first, &["-h", "--help", "-V", "--version"]) {
        return words;
    }
    match first_word(&words) {
        Some(at) if is(&words[at], &COMMANDS) => {
            let command = words.remove(at);
            words.insert(1, command);
        }
        _ => words.insert(1, "eject".into()),
    }
    words
}

/// Where the first word stands that is neither an option nor the value of one: a command, or a target.
/// After `--` everything is a target.
pub fn first_word(words: &[OsString]) -> Option<usize> {
    let mut at = 1;
    while let Some(word) = words.get(at).map(|word| word.as_encoded_bytes()) {
        match word {
            b"--" => return None,
            word if takes_the_next(word) => at += 2,
            [b'-', _, ..] => at += 1,
            _ => return Some(at),
        }
    }
    None
}

/// Is this an option whose value is the next word.
fn takes_the_next(word: &[u8]) -> bool {
    match word {
        b"--wait" | b"--timeout" | b"--grace" => true,
        // Of several in one word, the last may take one: `-jt 10s`, but not `-t10s`.
        [b'-', rest @ .., b'w' | b't'] => !rest.iter().any(|c| matches!(c, b'-' | b'w' | b't')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn reordered(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let words = with_command_first(words);
        words.iter().map(|w| w.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_word_that_is_no_command_is_a_target_to_eject() {
        assert_eq!(reordered("unmoor sdb sdc"), "unmoor eject sdb sdc");
        assert_eq!(reordered("unmoor --wait 10s sdb"), "unmoor eject --wait 10s sdb");
        assert_eq!(reordered("unmoor sdb list"), "unmoor eject sdb list");
        assert_eq!(reordered("unmoor -- list"), "unmoor eject -- list");
        assert_eq!(reordered("unmoor eject list"), "unmoor eject list");
    }

    #[test]
    fn options_may_stand_before_the_command() {
        assert_eq!(reordered("unmoor --json list --all"), "unmoor list --json --all");
        assert_eq!(reordered("unmoor -v -j who sdb"), "unmoor who -v -j sdb");
        for wait in ["--timeout 10s", "--timeout=10s", "-t 10s", "-t10s", "-jt 10s", "--grace 1s"] {
            let line = format!("unmoor {wait} status sdb");
            assert_eq!(reordered(&line), format!("unmoor status {wait} sdb"));
        }
        assert_eq!(reordered("unmoor -w list sdb"), "unmoor eject -w list sdb");
        assert_eq!(reordered("unmoor --help list"), "unmoor --help list");
        assert_eq!(reordered("unmoor"), "unmoor");
    }

    #[test]
    fn every_option_that_takes_the_next_word_is_known() {
        for command in Cli::command().get_subcommands() {
            for option in command.get_arguments().filter(|a| a.get_action().takes_values()) {
                let long = option.get_long().map(|long| format!("--{long}"));
                let short = option.get_short().map(|short| format!("-{short}"));
                for word in long.into_iter().chain(short) {
                    assert!(takes_the_next(word.as_bytes()), "{word} of {}", command.get_name());
                }
            }
        }
        for word in ["--json", "-j", "-", "--", "-wt", "-t10s", "sdb", "-v"] {
            assert!(!takes_the_next(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn every_command_is_known_as_one() {
        let mut known: Vec<_> = COMMANDS.iter().filter(|c| **c != "help").collect();
        let cli = Cli::command();
        let mut real: Vec<_> = cli.get_subcommands().map(clap::Command::get_name).collect();
        known.sort();
        real.sort();
        assert!(known.into_iter().eq(real.iter()));
        cli.debug_assert();
    }
}
