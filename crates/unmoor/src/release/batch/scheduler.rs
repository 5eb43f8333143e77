//! How far each of several targets has come, and what can be begun with.

use crate::model::drive::Drive;
use crate::model::report::{Outcome, Report};
use crate::options::{Goal, Options};
use crate::platform::Platform;
use crate::release::Operation;
use crate::release::batch::grouping::order_groups;
use crate::release::batch::workers::TaskTargets;
use crate::release::batch::{BatchEvent, BatchItem, panicked_report};
use std::collections::BTreeMap;

/// A target whose drive is known.
pub(crate) struct ResolvedTarget {
    pub(crate) number: usize,
    pub(crate) drive: Drive,
    /// What was reported of it so far.
    pub(crate) report: Report,
}

/// How far a target has come.
enum TargetState {
    /// Its drive is looked for.
    Resolving,
    Resolved(Box<ResolvedTarget>),
    /// It is worked on.
    Running(Drive),
    /// It is the same drive as this other target.
    Alias(usize),
    Finished(Report),
}

/// All targets of a call.
pub(crate) struct Scheduler<'j> {
    procedure: Operation,
    jobs: &'j [BatchItem<'j>],
    whole_device: bool,
    stands: Vec<TargetState>,
}

type Listener<'l> = dyn FnMut(usize, &BatchEvent<'_>) + 'l;

