//! Processes: the ways in which one can use a drive.

use anyhow::{Result, ensure};

use super::{ExpectedBlocker, blocked, who};
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
    Test {
        name: "who.many",
        promise: "among hundreds of processes the kernel reports those that use the stick, and no others",
        drives: &[&STICK],
        machine: &STANDARD,
        run: among_many,
    },
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

/// Checks that programs in the kernel ran, and found each kind of use.
fn among_many(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&STICK, 1)?;
    ctx.mount(&node, "/mnt/ext")?;
    ctx.hold(
        "for i in $(seq 200); do sleep 1000 </dev/null >/dev/null 2>&1 & done; echo held; wait",
    )?;
    let scripts = [
        ("open-for-writing", "/mnt/ext/file", "sleep", sleeper!("exec 7>/mnt/ext/file")),
        ("cwd", "/mnt/ext/dir", "sleep", sleeper!("mkdir /mnt/ext/dir; cd /mnt/ext/dir")),
        ("root", "/mnt/ext", GUEST_TOOLS, "exec $AGENT hold root /mnt/ext"),
        ("mmap", "/mnt/ext/mapped", GUEST_TOOLS, "exec $AGENT hold map /mnt/ext/mapped"),
    ];
    let mut pids = Vec::new();
    for (.., script) in &scripts {
        pids.push(ctx.hold(script)?);
    }
    let wanted = scripts.iter().zip(&pids).map(|((usage, path, name, _), pid)| ExpectedBlocker {
        kind: "process",
        usage,
        path,
        fd: (*usage == "open-for-writing").then_some(7),
        process: Some((pid, name)),
        ..ExpectedBlocker::default()
    });
    let wanted: Vec<ExpectedBlocker<'_>> = wanted.collect();
    who(ctx, &node, &wanted)?;
    let calls = format!(
        "strace -f --seccomp-bpf -e trace=bpf -o /tmp/calls unmoor who --json {node}; cat /tmp/calls"
    );
    let calls = ctx.try_sh(&calls)?.stdout;
    let started = |line: &&str| line.contains("BPF_ITER_CREATE") && !line.contains("= -1");
    ensure!(calls.lines().any(|line| started(&line)), "no program ran in the kernel: {calls}");
    ctx.sh("kill $(pidof sleep)")?;
    blocked(ctx, &node, &wanted[2..])
}
