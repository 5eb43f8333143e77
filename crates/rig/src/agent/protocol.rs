//! Requests of the host and replies of the agent, one JSON document a line.

use serde::{Deserialize, Serialize};

/// Program to run in the guest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Program {
    pub words: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// User and group number to run as; root if `None`.
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
    /// Asks for a reply as soon as the agent listens.
    Hello,
    Start(Program),
    /// Waits for a job to end. After the time given, the reply has the output so far.
    Wait {
        job: u64,
        milliseconds: u64,
        kill: bool,
    },
    Signal {
        job: u64,
        signal: i32,
    },
    /// Finds the block device whose path in `/sys` has all these parts.
    Find {
        parts: Vec<String>,
    },
    /// Undoes what a test left: jobs, swap, mounts, loop devices, mappings.
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

/// Exit state and output of a program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Output {
    /// Exit code; `None` if the program still runs or a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub running: bool,
    pub stdout: String,
    pub stderr: String,
}
