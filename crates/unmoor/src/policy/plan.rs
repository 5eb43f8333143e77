//! The plan of a release: its steps as data, made before anything is touched.

use crate::model::drive::Bus;
use crate::model::drive::Drive;
use crate::model::drive::DriveKind;
use crate::model::drive::Medium;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::model::step::Action;
use crate::model::step::Step;
use crate::model::teardown::{TeardownStep, teardown_order};
use crate::model::volume::VolumeKind;
use crate::options::{Goal, Options};
use crate::policy::preconditions::{check_exclusive, check_goal, check_medium, check_system};

/// Plan of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Action that follows the dismount.
    pub action: Action,
    /// Steps, in order.
    pub steps: Vec<PlannedStep>,
}

impl Plan {
    /// Adds a note about the drives that a power-off takes along.
    pub(crate) fn set_siblings(&mut self, siblings: &[Drive]) {
        for step in self.steps.iter_mut().filter(|step| step.step == Step::PowerOff) {
            step.note = siblings_note(siblings);
        }
    }
}

/// A planned step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The step.
    pub step: Step,
    /// Objects of the step, in order: volumes, mounts or methods. Empty if there is nothing to do.
    pub what: Vec<String>,
    /// Reason why there is nothing to do, or a remark.
    pub note: Option<String>,
    /// False if the options leave the step out.
    pub requested: bool,
}

impl PlannedStep {
    pub(crate) fn new(step: Step, what: Vec<String>) -> Self {
        PlannedStep { step, what, note: None, requested: true }
    }

    fn with_note(mut self, note: Option<String>) -> Self {
        self.note = note;
        self
    }

    fn requested_if(mut self, requested: bool) -> Self {
        self.requested = requested;
        self
    }
}

/// Makes the plan of a release of this drive.
///
/// `methods` returns the names of what [`Session::perform`](crate::platform::Session::perform) would try.
///
/// # Errors
/// `Refused` for a drive that carries the running system; `NoMedium`; `NotSupported` if the drive cannot do
/// what the options request; `NotExclusive` for swap and volumes that span other drives. A release would
/// wait for the last.
pub fn plan(
    drive: &Drive,
    options: &Options,
    methods: impl Fn(Action) -> Vec<String>,
) -> Result<Plan> {
    let plan = plan_ignoring_busy(drive, options, methods)?;
    check_exclusive(drive, options)?;
    Ok(plan)
}

/// Makes the plan for the moment when nothing blocks the drive any more.
pub(crate) fn plan_ignoring_busy(
    drive: &Drive,
    options: &Options,
    methods: impl Fn(Action) -> Vec<String>,
) -> Result<Plan> {
    check_system(drive)?;
    check_goal(drive, options.goal)?;
    check_medium(drive, options.goal)?;
    let action = action(drive, options, &methods)?;
    let mut steps = vec![flush(drive), lock(drive), dismount(drive, options)];
    let eject = match action {
        Action::Nothing => {
            let note = nothing_to_eject(drive, options);
            let requested = note.is_some();
            PlannedStep::new(Step::Eject, Vec::new()).with_note(note).requested_if(requested)
        }
        Action::PowerOff => PlannedStep::new(Step::PowerOff, methods(action)),
        _ => PlannedStep::new(Step::Eject, methods(action)),
    };
    let verify = if options.verify { vec![drive.name.clone()] } else { Vec::new() };
    steps.extend([
        eject,
        PlannedStep::new(Step::Verify, verify).requested_if(options.verify),
        PlannedStep::new(Step::Unlock, vec![drive.name.clone()]),
    ]);
    Ok(Plan { action, steps })
}

/// Returns what is done once everything is dismounted.
///
/// `methods` may be empty for an action that this system has no command for with this drive. Windows has
/// one for every drive that is named: there the hardware answers, not its type.
pub(crate) fn action(
    drive: &Drive,
    options: &Options,
    methods: impl Fn(Action) -> Vec<String>,
) -> Result<Action> {
    let has_command = |action| !methods(action).is_empty();
    match options.goal {
        Goal::Dismount => Ok(Action::Nothing),
        Goal::PowerOff if can_be_powered_off(drive) => Ok(Action::PowerOff),
        Goal::PowerOff => Err(Error::new(
            ErrorKind::NotSupported,
            &drive.name,
            "cannot be powered off: it cannot leave this machine while it runs",
        )
        .with_hint(Hint::EjectOnly)),
        Goal::Eject => match drive.kind {
            DriveKind::Loop | DriveKind::Network => Ok(Action::Detach),
            DriveKind::Card | DriveKind::Floppy
                if drive.removable && has_command(Action::Eject) =>
            {
                Ok(Action::Eject)
            }
            DriveKind::Card if drive.removable => Ok(Action::Nothing),
            DriveKind::Floppy => Ok(Action::Nothing),
            DriveKind::Optical | DriveKind::Tape => Ok(Action::Eject),
            _ if drive.removable => Ok(Action::Eject),
            _ if drive.hotplug || has_command(Action::Stop) => Ok(Action::Stop),
            _ => Err(Error::new(
                ErrorKind::NotSupported,
                &drive.name,
                "is built in: neither its medium nor the drive itself is made to be taken out",
            )
            .with_hint(match can_be_powered_off(drive) {
                true => Hint::DismountOrPowerOff,
                false => Hint::DismountOnly,
            })),
        },
    }
}

