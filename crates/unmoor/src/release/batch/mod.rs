//! Several targets at a time, in two phases: all are resolved, then each group runs in a thread.
//!
//! Once every target is resolved it is known which of them mean the same drive, which drives form a
//! group, and which have to go before others ([`order_groups`]). Groups that are independent run at the
//! same time: one that fails, hangs or waits neither stops nor delays another.
//!
//! Worker threads only work. Every event is delivered on the caller's thread, in order.

pub(crate) mod grouping;
pub(crate) mod workers;

pub use crate::release::batch::workers::MAX_CONCURRENT;

use crate::model::drive::Drive;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::event::{Event, EventHandler};
use crate::model::report::{Outcome, Report};
use crate::model::step::Step;
use crate::model::target::Target;
use crate::options::{Goal, Options};
use crate::platform::Platform;
use crate::release::batch::grouping::order_groups;
use crate::release::group::Resolved;
use crate::release::operation::DriveOperation;
use crate::release::{Operation, resolve_for};
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// A target and the platform that it is on.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct BatchItem<'i> {
    /// The platform.
    pub platform: &'i dyn Platform,
    /// The target.
    pub target: &'i Target,
}

impl<'i> BatchItem<'i> {
    /// Returns the item for this target.
    pub fn new(platform: &'i dyn Platform, target: &'i Target) -> Self {
        BatchItem { platform, target }
    }
}

/// An event of one target of a batch.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum BatchEvent {
    /// Progress. A dry run has none.
    Event(Event),
    /// The target is finished, with this report.
    Finished(Box<Report>),
}

/// Receives the events of a batch, with the index of their target.
///
/// It is called on the thread that called [`run_batch`].
pub type BatchHandler<'e> = dyn FnMut(usize, BatchEvent) + Send + 'e;

/// Carries out the operation on every target at the same time. Returns the report of each, in order.
///
/// If any target cannot be resolved, no drive is touched: the others fail with
/// [`ErrorKind::NotStarted`]. Otherwise each report is what it would be if its target had been the only
/// one, with these exceptions:
/// - Targets that mean the same drive share one report: the drive is released once.
/// - Drives that one volume spans (an array, a volume group, a btrfs), and with [`Goal::PowerOff`] those
///   of one device, are released together or not at all, whatever their order.
/// - A drive that is mounted on a directory of another, or an image on it, goes before it.
///
/// [`Options::timeout`] counts from the call, for all targets. Up to [`MAX_CONCURRENT`] drives are worked
/// on at a time; the others wait for their turn. If `events` panics, all operations are cancelled.
///
/// ```
/// use unmoor::{BatchItem, Operation, Options, Outcome, run_batch};
/// use unmoor_simulated::Simulated;
///
/// let platform = &Simulated::demo();
/// let targets = ["sim:stick".parse()?, "sim:busy".parse()?];
/// let items: Vec<BatchItem> =
///     targets.iter().map(|target| BatchItem::new(platform, target)).collect();
/// let reports = run_batch(Operation::Release, &items, &Options::default(), &mut |_, _| {});
/// assert_eq!(reports[0].outcome, Outcome::Completed);
/// assert!(reports[1].error().is_some());
/// # Ok::<(), unmoor::Error>(())
/// ```
pub fn run_batch(
    operation: Operation,
    items: &[BatchItem<'_>],
    options: &Options,
    events: &mut BatchHandler<'_>,
) -> Vec<Report> {
    let events = &mut |number, event| {
        if operation != Operation::DryRun || matches!(event, BatchEvent::Finished(_)) {
            events(number, event);
        }
    };
    if let [item] = items {
        return vec![run_single(operation, *item, options, events)];
    }
    let start = items.iter().map(|item| item.platform.now()).collect();
    let _prepared = PreparedPlatforms::new(items);
    Batch { operation, items, options, start }.run(events)
}

/// The platforms of a batch, prepared for its workers.
struct PreparedPlatforms<'b>(Vec<&'b dyn Platform>);

impl<'b> PreparedPlatforms<'b> {
    fn new(items: &'b [BatchItem<'b>]) -> Self {
        let mut counts: BTreeMap<usize, (&dyn Platform, usize)> = BTreeMap::new();
        for BatchItem { platform, .. } in items {
            counts.entry(platform_id(*platform)).or_insert((*platform, 0)).1 += 1;
        }
        let prepare = |(platform, targets): (&'b dyn Platform, usize)| {
            platform.batch_started(targets.min(MAX_CONCURRENT));
            platform
        };
        PreparedPlatforms(counts.into_values().map(prepare).collect())
    }
}

impl Drop for PreparedPlatforms<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|platform| platform.batch_finished());
    }
}

/// Runs a single target on this thread.
fn run_single(
    operation: Operation,
    BatchItem { platform, target }: BatchItem<'_>,
    options: &Options,
    events: &mut BatchHandler<'_>,
) -> Report {
    let mut forward = |event| events(0, BatchEvent::Event(event));
    let report = match resolve_for(operation, platform, target, options, &mut forward) {
        Ok(resolved) => operation.run(vec![resolved]).remove(0),
        Err(report) => *report,
    };
    events(0, BatchEvent::Finished(Box::new(report.clone())));
    report
}

