//! Host's side of the connection to the agent in the guest.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::agent::protocol::{Call, Output, Program, Reply, Request, Response};

/// Error: the guest did not answer. Its state is unknown, and the machine must be booted anew.
#[derive(Debug)]
pub struct Hung(pub String);

impl std::fmt::Display for Hung {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the guest hangs: {}", self.0)
    }
}

impl std::error::Error for Hung {}

/// Time that the agent may take to report that a program has ended.
const GRACE: Duration = Duration::from_secs(30);

/// Handle of a program that runs in the guest.
#[derive(Clone, Copy, Debug)]
pub struct Job(u64);

/// Connection to the agent.
pub struct Guest {
    writer: UnixStream,
    reader: BufReader<UnixStream>,
    next: u64,
}

impl Guest {
    pub fn new(stream: UnixStream) -> Result<Self> {
        Ok(Self { writer: stream.try_clone()?, reader: BufReader::new(stream), next: 0 })
    }

    /// Waits until the agent listens.
    pub fn await_boot(&mut self, timeout: Duration) -> Result<()> {
        self.call(Call::Hello, timeout).map(drop)
    }

    /// Runs a program to its end, or kills it after the timeout.
    pub fn run(&mut self, program: Program, timeout: Duration) -> Result<Output> {
        let job = self.start(program)?;
        self.wait(job, timeout)
    }

    pub fn start(&mut self, program: Program) -> Result<Job> {
        match self.call(Call::Start(program), GRACE)? {
            Reply::KillOnDrop { job } => Ok(Job(job)),
            other => bail!("the agent answered {other:?}"),
        }
    }

    /// Waits for a program to end, or kills it after the timeout.
    pub fn wait(&mut self, job: Job, timeout: Duration) -> Result<Output> {
        let milliseconds = u64::try_from(timeout.as_millis())?;
        let call = Call::Wait { job: job.0, milliseconds, kill: true };
        match self.call(call, timeout + GRACE)? {
            Reply::Output(output) => Ok(output),
            other => bail!("the agent answered {other:?}"),
        }
    }

    /// Returns what a program has written so far.
    pub fn peek(&mut self, job: Job) -> Result<Output> {
        match self.call(Call::Wait { job: job.0, milliseconds: 0, kill: false }, GRACE)? {
            Reply::Output(output) => Ok(output),
            other => bail!("the agent answered {other:?}"),
        }
    }

    pub fn signal(&mut self, job: Job, signal: i32) -> Result<()> {
        self.call(Call::Signal { job: job.0, signal }, GRACE).map(drop)
    }

    pub fn find(&mut self, parts: &[&str]) -> Result<Option<String>> {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        match self.call(Call::Find { parts }, GRACE)? {
            Reply::Found(name) => Ok(name),
            other => bail!("the agent answered {other:?}"),
        }
    }

    pub fn reset(&mut self) -> Result<()> {
        self.call(Call::Reset, GRACE * 2).map(drop)
    }

    fn call(&mut self, call: Call, timeout: Duration) -> Result<Reply> {
        self.next += 1;
        let shown = format!("{call:?}");
        let line = serde_json::to_string(&Request { id: self.next, call })?;
        self.writer
            .write_all(format!("{line}\n").as_bytes())
            .map_err(|error| anyhow::Error::new(Hung(format!("{shown}: {error}"))))?;
        let until = Instant::now() + timeout;
        loop {
            let left =
                until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.reader.get_ref().set_read_timeout(Some(left))?;
            let mut line = String::new();
            match self.reader.read_line(&mut line) {
                Ok(0) => return Err(Hung(format!("{shown}: it is gone")).into()),
                Ok(_) => {}
                Err(error) => return Err(Hung(format!("{shown}: {error}")).into()),
            }
            let response: Response =
                serde_json::from_str(&line).with_context(|| format!("from the agent: {line}"))?;
            if response.id == self.next {
                return response.reply.map_err(|error| anyhow::anyhow!("{shown}: {error}"));
            }
        }
    }
}
