//! Processes in the guest: those that write, and the comparison afterwards.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::files::{DIRECTORIES, FileOps, Files, NoFiles, WriteMethod};
use super::mapping::{self, Mapping};

#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Write with several processes, and end when all is written
    Write { workloads: Vec<Workload> },
    /// Compare the files with what was written
    Check { workloads: Vec<Workload> },
    /// Keep one file open, wait for another to appear, then write for a while
    Late {
        workload: Workload,
        #[arg(long)]
        ready: PathBuf,
        #[arg(long)]
        go: PathBuf,
    },
    /// Write for ever, ignoring errors
    Background {
        #[arg(long)]
        file: PathBuf,
        #[arg(long, value_enum)]
        how: Kind,
        #[arg(long)]
        ready: PathBuf,
    },
}

/// Workload of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    pub seed: u64,
    /// Number of bytes.
    pub bytes: u64,
    pub root: PathBuf,
}

impl std::fmt::Display for Workload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}:{}", self.seed, self.bytes, self.root.display())
    }
}

impl std::str::FromStr for Workload {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().context("SEED:BYTES:DIRECTORY");
        Ok(Self { seed: next()?.parse()?, bytes: next()?.parse()?, root: next()?.into() })
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    Buffered,
    Mapped,
    Direct,
}

/// Result of the comparison.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Comparison {
    pub files: u64,
    /// Number of expected bytes.
    pub bytes: u64,
    /// Number of bytes written, including overwritten and deleted ones.
    pub written: u64,
    /// Number of missing or wrong bytes.
    pub lost: u64,
    /// Files with wrong bytes, and files that should have been removed or renamed.
    pub wrong: Vec<String>,
}

