//! One error: what kind it is, at which step, what it concerned, what the system said, what helps.

use crate::model::blocker::BlockerScan;
use crate::model::hint::Hint;
use crate::model::step::Attempt;
use crate::model::step::Step;
use std::fmt;

/// Shorthand for results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
///
/// Displayed, it is one sentence: what it concerned and why. [`Error::hint`] says what to do next.
/// The text may hold names from strangers: escape it before it reaches a terminal.
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

/// The kinds of error, for a program to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The system or the drive reported a failure that no other kind describes.
    Failed,
    /// Something is in the way: [`Error::scan`] says what.
    Busy,
    /// Something that is not this drive's alone is in the way: the system swaps to it, or what lies on it
    /// lies on another drive too. Not even force moves that; [`Error::scan`] says what it is.
    NotExclusive,
    /// There is no medium in the drive.
    NoMedium,
    /// The system does not let this user do it.
    NotPermitted,
    /// Nothing answers to the name that was given.
    NoSuchTarget,
    /// The name that was given cannot be understood.
    InvalidTarget,
    /// This drive cannot do it.
    NotSupported,
    /// The drive carries the running system, or a rule of the procedure forbids it.
    Refused,
    /// The drive is no longer there.
    Gone,
    /// Another drive has taken the name.
    Replaced,
    /// The time that was given ran out.
    TimedOut,
    /// Data could not be written: some of it may be lost.
    Unwritten,
    /// The drive said yes, and the medium is still in it.
    NotVerified,
    /// Something else in the system forbade it (Windows: a driver or service vetoed).
    Vetoed,
    /// Not touched, because another target of the same call could not be resolved.
    NotStarted,
    /// Stopped at the user's wish.
    Interrupted,
}

impl Error {
    /// An error of this kind about `subject` (a drive, a volume, a path), with the reason in `detail`.
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

    /// Keeps the system's own number: an errno, or a Win32 error code.
    #[must_use]
    pub fn with_os_code(mut self, code: i32) -> Self {
        self.inner.os_code = Some(code);
        self
    }

    /// Says what it concerned, where nothing did so yet.
    #[must_use]
    pub fn with_subject(mut self, subject: &str) -> Self {
        if self.inner.subject.is_empty() {
            self.inner.subject = subject.to_string();
        }
        self
    }

    /// Says at which step; the first to say so wins.
    #[must_use]
    pub fn with_step(mut self, step: Step) -> Self {
        self.inner.step.get_or_insert(step);
        self
    }

    /// Adds what is in the way.
    #[must_use]
    pub fn with_scan(mut self, scan: BlockerScan) -> Self {
        self.inner.scan = Some(scan);
        self
    }

    /// Adds the methods that were tried.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        self.inner.attempts = attempts;
        self
    }

    /// Adds to the reason.
    #[must_use]
    pub fn append_detail(mut self, more: impl fmt::Display) -> Self {
        self.inner.detail = match &*self.inner.detail {
            "" => more.to_string(),
            detail => format!("{detail}; {more}"),
        };
        self
    }

    /// The same error with another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The step at which it happened.
    pub fn step(&self) -> Option<Step> {
        self.inner.step
    }

    /// What it concerned: a drive, a volume, a path.
    pub fn subject(&self) -> &str {
        &self.inner.subject
    }

    /// The reason.
    pub fn detail(&self) -> &str {
        &self.inner.detail
    }

    /// Returns what to do next.
    pub fn hint(&self) -> Option<&Hint> {
        self.inner.hint.as_ref()
    }

    /// The system's own number: an errno, or a Win32 error code.
    pub fn os_code(&self) -> Option<i32> {
        self.inner.os_code
    }

    /// What is in the way, where that was looked for.
    pub fn scan(&self) -> Option<&BlockerScan> {
        self.inner.scan.as_ref()
    }

    /// The methods that were tried.
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
