//! In the guest: the processes that write, and the look at what came through.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::files::{DIRECTORIES, Files, Hand, How, Idle};
use super::mapping::{self, Mapping};

#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Write with several processes, and end when all is written
    Write { loads: Vec<Load> },
    /// Say how much of that is not there
    Check { loads: Vec<Load> },
    /// Keep one file open, wait for another to appear, then write for a while
    Late {
        load: Load,
        #[arg(long)]
        ready: PathBuf,
        #[arg(long)]
        go: PathBuf,
    },
    /// Write for ever, whatever the errors
    Noise {
        #[arg(long)]
        file: PathBuf,
        #[arg(long, value_enum)]
        how: Kind,
        #[arg(long)]
        ready: PathBuf,
    },
}

/// What one process writes, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub seed: u64,
    /// How much, in bytes.
    pub bytes: u64,
    pub root: PathBuf,
}

impl std::fmt::Display for Load {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}:{}", self.seed, self.bytes, self.root.display())
    }
}

impl std::str::FromStr for Load {
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

/// What came through.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Found {
    pub files: u64,
    /// What had to be there.
    pub bytes: u64,
    /// What was written, the overwritten and the deleted too.
    pub written: u64,
    /// Bytes of these files that are missing, or are others.
    pub lost: u64,
    /// Files with lost bytes, and files that are there although they were removed or renamed.
    pub wrong: Vec<String>,
}

pub fn command(options: &Options) -> Result<ExitCode> {
    match &options.what {
        What::Write { loads } => return write_together(loads),
        What::Check { loads } => println!("{}", serde_json::to_string(&check(loads)?)?),
        What::Late { load, ready, go } => late(load, ready, go)?,
        What::Noise { file, how, ready } => noise(file, *how, ready)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One process each.
fn write_together(loads: &[Load]) -> Result<ExitCode> {
    let mut children = Vec::new();
    for load in loads {
        // SAFETY: this process has one thread, so the child may do whatever it could.
        match unsafe { libc::fork() } {
            -1 => return Err(std::io::Error::last_os_error().into()),
            0 => {
                write(load)?;
                return Ok(ExitCode::SUCCESS);
            }
            child => children.push(child),
        }
    }
    for child in children {
        let pid = rustix::process::Pid::from_raw(child);
        let ended = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())?;
        let code = ended.and_then(|(_, status)| status.exit_status());
        ensure!(code == Some(0), "a writer failed");
    }
    Ok(ExitCode::SUCCESS)
}

fn write(load: &Load) -> Result<()> {
    let mut hand = Real::new(&load.root)?;
    let mut files = Files::new(load.seed);
    while files.written < load.bytes {
        files.step(&mut hand)?;
    }
    Ok(())
}

fn late(load: &Load, ready: &Path, go: &Path) -> Result<()> {
    let mut hand = Real::new(&load.root)?;
    let mut files = Files::new(load.seed);
    let _held = File::create(load.root.join("held"))?;
    fs::write(ready, "")?;
    while !go.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Until the release has begun, and finds the file open.
    std::thread::sleep(Duration::from_millis(300));
    while files.written < load.bytes {
        files.step(&mut hand)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn check(loads: &[Load]) -> Result<Found> {
    let mut found = Found::default();
    for load in loads {
        check_one(load, &mut found)?;
    }
    Ok(found)
}

fn check_one(load: &Load, found: &mut Found) -> Result<()> {
    let mut files = Files::new(load.seed);
    while files.written < load.bytes {
        files.step(&mut Idle)?;
    }
    found.written += files.written;
    for (name, wanted) in &files.there {
        let is = fs::read(load.root.join(name)).unwrap_or_default();
        found.files += 1;
        found.bytes += wanted.len() as u64;
        if is != *wanted {
            let same = is.iter().zip(wanted).filter(|(is, wanted)| is == wanted).count();
            found.lost += (wanted.len() - same) as u64;
            let name = load.root.join(name);
            found.wrong.push(format!(
                "{}: {same} of {} bytes, and is {} long",
                name.display(),
                wanted.len(),
                is.len()
            ));
        }
    }
    for directory in DIRECTORIES {
        for entry in fs::read_dir(load.root.join(directory)).into_iter().flatten().flatten() {
            let name = format!("{directory}{}", entry.file_name().to_string_lossy());
            if name.ends_with(".dat") && !files.there.contains_key(&name) {
                found.wrong.push(format!("{} should not be there", entry.path().display()));
            }
        }
    }
    Ok(())
}

/// Files below a directory.
struct Real {
    root: PathBuf,
}

impl Real {
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

impl Hand for Real {
    fn write(&mut self, name: &str, offset: u64, data: &[u8], how: How) -> Result<()> {
        let path = self.root.join(name);
        match how {
            How::Buffered => Self::options().open(path)?.write_all_at(data, offset)?,
            How::Appended => OpenOptions::new().append(true).open(path)?.write_all(data)?,
            How::Direct => direct(&path, offset, data)?,
            How::Mapped => {
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

/// Past the page cache, or through it where the file system has no other way.
fn direct(path: &Path, offset: u64, data: &[u8]) -> Result<()> {
    let aligned = mapping::Aligned::copy_of(data);
    let written = Real::options()
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .and_then(|file| file.write_all_at(aligned.bytes(), offset));
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            Ok(Real::options().open(path)?.write_all_at(data, offset)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens once, and writes through that for ever. Says that it began by making `ready`.
fn noise(path: &Path, how: Kind, ready: &Path) -> Result<()> {
    const SIZE: u64 = 256 * 1024;
    const PIECE: u64 = 32 * 1024;
    let mut options = Real::options();
    if matches!(how, Kind::Direct) {
        options.custom_flags(libc::O_DIRECT);
    }
    let file = match options.open(path) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Real::options().open(path),
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

/// Whether this process can do what it was told to with a path of its own.
#[cfg(test)]
pub fn round_trip(directory: &Path) -> Result<()> {
    let load = Load { seed: 5, bytes: 3_000_000, root: directory.to_owned() };
    assert_eq!(load.to_string().parse::<Load>()?, load);
    write(&load)?;
    let whole = check(std::slice::from_ref(&load))?;
    assert_eq!((whole.lost, whole.wrong.len()), (0, 0), "{:?}", whole.wrong);
    assert!(whole.bytes > 100_000 && whole.files > 3);
    let mut files = Files::new(load.seed);
    while files.written < load.bytes {
        files.step(&mut Idle)?;
    }
    let (name, content) = files.there.iter().next_back().context("no file")?;
    fs::write(directory.join(name), &content[..content.len() / 2])?;
    fs::write(directory.join("one/f999.dat"), "")?;
    let hurt = check(std::slice::from_ref(&load))?;
    assert_eq!(hurt.lost, (content.len() - content.len() / 2) as u64);
    assert_eq!(hurt.wrong.len(), 2, "{:?}", hurt.wrong);
    Ok(())
}
