//! One case: a release, paused where a step begins, a fault, and the result.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::checks::{self, GuestState};
use super::expected::{End, KILLED, Then};
use super::fault::Fault;
use super::fixture::Fixture;
use super::step::Step;
use crate::paused_release::PausedRelease;
use crate::test_context::{TestContext, document};
use unmoor_rig::agent::protocol::Output;
use unmoor_rig::drives::STICK;

/// Runs the case and fails unless its result is as expected. Returns a summary.
pub fn run(ctx: &mut TestContext, step: Step, fault: Fault, end: &End) -> Result<String> {
    let fixture = Fixture::create(ctx, step, fault)?;
    fault.prepare(ctx)?;
    let before = GuestState::read(ctx, false)?;
    let output = release(ctx, &fixture, step, fault)?;
    let said = check_report(&output, end)?;
    // A silent drive keeps in the kernel whoever asked it something.
    let after = GuestState::read(ctx, fault.keeps_waiting())?;
    after.expect_clean(&before)?;
    match &said {
        Some(target) => after.expect_as_reported(&fixture, target)?,
        // What was killed has reported nothing, and goes no further.
        None => after.expect_mounted(&fixture, !step.is_after_dismounting())?,
    }
    fault.mend(ctx)?;
    second(ctx, &fixture, &before, fault, end)?;
    Ok(summary(&output, said.as_ref()))
}

fn release(ctx: &mut TestContext, fixture: &Fixture, step: Step, fault: Fault) -> Result<Output> {
    let mut line = vec!["eject", "--json"];
    line.extend(fault.options());
    line.push(fixture.mounts[0]);
    let paused = PausedRelease::start(ctx, step.point(), &fixture.node, &line)?;
    let strike =
        fault.strike(ctx, fixture.drive().unwrap_or(&STICK), paused.main, paused.stopped)?;
    paused.resume(ctx, &strike)
}

/// Checks the exit code, the document and the message. Returns the target's report, unless killed.
fn check_report(output: &Output, end: &End) -> Result<Option<Value>> {
    ensure!(!output.stderr.contains("panicked"), "it panicked: {}", output.stderr);
    let code = output.code.with_context(|| format!("signal {:?}", output.signal))?;
    let all = format!("{}{}", output.stdout, output.stderr);
    ensure!(code == end.code, "exit code {code}, not {}: {all}", end.code);
    if code == KILLED {
        ensure!(output.stdout.is_empty(), "half a document: {all}");
        return Ok(None);
    }
    let document = document(output, code)?;
    unmoor_contract::check(&output.stdout, Some(code))
        .map_err(|faults| anyhow::anyhow!("the document: {}", faults.join(", ")))?;
    let target = document["targets"][0].clone();
    let told = format!("{}\n{}\n{}", target["message"], target["help"], target["warnings"]);
    ensure!(told.contains(end.says), "it does not say {:?}: {told}", end.says);
    Ok(Some(target))
}

/// Releases again once the fault is over. It must succeed, and lose nothing but what was reported lost.
fn second(
    ctx: &mut TestContext,
    fixture: &Fixture,
    before: &GuestState,
    fault: Fault,
    end: &End,
) -> Result<()> {
    match end.then {
        // What is still mounted of it can be taken away by hand: nothing of ours holds it.
        Then::Nothing if !fault.keeps_the_medium() => {
            ctx.sh(&format!(
                "for one in {}; do ! grep -q \" $one \" /proc/self/mounts || umount $one || exit 1; done",
                fixture.mounts.join(" ")
            ))?;
        }
        Then::Nothing => {}
        Then::Ends(code) => {
            ctx.unmoor(code, &["eject", "--verbose", &fixture.node])?;
        }
        Then::Discards => {
            ctx.unmoor(0, &["eject", "--verbose", "--discard-unwritten", &fixture.node])?;
        }
    }
    let after = GuestState::read(ctx, false)?;
    after.expect_clean(before)?;
    ensure!(after.mounted.is_empty(), "still mounted: {:?}", after.mounted);
    checks::expect_door_unlocked(ctx, fixture)?;
    let whole = fault.keeps_the_medium() && !matches!(end.then, Then::Discards);
    if whole { fixture.expect_every_byte(ctx) } else { Ok(()) }
}

fn summary(output: &Output, target: Option<&Value>) -> String {
    let code = output.code.unwrap_or(-1);
    let message = target.and_then(|target| target["message"].as_str()).unwrap_or("killed");
    format!("{code}: {message}")
}