impl<'j> Scheduler<'j> {
    pub(crate) fn new(procedure: Operation, jobs: &'j [BatchItem<'j>], options: &Options) -> Self {
        let stands = jobs.iter().map(|_| TargetState::Resolving).collect();
        Scheduler { procedure, jobs, whole_device: options.goal == Goal::PowerOff, stands }
    }

    pub(crate) fn all_finished(&self) -> bool {
        self.stands.iter().all(|stand| matches!(stand, TargetState::Finished(_)))
    }

    /// Is one still sought while another is found.
    pub(crate) fn waiting_to_resolve(&self) -> bool {
        self.any_resolving()
            && self.stands.iter().any(|stand| matches!(stand, TargetState::Resolved(_)))
    }

    fn any_resolving(&self) -> bool {
        self.stands.iter().any(|stand| matches!(stand, TargetState::Resolving))
    }

    pub(crate) fn record_resolved(&mut self, found: Box<ResolvedTarget>) {
        let number = found.number;
        self.stands[number] = TargetState::Resolved(found);
    }

    /// It is over, and with it whatever means the same drive.
    pub(crate) fn record_finished(
        &mut self,
        number: usize,
        report: Report,
        listener: &mut Listener<'_>,
    ) {
        listener(number, &BatchEvent::Finished(&report));
        let follow =
            |stand: &TargetState| matches!(stand, TargetState::Alias(other) if *other == number);
        let followers: Vec<usize> =
            (0..self.stands.len()).filter(|n| follow(&self.stands[*n])).collect();
        for follower in followers {
            let target = self.jobs[follower].target.to_string();
            let report = Report { target, ..report.clone() };
            listener(follower, &BatchEvent::Finished(&report));
            self.stands[follower] = TargetState::Finished(report);
        }
        self.stands[number] = TargetState::Finished(report);
    }

    /// Nobody is at these any more: one that is not over by now will never be.
    pub(crate) fn worker_done(&mut self, part: &TaskTargets, listener: &mut Listener<'_>) {
        let given_up = |number: &usize| match (part, &self.stands[*number]) {
            (TaskTargets::Sought(_), TargetState::Resolving) => Some((*number, None)),
            (TaskTargets::Begun(_), TargetState::Running(drive)) => {
                Some((*number, Some(drive.clone())))
            }
            _ => None,
        };
        let given_up: Vec<(usize, Option<Drive>)> = match part {
            TaskTargets::Sought(number) => given_up(number).into_iter().collect(),
            TaskTargets::Begun(numbers) => numbers.iter().filter_map(given_up).collect(),
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
            self.record_finished(number, panicked_report(report), listener);
        }
    }

    /// What can be begun with now: queues that have nothing to do with each other. Everything waits for
    /// all drives to be found; `impatient`, only what lies on one that is not known yet.
    pub(crate) fn ready_groups(
        &mut self,
        impatient: bool,
        listener: &mut Listener<'_>,
    ) -> Vec<Vec<Vec<ResolvedTarget>>> {
        if self.any_resolving() && !impatient {
            return Vec::new();
        }
        self.link_aliases(listener);
        let mut next = Vec::new();
        for numbers in self.resolved_by_platform() {
            for queue in self.queue_limits(&numbers) {
                if self.any_resolving()
                    && queue.iter().flatten().any(|n| self.has_unresolved_deps(*n))
                {
                    continue;
                }
                let queue = queue.into_iter().map(|stack| {
                    stack.into_iter().filter_map(|number| self.start(number)).collect()
                });
                next.push(queue.collect());
            }
        }
        next
    }

    /// Whatever means the same drive as another target gets that one's answer.
    fn link_aliases(&mut self, listener: &mut Listener<'_>) {
        for number in 0..self.stands.len() {
            let TargetState::Resolved(found) = &self.stands[number] else { continue };
            let drive = &found.drive;
            let same = |other: usize| match &self.stands[other] {
                TargetState::Resolved(found) => {
                    other < number && is_same_drive(&found.drive, drive)
                }
                TargetState::Running(begun) => is_same_drive(begun, drive),
                TargetState::Finished(report) => {
                    report.drive.as_ref().is_some_and(|d| is_same_drive(d, drive))
                }
                TargetState::Resolving | TargetState::Alias(_) => false,
            };
            let mine = platform_id(self.jobs[number].platform);
            let Some(other) = (0..self.stands.len())
                .filter(|other| *other != number && platform_id(self.jobs[*other].platform) == mine)
                .find(|other| same(*other))
            else {
                continue;
            };
            self.stands[number] = TargetState::Alias(other);
            if let TargetState::Finished(report) = &self.stands[other] {
                let target = self.jobs[number].target.to_string();
                let report = Report { target, ..report.clone() };
                self.record_finished(number, report, listener);
            }
        }
    }

    fn resolved_by_platform(&self) -> Vec<Vec<usize>> {
        let mut machines: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, stand) in self.stands.iter().enumerate() {
            if matches!(stand, TargetState::Resolved(_)) {
                machines.entry(platform_id(self.jobs[number].platform)).or_default().push(number);
            }
        }
        machines.into_values().collect()
    }

    fn queue_limits(&self, numbers: &[usize]) -> Vec<Vec<Vec<usize>>> {
        if !matches!(self.procedure, Operation::Release | Operation::DryRun) {
            return numbers.iter().map(|number| vec![vec![*number]]).collect();
        }
        let drives: Vec<&Drive> = numbers.iter().filter_map(|n| self.drive(*n)).collect();
        let named = |stack: Vec<usize>| stack.into_iter().map(|at| numbers[at]).collect();
        let queues = order_groups(&drives, self.whole_device);
        queues.into_iter().map(|queue| queue.into_iter().map(named).collect()).collect()
    }

    /// Does it share something with a drive that is not among those found.
    fn has_unresolved_deps(&self, number: usize) -> bool {
        let Some(drive) = self.drive(number) else { return false };
        let known = |name: &String| {
            let part = |d: &Drive| d.name == *name || d.volume(name).is_some();
            (0..self.stands.len()).filter_map(|n| self.drive(n)).any(part)
        };
        let siblings = drive.siblings.iter().filter(|_| self.whole_device);
        let volumes = drive.volumes.iter().flat_map(|v| v.parents.iter().chain(&v.other_members));
        !siblings.chain(volumes).all(known)
    }

    fn drive(&self, number: usize) -> Option<&Drive> {
        match &self.stands[number] {
            TargetState::Resolved(found) => Some(&found.drive),
            _ => None,
        }
    }

    fn start(&mut self, number: usize) -> Option<ResolvedTarget> {
        match std::mem::replace(&mut self.stands[number], TargetState::Resolving) {
            TargetState::Resolved(found) => {
                self.stands[number] = TargetState::Running(found.drive.clone());
                Some(*found)
            }
            other => {
                self.stands[number] = other;
                None
            }
        }
    }

    /// The reports, in the order of the targets.
    pub(crate) fn reports(self) -> Vec<Report> {
        let over = |stand| match stand {
            TargetState::Finished(report) => Some(report),
            _ => None,
        };
        self.stands.into_iter().filter_map(over).collect()
    }
}

fn is_same_drive(one: &Drive, other: &Drive) -> bool {
    one.id == other.id && one.path == other.path
}

/// Which machine it is.
fn platform_id(platform: &dyn Platform) -> usize {
    std::ptr::from_ref(platform).cast::<()>().addr()
}
