//! The steps of an operation: their names, actions, attempts and results.

/// The steps of the procedure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Step {
    /// Find the one drive that the target means.
    Resolve,
    /// Write everything that is in the cache.
    Flush,
    /// Find every volume idle, and keep it so where the system can.
    Lock,
    /// End the programs that are in the way.
    Kill,
    /// Detach the file systems.
    Dismount,
    /// Eject the medium, stop the disk, or detach the loop device.
    Eject,
    /// Take the device off its bus.
    PowerOff,
    /// Take the medium in.
    Load,
    /// Have the port look again at what is plugged in.
    Attach,
    /// Have the system mount it again.
    Mount,
    /// Look whether it really happened.
    Verify,
    /// Let go of every lock.
    Unlock,
}

impl Step {
    /// Its name, as in the JSON document.
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

/// One method that was tried, and what came of it: `CDROMEJECT`, `START STOP UNIT (LoEj)`, ….
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The system's or the standard's own name for it.
    pub method: String,
    /// It was accepted. Whether it had an effect is the verification's business.
    pub ok: bool,
    /// The system's answer, or what it was done to.
    pub detail: Option<String>,
}

impl Attempt {
    /// A method that was accepted.
    pub fn accepted(method: impl Into<String>) -> Self {
        Attempt { method: method.into(), ok: true, detail: None }
    }

    /// A method that failed, and why.
    pub fn failed(method: impl Into<String>, why: impl Into<String>) -> Self {
        Attempt { method: method.into(), ok: false, detail: Some(why.into()) }
    }

    /// Says more of it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Done.
    Done,
    /// There was nothing to do. The reason says why.
    Skipped,
    /// Left out: the options do not ask for it.
    NotRequested,
    /// Failed: the reason says how.
    Failed,
    /// Not carried out: `--dry-run`.
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

/// What is done once everything is dismounted.
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
    /// Nothing: the user takes the medium out, or asked for no more.
    Nothing,
}

impl Action {
    /// Its name, as in the JSON document.
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