/// Returns true if the device may be taken off its bus while the machine runs.
///
/// SCSI and SATA disks do not report whether their slot is made for that. The user who requests it knows.
fn can_be_powered_off(drive: &Drive) -> bool {
    let bus = matches!(drive.bus, Bus::Usb | Bus::Thunderbolt | Bus::Scsi | Bus::Ata | Bus::Nvme);
    drive.hotplug || bus
}

/// Returns why nothing is ejected; `None` if the options ask for no more than a dismount.
pub(crate) fn nothing_to_eject(drive: &Drive, options: &Options) -> Option<String> {
    let no_command = "nothing to eject: this kind of drive has no command for it";
    match (options.goal, drive.kind) {
        (Goal::Dismount, _) => None,
        (_, DriveKind::Card) => Some(format!("{no_command}; take the card out by hand")),
        (_, DriveKind::Floppy) => Some(format!("{no_command}; press its button")),
        _ => Some("nothing to eject".into()),
    }
}

/// Returns true if a release that fails with this error opens the empty tray instead.
pub(crate) fn opens_empty_tray(drive: &Drive, options: &Options, error: &Error) -> bool {
    options.goal == Goal::Eject
        && error.kind() == ErrorKind::NoMedium
        && drive.kind == DriveKind::Optical
        && drive.medium == Medium::Absent
}

/// Returns a note that these drives leave with the one that is powered off.
pub(crate) fn siblings_note<'d>(siblings: impl IntoIterator<Item = &'d Drive>) -> Option<String> {
    let names: Vec<&str> = siblings.into_iter().map(|drive| &*drive.name).collect();
    let (verb, what) = match names.len() {
        0 => return None,
        1 => ("goes", "it is"),
        _ => ("go", "they are"),
    };
    Some(format!("{} {verb} along: {what} the same device", names.join(", ")))
}

fn flush(drive: &Drive) -> PlannedStep {
    let what: Vec<String> =
        if drive.read_only { Vec::new() } else { volume_names(drive).collect() };
    let note = drive.read_only.then(|| "nothing can be written to it".into());
    PlannedStep::new(Step::Flush, what).with_note(note)
}

fn lock(drive: &Drive) -> PlannedStep {
    let what: Vec<String> = teardown_order(drive)
        .iter()
        .filter(|u| !matches!(u, TeardownStep::SwapOff(..)))
        .filter_map(label)
        .collect();
    let note = what.is_empty().then(|| "not mounted".into());
    PlannedStep::new(Step::Lock, what).with_note(note)
}

/// Returns the step that takes everything down, what goes first in front.
fn dismount(drive: &Drive, options: &Options) -> PlannedStep {
    let what: Vec<String> = teardown_order(drive).iter().filter_map(label).collect();
    let note = match (what.is_empty(), options.force) {
        (true, _) => Some("not mounted".into()),
        (false, true) => Some("even while in use (forced): what is open then fails".into()),
        _ => None,
    };
    PlannedStep::new(Step::Dismount, what).with_note(note)
}

/// Returns the name of a teardown step for the user; `None` if it needs no action of its own.
///
/// The drive, its partitions, overlays and FUSE file systems are dismounted when their mounts are gone.
pub(crate) fn label(undo: &TeardownStep<'_>) -> Option<String> {
    match undo {
        TeardownStep::SwapOff(_, path) => Some(format!("swap on {}", path.display())),
        TeardownStep::Unmount(_, mount) => Some(mount.path.display().to_string()),
        TeardownStep::Dismount(volume) => {
            let what = match volume.kind {
                VolumeKind::Disk
                | VolumeKind::Partition
                | VolumeKind::Overlay
                | VolumeKind::Fuse => return None,
                VolumeKind::Nbd => "network block device",
                VolumeKind::Crypt => "encrypted volume",
                VolumeKind::Lvm => "logical volume",
                VolumeKind::Raid => "array",
                VolumeKind::Mapping => "mapping",
                VolumeKind::Loop => "loop device",
                VolumeKind::Other => "stacked device",
            };
            Some(format!("{what} {}", volume.name))
        }
    }
}

fn volume_names(drive: &Drive) -> impl Iterator<Item = String> + '_ {
    drive.volumes.iter().rev().map(|v| v.name.clone())
}
