//! Programs that the agent runs for the host.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use super::protocol::{Output, Program};

/// Folder of the jobs' output files. A pipe would not do: a background process that inherits a pipe keeps it
/// open, and its reader never sees the end. `/run` would not do either: a test fills it up.
const DIRECTORY: &str = "/dev/shm/unmoor-rig";

struct Job {
    pid: u32,
    number: u64,
    status: Mutex<Option<ExitStatus>>,
    output: Condvar,
}

/// Jobs since the last reset.
pub struct Jobs {
    table: Mutex<(u64, BTreeMap<u64, Arc<Job>>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn output_file(number: u64, stream: &str) -> PathBuf {
    PathBuf::from(format!("{DIRECTORY}/{number}.{stream}"))
}

impl Jobs {
    pub fn new() -> Result<Self> {
        fs::create_dir_all(DIRECTORY)?;
        Ok(Self { table: Mutex::new((0, BTreeMap::new())) })
    }

    pub fn start(&self, program: &Program) -> Result<u64> {
        let number = {
            let mut table = lock(&self.table);
            table.0 += 1;
            table.0
        };
        let (name, arguments) = program.words.split_first().context("no program")?;
        let mut command = Command::new(name);
        command.args(arguments).envs(program.environment.iter().cloned()).process_group(0);
        command.current_dir(program.directory.as_deref().unwrap_or("/"));
        if let Some(user) = program.user {
            command.uid(user).gid(user);
        }
        command.stdin(Stdio::null());
        command.stdout(File::create(output_file(number, "out"))?);
        command.stderr(File::create(output_file(number, "err"))?);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let pid = child.id();
        let job = Arc::new(Job { pid, number, status: Mutex::new(None), output: Condvar::new() });
        lock(&self.table).1.insert(number, Arc::clone(&job));
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                *lock(&job.status) = Some(status);
                job.output.notify_all();
            }
        });
        Ok(number)
    }

    /// Waits for a job to end and returns its output. After the timeout, kills its process group if `kill` is
    /// set.
    pub fn wait(&self, number: u64, timeout: Duration, kill: bool) -> Result<Output> {
        let job = self.job(number)?;
        let status = job.await_end(timeout);
        if status.is_none() && kill {
            job.kill();
            job.await_end(Duration::from_secs(5));
        }
        Ok(Output {
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            running: status.is_none(),
            stdout: read(number, "out"),
            stderr: read(number, "err"),
        })
    }

    pub fn signal(&self, number: u64, signal: i32) -> Result<()> {
        let job = self.job(number)?;
        let signal = Signal::from_named_raw(signal).context("no such signal")?;
        if let Some(pid) = job.running() {
            rustix::process::kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// Kills all jobs with their process groups, and deletes their output.
    pub fn end_all(&self) {
        let jobs = std::mem::take(&mut lock(&self.table).1);
        for job in jobs.values() {
            // The group outlives its leader, if the leader left something running behind.
            job.kill();
        }
        for job in jobs.values() {
            job.await_end(Duration::from_secs(5));
            let _ = fs::remove_file(output_file(job.number, "out"));
            let _ = fs::remove_file(output_file(job.number, "err"));
        }
    }

    fn job(&self, number: u64) -> Result<Arc<Job>> {
        lock(&self.table).1.get(&number).cloned().context("no such job")
    }
}

fn read(number: u64, stream: &str) -> String {
    String::from_utf8_lossy(&fs::read(output_file(number, stream)).unwrap_or_default()).into_owned()
}

impl Job {
    fn await_end(&self, timeout: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + timeout;
        let mut status = lock(&self.status);
        while status.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            status =
                self.output.wait_timeout(status, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *status
    }

    fn running(&self) -> Option<Pid> {
        let status = lock(&self.status);
        let pid = i32::try_from(self.pid).ok()?;
        if status.is_some() { None } else { Pid::from_raw(pid) }
    }

    fn kill(&self) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
