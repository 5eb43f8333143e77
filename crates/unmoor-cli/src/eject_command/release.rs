//! Releases the drive: the library's procedure, under the options of util-linux's `eject`.

use super::device::Device;
use super::failure::Failure;
use super::options::EjectOptions;
use crate::console::{Style, print_err};
use crate::escape::escape_os;
use crate::signals;
use std::time::Duration;
use unmoor::{
    Action, Deadline, DriveKind, Error, ErrorKind, Goal, Options, Outcome, Presence, Report, Step,
};

/// Time for a tray to open.
const VERIFY_TIME: Duration = Duration::from_secs(10);

/// Unmounts, ejects and verifies.
pub fn eject(device: &Device<'_>, options: &EjectOptions) -> Result<(), Failure> {
    if !suits(device.drive.kind, options) {
        return Err(Failure::Text("unable to eject".into()));
    }
    if options.no_unmount {
        return eject_mounted(device, options);
    }
    check_partitions(device, options)?;
    explain_mounts(device, options);
    let mut library = Options::cancelled_by(signals::cancel());
    let is_built_in = !device.drive.removable && !device.drive.hotplug;
    if is_built_in {
        library.goal = Goal::Dismount;
    }
    let report = unmoor::release(device.platform, &device.target, &library, &mut |_| {});
    finish(device, report, options)?;
    if is_built_in { eject_built_in(device, options) } else { Ok(()) }
}

/// Unmounts everything, before a changer switches discs.
pub fn dismount(device: &Device<'_>, options: &EjectOptions) -> Result<(), Failure> {
    if options.no_unmount {
        return Ok(());
    }
    check_partitions(device, options)?;
    explain_mounts(device, options);
    let mut library = Options::cancelled_by(signals::cancel());
    library.goal = Goal::Dismount;
    finish(device, unmoor::release(device.platform, &device.target, &library, &mut |_| {}), options)
}

/// Returns true if a method that the options ask for suits this kind of drive.
fn suits(kind: DriveKind, options: &EjectOptions) -> bool {
    let EjectOptions { cdrom, scsi, floppy, tape, .. } = *options;
    match kind {
        _ if !(cdrom || scsi || floppy || tape) => true,
        DriveKind::Floppy => floppy,
        DriveKind::Tape => tape,
        _ => cdrom || scsi,
    }
}

/// Fails with --no-partitions-unmount if a partition is mounted that was not named.
fn check_partitions(device: &Device<'_>, options: &EjectOptions) -> Result<(), Failure> {
    let mounted = device.partitions().filter(|volume| !volume.mounts.is_empty()).count();
    let is_only_the_named = mounted == 0 || (mounted == 1 && device.mount_point.is_some());
    match options.no_partitions_unmount && !is_only_the_named {
        true => Err(Failure::Text(format!("error: {}: device in use", device.name()))),
        false => Ok(()),
    }
}

fn explain_mounts(device: &Device<'_>, options: &EjectOptions) {
    for volume in &device.drive.volumes {
        for mount in &volume.mounts {
            let path = escape_os(&mount.path);
            if volume.name != device.drive.name {
                options.explain(&format!("{}: mounted on {path}", escape_os(&volume.path)));
            }
            options.explain(&format!("{path}: unmounting"));
        }
    }
}

/// Turns the report into success or a failure. A drive without a medium is what was asked for.
fn finish(device: &Device<'_>, report: Report, options: &EjectOptions) -> Result<(), Failure> {
    for warning in &report.warnings {
        print_err(Style::Plain, &format!("eject: {warning}"));
    }
    explain_methods(device, &report, options);
    match report.outcome {
        Outcome::Failed(error) if error.kind() == ErrorKind::NoMedium => Ok(()),
        Outcome::Failed(error) => {
            let mount_point = busy_mount_point(device, &error);
            Err(Failure::Error { error, mount_point })
        }
        Outcome::Completed | Outcome::Planned => Ok(()),
    }
}

