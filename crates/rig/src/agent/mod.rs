//! Agent inside the guest: starts programs, returns their output, and cleans up between tests.
//!
//! The agent listens on a virtio port, because the kernel writes to the console.

mod drivers;
mod jobs;
pub mod protocol;
mod reset;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use jobs::Jobs;
use protocol::{Call, Reply, Request, Response};

/// Name of the virtio port.
pub const PORT: &str = "unmoor.agent";

pub fn command() -> Result<ExitCode> {
    drivers::load()?;
    let path = port()?;
    let reader = OpenOptions::new().read(true).write(true).open(&path)?;
    let writer = Arc::new(Mutex::new(reader.try_clone()?));
    let jobs = Arc::new(Jobs::new()?);
    let state = Arc::new(reset::Baseline::now()?);
    for line in BufReader::new(reader).lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let (writer, jobs, state) = (Arc::clone(&writer), Arc::clone(&jobs), Arc::clone(&state));
        // One thread a request: a program may be waited for while another is started.
        std::thread::spawn(move || {
            let reply =
                carry_out(request.call, &jobs, &state).map_err(|error| format!("{error:#}"));
            send(&writer, &Response { id: request.id, reply });
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn send(writer: &Mutex<File>, response: &Response) {
    if let Ok(mut line) = serde_json::to_string(response) {
        line.push('\n');
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writer.write_all(line.as_bytes());
    }
}

fn carry_out(call: Call, jobs: &Jobs, baseline: &reset::Baseline) -> Result<Reply> {
    match call {
        Call::Hello => Ok(Reply::Done),
        Call::Start(program) => {
            let job = jobs.start(&program)?;
            Ok(Reply::KillOnDrop { job })
        }
        Call::Wait { job, milliseconds, kill } => {
            Ok(Reply::Output(jobs.wait(job, Duration::from_millis(milliseconds), kill)?))
        }
        Call::Signal { job, signal } => {
            jobs.signal(job, signal)?;
            Ok(Reply::Done)
        }
        Call::Find { parts } => Ok(Reply::Found(find(&parts)?)),
        Call::Reset => {
            jobs.end_all();
            baseline.restore()?;
            Ok(Reply::Done)
        }
    }
}

/// Returns the device node of the virtio port. Without udev, its name is in `/sys` only.
fn port() -> Result<PathBuf> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        for entry in fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten() {
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if name.trim() == PORT {
                return Ok(PathBuf::from("/dev").join(entry.file_name()));
            }
        }
        if Instant::now() > until {
            bail!("no virtio port {PORT}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn find(parts: &[String]) -> Result<Option<String>> {
    for entry in fs::read_dir("/sys/block").context("/sys/block")?.flatten() {
        let sysfs_parts = fs::canonicalize(entry.path()).unwrap_or_default();
        let sysfs_parts = sysfs_parts.to_string_lossy();
        if parts.iter().all(|part| sysfs_parts.contains(part.as_str())) {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}
