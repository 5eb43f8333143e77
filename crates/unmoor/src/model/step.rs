//! The steps of an operation: their names, actions, attempts and results.

/// A step of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Step {
    /// Resolve the target to a drive.
    Resolve,
    /// Write the cache to the drive.
    Flush,
    /// Find every volume idle, and lock it if the system can.
    Lock,
    /// Terminate the processes that block the drive.
    Kill,
    /// Unmount the file systems and take down what is stacked.
    Dismount,
    /// Eject the medium, stop the disk, or detach the loop device.
    Eject,
    /// Take the device off its bus.
    PowerOff,
    /// Load the medium.
    Load,
    /// Attach the device that is plugged into a port.
    Attach,
    /// Mount the volumes again.
    Mount,
    /// Verify that the drive did it.
    Verify,
    /// Release every lock.
    Unlock,
}

impl Step {
    /// Returns the name of the step in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Step::Resolve => "resolve",
            Step::Flush => "flush",
            Step::Lock => "lock",
            Step::Kill => "kill",
            Step::Dismount => "dismount",
            Step::Eject => "eject",
            Step::PowerOff => "power-off",
            Step::Load => "load",
            Step::Attach => "attach",
            Step::Mount => "mount",
            Step::Verify => "verify",
            Step::Unlock => "unlock",
        }
    }
}

/// A method that was tried, and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Attempt {
    /// Name of the method in the system or standard: `CDROMEJECT`, `START STOP UNIT (LoEj)`.
    pub method: String,
    /// True if the method was accepted. The verification finds out whether it had an effect.
    pub ok: bool,
    /// Answer of the system, or the object of the method.
    pub detail: Option<String>,
}

impl Attempt {
    /// Returns a method that was accepted.
    pub fn accepted(method: impl Into<String>) -> Self {
        Attempt { method: method.into(), ok: true, detail: None }
    }

    /// Returns a method that failed, and the reason.
    pub fn failed(method: impl Into<String>, why: impl Into<String>) -> Self {
        Attempt { method: method.into(), ok: false, detail: Some(why.into()) }
    }

    /// Sets the detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// Status of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Carried out.
    Done,
    /// Nothing to do. The report has the reason.
    Skipped,
    /// Left out, because the options do not request it.
    NotRequested,
    /// Failed. The report has the reason.
    Failed,
    /// Planned by a dry run.
    Planned,
}

impl Status {
    /// Returns the name of the status in the JSON document.
    pub fn name(&self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Skipped | Status::NotRequested => "skipped",
            Status::Failed => "failed",
            Status::Planned => "planned",
        }
    }
}

/// Action that follows the dismount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Eject the medium.
    Eject,
    /// Stop the drive, whose medium cannot leave it.
    Stop,
    /// Detach the image or the remote disk from its device.
    Detach,
    /// Take the device off its bus.
    PowerOff,
    /// Nothing: the medium is taken out by hand, or the options request only a dismount.
    Nothing,
}

impl Action {
    /// Returns the name of the action in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Action::Eject => "eject",
            Action::Stop => "stop",
            Action::Detach => "detach",
            Action::PowerOff => "power-off",
            Action::Nothing => "nothing",
        }
    }
}
