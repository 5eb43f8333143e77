//! Processes: the ways in which one can use a drive.

use anyhow::Result;

use super::{ExpectedBlocker, blocked};
use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::STICK;
use unmoor_rig::machine::GUEST_TOOLS;

/// Process that uses the stick, whose first partition is mounted on `/mnt/ext`.
struct Row {
    /// Script that occupies the stick, prints `held` and its PID, and stays.
    script: &'static str,
    name: &'static str,
    /// Expected kind of usage.
    usage: &'static str,
    path: &'static str,
    fd: Option<u64>,
}

/// Script of a shell that runs these commands and becomes `sleep`.
macro_rules! sleeper {
    ($script:literal) => {
        concat!($script, "; echo held $$; exec sleep 1000")
    };
}

macro_rules! row {
    ($name:literal, $promise:literal, $row:expr) => {
        Test {
            name: concat!("who.", $name),
            promise: concat!($promise, " is named, and the command printed moves it"),
            drives: &[&STICK],
            machine: &STANDARD,
            run: |ctx| moved(ctx, &$row),
        }
    };
}

pub const TESTS: &[Test] = &[
    row!(
        "reading",
        "a file open for reading",
        Row {
            script: sleeper!("echo >/mnt/ext/file; exec 7</mnt/ext/file"),
            name: "sleep",
            usage: "open-file",
            path: "/mnt/ext/file",
            fd: Some(7),
        }
    ),
    row!(
        "writing",
        "a file open for writing",
        Row {
            script: sleeper!("exec 7>'/mnt/ext/a file'"),
            name: "sleep",
            usage: "open-for-writing",
            path: "/mnt/ext/a file",
            fd: Some(7),
        }
    ),
    row!(
        "directory",
        "an open directory",
        Row {
            script: sleeper!("mkdir /mnt/ext/dir; exec 7</mnt/ext/dir"),
            name: "sleep",
            usage: "directory",
            path: "/mnt/ext/dir",
            fd: Some(7),
        }
    ),
    row!(
        "deleted",
        "a deleted file that is still open",
        Row {
            script: sleeper!("exec 7<>/mnt/ext/gone; rm /mnt/ext/gone"),
            name: "sleep",
            usage: "deleted-file",
            path: "/mnt/ext/gone",
            fd: Some(7),
        }
    ),
    row!(
        "cwd",
        "a working directory",
        Row {
            script: sleeper!("mkdir /mnt/ext/dir; cd /mnt/ext/dir"),
            name: "sleep",
            usage: "cwd",
            path: "/mnt/ext/dir",
            fd: None,
        }
    ),
    row!(
        "root",
        "a root directory",
        Row {
            script: "exec $AGENT hold root /mnt/ext",
            name: GUEST_TOOLS,
            usage: "root",
            path: "/mnt/ext",
            fd: None,
        }
    ),
    row!(
        "program",
        "a running program",
        Row {
            script: "cp /bin/sleep /mnt/ext/program; echo held $$; exec /mnt/ext/program 1000",
            name: "program",
            usage: "exe",
            path: "/mnt/ext/program",
            fd: None,
        }
    ),
    row!(
        "mapped",
        "a mapped file",
        Row {
            script: "exec $AGENT hold map /mnt/ext/mapped",
            name: GUEST_TOOLS,
            usage: "mmap",
            path: "/mnt/ext/mapped",
            fd: None,
        }
    ),
    row!(
        "mapped-deleted",
        "a mapped file that was deleted",
        Row {
            script: "exec $AGENT hold map --delete /mnt/ext/mapped",
            name: GUEST_TOOLS,
            usage: "mmap",
            path: "/mnt/ext/mapped",
            fd: None,
        }
    ),
    row!(
        "thread",
        "a file of a thread that has its own table of files",
        Row {
            script: "exec $AGENT hold thread /mnt/ext",
            name: GUEST_TOOLS,
            usage: "open-for-writing",
            path: "/mnt/ext/file",
            fd: None,
        }
    ),
    row!(
        "socket",
        "a socket bound there",
        Row {
            script: "exec $AGENT hold socket /mnt/ext/socket",
            name: GUEST_TOOLS,
            usage: "open-file",
            path: "/mnt/ext/socket",
            fd: None,
        }
    ),
    row!(
        "bind",
        "a file open through a bind mount elsewhere",
        Row {
            script: sleeper!(
                "mkdir /mnt/ext/dir /mnt/else; mount --bind /mnt/ext/dir /mnt/else; exec 7>/mnt/else/file"
            ),
            name: "sleep",
            usage: "open-for-writing",
            path: "/mnt/else/file",
            fd: Some(7),
        }
    ),
    row!(
        "detached",
        "a file open on a mount that was detached lazily",
        Row {
            script: sleeper!(
                "mkdir /mnt/else; mount $(findmnt -no SOURCE /mnt/ext) /mnt/else; exec 7>/mnt/else/file; umount -l /mnt/else"
            ),
            name: "sleep",
            usage: "open-for-writing",
            path: "/file",
            fd: Some(7),
        }
    ),
];

fn moved(ctx: &mut TestContext, row: &Row) -> Result<()> {
    let node = ctx.partition(&STICK, 1)?;
    ctx.mount(&node, "/mnt/ext")?;
    let pid = ctx.hold(row.script)?;
    let named = ExpectedBlocker {
        kind: "process",
        usage: row.usage,
        path: row.path,
        fd: row.fd,
        process: Some((&pid, row.name)),
        ..ExpectedBlocker::default()
    };
    blocked(ctx, &node, &[named])
}
