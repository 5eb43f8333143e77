//! Runs the tests on as few boots as possible, with the machine restored between two tests.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::test_context::TestContext;
use crate::vm::test_case::{Skip, Test};
use unmoor_rig::drives::Drive;
use unmoor_rig::guest::Hung;
use unmoor_rig::machine::{Hardware, Machine, Rig};

/// Timeout of a test; none takes a tenth of it.
const DEADLINE: Duration = Duration::from_secs(300);

/// Timeout for the guest to detect all media.
const PREPARATION: Duration = Duration::from_secs(150);

/// Number of lines of a failure that are printed; the log has all.
const LINES: usize = 12;

/// Number of tests in a row without a usable machine, after which the rest fails at once.
const BOOTS: usize = 3;

enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Numbers of tests by result.
#[derive(Default)]
pub struct Summary {
    passed: usize,
    skipped: usize,
    /// Names of the failed tests, and the first lines of each failure.
    failed: Vec<(&'static str, String)>,
    /// Processor time of the emulators.
    cpu: Duration,
}

impl Summary {
    /// Returns true if tests passed and none failed.
    pub fn good(&self) -> bool {
        self.failed.is_empty() && self.passed > 0
    }
}

/// Runs the tests on up to `machines` machines at once, and prints a line for each test, then the totals.
pub fn run_tests(rig: &Rig, tests: &[&'static Test], machines: usize) -> Summary {
    let folder = xtask::paths::rig().join("log");
    let _ = fs::remove_dir_all(&folder);
    let _ = fs::create_dir_all(&folder);
    let queue = Mutex::new(Queue::new(tests));
    let log = Log { folder, summary: Mutex::default() };
    thread::scope(|scope| {
        for _ in 0..machines {
            scope.spawn(|| work(rig, &queue, &log));
        }
    });
    let summary = log.summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (name, details) in &summary.failed {
        print!("failed: {name}\n{details}");
    }
    let Summary { passed, skipped, failed, cpu } = &summary;
    println!(
        "{passed} passed, {} failed, {skipped} skipped; {:.0} s of processor time",
        failed.len(),
        cpu.as_secs_f32()
    );
    summary
}

/// Tests that no worker has taken yet, by machine.
struct Queue(Vec<Group>);

struct Group {
    machine: &'static str,
    /// True once a worker has taken a test of it.
    started: bool,
    tests: VecDeque<&'static Test>,
}

impl Queue {
    /// Returns the tests by machine, the largest group first: it takes longest.
    fn new(tests: &[&'static Test]) -> Self {
        let mut groups: BTreeMap<&'static str, VecDeque<&'static Test>> = BTreeMap::new();
        for test in tests {
            groups.entry(test.machine.name).or_default().push_back(test);
        }
        let group = |(machine, tests)| Group { machine, started: false, tests };
        let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.tests.len()));
        Queue(groups)
    }

    /// Takes the next test for a worker that has booted `machine`.
    ///
    /// Another boot costs as much as several tests. So a worker stays with its machine, then begins a group that
    /// no worker has, and last helps with the largest group.
    fn next(&mut self, machine: Option<&str>) -> Option<&'static Test> {
        self.0.retain(|group| !group.tests.is_empty());
        let same = self.0.iter().position(|group| Some(group.machine) == machine);
        let fresh = || self.0.iter().position(|group| !group.started);
        let largest = || (0..self.0.len()).max_by_key(|at| self.0[*at].tests.len());
        let at = same.or_else(fresh).or_else(largest)?;
        let group = &mut self.0[at];
        group.started = true;
        group.tests.pop_front()
    }
}

