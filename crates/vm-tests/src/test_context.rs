//! Context of a test: the machine, helpers that act on it, and a transcript.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use unmoor_rig::agent::protocol::{Output, Program};
use unmoor_rig::drives::Drive;
use unmoor_rig::guest::Job;
use unmoor_rig::machine::Machine;
use unmoor_rig::media::Snapshot;

/// Context of one test.
pub struct TestContext<'a> {
    pub machine: &'a mut Machine,
    begun: Instant,
    deadline: Instant,
    transcript: String,
    snapshots: u32,
}

impl<'a> TestContext<'a> {
    pub fn new(machine: &'a mut Machine, deadline: Instant) -> Self {
        let begun = Instant::now();
        Self { machine, begun, deadline, transcript: String::new(), snapshots: 0 }
    }

    pub fn transcript(self) -> String {
        self.transcript
    }

    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.transcript, "{}", text.trim_end());
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    // Running things in the guest.

    /// Runs a program in the guest to its end, whatever its exit code.
    pub fn run(&mut self, program: Program) -> Result<Output> {
        self.note(&format!("$ {}", program.words.join(" ")));
        let output = self.machine.guest.run(program, self.left())?;
        self.record(&output);
        ensure!(!output.running, "it did not end in time, and was killed");
        Ok(output)
    }

    pub fn record(&mut self, output: &Output) {
        for text in [&output.stdout, &output.stderr] {
            if !text.is_empty() {
                self.note(&text.clone());
            }
        }
        let at = self.begun.elapsed().as_secs_f32();
        self.note(&match (output.code, output.signal) {
            (Some(code), _) => format!("=> {code}, at {at:.1} s"),
            (None, signal) => format!("=> signal {signal:?}, at {at:.1} s"),
        });
    }

    /// Runs a shell script in the guest, whatever its exit code.
    pub fn try_sh(&mut self, script: &str) -> Result<Output> {
        self.run(words(&["sh", "-c", script]))
    }

    /// Runs a shell script that must succeed, and returns its output.
    pub fn sh(&mut self, script: &str) -> Result<String> {
        let output = self.try_sh(script)?;
        ensure!(
            output.code == Some(0),
            "in the guest, {script}: {}{}",
            output.stdout,
            output.stderr
        );
        Ok(output.stdout.trim_end().to_owned())
    }

    /// Starts a shell script that runs beside the test and is killed after it.
    pub fn start_sh(&mut self, script: &str) -> Result<Job> {
        self.start(words(&["sh", "-c", script]))
    }

    pub fn start(&mut self, program: Program) -> Result<Job> {
        self.note(&format!("$ {} &", program.words.join(" ")));
        self.machine.guest.start(program)
    }

    pub fn wait(&mut self, job: Job) -> Result<Output> {
        let timeout = self.left();
        let output = self.machine.guest.wait(job, timeout)?;
        self.record(&output);
        ensure!(!output.running, "it did not end in time, and was killed");
        Ok(output)
    }

    // The command under test.

    /// Runs `unmoor` and fails unless it exits with this code.
    pub fn unmoor(&mut self, code: i32, arguments: &[&str]) -> Result<Output> {
        let output = self.run(unmoor(arguments))?;
        expect_code(&output, code)?;
        Ok(output)
    }

    /// Runs `unmoor --json`, checks what holds for every document, and returns the document.
    pub fn unmoor_json(&mut self, code: i32, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let output = self.unmoor(code, &arguments)?;
        document(&output, code)
    }

    // Drives, as the guest sees them.

    /// Returns the drive's device node in the guest.
    pub fn node(&mut self, drive: &Drive) -> Result<String> {
        let name = self.machine.guest.find(drive.sysfs_parts)?;
        Ok(format!("/dev/{}", name.with_context(|| format!("the guest has no {}", drive.id))?))
    }

    pub fn partition(&mut self, drive: &Drive, number: u32) -> Result<String> {
        let node = self.node(drive)?;
        let separator = if node.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        Ok(format!("{node}{separator}{number}"))
    }

    /// Creates the directory in the guest and mounts the device there.
    pub fn mount(&mut self, device: &str, directory: &str) -> Result<()> {
        self.sh(&format!("mkdir -p {directory} && mount {device} {directory}")).map(drop)
    }

    pub fn is_mounted(&mut self, directory: &str) -> Result<bool> {
        Ok(self.try_sh(&format!("grep -q ' {directory} ' /proc/self/mounts"))?.code == Some(0))
    }

    pub fn expect_mounted(&mut self, directory: &str, wanted: bool) -> Result<()> {
        let is = self.is_mounted(directory)?;
        ensure!(is == wanted, "{directory} is {}mounted", if is { "" } else { "not " });
        Ok(())
    }

    /// Waits until the guest has detected the inserted media.
    pub fn await_media(&mut self, drives: &[&Drive]) -> Result<()> {
        for drive in drives {
            let Some(medium) = drive.medium else { continue };
            let mut tries = 0;
            // Without udev nobody looks at a drive unasked: opening it makes the kernel look.
            while !self.medium_seen(drive, medium.partitions())? {
                tries += 1;
                ensure!(tries < 60, "the guest does not see the medium in {}", drive.id);
                std::thread::sleep(Duration::from_millis(250));
            }
        }
        Ok(())
    }

    /// Waits until the guest has read a partition table with that many partitions.
    pub fn await_partitions(&mut self, drive: &Drive, number: u32) -> Result<()> {
        let (node, last) = (self.node(drive)?, self.partition(drive, number)?);
        let mut tries = 0;
        while self
            .try_sh(&format!(
                "test -b {last} || {{ blockdev --rereadpt {node}; test -b {last}; }}"
            ))?
            .code
            != Some(0)
        {
            tries += 1;
            ensure!(tries < 60, "the guest does not see {last}");
            std::thread::sleep(Duration::from_millis(250));
        }
        Ok(())
    }

    /// Starts a shell script that keeps something busy until the test ends. Waits until it prints `held`, and
    /// returns the text after that word.
    pub fn hold(&mut self, script: &str) -> Result<String> {
        let job = self.start_sh(script)?;
        loop {
            let so_far = self.machine.guest.peek(job)?;
            if let Some(rest) = so_far.stdout.strip_prefix("held")
                && rest.ends_with('\n')
            {
                return Ok(rest.trim().to_owned());
            }
            ensure!(so_far.running, "it holds nothing: {}{}", so_far.stdout, so_far.stderr);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn medium_seen(&mut self, drive: &Drive, partitions: u32) -> Result<bool> {
        if self.machine.guest.find(drive.sysfs_parts)?.is_none() {
            return Ok(false);
        }
        let node = self.node(drive)?;
        let last = if partitions > 0 { self.partition(drive, partitions)? } else { node.clone() };
        let script = format!(
            "test $(blockdev --getsize64 {node}) -gt 0 || exit 1; test -b {last} || \
             {{ blockdev --rereadpt {node}; test -b {last}; }} && blkid -p {last} >/dev/null"
        );
        Ok(self.try_sh(&script)?.code == Some(0))
    }

    // Drives, as QEMU sees them.

    /// Returns true if QEMU has the drive's tray open, which for a stick means ejected.
    pub fn tray_is_open(&mut self, drive: &Drive) -> Result<bool> {
        let all = self.machine.qmp.execute("query-block", json!({}))?;
        let found = all.as_array().into_iter().flatten().find(|one| one["device"] == drive.id);
        let found = found.with_context(|| format!("QEMU has no drive {}", drive.id))?;
        Ok(found["tray_open"].as_bool().unwrap_or(false))
    }

    /// Fails unless the tray moved that way since the mark, and is still in that position.
    pub fn expect_tray(&mut self, mark: usize, drive: &Drive, open: bool) -> Result<()> {
        let moved = self.machine.qmp.since(mark).into_iter().any(|event| {
            event.name == "DEVICE_TRAY_MOVED"
                && event.data["device"] == drive.id
                && event.data["tray-open"] == open
        });
        let way = if open { "open" } else { "closed" };
        ensure!(moved, "QEMU saw no tray of {} move {way}", drive.id);
        ensure!(self.tray_is_open(drive)? == open, "the tray of {} is not {way}", drive.id);
        Ok(())
    }

    /// Fails if the tray moved since the mark, or is open.
    pub fn expect_untouched(&mut self, mark: usize, drive: &Drive) -> Result<()> {
        let moved = self
            .machine
            .qmp
            .since(mark)
            .into_iter()
            .any(|event| event.name == "DEVICE_TRAY_MOVED" && event.data["device"] == drive.id);
        ensure!(!moved, "the tray of {} moved", drive.id);
        ensure!(!self.tray_is_open(drive)?, "the tray of {} is open", drive.id);
        Ok(())
    }

    /// Copies the image of the drive's medium as it is now.
    pub fn snapshot(&mut self, drive: &Drive) -> Result<Snapshot> {
        self.snapshots += 1;
        let path = self.snapshot_path(drive.id);
        Snapshot::take(&self.machine.image(drive)?, path)
    }

    fn snapshot_path(&self, id: &str) -> PathBuf {
        self.machine.directory().join(format!("{id}.snapshot.{}", self.snapshots))
    }
}

/// Returns a program to run as root.
pub fn words(words: &[&str]) -> Program {
    Program { words: words.iter().map(|word| (*word).to_owned()).collect(), ..Program::default() }
}

/// Returns the command under test, to run as root.
pub fn unmoor(arguments: &[&str]) -> Program {
    let mut program = words(&["unmoor"]);
    program.words.extend(arguments.iter().map(|word| (*word).to_owned()));
    program
}

pub fn expect_code(output: &Output, code: i32) -> Result<()> {
    if output.code != Some(code) {
        let how =
            output.code.map_or_else(|| format!("signal {:?}", output.signal), |c| c.to_string());
        bail!("exit code {how}, not {code}:\n{}{}", output.stdout, output.stderr);
    }
    Ok(())
}

/// Parses the one JSON document on standard output and checks what every document promises.
pub fn document(output: &Output, code: i32) -> Result<Value> {
    let value: Value = serde_json::from_str(&output.stdout)
        .with_context(|| format!("not JSON: {}", output.stdout))?;
    ensure!(output.stdout.ends_with('\n'), "the document does not end with a newline");
    ensure!(value["schema"] == 1, "schema is {}", value["schema"]);
    ensure!(value["exit_code"] == code, "exit_code says {}", value["exit_code"]);
    ensure!(value["unmoor"].is_string(), "no version");
    Ok(value)
}
