//! `demo`: shows the main job on a real file system where one can be made, else on a drive in memory.

#[cfg(target_os = "linux")]
mod image;
mod simulated;
mod stick;
#[cfg(target_os = "linux")]
mod system;

use crate::args::{self, Output};
use crate::command_kind::CommandKind;
use crate::commands;
use crate::console::{self, Style, print_err, print_out};
use crate::escape::escape_os;
use crate::outcome::Outcome;
use crate::progress::Progress;
use crate::target_result::TargetResult;
use crate::{signals, steps};
use std::time::Duration;
use stick::Stick;
use unmoor::{Cancel, Error, Goal, Options, Target};

pub fn run(args: args::Demo) -> Result<u8, Error> {
    let cancel = signals::cancel_only();
    let mut stick = make(args.simulated, &cancel);
    let told = run_script(&mut *stick, &cancel);
    // Everything is removed before the last line is printed.
    let left = stick.remove();
    let removed = match left.is_empty() {
        true => "Everything the demonstration made was removed.".to_string(),
        false => format!("Left behind: {}.", left.join("; ")),
    };
    Ok(match told {
        Ok(()) if left.is_empty() => {
            print_out(Style::Plain, "");
            print_out(Style::Good, &format!("Done. {removed}"));
            0
        }
        Ok(()) => {
            print_err(Style::Bad, &removed);
            Outcome::Failed.exit_code()
        }
        Err(_) if cancel.is_cancelled() => {
            print_err(Style::Warning, &format!("Interrupted. {removed}"));
            Outcome::Interrupted.exit_code()
        }
        Err(why) => {
            print_err(Style::Bad, &format!("The demonstration failed: {why}."));
            Outcome::Failed.exit_code()
        }
    })
}

fn make(simulated: bool, cancel: &Cancel) -> Box<dyn Stick> {
    let why = if simulated { Err("as requested".to_string()) } else { make_real(cancel) };
    match why {
        Ok(stick) => stick,
        Err(why) => {
            let why = format!("Shown on a simulated drive, in memory ({why}).");
            print_out(Style::Plain, &why);
            Box::new(simulated::Memory::plugged_in())
        }
    }
}

#[cfg(target_os = "linux")]
fn make_real(cancel: &Cancel) -> Result<Box<dyn Stick>, String> {
    let stick = image::Image::attached(cancel)?;
    print_out(Style::Plain, "Shown on a real file system, in an image file made for it.");
    Ok(Box::new(stick))
}

#[cfg(not(target_os = "linux"))]
fn make_real(_: &Cancel) -> Result<Box<dyn Stick>, String> {
    Err("a real one is made on Linux only".into())
}

fn run_script(stick: &mut dyn Stick, cancel: &Cancel) -> Result<(), String> {
    heading(1, "A stick is plugged in, and files are copied to it.", cancel)?;
    comment(&stick.description());
    let copied = stick.copy()?;
    comment(&copied);

    heading(2, "A program still has a file open: the stick stays where it is.", cancel)?;
    let opened = stick.open_file()?;
    comment(&opened);
    expect(Outcome::Busy, eject(stick, cancel, false)?)?;
    comment("Nothing was dismounted: the program can continue to write.");

    heading(3, "The program closes its file, and the stick is released.", cancel)?;
    stick.close_file()?;
    expect(Outcome::Released, eject(stick, cancel, true)?)?;
    comment("One line per step: flush, check that it is idle, dismount, eject, verify, unlock.");

    heading(4, "What is on the stick?", cancel)?;
    for line in stick.inspect()? {
        comment(&line);
    }
    Ok(())
}

fn heading(number: usize, title: &str, cancel: &Cancel) -> Result<(), String> {
    if cancel.is_cancelled() {
        return Err("interrupted".into());
    }
    print_out(Style::Plain, "");
    print_out(Style::Strong, &format!("{number}. {title}"));
    Ok(())
}

fn comment(line: &str) {
    print_out(Style::Plain, &format!("   {line}"));
}

fn expect(wanted: Outcome, got: Outcome) -> Result<(), String> {
    if wanted == got {
        return Ok(());
    }
    Err(format!("expected \"{}\", got \"{}\"", wanted.name(), got.name()))
}

/// Runs and prints `unmoor eject`.
fn eject(stick: &dyn Stick, cancel: &Cancel, verbose: bool) -> Result<Outcome, String> {
    let given = stick.target();
    let flag = if verbose { " -v" } else { "" };
    comment(&format!("$ unmoor eject{flag} {}", escape_os(&given)));
    let target = Target::parse(&given).map_err(|e| e.to_string())?;
    let options = Options::cancelled_by(cancel.clone());
    let output = Output { json: false, verbose: false, quiet: false };
    let mut progress = Progress::new(&given, &output, Duration::ZERO);
    let report =
        unmoor::release(stick.machine(), &target, &options, &mut |event| progress.on_event(&event));
    drop(progress);
    let name = report.drive.as_ref().map_or_else(|| report.target.clone(), |d| d.name.clone());
    for step in report.steps.iter().filter(|_| verbose) {
        for line in steps::lines(&name, step) {
            print_out(Style::Dim, &format!("     {line}"));
        }
    }
    let command = CommandKind::Eject(Goal::Eject);
    let result = TargetResult::from_report(given, command, report);
    for (tone, line) in commands::lines(command, &result, false, console::width()) {
        print_out(tone, &format!("     {line}"));
    }
    comment(&format!("(exit code {})", result.outcome.exit_code()));
    Ok(result.outcome)
}