/// Runs tests until none is left.
fn work(rig: &Rig, queue: &Mutex<Queue>, log: &Log) {
    let mut failed_boots = 0;
    let mut machine: Option<Machine> = None;
    let mut hardware: Option<&str> = None;
    while let Some(test) = { lock(queue).next(hardware) } {
        if !test.machine.shared || hardware != Some(test.machine.name) {
            machine = None;
        }
        hardware = Some(test.machine.name);
        let start = Instant::now();
        let before = machine.as_ref().map_or(Duration::ZERO, Machine::cpu_time);
        let (verdict, transcript) = if failed_boots < BOOTS {
            one(rig, test, &mut machine)
        } else {
            (Verdict::Failed("no machine boots any more".to_owned()), String::new())
        };
        failed_boots = if machine.is_some() { 0 } else { failed_boots + 1 };
        let after = machine.as_ref().map_or(Duration::ZERO, Machine::cpu_time);
        // After a new boot the emulator is another process.
        let cpu = after.checked_sub(before).unwrap_or(after);
        log.add(test, verdict, [start.elapsed(), cpu], transcript);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Results of the tests.
struct Log {
    /// Folder of the transcripts.
    folder: PathBuf,
    summary: Mutex<Summary>,
}

impl Log {
    /// Prints and counts the result of a test, and writes its transcript. `times` are wall and processor time.
    fn add(&self, test: &Test, verdict: Verdict, times: [Duration; 2], mut transcript: String) {
        let path = self.folder.join(format!("{}.log", test.name));
        let mut summary = lock(&self.summary);
        let (word, details) = match verdict {
            Verdict::Passed => {
                summary.passed += 1;
                ("pass", String::new())
            }
            Verdict::Skipped(reason) => {
                summary.skipped += 1;
                ("skip", format!("      {reason}\n"))
            }
            Verdict::Failed(reason) => {
                transcript.push_str(&format!("FAILED: {reason}\n"));
                let details = excerpt(&reason, &path);
                summary.failed.push((test.name, details.clone()));
                ("FAIL", details)
            }
        };
        summary.cpu += times[1];
        let [wall, cpu] = times.map(|time| time.as_secs_f32());
        print!(
            "{word}  {:32} {wall:5.1} s, {cpu:5.1} s cpu  {}\n{details}",
            test.name, test.promise
        );
        let _ = fs::write(path, transcript);
    }
}

/// Returns the first lines of a failure, and the path of its log.
fn excerpt(reason: &str, log: &Path) -> String {
    let mut lines: Vec<&str> = reason.lines().take(LINES).collect();
    if reason.lines().nth(LINES).is_some() {
        lines.push("…");
    }
    let see = format!("see {}", log.display());
    lines.push(&see);
    lines.iter().map(|line| format!("      {line}\n")).collect()
}

fn one(rig: &Rig, test: &Test, slot: &mut Option<Machine>) -> (Verdict, String) {
    let mut machine = match prepared(rig, test.machine, test.drives, slot.take()) {
        Ok(machine) => machine,
        Err(error) => {
            return (Verdict::Failed(format!("not prepared: {error:#}")), String::new());
        }
    };
    let mut ctx = TestContext::new(&mut machine, Instant::now() + DEADLINE);
    let result = (test.run)(&mut ctx);
    let mut transcript = ctx.transcript();
    let verdict = match result {
        Ok(()) => Verdict::Passed,
        Err(error) if error.is::<Skip>() => Verdict::Skipped(format!("{error:#}")),
        Err(error) => {
            transcript.push_str(&machine.console());
            if error.is::<Hung>() {
                return (Verdict::Failed(format!("{error:#}")), transcript);
            }
            Verdict::Failed(format!("{error:#}"))
        }
    };
    *slot = Some(machine);
    (verdict, transcript)
}

/// Returns the machine with these drives unmodified: the current one after a reset, or a new one if the reset
/// fails.
pub fn prepared(
    rig: &Rig,
    hardware: &'static Hardware,
    drives: &[&Drive],
    machine: Option<Machine>,
) -> Result<Machine> {
    if let Some(mut machine) = machine {
        match ready(&mut machine, drives) {
            Ok(()) => return Ok(machine),
            Err(error) => println!("      booting anew: {error:#}"),
        }
    }
    match booted(rig, hardware) {
        Ok(machine) => Ok(machine),
        Err(error) => {
            println!("      booting anew: {error:#}");
            booted(rig, hardware)
        }
    }
}

/// Boots a machine and waits until the guest has detected all drives. Changing media during detection has
/// made a guest hang.
fn booted(rig: &Rig, hardware: &'static Hardware) -> Result<Machine> {
    let mut machine = rig.boot(hardware)?;
    TestContext::new(&mut machine, Instant::now() + PREPARATION)
        .await_media(hardware.drives)
        .context("right after boot")?;
    Ok(machine)
}

fn ready(machine: &mut Machine, drives: &[&Drive]) -> Result<()> {
    machine.guest.reset()?;
    for drive in drives {
        if drive.hotplug && machine.guest.find(drive.sysfs_parts)?.is_none() {
            // Powered off by the guest it is still in its socket; yanked by a test it is not.
            let _ = machine.yank(drive);
            machine.plug(drive)?;
        } else if machine.guest.find(drive.sysfs_parts)?.is_none() {
            anyhow::bail!("the guest powered {} off, and it cannot be plugged in again", drive.id);
        } else {
            machine.insert(drive)?;
        }
    }
    TestContext::new(machine, Instant::now() + PREPARATION).await_media(drives)
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use crate::vm::tests::chosen;

    #[test]
    fn workers_share_the_largest_group_last() {
        let tests = chosen("", true);
        let mut queue = Queue::new(&tests);
        let mut taken = Vec::new();
        let mut machines = [None, None];
        'all: loop {
            for machine in &mut machines {
                let Some(test) = queue.next(*machine) else { break 'all };
                *machine = Some(test.machine.name);
                taken.push((test.name, test.machine.name));
            }
        }
        assert_ne!(taken[0].1, taken[1].1, "two workers begin with two machines");
        assert_eq!(machines[0], machines[1], "and end with the largest group");
        assert_eq!(taken.len(), tests.len());
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), tests.len(), "no test runs twice");
    }
}
