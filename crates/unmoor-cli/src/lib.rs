//! The command: parses arguments, calls the library, prints. It contains no procedure of its own.
//!
//! Not a library for other programs: the crate exists as one so that man pages and completions are made
//! from the same definition of the command line as the program.

mod args;
#[cfg(feature = "progress")]
mod bar;
mod blockers;
mod command_kind;
mod commands;
mod confirm;
mod console;
#[cfg(feature = "demo")]
mod demo;
mod duration;
#[cfg(target_os = "linux")]
mod eject_command;
mod elevation;
mod escape;
mod json;
#[cfg(feature = "progress")]
mod live_lines;
mod live_progress;
mod messages;
#[cfg(not(feature = "progress"))]
mod no_bar;
mod notification;
mod outcome;
mod platforms;
mod progress;
mod signals;
mod steps;
mod table;
mod target_result;
mod truncate;
mod typo;
#[cfg(feature = "ui")]
mod ui;
#[cfg(windows)]
mod windows;
mod working_directory;

use args::{Cli, Command};
use commands::{attach, list, release, status, watch_list, watch_who, who};
use console::{Style, print_err, print_out};
#[cfg(not(feature = "progress"))]
use no_bar as bar;
use outcome::{Outcome, WRONG_USAGE};
use std::ffi::OsString;
use std::process::ExitCode;
use unmoor::{Error, ErrorKind};

/// Returns the definition of the command line of `unmoor`.
pub fn command_line() -> clap::Command {
    args::command_line()
}

/// Returns the definition of the command line of `eject`, the command that replaces util-linux's.
#[cfg(target_os = "linux")]
pub fn eject_command_line() -> clap::Command {
    eject_command::command_line()
}

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    // The panic message is on standard error, and every lock was released while unwinding.
    let mut code = std::panic::catch_unwind(run).unwrap_or(Outcome::Failed.exit_code());
    if let Some(error) = console::write_error() {
        print_err(Style::Bad, &format!("unmoor: write error: {error}"));
        code = Outcome::worst([code, Outcome::Failed.exit_code()]);
    }
    ExitCode::from(code)
}

fn run() -> u8 {
    let words: Vec<_> = std::env::args_os().collect();
    #[cfg(target_os = "linux")]
    if eject_command::is_meant(&words) {
        return eject_command::run(&words);
    }
    if let Some(unknown) = typo::wrong_command(&words) {
        let targets = args::targets(&words);
        return commands::refuse_word(&unknown, &targets[1..]);
    }
    #[cfg(feature = "ui")]
    if words.len() == 1 && ui::has_terminal() {
        return outcome(ui::run(false));
    }
    let cli = match args::parse(words.clone()) {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    console::set_color(cli.color);
    if cli.elevate {
        elevation::request();
    }
    outcome(carry_out_elevated(cli, &words))
}

/// Prints the error that stopped the command, and returns the exit code.
fn outcome(done: Result<u8, Error>) -> u8 {
    match done {
        Ok(code) => code,
        Err(error) => {
            print_err(Style::Bad, &format!("unmoor: {}", messages::failure(None, &error)));
            if let Some(help) = error.hint().map(messages::hint) {
                print_err(Style::Plain, &format!("  {help}"));
            }
            match error.kind() {
                ErrorKind::InvalidTarget => WRONG_USAGE,
                _ => Outcome::from(&error).exit_code(),
            }
        }
    }
}

/// Prints help and version to standard output with exit code 0, errors to standard error with 2. Errors
/// repeat untrusted words, so they are escaped.
fn explain(error: &clap::Error) -> u8 {
    let text = error.render().to_string();
    let print = if error.use_stderr() { print_err } else { print_out };
    text.lines().for_each(|line| print(Style::Plain, line));
    if error.use_stderr() { WRONG_USAGE } else { 0 }
}

/// Carries the command out, as administrator with `--elevate`.
#[cfg(windows)]
fn carry_out_elevated(cli: Cli, words: &[OsString]) -> Result<u8, Error> {
    if let Some(name) = &cli.elevated_output {
        windows::elevate::connect(name)?;
    } else if cli.elevate
        && let Some(code) = windows::elevate::run(words)?
    {
        return Ok(code);
    }
    carry_out(cli.command)
}

/// Carries the command out. It elevates itself once it needs to.
#[cfg(not(windows))]
fn carry_out_elevated(cli: Cli, _words: &[OsString]) -> Result<u8, Error> {
    carry_out(cli.command)
}

fn carry_out(command: Command) -> Result<u8, Error> {
    match command {
        Command::Eject(args) => release::eject(args),
        Command::Load(args) => release::load(args),
        Command::Flush(args) => release::flush(args),
        Command::Remount(args) => release::remount(args),
        Command::Attach(args) => attach::run(args),
        Command::List(args) if args.watch => watch_list::run(args),
        Command::List(args) => list::run(args),
        Command::Status(args) => status::run(args),
        Command::Who(args) if args.watch => watch_who::run(args),
        Command::Who(args) => who::run(args),
        #[cfg(feature = "ui")]
        Command::Ui(args) => ui::run(args.simulated),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args),
    }
}
