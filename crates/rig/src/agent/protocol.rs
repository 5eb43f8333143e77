//! What the host may ask of the agent, one JSON document a line, and what it answers.

use serde::{Deserialize, Serialize};

/// A program to run in the guest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Program {
    pub words: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// The user to run as, if not root. The group is the same number.
    pub user: Option<u32>,
    pub directory: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub call: Call,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Call {
    /// Answered as soon as the agent listens.
    Hello,
    Start(Program),
    /// Answered when the job has ended, or with what it wrote so far when the time is over.
    Wait {
        job: u64,
        milliseconds: u64,
        kill: bool,
    },
    Signal {
        job: u64,
        signal: i32,
    },
    /// The block device whose place in `/sys` has all these parts.
    Find {
        parts: Vec<String>,
    },
    /// Undo what tests leave behind: jobs, swap, mounts, loop devices, mappings.
    Reset,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Response {
    pub id: u64,
    pub reply: Result<Reply, String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    Done,
    KillOnDrop { job: u64 },
    Output(Output),
    Found(Option<String>),
}

/// How a program ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Output {
    /// `None`: it still runs, or a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub running: bool,
    pub stdout: String,
    pub stderr: String,
}
