//! QEMU's control channel: commands, and the events of the drives.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Timeout for a reply of QEMU.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Event that QEMU reported.
#[derive(Clone, Debug)]
pub struct Event {
    pub name: String,
    pub data: Value,
}

#[derive(Default)]
struct Received {
    events: Vec<Event>,
    replies: Vec<Value>,
    closed: bool,
}

/// Connection to QEMU.
pub struct Qmp {
    stream: UnixStream,
    received: Arc<(Mutex<Received>, Condvar)>,
    next: u64,
}

fn lock(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Qmp {
    pub fn new(stream: UnixStream) -> Result<Self> {
        let received = Arc::new((Mutex::new(Received::default()), Condvar::new()));
        let (reader, shared) = (stream.try_clone()?, Arc::clone(&received));
        std::thread::spawn(move || listen(reader, &shared));
        let mut qmp = Self { stream, received, next: 0 };
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Executes a command and returns its result.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.next += 1;
        let id = self.next;
        let line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        self.stream.write_all(format!("{line}\n").as_bytes()).context("QEMU is gone")?;
        let reply = self
            .wait(|received| {
                let found = received.replies.iter().position(|reply| reply["id"] == id)?;
                Some(received.replies.swap_remove(found))
            })
            .with_context(|| format!("QEMU did not answer {command}"))?;
        if let Some(error) = reply.get("error") {
            bail!("QEMU, asked {line}: {}", error["desc"].as_str().unwrap_or("failed"));
        }
        Ok(reply["return"].clone())
    }

    /// Returns the number of events so far, as a mark for [`Qmp::since`].
    pub fn mark(&self) -> usize {
        lock(&self.received.0).events.len()
    }

    /// Returns the events since a mark.
    pub fn since(&self, mark: usize) -> Vec<Event> {
        lock(&self.received.0).events[mark..].to_vec()
    }

    /// Waits for a matching event after the mark.
    pub fn await_event(&self, mark: usize, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
        self.wait(|received| received.events[mark..].iter().find(|event| wanted(event)).cloned())
    }

    fn wait<T>(&self, mut look: impl FnMut(&mut Received) -> Option<T>) -> Result<T> {
        let until = Instant::now() + TIMEOUT;
        let mut received = lock(&self.received.0);
        loop {
            if let Some(found) = look(&mut received) {
                return Ok(found);
            }
            if received.closed {
                bail!("QEMU is gone");
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("waited {TIMEOUT:?} for QEMU in vain");
            }
            received = self
                .received
                .1
                .wait_timeout(received, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

fn listen(stream: UnixStream, shared: &(Mutex<Received>, Condvar)) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let Ok(value) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let mut received = lock(&shared.0);
        if let Some(name) = value["event"].as_str() {
            received.events.push(Event { name: name.to_owned(), data: value["data"].clone() });
        } else if value.get("id").is_some() {
            received.replies.push(value);
        }
        shared.1.notify_all();
    }
    lock(&shared.0).closed = true;
    shared.1.notify_all();
}