struct Batch<'b> {
    operation: Operation,
    items: &'b [BatchItem<'b>],
    options: &'b Options,
    /// Start of the call by the clock of each target's platform.
    start: Vec<Duration>,
}

/// A target whose drive is known.
struct ResolvedTarget<'b> {
    number: usize,
    resolved: Resolved<'b>,
}

/// Groups that run one after the other.
type Queue<'b> = Vec<Vec<ResolvedTarget<'b>>>;

enum Message<'b> {
    Event(usize, Event),
    Resolved(Box<ResolvedTarget<'b>>),
    Finished(usize, Box<Report>),
}

impl<'b> Batch<'b> {
    fn run(&self, events: &mut BatchHandler<'_>) -> Vec<Report> {
        let mut resolved: Vec<ResolvedTarget<'_>> = Vec::new();
        let mut reports = Reports::new(self.items);
        let tasks = (0..self.items.len()).map(|number| (self.items[number].platform, number));
        let cancel = &self.options.cancel;
        workers::run(
            tasks.collect(),
            cancel,
            |number, tx| self.resolve(number, tx),
            |message| match message {
                Message::Event(number, event) => events(number, BatchEvent::Event(event)),
                Message::Resolved(target) => resolved.push(*target),
                Message::Finished(number, report) => reports.finish(number, &report, events),
            },
        );
        // Targets are resolved in any order.
        resolved.sort_unstable_by_key(|target| target.number);
        if let Some(cause) = reports.first_error() {
            for ResolvedTarget { number, resolved: (operation, drive) } in resolved.drain(..) {
                let error = not_touched(&cause, &operation, &drive);
                reports.finish(number, &operation.fail(error), events);
            }
        }
        let resolved = reports.link_aliases(resolved);
        let queues = self.queues(resolved).into_iter();
        workers::run(
            queues.map(|queue| (self.platform_of(&queue), queue)).collect(),
            cancel,
            |queue, tx| self.run_queue(queue, tx),
            |message| match message {
                Message::Event(number, event) => events(number, BatchEvent::Event(event)),
                Message::Finished(number, report) => reports.finish(number, &report, events),
                Message::Resolved(_) => {}
            },
        );
        reports.finish_panicked(events);
        reports.finished.into_iter().flatten().collect()
    }

    fn resolve(&self, number: usize, tx: &Sender<Message<'b>>) {
        let BatchItem { platform, target } = self.items[number];
        let mut operation =
            DriveOperation::new(platform, target.to_string(), self.options, forward(number, tx))
                .started_at(self.start[number]);
        let resolved = operation.check_cancelled().map_err(|e| not_started(e, &operation));
        let message = match resolved.and_then(|()| operation.resolve(target)) {
            Ok(drive) => {
                // The events of the second phase take another channel.
                operation.set_events(Box::new(|_| {}));
                let resolved = (operation, drive);
                Message::Resolved(Box::new(ResolvedTarget { number, resolved }))
            }
            Err(error) => Message::Finished(number, Box::new(operation.fail(error))),
        };
        let _ = tx.send(message);
    }

