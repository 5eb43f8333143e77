//! Command line arguments: one struct for each command. Doc comments are the text of `--help`.

use crate::duration;
use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(
    name = "unmoor",
    version,
    about = ABOUT,
    max_term_width = 100,
    override_usage = "unmoor [OPTIONS] TARGET...\n       unmoor COMMAND [OPTIONS] [TARGET...]",
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = after_help()
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Use colors: auto, always or never [default: auto]
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub color: Color,
    /// If it needs root or an administrator, run it again as one (sudo, doas, run0, Windows)
    #[arg(long, global = true)]
    pub elevate: bool,
    /// Pipes that carry the output to the program that was called with --elevate.
    #[cfg(windows)]
    #[arg(long, global = true, hide = true, value_name = "NAME")]
    pub elevated_output: Option<OsString>,
}

/// Use of colors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    Always,
    Never,
}

const ABOUT: &str = "\
Safely releases removable media

Flushes cached writes, checks that nothing uses the drive, dismounts it, ejects the medium or powers
the device off, and verifies that it happened. If something uses the drive, unmoor says what it is
and how to close it.";

fn after_help() -> String {
    let (or_simulated, and_demo) = match cfg!(feature = "demo") {
        true => (
            ", or a simulated drive to try things out (sim:stick)",
            " `unmoor demo` shows a release, with no drive needed.",
        ),
        false => ("", ""),
    };
    format!(
        "\
TARGET is a drive (sdb, /dev/sdb, E:), a partition (/dev/sdb1), a mount point or any path below it
(/media/stick), a label (HOLIDAY), a model, a serial number, LABEL=…, UUID=…, PARTLABEL=…,
PARTUUID=…{or_simulated}. It always means the whole drive. A
name or a pattern ('HOLI*') that fits several drives is refused, with the list of them.

Exit codes: 0 released, 1 failed or refused, 2 wrong usage, 3 in use, 4 no medium, 5 not permitted,
6 no such target, 7 not supported by this drive, 130 interrupted.

`unmoor COMMAND --help` explains a command.{and_demo}"
    )
}

