//! `attach`: reattaches a powered-off drive, or lists the ports that have one.

use super::document::print_document;
use super::{parse, run_each};
use crate::args;
use crate::command_kind::CommandKind;
use crate::console::{Style, print_err, print_out};
use crate::outcome::Outcome;
use crate::platforms::Platforms;
use crate::progress::Progress;
use crate::target_result::TargetResult;
use crate::{json, messages, signals};
use unmoor::{Error, Options, Port, platform};

pub fn run(args: args::Attach) -> Result<u8, Error> {
    if args.targets.is_empty() {
        return Ok(list(&args.output));
    }
    let mut options = Options::cancelled_by(signals::cancel());
    options.timeout = args.timeout;
    let platforms = Platforms::default();
    let targets = parse(args.targets)?;
    Ok(run_each(CommandKind::Attach, targets, &args.output, &options.cancel, |given, target| {
        let platform = match platforms.of(target) {
            Ok(platform) => platform,
            Err(error) => return TargetResult::from_error(given, CommandKind::Attach, None, error),
        };
        let report = if args.dry_run {
            unmoor::attach_dry_run(platform, target, &options)
        } else {
            let mut progress = Progress::new(&given, &args.output, options.wait);
            unmoor::attach(platform, target, &options, &mut |event| progress.on_event(&event))
        };
        TargetResult::from_report(given, CommandKind::Attach, report)
    }))
}

/// Lists the ports where a device is plugged in that the system does not use.
fn list(output: &args::Output) -> u8 {
    let found = platform::native().and_then(|platform| unmoor::detached_ports(&*platform));
    let code = found.as_ref().err().map_or(0, |e| Outcome::from(e).exit_code());
    if output.json {
        let ports = found.as_deref().unwrap_or_default();
        return print_document(&json::of_ports(code, ports, found.as_ref().err()), code);
    }
    match found {
        Ok(ports) => print(&ports, output.quiet),
        Err(error) => {
            print_err(Style::Bad, &messages::failure(None, &error));
            if let Some(help) = error.hint().map(messages::hint) {
                print_err(Style::Plain, &format!("  {help}"));
            }
        }
    }
    code
}

fn print(ports: &[Port], quiet: bool) {
    if ports.is_empty() && !quiet {
        print_err(Style::Plain, "No device is plugged in that the system does not use.");
    }
    for port in ports {
        print_out(Style::Plain, &format!("{}  ({})", port.name, port.bus.name()));
    }
}
