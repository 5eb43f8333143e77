//! One cell: a release, stopped where a step begins, a fault, and what comes of it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::checks::{self, Survey};
use super::expected::{End, Then};
use super::fault::Fault;
use super::fixture::Scene;
use super::step::Step;
use crate::paused_release::Trapped;
use crate::test_context::{Trial, document};
use unmoor_rig::agent::protocol::Ended;

/// Fails unless everything is as it should be; says what came of it.
pub fn run(trial: &mut Trial, step: Step, fault: Fault, end: &End) -> Result<String> {
    let scene = Scene::set(trial, step, fault)?;
    fault.prepare(trial)?;
    let before = Survey::of(trial, false)?;
    let ended = release(trial, &scene, step, fault)?;
    let said = judge(&ended, end)?;
    // A silent drive keeps in the kernel whoever asked it something.
    let after = Survey::of(trial, fault == Fault::Timeout)?;
    after.expect_clean(&before)?;
    match &said {
        Some(target) => after.expect_as_reported(&scene, target)?,
        // What was killed has reported nothing, and goes no further.
        None => after.expect_mounted(&scene, !step.is_after_dismounting())?,
    }
    fault.mend(trial)?;
    second(trial, &scene, &before, fault, end)?;
    Ok(summary(&ended, said.as_ref()))
}

fn release(trial: &mut Trial, scene: &Scene, step: Step, fault: Fault) -> Result<Ended> {
    let mut line = vec!["eject", "--json"];
    line.extend(fault.options());
    line.push(scene.mounts[0]);
    let trapped = Trapped::start(trial, step.point(), &scene.node, &line)?;
    let strike = fault.strike(trial, scene, trapped.main, trapped.stopped)?;
    trapped.go_on(trial, &strike)
}

/// The exit code, the document, the words.
fn judge(ended: &Ended, end: &End) -> Result<Option<Value>> {
    ensure!(!ended.stderr.contains("panicked"), "it panicked: {}", ended.stderr);
    let code = ended.code.with_context(|| format!("signal {:?}", ended.signal))?;
    let all = format!("{}{}", ended.stdout, ended.stderr);
    ensure!(code == end.code, "exit code {code}, not {}: {all}", end.code);
    if code == KILLED {
        ensure!(ended.stdout.is_empty(), "half a document: {all}");
        return Ok(None);
    }
    let document = document(ended, code)?;
    unmoor_contract::check(&ended.stdout, Some(code))
        .map_err(|faults| anyhow::anyhow!("the document: {}", faults.join(", ")))?;
    let target = document["targets"][0].clone();
    let told = format!("{}\n{}\n{}", target["message"], target["help"], target["warnings"]);
    ensure!(told.contains(end.says), "it does not say {:?}: {told}", end.says);
    Ok(Some(target))
}

/// What a shell makes of SIGKILL.
pub const KILLED: i32 = 128 + libc::SIGKILL;

/// Once the fault is over a second release succeeds, nothing holds the drive, and nothing is lost but what
/// was said to be.
fn second(
    trial: &mut Trial,
    scene: &Scene,
    before: &Survey,
    fault: Fault,
    end: &End,
) -> Result<()> {
    match end.then {
        // What is still mounted of it can be taken away by hand: nothing of ours holds it.
        Then::Nothing if !fault.keeps_the_medium() => {
            trial.sh(&format!(
                "for one in {}; do ! grep -q \" $one \" /proc/self/mounts || umount $one || exit 1; done",
                scene.mounts.join(" ")
            ))?;
        }
        Then::Nothing => {}
        Then::Ends(code) => {
            trial.unmoor(code, &["eject", "--verbose", &scene.node])?;
        }
        Then::Discards => {
            trial.unmoor(0, &["eject", "--verbose", "--discard-unwritten", &scene.node])?;
        }
    }
    let after = Survey::of(trial, false)?;
    after.expect_clean(before)?;
    ensure!(after.mounted.is_empty(), "still mounted: {:?}", after.mounted);
    checks::door_is_unlocked(trial, scene)?;
    let whole = fault.keeps_the_medium() && !matches!(end.then, Then::Discards);
    if whole { scene.expect_whole(trial) } else { Ok(()) }
}

fn summary(ended: &Ended, target: Option<&Value>) -> String {
    let code = ended.code.unwrap_or(-1);
    let message = target.and_then(|target| target["message"].as_str()).unwrap_or("killed");
    format!("{code}: {message}")
}
