//! Release that is paused where one of its steps begins, so that a test can act there.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::test_context::{TestContext, words};
use unmoor_rig::agent::protocol::Output;
use unmoor_rig::guest::Job;
use unmoor_rig::machine::GUEST_TOOLS;
use unmoor_rig::step_tracer::pause_point::PausePoint;

/// Timeout of a release with a fault. Without a hang it ends well before, however slow the emulation; a wait
/// in the kernel would take longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Paused release.
pub struct PausedRelease {
    job: Job,
    /// Folder in the guest of the tracer's files.
    meeting: String,
    /// ID of its process, which leads its process group.
    pub main: u32,
    /// ID of the process that is stopped: that one, or a child.
    pub stopped: u32,
}

impl PausedRelease {
    /// Starts `unmoor` with these arguments and waits until the release is paused. `node` is the drive's.
    pub fn start(
        ctx: &mut TestContext,
        point: PausePoint,
        node: &str,
        words_of_it: &[&str],
    ) -> Result<Self> {
        // Nobody has met there before.
        let number = ctx.sh("mktemp -u /dev/shm/meeting.XXXXXX")?;
        let point = clap::ValueEnum::to_possible_value(&point).context("no such point")?;
        let mut line = vec![GUEST_TOOLS, "trace", point.get_name(), node, &number, "--", "unmoor"];
        line.extend(words_of_it);
        let job = ctx.start(words(&line))?;
        let reached = ctx.sh(&format!(
            "until test -e {number}/reached || test -e {number}/ended; do sleep 0.05; done; \
             cat {number}/reached 2>/dev/null || true"
        ))?;
        let mut numbers = reached.split_whitespace().map_while(|word| word.parse().ok());
        let (Some(main), Some(stopped)) = (numbers.next(), numbers.next()) else {
            let output = ctx.wait(job)?;
            bail!("it never came to this step: {}{}", output.stdout, output.stderr);
        };
        Ok(Self { job, meeting: number, main, stopped })
    }

    /// Runs this script in the guest, then lets the release run to its end.
    pub fn resume(self, ctx: &mut TestContext, script: &str) -> Result<Output> {
        let Self { job, meeting, main, .. } = self;
        ctx.sh(&format!("{script}; touch {meeting}/go"))?;
        let output = ctx.machine.guest.wait(job, TIMEOUT)?;
        ctx.record(&output);
        if output.running {
            let stack = ctx.try_sh(&format!("cat /proc/{main}/stack; kill -KILL {main}"))?;
            bail!("it hangs past its deadline: {}", stack.stdout);
        }
        Ok(output)
    }
}