/// Prints which kind of method ejected the medium.
fn explain_methods(device: &Device<'_>, report: &Report, options: &EjectOptions) {
    let Some(step) = report.step(Step::Eject).filter(|step| !step.attempts.is_empty()) else {
        return;
    };
    let (command, short) = match device.drive.kind {
        DriveKind::Optical => ("CD-ROM eject command", "CD-ROM eject command"),
        DriveKind::Floppy => ("floppy eject command", "floppy eject command"),
        DriveKind::Tape => ("tape offline command", "tape offline command"),
        _ => ("SCSI commands", "SCSI eject"),
    };
    options.explain(&format!("{}: trying to eject using {command}", device.name()));
    let worked = step.attempts.iter().any(|attempt| attempt.ok);
    options.explain(&format!("{short} {}", if worked { "succeeded" } else { "failed" }));
}

/// Returns the mount point of the volume that was in use.
fn busy_mount_point(device: &Device<'_>, error: &Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::Busy | ErrorKind::NotExclusive) {
        return None;
    }
    let volumes = &device.drive.volumes;
    let named = volumes.iter().find(|volume| volume.name == error.subject());
    let mount = named.into_iter().chain(volumes).flat_map(|volume| &volume.mounts).next()?;
    Some(escape_os(&mount.path))
}

/// Flushes and ejects, and leaves everything mounted.
fn eject_mounted(device: &Device<'_>, options: &EjectOptions) -> Result<(), Failure> {
    on_session(device, |session, deadline| {
        for volume in device.drive.volumes.iter().rev() {
            session.flush(volume, deadline)?;
        }
        session.flush_drive(deadline)?;
        perform(device, session, deadline, options)
    })
}

/// Ejects a drive that is built in, after everything on it was unmounted.
fn eject_built_in(device: &Device<'_>, options: &EjectOptions) -> Result<(), Failure> {
    on_session(device, |session, deadline| match session.refresh()?.is_mounted() {
        true => Err(Error::new(ErrorKind::Busy, device.name(), "was mounted again")),
        false => perform(device, session, deadline, options),
    })
    .map_err(|failure| match failure {
        Failure::Error { error, .. } if error.kind() != ErrorKind::Busy => {
            Failure::Text(format!("unable to eject: {}", error.detail()))
        }
        other => other,
    })
}

fn perform(
    device: &Device<'_>,
    session: &mut dyn unmoor::platform::Session,
    deadline: &mut Deadline<'_>,
    options: &EjectOptions,
) -> unmoor::Result<()> {
    options.explain(&format!("{}: trying to eject using SCSI commands", device.name()));
    session.perform(Action::Eject, deadline)?;
    options.explain("SCSI eject succeeded");
    let end = deadline.now() + VERIFY_TIME;
    while device.drive.removable && session.presence(deadline)? == Presence::Present {
        if deadline.now() >= end {
            let why = "reported success, but the medium is still in it";
            return Err(Error::new(ErrorKind::NotVerified, device.name(), why));
        }
        deadline.sleep(Duration::from_millis(100))?;
    }
    Ok(())
}

/// Opens the drive and calls the function, within the time of a step.
fn on_session(
    device: &Device<'_>,
    call: impl FnOnce(&mut dyn unmoor::platform::Session, &mut Deadline<'_>) -> unmoor::Result<()>,
) -> Result<(), Failure> {
    let cancel = signals::cancel();
    let end = device.platform.now() + Options::DEFAULT_STEP_TIMEOUT;
    let mut ignore_progress = |_| {};
    let mut deadline = Deadline::until(device.platform, end, &cancel, &mut ignore_progress)
        .extend_on_progress(Options::DEFAULT_STEP_TIMEOUT);
    let mut session = device.platform.open(&device.drive, &mut deadline)?;
    session.check()?;
    call(&mut *session, &mut deadline).map_err(Failure::from)
}