/// Defines the commands: the struct of each, its name, its line in the list of commands, and whether it is hidden there.
///
/// The options of a command are built when it is called or asked about ([`clap::Command::defer`]): those of the others
/// would take a tenth of the time of a short command.
macro_rules! commands {
    ($($(#[$when:meta])* $command:ident, $name:literal, $about:literal, $hidden:expr;)*) => {
        #[derive(Debug)]
        pub enum Command {
            $($(#[$when])* $command($command),)*
        }

        /// First words that are commands and not targets.
        pub const COMMANDS: &[&str] = &[$($(#[$when])* $name,)* "help"];

        impl FromArgMatches for Command {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Command, clap::Error> {
                match matches.subcommand() {
                    $($(#[$when])* Some(($name, matches)) => {
                        $command::from_arg_matches(matches).map(Command::$command)
                    })*
                    _ => Err(clap::Error::new(ErrorKind::MissingSubcommand)),
                }
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Command::from_arg_matches(matches)?;
                Ok(())
            }
        }

        impl Subcommand for Command {
            fn augment_subcommands(mut top: clap::Command) -> clap::Command {
                $($(#[$when])* {
                    let command = clap::Command::new($name).about($about).hide($hidden);
                    top = top.subcommand(command.defer($command::augment_args));
                })*
                top
            }

            fn augment_subcommands_for_update(top: clap::Command) -> clap::Command {
                Command::augment_subcommands(top)
            }

            fn has_subcommand(name: &str) -> bool {
                COMMANDS.contains(&name)
            }
        }
    };
}

commands! {
    Eject, "eject", "Release drives: flush, dismount, eject and verify (the default command)", false;
    Load, "load", "Close the tray of a CD or DVD drive", false;
    Flush, "flush", "Write all cached data to the drives, and leave them mounted", false;
    Remount, "remount", "Mount again what was dismounted and is still in the drive (Windows)", cfg!(not(windows));
    Attach, "attach", "Bring back a drive that was powered off and is still plugged in", false;
    List, "list", "List removable drives and the volumes on them", false;
    Status, "status", "Show drives in detail, and what `eject` would do", false;
    Who, "who", "Show which programs and mounts keep a drive from being ejected, and how to close them", false;
    #[cfg(feature = "ui")]
    Ui, "ui", "Show the drives live, and release them with a key", false;
    #[cfg(feature = "demo")]
    Demo, "demo", "Show a refused and a successful release, with no drive needed", false;
}

/// Release drives: flush, dismount, eject and verify (the default command)
///
/// Nothing is dismounted while anything on the drive is in use, and nothing is ejected before
/// everything was written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unmoor eject /media/stick         the drive that is mounted there
  unmoor eject --wait 30s sdb       if it is in use, retry for half a minute
  unmoor eject --kill sdb           end the programs that use it, after a question
  unmoor eject --power-off sdb      a USB disk: safe to unplug afterwards
  unmoor eject sdb sdc sr0          three drives at the same time
  unmoor eject --all-removable      every drive that can be taken out or unplugged
  unmoor eject -u --volume sdb1     one partition; the others stay mounted
  unmoor eject --dry-run E:         print what would be done")]
pub struct Eject {
    /// Drives to release: sdb, /dev/sdb1, /media/stick, HOLIDAY, E:
    ///
    /// Several drives are released at the same time. An array or a volume group over several of them
    /// is taken down once, and either all of its drives are released or none.
    #[arg(required_unless_present = "all_removable", value_name = "TARGET")]
    pub targets: Vec<OsString>,
    /// Release every drive that can be taken out or unplugged
    ///
    /// Skips drives without a medium, drives of the running system, built-in drives and images; -v
    /// lists the skipped drives and why.
    #[arg(long, conflicts_with = "targets")]
    pub all_removable: bool,
    /// With --all-removable: the simulated drives
    #[arg(long, hide = true, requires = "all_removable", conflicts_with = "targets")]
    pub simulated: bool,
    /// Dismount even if in use; programs with open files there get errors
    ///
    /// Everything is flushed first. From then on, programs that still have files open get an error
    /// (Linux: EIO, Windows: ERROR_NOT_READY).
    #[arg(long, short)]
    pub force: bool,
    /// Continue even if data could not be written; that data is lost
    ///
    /// --force alone never does this.
    #[arg(long)]
    pub discard_unwritten: bool,
    /// Turn off swap on the drive first, instead of refusing (Linux)
    #[arg(long, hide = cfg!(windows))]
    pub swapoff: bool,
    /// If the drive is in use, retry for this long [default: 0]
    ///
    /// TIME is 10s, 2m, 500ms or forever; a bare number is seconds. Even with 0, unmoor retries for a
    /// moment, because some programs scan every new drive.
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    pub wait: Option<Duration>,
    /// End the programs that still use the drive after --wait
    ///
    /// Lists the programs and asks for confirmation on a terminal; elsewhere it needs --yes. Each
    /// program gets SIGTERM, then SIGKILL if it has not exited after --grace (Windows: the Restart
    /// Manager asks it to close, then it is terminated). Services and containers
    /// are never ended; the command that stops them is printed instead. No program is ended while
    /// something else would still block the release.
    #[arg(long, short)]
    pub kill: bool,
    /// With --kill: also stop services that use the drive, and start them again after the release
    ///
    /// Needs administrator's rights. Only a service that has its process for itself is stopped, and none
    /// is ended by force.
    #[arg(long, requires = "kill", hide = cfg!(not(windows)))]
    pub services: bool,
    /// With --kill: end the programs without asking
    #[arg(long, short, requires = "kill")]
    pub yes: bool,
    /// With --kill: time for a program to exit before it is killed [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "kill")]
    pub grace: Option<Duration>,
    /// Give up after this long in total [default: 30s per step; writing may take longer]
    ///
    /// Without it, each step (flush, lock, dismount, eject, …) has 30 seconds, and writing goes on for
    /// as long as data still moves.
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// Flush and dismount only; leave the medium in the drive
    #[arg(long, short = 'u', conflicts_with = "power_off")]
    pub dismount_only: bool,
    /// With -u: only the volume that TARGET names; the others of its drive stay mounted (Linux)
    ///
    /// TARGET is a partition, a mount point, a label. The name of a drive with several volumes is
    /// refused.
    #[arg(long, requires = "dismount_only", hide = cfg!(windows))]
    pub volume: bool,
    /// Power the whole device off, so that it is safe to unplug
    #[arg(long, short)]
    pub power_off: bool,
    /// Keep the volumes offline afterwards, so that nothing mounts them again (Windows)
    ///
    /// Needs an administrator. `unmoor remount` brings them back.
    #[arg(long, hide = cfg!(not(windows)))]
    pub offline: bool,
    /// Let polkit ask for a password, as it does on a terminal (Linux, without root)
    #[arg(long, hide = cfg!(windows))]
    pub interactive: bool,
    /// Show the result as a desktop notification too
    ///
    /// Where no desktop answers on the session bus, nothing is shown, and that is no error.
    #[cfg(all(target_os = "linux", feature = "notify"))]
    #[arg(long)]
    pub notify: bool,
    /// Do not verify that the drive executed the command
    #[arg(long)]
    pub no_verify: bool,
    /// Print what would be done, and change nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: Output,
    /// First word, if no command was named: it may be a mistyped one.
    #[arg(skip)]
    pub first_word: Option<OsString>,
}

/// Close the tray of a CD or DVD drive
#[derive(Debug, Args)]
pub struct Load {
    /// Drives whose tray is to be closed: sr0, /dev/sr0, D:
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<OsString>,
    /// Give up after this long [default: 30s]
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub output: Output,
}

/// Write all cached data to the drives, and leave them mounted
#[derive(Debug, Args)]
pub struct Flush {
    /// Drives to flush
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<OsString>,
    /// Give up after this long [default: 30s per step; writing may take longer]
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub output: Output,
}

/// Mount again what was dismounted and is still in the drive (Windows)
#[derive(Debug, Args)]
pub struct Remount {
    /// Drives to mount
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<OsString>,
    #[command(flatten)]
    pub output: Output,
}

/// Bring back a drive that was powered off and is still plugged in
///
/// Without a port, lists the ports with such a drive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unmoor attach                list what could be brought back
  unmoor attach usb:1-4.1      the port that `eject --power-off` printed")]
pub struct Attach {
    /// Ports: usb:1-4.1, scsi:2:0:0:0, pci:0000:01:00 (Windows: usb:Port_#0008.Hub_#0001, or a device id)
    #[arg(value_name = "PORT")]
    pub targets: Vec<OsString>,
    /// Give up after this long [default: 30s]
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// Print what would be done, and change nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: Output,
}

/// List removable drives and the volumes on them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unmoor list                                   all removable drives
  unmoor list sdb                               one drive
  unmoor list -b --no-headings -o name,size     for a script; see also --json
  unmoor list --watch                           every change, until Ctrl-C")]
pub struct List {
    /// Drives to list [default: all removable drives]
    #[arg(value_name = "TARGET", conflicts_with_all = ["all", "simulated"])]
    pub targets: Vec<OsString>,
    /// Include built-in drives
    #[arg(long, short)]
    pub all: bool,
    /// List the simulated drives instead: targets named sim:NAME, to try things out
    #[arg(long, hide = cfg!(not(feature = "demo")))]
    pub simulated: bool,
    /// Print every change until interrupted: present, added, changed, removed
    ///
    /// With --json, each change is one line with a JSON object.
    #[arg(long)]
    pub watch: bool,
    /// Print one JSON document instead of text
    #[arg(long, short)]
    pub json: bool,
    #[command(flatten)]
    pub layout: Layout,
}

/// Layout of a list.
#[derive(Debug, Args)]
pub struct Layout {
    /// Print these columns, separated by commas
    #[arg(
        long,
        short = 'o',
        alias = "output",
        value_name = "COLUMNS",
        value_enum,
        value_delimiter = ',',
        ignore_case = true
    )]
    pub columns: Vec<Column>,
    /// Do not print the line with the names of the columns
    #[arg(long, alias = "noheadings")]
    pub no_headings: bool,
    /// Print sizes in bytes
    #[arg(long, short)]
    pub bytes: bool,
}

/// Column of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Column {
    Name,
    Path,
    Size,
    Type,
    Bus,
    Vendor,
    Model,
    Serial,
    Port,
    Label,
    Uuid,
    Fstype,
    #[value(alias = "mountpoints")]
    Mountpoint,
    Unwritten,
    State,
    #[value(skip)]
    ModelOrLabel,
}

impl Column {
    /// Columns of a list without `-o`.
    pub const DEFAULT: [Column; 5] =
        [Column::Name, Column::Size, Column::Type, Column::ModelOrLabel, Column::State];

    /// Returns the column's heading.
    pub fn heading(self) -> String {
        match self.to_possible_value() {
            Some(value) => value.get_name().to_uppercase(),
            None => "MODEL OR LABEL".into(),
        }
    }
}

/// Show drives in detail, and what `eject` would do
#[derive(Debug, Args)]
pub struct Status {
    /// Drives to show [default: all removable drives]
    #[arg(value_name = "TARGET")]
    pub targets: Vec<OsString>,
    /// Print one JSON document instead of text
    #[arg(long, short)]
    pub json: bool,
}

/// Show which programs and mounts keep a drive from being ejected, and how to close them
///
/// Exit code 0: the drive is not in use. 3: it is in use. 5: no user was found, but not every process
/// could be inspected.
#[derive(Debug, Args)]
pub struct Who {
    /// Drives to check
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<OsString>,
    /// Print it again whenever it changes, until interrupted
    ///
    /// With --json, each time one line with the JSON document.
    #[arg(long)]
    pub watch: bool,
    /// If no user is found and not everything could be inspected, lock the drive for a moment
    ///
    /// Nothing is open on a drive that can be locked. Windows protects some processes from everybody, so
    /// that only this shows that a drive is not in use there. Programs are notified of the lock.
    #[arg(long, conflicts_with = "watch")]
    pub try_lock: bool,
    #[command(flatten)]
    pub output: Output,
}

/// Show the drives live, and release them with a key
///
/// Shows what is mounted, what is not yet written and what uses the selected drive, as it changes.
/// `unmoor` without arguments does the same on a terminal.
#[cfg(feature = "ui")]
#[derive(Debug, Args)]
pub struct Ui {
    /// Show the simulated drives, to try it out
    #[arg(long, hide = cfg!(not(feature = "demo")))]
    pub simulated: bool,
}

/// Show a refused and a successful release, with no drive needed
///
/// As root on Linux, uses a real file system in an image file; otherwise a drive in memory. Touches
/// only what it made, and removes it afterwards.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub struct Demo {
    /// Use a drive in memory even where a real file system could be made
    #[arg(long)]
    pub simulated: bool,
}

/// Output options of most commands.
#[derive(Debug, Args)]
pub struct Output {
    /// Print one JSON document instead of text
    #[arg(long, short)]
    pub json: bool,
    /// Print every step with its duration, and every method tried
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Print errors only
    #[arg(long, short)]
    pub quiet: bool,
}

/// Heading of the options of `eject` in the help of `unmoor` itself.
const DEFAULT_OPTIONS: &str = "Options of eject, the default command";

/// Builds the command line with the options of every command.
pub fn command_line() -> clap::Command {
    let mut top = with_options_of_eject(Cli::command());
    top.build();
    top
}

/// Adds the options of `eject` to the top level, for its `--help` alone: [`with_command_first`] puts a command before
/// every option.
fn with_options_of_eject(top: clap::Command) -> clap::Command {
    let eject = Eject::augment_args(clap::Command::new("eject"));
    let options = eject.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set());
    top.args(options.map(summary).collect::<Vec<_>>())
}

/// Returns the option with the first line of its help, and without its rules.
fn summary(option: &Arg) -> Arg {
    let option = option.clone().help_heading(DEFAULT_OPTIONS);
    let none = || Resettable::<clap::Id>::Reset;
    option.long_help(None).conflicts_with(none()).requires(none())
}

/// Parses the command line, the program's name first.
pub fn parse(words: Vec<OsString>) -> Result<Cli, clap::Error> {
    let first = first_word(&words).map(|at| words[at].clone());
    let words = with_command_first(words);
    let has_command = words.get(1).is_some_and(|word| COMMANDS.iter().any(|c| word == *c));
    let top = match has_command {
        true => Cli::command(),
        false => with_options_of_eject(Cli::command()),
    };
    let matches = top.try_get_matches_from(words)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    if let Command::Eject(eject) = &mut cli.command {
        eject.first_word = first.filter(|word| !COMMANDS.iter().any(|command| word == *command));
    }
    Ok(cli)
}

/// Returns the words that are neither options nor their values.
pub fn targets(words: &[OsString]) -> Vec<OsString> {
    let (mut targets, mut rest) = (Vec::new(), words);
    while let Some(at) = first_word(rest) {
        targets.push(rest[at].clone());
        rest = &rest[at..];
    }
    targets
}

/// Moves the command to the front: `unmoor sdb` becomes `unmoor eject sdb`, and `unmoor --json list`
/// becomes `unmoor list --json`. A request for version or help becomes one that clap knows.
pub fn with_command_first(mut words: Vec<OsString>) -> Vec<OsString> {
    let is = |w: &OsString, all: &[&str]| all.iter().any(|c| w.as_os_str() == *c);
    let Some(first) = words.get(1) else { return words };
    if is(first, &["-h", "--help"]) {
        return words;
    }
    let at = first_word(&words);
    let asked = |at: usize| is(&words[at], &["-V", "--version"]);
    if at.is_some_and(|at| words[at] == "version") || own_words(&words).any(asked) {
        return vec![words.swap_remove(0), "--version".into()];
    }
    match at {
        Some(at) if words[at] == "help" => help(words, at),
        Some(at) if is(&words[at], COMMANDS) => {
            let command = words.remove(at);
            words.insert(1, command);
            words
        }
        _ => {
            words.insert(1, "eject".into());
            words
        }
    }
}

/// Returns `help COMMAND`, or `--help` without a command.
fn help(mut words: Vec<OsString>, at: usize) -> Vec<OsString> {
    words.remove(at);
    words.retain(|word| word != "-h" && word != "--help");
    match words.get(1) {
        Some(command) if command != "help" => words.insert(1, "help".into()),
        _ => {
            words.truncate(1);
            words.push("--help".into());
        }
    }
    words
}

/// Returns the indices of the words before `--`, without the program's name and the values of options.
fn own_words(words: &[OsString]) -> impl Iterator<Item = usize> {
    let mut at = 1;
    std::iter::from_fn(move || {
        let word =
            words.get(at).map(|word| word.as_encoded_bytes()).filter(|word| *word != b"--")?;
        let own = at;
        at += if takes_the_next(word) { 2 } else { 1 };
        Some(own)
    })
}

/// Returns the index of the first word that is neither an option nor its value: a command or a target.
/// After `--` every word is a target.
pub fn first_word(words: &[OsString]) -> Option<usize> {
    let is_option = |at: usize| matches!(words[at].as_encoded_bytes(), [b'-', _, ..]);
    own_words(words).find(|at| !is_option(*at))
}

/// Returns true if this is an option whose value is the next word.
fn takes_the_next(word: &[u8]) -> bool {
    match word {
        b"--wait" | b"--timeout" | b"--grace" | b"--columns" | b"--output" | b"--color"
        | b"--elevated-output" => true,
        // Of several in one word, the last may take one: `-jt 10s`, but not `-t10s`.
        [b'-', rest @ .., b'w' | b't' | b'o'] => {
            !rest.iter().any(|c| matches!(c, b'-' | b'w' | b't' | b'o'))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut top = Cli::command();
        top.build();
        for command in top.get_subcommands().chain([&top]) {
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

    /// The line is written twice: in the list of commands and as the first of the command's own help.
    #[test]
    fn every_command_says_the_same_in_the_list_and_in_its_own_help() {
        let listed = Cli::command();
        let mut built = Cli::command();
        built.build();
        for command in listed.get_subcommands() {
            let own = built.find_subcommand(command.get_name()).unwrap();
            assert_eq!(
                command.get_about().unwrap().to_string(),
                own.get_about().unwrap().to_string()
            );
        }
        built.debug_assert();
    }
}
