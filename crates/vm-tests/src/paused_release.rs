//! A release that is stopped where one of its steps begins, for something to happen to it there.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::test_context::{Trial, words};
use unmoor_rig::agent::protocol::Ended;
use unmoor_rig::guest::Job;
use unmoor_rig::machine::GUEST_TOOLS;
use unmoor_rig::step_tracer::marker::Point;

/// A release with a fault in it ends by itself well before this, however slow the emulation is, and no wait
/// of the kernel's that it could hang in is over by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stopped release.
pub struct Trapped {
    job: Job,
    /// Where it and this side meet in the guest.
    meeting: String,
    /// Its process, which leads its process group.
    pub main: u32,
    /// The process that is stopped: that one, or a child.
    pub stopped: u32,
}

impl Trapped {
    /// Starts it, and waits until it is there. `node` is the drive's; `words` follow `unmoor`.
    pub fn start(
        trial: &mut Trial,
        point: Point,
        node: &str,
        words_of_it: &[&str],
    ) -> Result<Self> {
        // Nobody has met there before.
        let number = trial.sh("mktemp -u /dev/shm/meeting.XXXXXX")?;
        let point = clap::ValueEnum::to_possible_value(&point).context("no such point")?;
        let mut line = vec![GUEST_TOOLS, "trace", point.get_name(), node, &number, "--", "unmoor"];
        line.extend(words_of_it);
        let job = trial.start(words(&line))?;
        let reached = trial.sh(&format!(
            "until test -e {number}/reached || test -e {number}/over; do sleep 0.05; done; \
             cat {number}/reached 2>/dev/null || true"
        ))?;
        let mut numbers = reached.split_whitespace().map_while(|word| word.parse().ok());
        let (Some(main), Some(stopped)) = (numbers.next(), numbers.next()) else {
            let ended = trial.wait(job)?;
            bail!("it never came to this step: {}{}", ended.stdout, ended.stderr);
        };
        Ok(Self { job, meeting: number, main, stopped })
    }

    /// Runs this script in the guest, then lets it go on to its end.
    pub fn go_on(self, trial: &mut Trial, script: &str) -> Result<Ended> {
        let Self { job, meeting, main, .. } = self;
        trial.sh(&format!("{script}; touch {meeting}/go"))?;
        let ended = trial.machine.guest.wait(job, PATIENCE)?;
        trial.record(&ended);
        if ended.running {
            let stack = trial.try_sh(&format!("cat /proc/{main}/stack; kill -KILL {main}"))?;
            bail!("it hangs past its deadline: {}", stack.stdout);
        }
        Ok(ended)
    }
}
