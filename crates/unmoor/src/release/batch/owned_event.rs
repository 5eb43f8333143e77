//! Events on their way from the thread where they happen to the one that listens.

use crate::model::drive::Drive;
use crate::model::error::Error;
use crate::model::report::Event;
use crate::model::report::StepReport;
use crate::model::step::Action;
use crate::model::step::Step;
use std::time::Duration;

/// An [`Event`] that owns what it tells.
pub(crate) enum Told {
    Resolved(Box<Drive>, Action),
    Started(Step),
    Finished(StepReport),
    Flushing(u64),
    Waiting(Error, Duration),
    Warning(String),
}

impl Told {
    /// Takes the event along.
    pub(crate) fn of(event: &Event<'_>) -> Told {
        match event {
            Event::Resolved { drive, action } => {
                Told::Resolved(Box::new((*drive).clone()), *action)
            }
            Event::Started(step) => Told::Started(*step),
            Event::Finished(step) => Told::Finished((*step).clone()),
            Event::Flushing { remaining: left } => Told::Flushing(*left),
            Event::Waiting { error, remaining: left } => Told::Waiting((*error).clone(), *left),
            Event::Warning(warning) => Told::Warning((*warning).to_string()),
        }
    }

    /// The event, as it was told.
    pub(crate) fn event(&self) -> Event<'_> {
        match self {
            Told::Resolved(drive, action) => Event::Resolved { drive, action: *action },
            Told::Started(step) => Event::Started(*step),
            Told::Finished(step) => Event::Finished(step),
            Told::Flushing(left) => Event::Flushing { remaining: *left },
            Told::Waiting(error, left) => Event::Waiting { error, remaining: *left },
            Told::Warning(warning) => Event::Warning(warning),
        }
    }
}
