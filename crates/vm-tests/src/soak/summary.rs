//! Totals of all cycles.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::cycle::{Cycle, Medium};
use super::run::Outcome;

#[derive(Default)]
struct Row {
    cycles: u64,
    files: u64,
    written: u64,
    lost: u64,
    failed: u64,
}

/// Totals.
#[derive(Default)]
pub struct Summary {
    total: Row,
    /// Totals by stack, in the first of three tables.
    by_stack: BTreeMap<String, Row>,
    by_file_system: BTreeMap<String, Row>,
    by_release: BTreeMap<String, Row>,
    due: u64,
    losing: u64,
    late: usize,
    marks: usize,
    unflushed: usize,
    clean: u64,
    replayed: u64,
    /// Number of checker complaints, by file system, about file systems without a journal that were cut off.
    said: BTreeMap<String, u64>,
    unclean: u64,
    failed: Vec<u64>,
}

impl Row {
    fn add(&mut self, outcome: &Outcome, failed: bool) {
        self.cycles += 1;
        self.files += outcome.found.files;
        self.written += outcome.found.written;
        self.lost += outcome.found.lost;
        self.failed += u64::from(failed);
    }
}

impl Summary {
    /// Counts a cycle, prints its line, and returns true if the cycle was good.
    pub fn add(
        &mut self,
        medium: &Medium,
        cycle: &Cycle,
        outcome: &Outcome,
        time: Duration,
    ) -> bool {
        let failures = outcome.failures(medium, cycle);
        let good = failures.is_empty();
        let word = if good { "ok  " } else { "FAIL" };
        println!(
            "{word} {:5}.{} {:5.1} s  {:44} {}",
            medium.seed,
            cycle.number + 1,
            time.as_secs_f32(),
            medium.name(),
            cycle.sentence()
        );
        for failure in &failures {
            for line in failure.lines().take(8) {
                println!("      {line}");
            }
        }
        self.total.add(outcome, !good);
        let mut names: Vec<&str> = medium.file_systems.iter().map(|one| one.name()).collect();
        names.dedup();
        for name in names {
            self.by_file_system.entry(name.to_owned()).or_default().add(outcome, !good);
        }
        let stack = format!("{} ({:?})", medium.stack.name(), cycle.kind);
        self.by_stack.entry(stack).or_default().add(outcome, !good);
        let release = match cycle.release.words() {
            "" => "no option",
            words => words,
        };
        self.by_release.entry(release.to_owned()).or_default().add(outcome, !good);
        self.due += outcome.found.bytes;
        self.losing += u64::from(outcome.found.lost > 0 || !outcome.found.wrong.is_empty());
        self.late += outcome.late.len();
        self.marks += outcome.marks;
        self.unflushed += outcome.unflushed;
        for ((name, said), file_system) in outcome.checks.iter().zip(&medium.file_systems) {
            match (said.is_empty(), cycle.release.forced(), file_system.replays()) {
                (true, true, true) => self.replayed += 1,
                (true, _, _) => self.clean += 1,
                (false, true, false) => *self.said.entry((*name).to_owned()).or_default() += 1,
                (false, _, _) => self.unclean += 1,
            }
        }
        if !good {
            self.failed.push(medium.seed);
        }
        good
    }

    /// Records a medium whose cycles could not be carried out.
    pub fn halted(&mut self, medium: &Medium, error: &anyhow::Error) {
        println!("FAIL {:5}    {}", medium.seed, medium.name());
        for line in format!("{error:#}").lines().take(8) {
            println!("      {line}");
        }
        self.failed.push(medium.seed);
    }

    /// Returns true if nothing could be carried out, so that going on would show nothing.
    pub fn hopeless(&self) -> bool {
        self.total.cycles == 0 && self.failed.len() >= 3
    }

    pub fn good(&self) -> bool {
        self.failed.is_empty() && self.total.cycles > 0
    }

    /// Returns the text for docs/soak.md.
    pub fn text(&self, time: Duration) -> String {
        let mut text = String::new();
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let _ = writeln!(text);
        for (title, rows) in [
            ("stack (drive)", &self.by_stack),
            ("file system", &self.by_file_system),
            ("options", &self.by_release),
        ] {
            let _ = writeln!(text, "{title:38} cycles   files  MiB written  bytes lost  failed");
            for (name, row) in rows {
                let _ = writeln!(
                    text,
                    "{name:38} {:6} {:7} {:12.1} {:11} {:7}",
                    row.cycles,
                    row.files,
                    mib(row.written),
                    row.lost,
                    row.failed
                );
            }
            let _ = writeln!(text);
        }
        let total = &self.total;
        let _ = writeln!(
            text,
            "{} cycles in {:.0} s; {} files; {:.1} MiB written, {:.1} MiB of them due at the end",
            total.cycles,
            time.as_secs_f32(),
            total.files,
            mib(total.written),
            mib(self.due)
        );
        let _ = writeln!(text, "bytes lost: {} (in {} cycles)", total.lost, self.losing);
        let _ = writeln!(
            text,
            "writes not flushed when the command returned: {}; writes after it had returned: {}",
            self.unflushed, self.late
        );
        let _ = writeln!(
            text,
            "  and of the mark that says whether it was in use, where it stays within reach (docs/force.md): {}",
            self.marks
        );
        let _ = writeln!(
            text,
            "checkers: {} clean, {} clean once the journal was replayed (forced), {} not clean",
            self.clean, self.replayed, self.unclean
        );
        for (name, count) in &self.said {
            let _ = writeln!(
                text,
                "  {name} without a journal, forced while written to: its checker had something to say, {count} times"
            );
        }
        if !self.failed.is_empty() {
            let _ = writeln!(text, "{} failed; their seeds: {:?}", self.failed.len(), self.failed);
        }
        text
    }
}
