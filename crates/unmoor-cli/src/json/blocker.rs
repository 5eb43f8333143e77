//! Blockers in the JSON document.

use super::lossy::{bytes_of, plain};
use super::names;
use serde::Serialize;
use unmoor::{Blocker, BlockerScan, Process, Termination, Usage};

#[derive(Serialize)]
pub struct ScanDto<'a> {
    complete: bool,
    unseen_processes: usize,
    notes: &'a [String],
    bystanders: Vec<BlockerDto<'a>>,
}

#[derive(Serialize)]
pub struct BlockerDto<'a> {
    kind: &'static str,
    process: Option<ProcessDto<'a>>,
    role: Option<&'static str>,
    uses: Vec<UsageDto<'a>>,
    description: &'a str,
    remedy: Option<&'a str>,
    command: Option<&'a str>,
}

#[derive(Serialize)]
pub struct TerminationDto<'a> {
    process: ProcessDto<'a>,
    how: &'static str,
}

#[derive(Serialize)]
struct ProcessDto<'a> {
    pid: u32,
    name: String,
    command_line: Vec<String>,
    user: Option<&'a str>,
    unit: Option<&'a str>,
    started: u64,
}

#[derive(Serialize)]
struct UsageDto<'a> {
    kind: &'static str,
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    fd: Option<u64>,
    volume: &'a str,
    writing: bool,
    deleted: bool,
    thread: Option<u32>,
}

impl<'a> From<&'a BlockerScan> for ScanDto<'a> {
    fn from(scan: &'a BlockerScan) -> Self {
        ScanDto {
            complete: scan.complete,
            unseen_processes: scan.inaccessible_processes,
            notes: &scan.notes,
            bystanders: scan.readers.iter().map(BlockerDto::from).collect(),
        }
    }
}

impl<'a> From<&'a Blocker> for BlockerDto<'a> {
    fn from(blocker: &'a Blocker) -> Self {
        BlockerDto {
            kind: names::blocker(blocker.kind),
            process: blocker.process.as_ref().map(ProcessDto::from),
            role: blocker.process.as_ref().map(|_| blocker.role.name()),
            uses: blocker.uses.iter().map(UsageDto::from).collect(),
            description: &blocker.description,
            remedy: blocker.remedy.as_deref(),
            command: blocker.command.as_deref(),
        }
    }
}

impl<'a> From<&'a Termination> for TerminationDto<'a> {
    fn from(ended: &'a Termination) -> Self {
        TerminationDto { process: ProcessDto::from(&ended.process), how: ended.result.name() }
    }
}

impl<'a> From<&'a Process> for ProcessDto<'a> {
    fn from(process: &'a Process) -> Self {
        ProcessDto {
            pid: process.pid,
            name: plain(&process.name),
            command_line: process.command_line.iter().map(plain).collect(),
            user: process.user.as_deref(),
            unit: process.unit.as_deref(),
            started: process.started,
        }
    }
}

impl<'a> From<&'a Usage> for UsageDto<'a> {
    fn from(one: &'a Usage) -> Self {
        UsageDto {
            kind: names::usage(one.kind),
            path: one.path.as_ref().map(plain),
            path_bytes: one.path.as_ref().and_then(bytes_of),
            fd: one.fd,
            volume: &one.volume,
            writing: one.writing,
            deleted: one.deleted,
            thread: one.thread,
        }
    }
}
