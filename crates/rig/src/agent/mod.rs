//! The rig's half inside the guest: starts programs, tells how they ended, and tidies up between tests.
//!
//! It listens on a virtio port rather than on the console, where the kernel talks too.

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
use protocol::{Answer, Ask, Request, Response};

/// The name of the port.
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
            let answer = answer(request.ask, &jobs, &state).map_err(|error| format!("{error:#}"));
            reply(&writer, &Response { id: request.id, answer });
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn reply(writer: &Mutex<File>, response: &Response) {
    if let Ok(mut line) = serde_json::to_string(response) {
        line.push('\n');
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writer.write_all(line.as_bytes());
    }
}

fn answer(ask: Ask, jobs: &Jobs, baseline: &reset::Baseline) -> Result<Answer> {
    match ask {
        Ask::Hello => Ok(Answer::Done),
        Ask::Start(program) => {
            let job = jobs.start(&program)?;
            Ok(Answer::Started { job })
        }
        Ask::Wait { job, milliseconds, kill } => {
            Ok(Answer::Ended(jobs.wait(job, Duration::from_millis(milliseconds), kill)?))
        }
        Ask::Signal { job, signal } => {
            jobs.signal(job, signal)?;
            Ok(Answer::Done)
        }
        Ask::Find { parts } => Ok(Answer::Found(find(&parts)?)),
        Ask::Reset => {
            jobs.end_all();
            baseline.restore()?;
            Ok(Answer::Done)
        }
    }
}

/// There is no udev to name the port: its name is in `/sys`, its node is the kernel's own.
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
        let place = fs::canonicalize(entry.path()).unwrap_or_default();
        let place = place.to_string_lossy();
        if parts.iter().all(|part| place.contains(part.as_str())) {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}