pub fn command(options: &Options) -> Result<ExitCode> {
    match &options.what {
        What::Write { workloads } => return write_together(workloads),
        What::Check { workloads } => println!("{}", serde_json::to_string(&check(workloads)?)?),
        What::Late { workload, ready, go } => late(workload, ready, go)?,
        What::Background { file, how, ready } => background(file, *how, ready)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs each workload in a process of its own.
fn write_together(workloads: &[Workload]) -> Result<ExitCode> {
    let mut children = Vec::new();
    for workload in workloads {
        // SAFETY: this process has one thread, so the child may do whatever it could.
        match unsafe { libc::fork() } {
            -1 => return Err(std::io::Error::last_os_error().into()),
            0 => {
                write(workload)?;
                return Ok(ExitCode::SUCCESS);
            }
            child => children.push(child),
        }
    }
    for child in children {
        let pid = rustix::process::Pid::from_raw(child);
        let output = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())?;
        let code = output.and_then(|(_, status)| status.exit_status());
        ensure!(code == Some(0), "a writer failed");
    }
    Ok(ExitCode::SUCCESS)
}

fn write(workload: &Workload) -> Result<()> {
    let mut ops = RealFiles::new(&workload.root)?;
    let mut files = Files::new(workload.seed);
    while files.written < workload.bytes {
        files.step(&mut ops)?;
    }
    Ok(())
}

fn late(workload: &Workload, ready: &Path, go: &Path) -> Result<()> {
    let mut ops = RealFiles::new(&workload.root)?;
    let mut files = Files::new(workload.seed);
    let _held = File::create(workload.root.join("held"))?;
    fs::write(ready, "")?;
    while !go.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Until the release has begun, and finds the file open.
    std::thread::sleep(Duration::from_millis(300));
    while files.written < workload.bytes {
        files.step(&mut ops)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn check(workloads: &[Workload]) -> Result<Comparison> {
    let mut found = Comparison::default();
    for workload in workloads {
        check_one(workload, &mut found)?;
    }
    Ok(found)
}

fn check_one(workload: &Workload, found: &mut Comparison) -> Result<()> {
    let mut files = Files::new(workload.seed);
    while files.written < workload.bytes {
        files.step(&mut NoFiles)?;
    }
    found.written += files.written;
    for (name, wanted) in &files.there {
        let is = fs::read(workload.root.join(name)).unwrap_or_default();
        found.files += 1;
        found.bytes += wanted.len() as u64;
        if is != *wanted {
            let same = is.iter().zip(wanted).filter(|(is, wanted)| is == wanted).count();
            found.lost += (wanted.len() - same) as u64;
            let name = workload.root.join(name);
            found.wrong.push(format!(
                "{}: {same} of {} bytes, and is {} long",
                name.display(),
                wanted.len(),
                is.len()
            ));
        }
    }
    for directory in DIRECTORIES {
        for entry in fs::read_dir(workload.root.join(directory)).into_iter().flatten().flatten() {
            let name = format!("{directory}{}", entry.file_name().to_string_lossy());
            if name.ends_with(".dat") && !files.there.contains_key(&name) {
                found.wrong.push(format!("{} should not be there", entry.path().display()));
            }
        }
    }
    Ok(())
}

/// Operations on real files below a directory.
struct RealFiles {
    root: PathBuf,
}

impl RealFiles {
    fn new(root: &Path) -> Result<Self> {
        for directory in DIRECTORIES {
            fs::create_dir_all(root.join(directory))
                .with_context(|| format!("{}", root.display()))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options
    }
}

impl FileOps for RealFiles {
    fn write(&mut self, name: &str, offset: u64, data: &[u8], how: WriteMethod) -> Result<()> {
        let path = self.root.join(name);
        match how {
            WriteMethod::Buffered => Self::options().open(path)?.write_all_at(data, offset)?,
            WriteMethod::Appended => OpenOptions::new().append(true).open(path)?.write_all(data)?,
            WriteMethod::Direct => direct(&path, offset, data)?,
            WriteMethod::Mapped => {
                let file = Self::options().open(path)?;
                let end = offset + data.len() as u64;
                if file.metadata()?.len() < end {
                    file.set_len(end)?;
                }
                match Mapping::of(&file, end) {
                    Ok(mut mapping) => {
                        mapping.bytes()[usize::try_from(offset)?..].copy_from_slice(data)
                    }
                    // This file system has no shared mappings.
                    Err(_) => file.write_all_at(data, offset)?,
                }
            }
        }
        Ok(())
    }

    fn truncate(&mut self, name: &str, length: u64) -> Result<()> {
        Ok(Self::options().open(self.root.join(name))?.set_len(length)?)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        Ok(fs::rename(self.root.join(from), self.root.join(to))?)
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.root.join(name))?)
    }

    fn sync(&mut self, name: &str) -> Result<()> {
        Ok(File::open(self.root.join(name))?.sync_all()?)
    }
}

/// Writes with `O_DIRECT`, or through the page cache where the file system has no such way.
fn direct(path: &Path, offset: u64, data: &[u8]) -> Result<()> {
    let aligned = mapping::Aligned::copy_of(data);
    let written = RealFiles::options()
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .and_then(|file| file.write_all_at(aligned.bytes(), offset));
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            Ok(RealFiles::options().open(path)?.write_all_at(data, offset)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the file once and writes to it for ever. Creates `ready` after the first writes.
fn background(path: &Path, how: Kind, ready: &Path) -> Result<()> {
    const SIZE: u64 = 256 * 1024;
    const PIECE: u64 = 32 * 1024;
    let mut options = RealFiles::options();
    if matches!(how, Kind::Direct) {
        options.custom_flags(libc::O_DIRECT);
    }
    let file = match options.open(path) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => RealFiles::options().open(path),
        other => other,
    }
    .with_context(|| path.display().to_string())?;
    file.set_len(SIZE)?;
    let mut mapping = match how {
        Kind::Mapped => Some(Mapping::of(&file, SIZE)?),
        _ => None,
    };
    let mut said = false;
    for turn in 1_u64.. {
        let offset = turn * PIECE % SIZE;
        let bytes = vec![u8::try_from(turn % 251)?; usize::try_from(PIECE)?];
        let written = match &mut mapping {
            Some(mapping) => {
                let start = usize::try_from(offset)?;
                mapping.bytes()[start..start + bytes.len()].copy_from_slice(&bytes);
                if turn % 4 == 0 { mapping.sync() } else { Ok(()) }
            }
            None => {
                let aligned = mapping::Aligned::copy_of(&bytes);
                let written = file.write_all_at(aligned.bytes(), offset);
                if turn % 4 == 0 && matches!(how, Kind::Buffered) {
                    written.and_then(|()| file.sync_data())
                } else {
                    written
                }
            }
        };
        if !said && turn > 8 {
            written.context("no errors are expected at first")?;
            fs::write(ready, "")?;
            said = true;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    bail!("the end of time")
}

/// Checks the workloads and the comparison in a directory of this machine.
#[cfg(test)]
pub fn round_trip(directory: &Path) -> Result<()> {
    let workload = Workload { seed: 5, bytes: 3_000_000, root: directory.to_owned() };
    assert_eq!(workload.to_string().parse::<Workload>()?, workload);
    write(&workload)?;
    let whole = check(std::slice::from_ref(&workload))?;
    assert_eq!((whole.lost, whole.wrong.len()), (0, 0), "{:?}", whole.wrong);
    assert!(whole.bytes > 100_000 && whole.files > 3);
    let mut files = Files::new(workload.seed);
    while files.written < workload.bytes {
        files.step(&mut NoFiles)?;
    }
    let (name, content) = files.there.iter().next_back().context("no file")?;
    fs::write(directory.join(name), &content[..content.len() / 2])?;
    fs::write(directory.join("one/f999.dat"), "")?;
    let hurt = check(std::slice::from_ref(&workload))?;
    assert_eq!(hurt.lost, (content.len() - content.len() / 2) as u64);
    assert_eq!(hurt.wrong.len(), 2, "{:?}", hurt.wrong);
    Ok(())
}
