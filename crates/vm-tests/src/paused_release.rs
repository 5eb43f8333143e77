//! A release that is stopped where one of its steps begins, for something to happen to it there.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::test_context::{TestContext, words};
use unmoor_rig::agent::protocol::Output;
use unmoor_rig::guest::Job;
use unmoor_rig::machine::GUEST_TOOLS;
use unmoor_rig::step_tracer::pause_point::PausePoint;

/// A release with a fault in it ends by itself well before this, however slow the emulation is, and no wait
/// of the kernel's that it could hang in is over by then.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The stopped release.
pub struct PausedRelease {
    job: Job,
    /// Where it and this side meet in the guest.
    meeting: String,
    /// Its process, which leads its process group.
    pub main: u32,
    /// The process that is stopped: that one, or a child.
    pub stopped: u32,
}

impl PausedRelease {
    /// Starts it, and waits until it is there. `node` is the drive's; `words` follow `unmoor`.
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

    /// Runs this script in the guest, then lets it go on to its end.
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
