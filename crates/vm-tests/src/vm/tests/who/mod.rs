//! Every kind of blocker on a real kernel.
//!
//! The release is refused and nothing changes, `who` names the blocker, and the printed remedies let the
//! release succeed.

mod dead;
mod kernel;
mod processes;
mod system;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::test_context::TestContext;
use unmoor_rig::drives::STICK;
use unmoor_rig::nfs;

pub use dead::TESTS as DEAD;
pub use kernel::TESTS as KERNEL;
pub use processes::TESTS as PROCESSES;
pub use system::TESTS as SYSTEM;

/// Expected blocker.
#[derive(Debug, Default)]
struct ExpectedBlocker<'a> {
    /// Kind of the blocker.
    kind: &'a str,
    /// Kind of its usage.
    usage: &'a str,
    path: &'a str,
    fd: Option<u64>,
    /// PID and name of a process.
    process: Option<(&'a str, &'a str)>,
    /// systemd unit of the process.
    unit: Option<&'a str>,
    /// Expected command; any if `None`.
    command: Option<&'a str>,
}

/// Folder in the guest for programs that replace those it does not have.
const TOOLS: &str = "/tmp/tools";

impl ExpectedBlocker<'_> {
    fn is(&self, blocker: &Value) -> bool {
        let process = &blocker["process"];
        let by = self.process.is_none_or(|(pid, name)| {
            process["pid"].as_u64() == pid.parse().ok() && process["name"] == name
        });
        by && blocker["kind"] == self.kind
            && self.used(blocker).is_some()
            && self.unit.is_none_or(|unit| process["unit"] == unit)
            && self.command.is_none_or(|command| blocker["command"] == command)
    }

    fn used<'b>(&self, blocker: &'b Value) -> Option<&'b Value> {
        blocker["uses"].as_array()?.iter().find(|used| {
            used["kind"] == self.usage
                && used["path"] == self.path
                && self.fd.is_none_or(|fd| used["fd"] == fd)
        })
    }
}

/// Checks the whole promise: refused, named, and released after the printed remedies.
fn blocked(ctx: &mut TestContext, target: &str, wanted: &[ExpectedBlocker<'_>]) -> Result<()> {
    refused(ctx, target, wanted)?;
    let printed = ctx.unmoor(3, &["who", target])?.stdout;
    let document = who(ctx, target, wanted)?;
    for command in remedies(&printed, &document)? {
        ctx.sh(&format!("PATH={TOOLS}:$PATH:{}\n{command}", nfs::PROGRAMS))?;
    }
    let mark = ctx.machine.qmp.mark();
    // A program that was told to end does so in its own time.
    ctx.unmoor(0, &["eject", "--wait", "60s", target])?;
    ctx.expect_tray(mark, &STICK, true)
}

/// Fails unless the release is refused and names these blockers, and nothing changed.
fn refused(ctx: &mut TestContext, target: &str, wanted: &[ExpectedBlocker<'_>]) -> Result<()> {
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(3, &["eject", target])?;
    ctx.expect_untouched(mark, &STICK)?;
    expect_named(&document["targets"][0], wanted)
}

/// Fails unless `who` names these blockers, each once, and nothing else.
fn who(ctx: &mut TestContext, target: &str, wanted: &[ExpectedBlocker<'_>]) -> Result<Value> {
    let document = ctx.unmoor_json(3, &["who", target])?;
    let found = &document["targets"][0];
    expect_named(found, wanted)?;
    ensure!(found["scan"]["complete"] == true, "not everything was seen: {}", found["scan"]);
    Ok(found.clone())
}

fn expect_named(found: &Value, wanted: &[ExpectedBlocker<'_>]) -> Result<()> {
    let blockers = found["blockers"].as_array().context("blockers")?;
    for named in wanted {
        let count = blockers.iter().filter(|blocker| named.is(blocker)).count();
        ensure!(count == 1, "{named:?} is named {count} times in {blockers:#?}");
    }
    ensure!(blockers.len() == wanted.len(), "there is more in {blockers:#?}");
    Ok(())
}

/// Returns the commands that a user would copy from the text, in order. Each blocker has one.
fn remedies(printed: &str, document: &Value) -> Result<Vec<String>> {
    let blockers = document["blockers"].as_array().context("blockers")?;
    let mut lines = printed.lines().filter_map(|line| line.strip_prefix("      fix: "));
    let mut commands = Vec::new();
    for blocker in blockers {
        let line = lines.next().with_context(|| format!("too few remedies in {printed}"))?;
        let words = blocker["remedy"].as_str().context("remedy")?;
        let command = line.strip_prefix(words).and_then(|rest| rest.strip_prefix(": "));
        let command = command.with_context(|| format!("no command in {line:?}"))?;
        ensure!(blocker["command"] == command, "{} is not {command}", blocker["command"]);
        commands.push(command.to_owned());
    }
    Ok(commands)
}
