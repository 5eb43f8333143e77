//! Formats the steps of an operation for `-v` and `--dry-run`.

use crate::duration;
use unmoor::{Status, Step, StepReport};

/// Formats a step, its status, and every method that was tried.
pub fn lines(drive: &str, step: &StepReport) -> Vec<String> {
    let status = match step.status {
        Status::Failed => "FAILED",
        _ => step.status.name(),
    };
    let took = duration::words(step.took);
    let reason = reason(step).unwrap_or_default();
    let line = format!("{drive}: {:<9} {status:<7} {took:>8}  {reason}", step.step.name());
    let mut lines = vec![line.trim_end().to_string()];
    for attempt in &step.attempts {
        let ok = if attempt.ok { "ok" } else { "failed" };
        let detail = attempt.detail.as_ref().map(|d| format!(": {d}")).unwrap_or_default();
        lines.push(format!("{drive}:     {} {ok}{detail}", attempt.method));
    }
    lines
}

/// Returns why a step was skipped, how it failed, or what it did.
pub fn reason(step: &StepReport) -> Option<&str> {
    match (&step.status, step.step) {
        (Status::NotRequested, Step::Verify) => Some("--no-verify"),
        (Status::NotRequested, Step::Eject | Step::PowerOff) => Some("--dismount-only"),
        _ => step.reason.as_deref(),
    }
}

/// Formats a planned step.
pub fn planned(number: usize, step: &StepReport) -> String {
    let reason = reason(step).unwrap_or_default();
    let what = match step.status {
        Status::NotRequested => format!("skipped ({reason})"),
        Status::Skipped if !reason.starts_with("nothing") => format!("skipped: {reason}"),
        _ => reason.to_string(),
    };
    format!("  {number}. {:<9} {what}", step.step.name()).trim_end().to_string()
}
