//! Cost of one run of a program, and the median of many.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::busy_load::BusyLoad;

/// Cost of one run, from the start of the process to its end.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    pub code: i32,
    pub wall_us: u64,
    /// User and system time.
    pub cpu_us: u64,
    pub peak_kib: u64,
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Runs of one program in a comparison.
#[derive(Debug, Default)]
pub struct Runs {
    pub name: String,
    costs: Vec<Cost>,
    /// Runs beside one process for each processor that does nothing but compute.
    busy: Vec<Cost>,
    pub system_calls: Option<u64>,
}

impl Runs {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub fn add(&mut self, cost: Cost) {
        self.costs.push(cost);
    }

    pub fn add_busy(&mut self, cost: Cost) {
        self.busy.push(cost);
    }

    pub fn count(&self) -> usize {
        self.costs.len()
    }

    fn middle(&self, part: fn(&Cost) -> u64) -> u64 {
        median(self.costs.iter().map(part).collect())
    }

    pub fn wall_us(&self) -> u64 {
        self.middle(|cost| cost.wall_us)
    }

    pub fn cpu_us(&self) -> u64 {
        self.middle(|cost| cost.cpu_us)
    }

    /// Returns the wall time on a busy machine.
    pub fn busy_wall_us(&self) -> Option<u64> {
        (!self.busy.is_empty()).then(|| median(self.busy.iter().map(|c| c.wall_us).collect()))
    }

    /// Returns the user and system time on a busy machine.
    pub fn busy_cpu_us(&self) -> Option<u64> {
        (!self.busy.is_empty()).then(|| median(self.busy.iter().map(|c| c.cpu_us).collect()))
    }

    pub fn peak_kib(&self) -> u64 {
        self.middle(|cost| cost.peak_kib)
    }
}

/// Runs each program in turn, first on the machine as it is and then beside a busy process for each processor.
pub fn in_turn(
    all: &mut [Runs],
    rounds: impl Fn(&str) -> usize,
    mut run: impl FnMut(usize) -> Result<Cost>,
) -> Result<()> {
    for is_busy in [false, true] {
        let _load = is_busy.then(BusyLoad::start).transpose()?;
        for round in 0..all.iter().map(|runs| rounds(&runs.name)).max().unwrap_or_default() {
            for (at, runs) in all.iter_mut().enumerate() {
                if round < rounds(&runs.name) {
                    let cost = run(at)?;
                    if is_busy { runs.add_busy(cost) } else { runs.add(cost) }
                }
            }
        }
    }
    Ok(())
}

/// Returns the number of calls in the last line of `strace -c`.
pub fn system_calls(summary: &str) -> Option<u64> {
    let total = summary.lines().rev().find(|line| line.trim_end().ends_with("total"))?;
    // % time, seconds, usecs/call, calls, errors (if any), "total"
    total.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_from_the_total_with_and_without_errors() {
        let with = "% time seconds usecs/call calls errors syscall\n100.00    0.000915           9        94        12 total\n";
        let without = "100.00    0.000915           9        94           total\n";
        assert_eq!(system_calls(with), Some(94));
        assert_eq!(system_calls(without), Some(94));
        assert_eq!(system_calls("nothing"), None);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![9, 1, 5]), 5);
        assert_eq!(median(Vec::new()), 0);
    }
}
