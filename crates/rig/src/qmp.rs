//! QEMU's control channel: commands, and the events that tell what the drives did.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// How long QEMU may take over anything asked of it here.
const PATIENCE: Duration = Duration::from_secs(60);

/// One thing QEMU said happened.
#[derive(Clone, Debug)]
pub struct Event {
    pub name: String,
    pub data: Value,
}

#[derive(Default)]
struct Heard {
    events: Vec<Event>,
    answers: Vec<Value>,
    over: bool,
}

/// The connection.
pub struct Qmp {
    stream: UnixStream,
    heard: Arc<(Mutex<Heard>, Condvar)>,
    next: u64,
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Qmp {
    pub fn new(stream: UnixStream) -> Result<Self> {
        let heard = Arc::new((Mutex::new(Heard::default()), Condvar::new()));
        let (reader, shared) = (stream.try_clone()?, Arc::clone(&heard));
        std::thread::spawn(move || listen(reader, &shared));
        let mut qmp = Self { stream, heard, next: 0 };
        qmp.ask("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Carries out one command and returns what it returned.
    pub fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.next += 1;
        let id = self.next;
        let line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        self.stream.write_all(format!("{line}\n").as_bytes()).context("QEMU is gone")?;
        let answer = self
            .wait(|heard| {
                let found = heard.answers.iter().position(|answer| answer["id"] == id)?;
                Some(heard.answers.swap_remove(found))
            })
            .with_context(|| format!("QEMU did not answer {command}"))?;
        if let Some(error) = answer.get("error") {
            bail!("QEMU, asked {line}: {}", error["desc"].as_str().unwrap_or("failed"));
        }
        Ok(answer["return"].clone())
    }

    /// How many events there have been: a mark to look from later.
    pub fn mark(&self) -> usize {
        lock(&self.heard.0).events.len()
    }

    /// The events since a mark.
    pub fn since(&self, mark: usize) -> Vec<Event> {
        lock(&self.heard.0).events[mark..].to_vec()
    }

    /// Waits for an event that was said after the mark.
    pub fn await_event(&self, mark: usize, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
        self.wait(|heard| heard.events[mark..].iter().find(|event| wanted(event)).cloned())
    }

    fn wait<T>(&self, mut look: impl FnMut(&mut Heard) -> Option<T>) -> Result<T> {
        let until = Instant::now() + PATIENCE;
        let mut heard = lock(&self.heard.0);
        loop {
            if let Some(found) = look(&mut heard) {
                return Ok(found);
            }
            if heard.over {
                bail!("QEMU is gone");
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("waited {PATIENCE:?} for QEMU in vain");
            }
            heard =
                self.heard.1.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn listen(stream: UnixStream, shared: &(Mutex<Heard>, Condvar)) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let Ok(value) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let mut heard = lock(&shared.0);
        if let Some(name) = value["event"].as_str() {
            heard.events.push(Event { name: name.to_owned(), data: value["data"].clone() });
        } else if value.get("id").is_some() {
            heard.answers.push(value);
        }
        shared.1.notify_all();
    }
    lock(&shared.0).over = true;
    shared.1.notify_all();
}
