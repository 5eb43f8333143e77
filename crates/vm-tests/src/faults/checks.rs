//! State of the machine after a release, from the guest's kernel and QEMU, compared with the report.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::fixture::Fixture;
use crate::test_context::TestContext;

/// State of the guest's kernel.
pub struct GuestState {
    /// Loop devices, mappings, arrays.
    pub stacked_devices: BTreeSet<String>,
    /// Mount points of the tests.
    pub mounted: BTreeSet<String>,
    /// Processes of `unmoor` that are still there after the wait, and where in the kernel they are.
    left: BTreeSet<String>,
}

/// Script that prints one line for each thing: its kind, and its name.
const SCRIPT: &str = "\
    n=0; while pgrep -x unmoor >/dev/null && test $n -lt $patience; do n=$((n+1)); sleep 0.1; done; \
    for one in $(pgrep -x unmoor); do echo left $one: $(cat /proc/$one/wchan /proc/$one/stack); done; \
    for one in /sys/block/*; do \
        if test -e $one/dm -o -e $one/md -o -e $one/loop/backing_file; then echo stacked ${one##*/}; fi; \
    done; \
    while read from on rest; do case $on in /mnt/*) echo mounted $on;; esac; done </proc/self/mounts";

impl GuestState {
    /// Reads the state. With `silent`, does not wait for processes that a silent drive keeps in the kernel.
    pub fn read(ctx: &mut TestContext, silent: bool) -> Result<Self> {
        let timeout = if silent { 0 } else { 300 };
        let text = ctx.sh(&format!("patience={timeout}; {SCRIPT}"))?;
        let all = |word: &str| {
            let named = text.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
            named.map(str::to_owned).collect()
        };
        let left = if silent { BTreeSet::new() } else { all("left") };
        Ok(Self { stacked_devices: all("stacked"), mounted: all("mounted"), left })
    }

    /// Fails if a process of `unmoor`, a loop device, a mapping or an array is left behind.
    pub fn expect_clean(&self, before: &Self) -> Result<()> {
        ensure!(self.left.is_empty(), "a process is left behind: {:?}", self.left);
        let more: Vec<_> = self.stacked_devices.difference(&before.stacked_devices).collect();
        ensure!(more.is_empty(), "left behind: {more:?}");
        Ok(())
    }

    /// Fails unless all mounts are there, or none.
    pub fn expect_mounted(&self, fixture: &Fixture, wanted: bool) -> Result<()> {
        for mount in fixture.mounts {
            let is = self.mounted.contains(*mount);
            ensure!(is == wanted, "{mount} is {}mounted", if is { "" } else { "not " });
        }
        Ok(())
    }

    /// Fails unless the mounts are those of the report.
    pub fn expect_as_reported(&self, fixture: &Fixture, target: &Value) -> Result<()> {
        let taken = dismounted(target);
        for mount in fixture.mounts {
            let told = taken.as_ref().is_none_or(|taken| taken.contains(*mount));
            let is = self.mounted.contains(*mount);
            ensure!(
                is != told,
                "by the report {mount} is {}mounted, and it is {}",
                if told { "dis" } else { "" },
                if is { "mounted" } else { "not" }
            );
        }
        Ok(())
    }
}

/// Returns the mounts that the report says were unmounted; `None` for all of them.
fn dismounted(target: &Value) -> Option<BTreeSet<String>> {
    let steps = target["steps"].as_array().cloned().unwrap_or_default();
    let step = steps.iter().find(|step| step["step"] == "dismount");
    if step.is_some_and(|step| step["status"] == "done") {
        return None;
    }
    let attempts = step.and_then(|step| step["attempts"].as_array().cloned()).unwrap_or_default();
    let away = attempts.iter().filter(|attempt| {
        let method = attempt["method"].as_str().unwrap_or_default();
        attempt["ok"] == true && method.starts_with("umount2")
    });
    Some(away.filter_map(|attempt| Some(attempt["detail"].as_str()?.to_owned())).collect())
}

/// Fails if the drive's door is locked. The kernel locks it while the drive is mounted or open. A drive that
/// was powered off is not checked.
pub fn expect_door_unlocked(ctx: &mut TestContext, fixture: &Fixture) -> Result<()> {
    let Some(drive) = fixture.drive() else { return Ok(()) };
    if ctx.machine.guest.find(drive.sysfs_parts)?.is_none() {
        return Ok(());
    }
    let all = ctx.machine.qmp.execute("query-block", json!({}))?;
    let found = all.as_array().into_iter().flatten().find(|one| one["device"] == drive.id);
    let locked = found.is_some_and(|found| found["locked"] == true);
    ensure!(!locked, "the door of {} is still locked", drive.id);
    Ok(())
}
