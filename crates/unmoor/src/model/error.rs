//! The error type: kind, step, subject, reason, code of the system, blockers and hint.

use crate::model::blocker::BlockerScan;
use crate::model::hint::Hint;
use crate::model::step::Attempt;
use crate::model::step::Step;
use std::fmt;

/// Result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of an operation.
///
/// Displayed, it is one phrase: the subject and the reason. [`Error::hint`] is what to do next. The text
/// may contain names from strangers: escape it for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    inner: Box<Inner>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Inner {
    step: Option<Step>,
    subject: String,
    detail: String,
    hint: Option<Hint>,
    os_code: Option<i32>,
    scan: Option<BlockerScan>,
    attempts: Vec<Attempt>,
}

/// Kind of an error, for a program to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A failure of the system or the drive that no other kind describes.
    Failed,
    /// The drive is in use. [`Error::scan`] lists the blockers.
    Busy,
    /// The drive is used by what is not its own: swap, or a volume that spans other drives.
    ///
    /// Force does not change that. [`Error::scan`] lists the blockers.
    NotExclusive,
    /// There is no medium in the drive.
    NoMedium,
    /// This user lacks the permission.
    NotPermitted,
    /// No drive has this name.
    NoSuchTarget,
    /// The target cannot be parsed.
    InvalidTarget,
    /// The drive or the system does not support the operation.
    NotSupported,
    /// A rule forbids it: the drive carries the running system, for instance.
    Refused,
    /// The drive is no longer there.
    Gone,
    /// Another drive has taken the name.
    Replaced,
    /// The time that was given ran out.
    TimedOut,
    /// Data could not be written: some of it may be lost.
    Unwritten,
    /// The drive accepted the eject, and the medium is still in it.
    NotVerified,
    /// A driver or service vetoed it (Windows).
    Vetoed,
    /// Not touched, because another target of the same call could not be resolved.
    NotStarted,
    /// The operation was cancelled.
    Interrupted,
}

impl ErrorKind {
    /// Returns the name of the kind in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Failed => "failed",
            ErrorKind::Busy => "busy",
            ErrorKind::NotExclusive => "held",
            ErrorKind::NoMedium => "no-medium",
            ErrorKind::NotPermitted => "not-permitted",
            ErrorKind::NoSuchTarget => "no-such-target",
            ErrorKind::InvalidTarget => "invalid-target",
            ErrorKind::NotSupported => "not-supported",
            ErrorKind::Refused => "refused",
            ErrorKind::Gone => "gone",
            ErrorKind::Replaced => "replaced",
            ErrorKind::TimedOut => "timed-out",
            ErrorKind::Unwritten => "unwritten",
            ErrorKind::NotVerified => "not-ejected",
            ErrorKind::Vetoed => "vetoed",
            ErrorKind::NotStarted => "not-started",
            ErrorKind::Interrupted => "interrupted",
        }
    }
}

impl Error {
    /// Returns an error of this kind about a drive, a volume or a path.
    ///
    /// `detail` is the reason, as a phrase that follows the subject.
    pub fn new(kind: ErrorKind, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Error {
            kind,
            inner: Box::new(Inner {
                subject: subject.into(),
                detail: detail.into(),
                ..Inner::default()
            }),
        }
    }

    /// Sets what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: Hint) -> Self {
        self.inner.hint = Some(hint);
        self
    }

    /// Sets what to do next, in words: a fact, or a command of the system.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        self.with_hint(Hint::Text(help.into()))
    }

    /// Sets the code of the system: an errno, or a Win32 error code.
    #[must_use]
    pub fn with_os_code(mut self, code: i32) -> Self {
        self.inner.os_code = Some(code);
        self
    }

    /// Sets the subject, if it has none yet.
    #[must_use]
    pub fn with_subject(mut self, subject: &str) -> Self {
        if self.inner.subject.is_empty() {
            self.inner.subject = subject.to_string();
        }
        self
    }

    /// Sets the step, if it has none yet.
    #[must_use]
    pub fn with_step(mut self, step: Step) -> Self {
        self.inner.step.get_or_insert(step);
        self
    }

    /// Sets the scan for blockers.
    #[must_use]
    pub fn with_scan(mut self, scan: BlockerScan) -> Self {
        self.inner.scan = Some(scan);
        self
    }

    /// Sets the methods that were tried.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        self.inner.attempts = attempts;
        self
    }

    /// Appends to the reason.
    #[must_use]
    pub fn append_detail(mut self, more: impl fmt::Display) -> Self {
        self.inner.detail = match &*self.inner.detail {
            "" => more.to_string(),
            detail => format!("{detail}; {more}"),
        };
        self
    }

    /// Sets the kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the step at which it happened.
    pub fn step(&self) -> Option<Step> {
        self.inner.step
    }

    /// Returns the subject: a drive, a volume or a path.
    pub fn subject(&self) -> &str {
        &self.inner.subject
    }

    /// Returns the reason.
    pub fn detail(&self) -> &str {
        &self.inner.detail
    }

    /// Returns what to do next.
    pub fn hint(&self) -> Option<&Hint> {
        self.inner.hint.as_ref()
    }

    /// Returns the code of the system: an errno, or a Win32 error code.
    pub fn os_code(&self) -> Option<i32> {
        self.inner.os_code
    }

    /// Returns the scan for blockers, if there was one.
    pub fn scan(&self) -> Option<&BlockerScan> {
        self.inner.scan.as_ref()
    }

    /// Returns the methods that were tried.
    pub fn attempts(&self) -> &[Attempt] {
        &self.inner.attempts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.inner.subject, &*self.inner.detail) {
            ("", detail) => f.write_str(detail),
            (subject, "") => f.write_str(subject),
            // A drive letter brings its colon along: "E: is in use".
            (subject, detail) if subject.ends_with(':') => write!(f, "{subject} {detail}"),
            (subject, detail) => write!(f, "{subject}: {detail}"),
        }
    }
}

impl std::error::Error for Error {}