    fn platform_of(&self, queue: &Queue<'_>) -> &'b dyn Platform {
        self.items[queue[0][0].number].platform
    }

    /// Returns the groups in queues that are independent of each other.
    fn queues(&self, resolved: Vec<ResolvedTarget<'b>>) -> Vec<Queue<'b>> {
        if !matches!(self.operation, Operation::Release | Operation::DryRun) {
            return resolved.into_iter().map(|target| vec![vec![target]]).collect();
        }
        let mut by_platform: BTreeMap<usize, Vec<ResolvedTarget<'_>>> = BTreeMap::new();
        for target in resolved {
            let id = platform_id(target.resolved.0.platform);
            by_platform.entry(id).or_default().push(target);
        }
        by_platform.into_values().flat_map(|targets| self.order(targets)).collect()
    }

    fn order(&self, targets: Vec<ResolvedTarget<'b>>) -> Vec<Queue<'b>> {
        let drives: Vec<&Drive> = targets.iter().map(|target| &target.resolved.1).collect();
        let order = order_groups(&drives, self.options.goal == Goal::PowerOff);
        let mut targets: Vec<Option<ResolvedTarget<'_>>> = targets.into_iter().map(Some).collect();
        let mut group =
            |group: Vec<usize>| group.iter().filter_map(|at| targets[*at].take()).collect();
        order.into_iter().map(|queue| queue.into_iter().map(&mut group).collect()).collect()
    }

    fn run_queue(&self, queue: Queue<'b>, tx: &Sender<Message<'b>>) {
        for (turn, mut group) in queue.into_iter().enumerate() {
            // What was on these drives has left by now and must not be looked for. If a drive cannot
            // be refreshed, its release reports why.
            for target in group.iter_mut().filter(|_| turn > 0) {
                let _ = self.refresh(&mut target.resolved);
            }
            self.run_group(group, tx);
        }
    }

    fn refresh(&self, (operation, drive): &mut Resolved<'b>) -> Result<()> {
        *drive = operation.open_session(drive)?.refresh()?;
        Ok(())
    }

    fn run_group(&self, group: Vec<ResolvedTarget<'b>>, tx: &Sender<Message<'b>>) {
        let (numbers, mut group): (Vec<usize>, Vec<Resolved<'_>>) =
            group.into_iter().map(|target| (target.number, target.resolved)).unzip();
        for ((operation, _), number) in group.iter_mut().zip(&numbers) {
            operation.set_events(forward(*number, tx));
        }
        let reports = match self.options.cancel.check() {
            Ok(()) => self.operation.run(group),
            Err(error) => {
                let fail = |(operation, _): Resolved<'_>| {
                    let error = not_started(error.clone(), &operation);
                    operation.fail(error)
                };
                group.into_iter().map(fail).collect()
            }
        };
        for (number, report) in numbers.into_iter().zip(reports) {
            let _ = tx.send(Message::Finished(number, Box::new(report)));
        }
    }
}

fn not_started(interrupted: Error, operation: &DriveOperation<'_>) -> Error {
    let error = interrupted.with_subject(&operation.report.target).append_detail("not started");
    error.with_step(Step::Resolve)
}

/// Returns the error of a target that is left alone because `cause` kept another from being resolved.
fn not_touched(cause: &Error, operation: &DriveOperation<'_>, drive: &Drive) -> Error {
    if cause.kind() == ErrorKind::Interrupted {
        return not_started(cause.clone(), operation);
    }
    let why = match cause.kind() {
        ErrorKind::NoSuchTarget => "was not found",
        _ => "could not be resolved",
    };
    let what = format!("not touched, because {} {why}", cause.subject());
    Error::new(ErrorKind::NotStarted, &drive.name, what).with_step(Step::Resolve)
}

/// Returns an event handler that sends the events of this target.
fn forward<'b>(number: usize, tx: &Sender<Message<'b>>) -> Box<EventHandler<'b>> {
    let tx = tx.clone();
    Box::new(move |event| {
        let _ = tx.send(Message::Event(number, event));
    })
}

/// The reports of a batch so far.
struct Reports<'b> {
    items: &'b [BatchItem<'b>],
    drives: Vec<Option<Drive>>,
    /// For each target the one whose report it shares: itself, or an earlier one of the same drive.
    primary: Vec<usize>,
    finished: Vec<Option<Report>>,
}

impl<'b> Reports<'b> {
    fn new(items: &'b [BatchItem<'b>]) -> Self {
        let count = items.len();
        Reports {
            items,
            drives: vec![None; count],
            primary: (0..count).collect(),
            finished: vec![None; count],
        }
    }

    /// Returns the first error of the targets that are finished.
    fn first_error(&self) -> Option<Error> {
        self.finished.iter().flatten().find_map(|report| report.error().cloned())
    }

    /// Removes the targets that mean the same drive as an earlier one.
    fn link_aliases(&mut self, resolved: Vec<ResolvedTarget<'b>>) -> Vec<ResolvedTarget<'b>> {
        let mut primaries: Vec<ResolvedTarget<'_>> = Vec::new();
        for target in resolved {
            match primaries.iter().find(|primary| is_same_drive(primary, &target)) {
                Some(primary) => self.primary[target.number] = primary.number,
                None => {
                    self.drives[target.number] = Some(target.resolved.1.clone());
                    primaries.push(target);
                }
            }
        }
        primaries
    }

    /// Records the report of a target and of its aliases.
    fn finish(&mut self, number: usize, report: &Report, events: &mut BatchHandler<'_>) {
        for alias in (0..self.items.len()).filter(|alias| self.primary[*alias] == number) {
            let target = self.items[alias].target.to_string();
            let report = Report { target, ..report.clone() };
            events(alias, BatchEvent::Finished(Box::new(report.clone())));
            self.finished[alias] = Some(report);
        }
    }

    /// Reports the targets whose worker panicked. The panic has printed its place.
    fn finish_panicked(&mut self, events: &mut BatchHandler<'_>) {
        for number in 0..self.items.len() {
            if self.finished[number].is_none() && self.primary[number] == number {
                let mut report = Report::new(self.items[number].target.to_string());
                report.drive = self.drives[number].take();
                let why = "an internal error stopped it; nothing is locked any more";
                let error = Error::new(ErrorKind::Failed, &report.target, why);
                report.outcome = Outcome::Failed(error);
                self.finish(number, &report, events);
            }
        }
    }
}

fn is_same_drive(one: &ResolvedTarget<'_>, other: &ResolvedTarget<'_>) -> bool {
    let ((operation, drive), (other_operation, other_drive)) = (&one.resolved, &other.resolved);
    platform_id(operation.platform) == platform_id(other_operation.platform)
        && drive.id == other_drive.id
        && drive.path == other_drive.path
        && drive.selection == other_drive.selection
}

/// Returns a number that tells one platform from another.
fn platform_id(platform: &dyn Platform) -> usize {
    std::ptr::from_ref(platform).cast::<()>().addr()
}
