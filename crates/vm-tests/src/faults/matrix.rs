//! Table of the cases.

use std::path::Path;
use std::{fmt, fs};

use super::fault::Fault;
use super::step::Step;

/// Result of a case.
pub enum Verdict {
    Green(String),
    Red(String),
    /// The case cannot happen, with the reason.
    Exception(String),
}

impl Verdict {
    pub fn why(&self) -> &str {
        let (Self::Green(why) | Self::Red(why) | Self::Exception(why)) = self;
        why
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Green(_) => "green",
            Self::Red(_) => "RED",
            Self::Exception(_) => "exception",
        })
    }
}

#[derive(Default)]
pub struct Matrix {
    cells: Vec<(Step, Fault, Verdict)>,
}

impl Matrix {
    pub fn add(&mut self, step: Step, fault: Fault, verdict: Verdict) {
        self.cells.retain(|(s, f, _)| (*s, *f) != (step, fault));
        self.cells.push((step, fault, verdict));
    }

    pub fn is_green(&self, step: Step, fault: Fault) -> bool {
        matches!(self.at(step, fault), Some(Verdict::Green(_)))
    }

    /// Returns the green cases, one a line, for [`Matrix::read`].
    pub fn lines(&self) -> String {
        let green = self.cells.iter().filter_map(|(step, fault, verdict)| match verdict {
            Verdict::Green(why) => {
                Some(format!("{}\t{}\t{}\n", step.name(), fault.name(), why.lines().next()?))
            }
            _ => None,
        });
        green.collect()
    }

    /// Reads the lines of a file; returns an empty matrix if there is none.
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let cell = |line: &str| {
            let mut parts = line.splitn(3, '\t');
            let (step, fault) = (parts.next()?, parts.next()?);
            Some((
                *Step::ALL.iter().find(|one| one.name() == step)?,
                *Fault::ALL.iter().find(|one| one.name() == fault)?,
                Verdict::Green(parts.next()?.to_owned()),
            ))
        };
        Self { cells: text.lines().filter_map(cell).collect() }
    }

    /// Returns true if cases were tried and none failed.
    pub fn good(&self) -> bool {
        let red = self.cells.iter().any(|(_, _, verdict)| matches!(verdict, Verdict::Red(_)));
        let green = self.cells.iter().any(|(_, _, verdict)| matches!(verdict, Verdict::Green(_)));
        green && !red
    }

    fn at(&self, step: Step, fault: Fault) -> Option<&Verdict> {
        self.cells.iter().find(|(s, f, _)| (*s, *f) == (step, fault)).map(|(_, _, verdict)| verdict)
    }

    fn count(&self, wanted: impl Fn(&Verdict) -> bool) -> usize {
        self.cells.iter().filter(|(_, _, verdict)| wanted(verdict)).count()
    }
}

/// Prints the exit code of each green case.
impl fmt::Display for Matrix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:9}", "")?;
        for fault in Fault::ALL {
            write!(formatter, " {:>10}", fault.name())?;
        }
        writeln!(formatter)?;
        for step in Step::ALL {
            write!(formatter, "{:9}", step.name())?;
            for fault in Fault::ALL {
                let word = match self.at(step, fault) {
                    None => "-".to_owned(),
                    Some(Verdict::Green(why)) => {
                        format!("green {}", why.split(':').next().unwrap_or_default())
                    }
                    Some(Verdict::Red(_)) => "RED".to_owned(),
                    Some(Verdict::Exception(_)) => "exception".to_owned(),
                };
                write!(formatter, " {word:>10}")?;
            }
            writeln!(formatter)?;
        }
        let (green, red, exceptions) = (
            self.count(|verdict| matches!(verdict, Verdict::Green(_))),
            self.count(|verdict| matches!(verdict, Verdict::Red(_))),
            self.count(|verdict| matches!(verdict, Verdict::Exception(_))),
        );
        write!(formatter, "{green} green, {red} red, {exceptions} exceptions")
    }
}
