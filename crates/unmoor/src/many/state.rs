//! How far each of several targets has come, and what can be begun with.

use super::arrange::arrange;
use super::crew::Part;
use super::{Job, News, broken};
use crate::drive::Drive;
use crate::options::{Goal, Options};
use crate::platform::Platform;
use crate::release::Procedure;
use crate::report::{Outcome, Report};
use std::collections::BTreeMap;

/// A target whose drive is known.
pub(super) struct Found {
    pub(super) number: usize,
    pub(super) drive: Drive,
    /// What was reported of it so far.
    pub(super) report: Report,
}

/// How far a target has come.
enum Stand {
    /// Its drive is looked for.
    Sought,
    Found(Box<Found>),
    /// It is worked on.
    Begun(Drive),
    /// It is the same drive as this other target.
    Follows(usize),
    Over(Report),
}

/// All targets of a call.
pub(super) struct Jobs<'j> {
    procedure: Procedure,
    jobs: &'j [Job<'j>],
    whole_device: bool,
    stands: Vec<Stand>,
}

type Listener<'l> = dyn FnMut(usize, &News<'_>) + 'l;

impl<'j> Jobs<'j> {
    pub(super) fn new(procedure: Procedure, jobs: &'j [Job<'j>], options: &Options) -> Self {
        let stands = jobs.iter().map(|_| Stand::Sought).collect();
        Jobs { procedure, jobs, whole_device: options.goal == Goal::PowerOff, stands }
    }

    pub(super) fn are_over(&self) -> bool {
        self.stands.iter().all(|stand| matches!(stand, Stand::Over(_)))
    }

    /// Is one still sought while another is found.
    pub(super) fn hold_each_other_up(&self) -> bool {
        self.any_is_sought() && self.stands.iter().any(|stand| matches!(stand, Stand::Found(_)))
    }

    fn any_is_sought(&self) -> bool {
        self.stands.iter().any(|stand| matches!(stand, Stand::Sought))
    }

    pub(super) fn found(&mut self, found: Box<Found>) {
        let number = found.number;
        self.stands[number] = Stand::Found(found);
    }

    /// It is over, and with it whatever means the same drive.
    pub(super) fn over(&mut self, number: usize, report: Report, listener: &mut Listener<'_>) {
        listener(number, &News::Over(&report));
        let follow = |stand: &Stand| matches!(stand, Stand::Follows(other) if *other == number);
        let followers: Vec<usize> =
            (0..self.stands.len()).filter(|n| follow(&self.stands[*n])).collect();
        for follower in followers {
            let target = self.jobs[follower].target.to_string();
            let report = Report { target, ..report.clone() };
            listener(follower, &News::Over(&report));
            self.stands[follower] = Stand::Over(report);
        }
        self.stands[number] = Stand::Over(report);
    }

    /// Nobody is at these any more: one that is not over by now will never be.
    pub(super) fn no_more_of(&mut self, part: &Part, listener: &mut Listener<'_>) {
        let given_up = |number: &usize| match (part, &self.stands[*number]) {
            (Part::Sought(_), Stand::Sought) => Some((*number, None)),
            (Part::Begun(_), Stand::Begun(drive)) => Some((*number, Some(drive.clone()))),
            _ => None,
        };
        let given_up: Vec<(usize, Option<Drive>)> = match part {
            Part::Sought(number) => given_up(number).into_iter().collect(),
            Part::Begun(numbers) => numbers.iter().filter_map(given_up).collect(),
        };
        for (number, drive) in given_up {
            let report = Report {
                target: self.jobs[number].target.to_string(),
                drive,
                action: None,
                steps: Vec::new(),
                medium_after: None,
                ended: Vec::new(),
                warnings: Vec::new(),
                lost: Vec::new(),
                outcome: Outcome::Planned,
            };
            self.over(number, broken(report), listener);
        }
    }

    /// What can be begun with now: queues that have nothing to do with each other. Everything waits for
    /// all drives to be found; `impatient`, only what lies on one that is not known yet.
    pub(super) fn next(
        &mut self,
        impatient: bool,
        listener: &mut Listener<'_>,
    ) -> Vec<Vec<Vec<Found>>> {
        if self.any_is_sought() && !impatient {
            return Vec::new();
        }
        self.follow(listener);
        let mut next = Vec::new();
        for numbers in self.found_by_machine() {
            for queue in self.queues(&numbers) {
                if self.any_is_sought() && queue.iter().flatten().any(|n| self.lies_elsewhere(*n)) {
                    continue;
                }
                let queue = queue.into_iter().map(|stack| {
                    stack.into_iter().filter_map(|number| self.begin(number)).collect()
                });
                next.push(queue.collect());
            }
        }
        next
    }

    /// Whatever means the same drive as another target gets that one's answer.
    fn follow(&mut self, listener: &mut Listener<'_>) {
        for number in 0..self.stands.len() {
            let Stand::Found(found) = &self.stands[number] else { continue };
            let drive = &found.drive;
            let same = |other: usize| match &self.stands[other] {
                Stand::Found(found) => other < number && is_same(&found.drive, drive),
                Stand::Begun(begun) => is_same(begun, drive),
                Stand::Over(report) => report.drive.as_ref().is_some_and(|d| is_same(d, drive)),
                Stand::Sought | Stand::Follows(_) => false,
            };
            let mine = address(self.jobs[number].platform);
            let Some(other) = (0..self.stands.len())
                .filter(|other| *other != number && address(self.jobs[*other].platform) == mine)
                .find(|other| same(*other))
            else {
                continue;
            };
            self.stands[number] = Stand::Follows(other);
            if let Stand::Over(report) = &self.stands[other] {
                let target = self.jobs[number].target.to_string();
                let report = Report { target, ..report.clone() };
                self.over(number, report, listener);
            }
        }
    }

    fn found_by_machine(&self) -> Vec<Vec<usize>> {
        let mut machines: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, stand) in self.stands.iter().enumerate() {
            if matches!(stand, Stand::Found(_)) {
                machines.entry(address(self.jobs[number].platform)).or_default().push(number);
            }
        }
        machines.into_values().collect()
    }

    fn queues(&self, numbers: &[usize]) -> Vec<Vec<Vec<usize>>> {
        if !matches!(self.procedure, Procedure::Release | Procedure::DryRun) {
            return numbers.iter().map(|number| vec![vec![*number]]).collect();
        }
        let drives: Vec<&Drive> = numbers.iter().filter_map(|n| self.drive(*n)).collect();
        let named = |stack: Vec<usize>| stack.into_iter().map(|at| numbers[at]).collect();
        let queues = arrange(&drives, self.whole_device);
        queues.into_iter().map(|queue| queue.into_iter().map(named).collect()).collect()
    }

    /// Does it share something with a drive that is not among those found.
    fn lies_elsewhere(&self, number: usize) -> bool {
        let Some(drive) = self.drive(number) else { return false };
        let known = |name: &String| {
            let part = |d: &Drive| d.name == *name || d.volume(name).is_some();
            (0..self.stands.len()).filter_map(|n| self.drive(n)).any(part)
        };
        let siblings = drive.siblings.iter().filter(|_| self.whole_device);
        let volumes = drive.volumes.iter().flat_map(|v| v.on.iter().chain(&v.spans));
        !siblings.chain(volumes).all(known)
    }

    fn drive(&self, number: usize) -> Option<&Drive> {
        match &self.stands[number] {
            Stand::Found(found) => Some(&found.drive),
            _ => None,
        }
    }

    fn begin(&mut self, number: usize) -> Option<Found> {
        match std::mem::replace(&mut self.stands[number], Stand::Sought) {
            Stand::Found(found) => {
                self.stands[number] = Stand::Begun(found.drive.clone());
                Some(*found)
            }
            other => {
                self.stands[number] = other;
                None
            }
        }
    }

    /// The reports, in the order of the targets.
    pub(super) fn reports(self) -> Vec<Report> {
        let over = |stand| match stand {
            Stand::Over(report) => Some(report),
            _ => None,
        };
        self.stands.into_iter().filter_map(over).collect()
    }
}

fn is_same(one: &Drive, other: &Drive) -> bool {
    one.id == other.id && one.path == other.path
}

/// Which machine it is.
fn address(platform: &dyn Platform) -> usize {
    std::ptr::from_ref(platform).cast::<()>().addr()
}
