//! The command: arguments in, library calls, words out. It has no procedure of its own.

mod args;
mod blockers;
mod command_kind;
mod commands;
mod confirm;
mod console;
mod demo;
mod duration;
mod escape;
mod json;
mod live_progress;
mod messages;
mod outcome;
mod platforms;
mod progress;
mod signals;
mod steps;
mod table;
mod target_result;
mod truncate;
mod typo;

use args::Command;
use clap::Parser;
use commands::{attach, list, release, status, who};
use console::{Style, print_err, print_out};
use outcome::Outcome;
use std::process::ExitCode;
use unmoor::{Error, ErrorKind};

/// The exit code of a command line that cannot be understood.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    // A panic has said where on standard error; every lock was a guard and is gone. Its exit code is
    // one of the documented.
    let code = std::panic::catch_unwind(run).unwrap_or(Outcome::Failed.exit_code());
    ExitCode::from(code)
}

fn run() -> u8 {
    let words: Vec<_> = std::env::args_os().collect();
    if let Some((word, command)) = typo::command(&words) {
        print_err(
            Style::Bad,
            &format!("unmoor: there is no command {word}; did you mean {command}?"),
        );
        print_err(Style::Plain, &format!("  to eject what is called so: unmoor eject {word} …"));
        return WRONG_USAGE;
    }
    let words = args::with_command_first(words);
    let command = match args::Cli::try_parse_from(words) {
        Ok(cli) => cli.command,
        Err(error) => return explain(&error),
    };
    match carry_out(command) {
        Ok(code) => code,
        Err(error) => {
            print_err(Style::Bad, &format!("unmoor: {}", messages::failure(None, &error)));
            if let Some(help) = error.help() {
                print_err(Style::Plain, &format!("  {help}"));
            }
            match error.kind() {
                ErrorKind::InvalidTarget => WRONG_USAGE,
                _ => Outcome::from(&error).exit_code(),
            }
        }
    }
}

/// Help and version go to standard output with 0, the rest to standard error with 2. What was typed
/// is repeated there: scripts pass names on that come from strangers, so it is escaped too.
fn explain(error: &clap::Error) -> u8 {
    let text = error.render().to_string();
    let print = if error.use_stderr() { print_err } else { print_out };
    text.lines().for_each(|line| print(Style::Plain, line));
    if error.use_stderr() { WRONG_USAGE } else { 0 }
}

fn carry_out(command: Command) -> Result<u8, Error> {
    match command {
        Command::Eject(args) => release::eject(args),
        Command::Load(args) => release::load(args),
        Command::Flush(args) => release::flush(args),
        Command::Remount(args) => release::remount(args),
        Command::Attach(args) => attach::run(args),
        Command::List(args) => Ok(list::run(args)),
        Command::Status(args) => status::run(args),
        Command::Who(args) => who::run(args),
        Command::Demo(args) => demo::run(args),
    }
}
