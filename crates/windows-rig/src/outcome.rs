//! Comparison of what happened with what a test demands.

use crate::Test;
use serde_json::Value;

/// Exit code of the launcher where the program did not end in time.
const LATE: i32 = 250;
/// Exit code of the launcher where the rig failed.
pub(crate) const BROKEN: i32 = 251;

/// Outcome of one test.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub code: i32,
    pub output: String,
    pub errors: String,
    pub journal: String,
    pub seconds: f32,
    /// Differences from the test's demands, one sentence each.
    pub faults: Vec<String>,
}

impl Outcome {
    pub(crate) fn new(
        code: i32,
        output: String,
        errors: String,
        journal: String,
        seconds: f32,
    ) -> Outcome {
        Outcome { code, output, errors, journal, seconds, faults: Vec::new() }
    }

    /// Returns `pass` or `FAIL`.
    pub fn word(&self) -> &'static str {
        if self.faults.is_empty() { "pass" } else { "FAIL" }
    }

    /// Everything that was printed and requested.
    pub fn transcript(&self) -> String {
        let Outcome { code, output, errors, journal, .. } = self;
        format!("{output}{errors}exit code {code}\n--- journal\n{journal}---")
    }

    /// Compares, and keeps the faults.
    pub(crate) fn judge(mut self, test: &Test) -> Outcome {
        let mut faults = Vec::new();
        if self.code == LATE {
            faults.push(format!("did not end within {} s", test.deadline));
        } else if !test.codes.contains(&self.code) {
            let wanted: Vec<String> = test.codes.iter().map(ToString::to_string).collect();
            let last = self.last_line();
            faults.push(format!("exit code {}, not {}: {last}", self.code, wanted.join(" or ")));
        }
        self.judge_text(test, &mut faults);
        self.judge_json(test, &mut faults);
        self.judge_journal(test, &mut faults);
        self.faults = faults;
        self
    }

    fn last_line(&self) -> String {
        if let Ok(document) = serde_json::from_str::<Value>(&self.output) {
            let message = document.pointer("/targets/0/message").and_then(Value::as_str);
            return message.unwrap_or("no message").to_owned();
        }
        let mut lines = [&self.errors, &self.output].into_iter().flat_map(|text| text.lines());
        let said = |line: &&str| !line.starts_with("unmoor 0.") && !line.starts_with(' ');
        lines.rfind(said).unwrap_or("nothing said").trim().to_owned()
    }

    fn judge_text(&self, test: &Test, faults: &mut Vec<String>) {
        let said = format!("{}{}", self.output, self.errors).to_lowercase();
        if said.contains("panicked") {
            faults.push("a panic".into());
        }
        for text in &test.says {
            if !said.contains(&text.to_lowercase()) {
                faults.push(format!("does not say \"{text}\" but \"{}\"", self.last_line()));
            }
        }
        for text in &test.never_says {
            if said.contains(&text.to_lowercase()) {
                faults.push(format!("says \"{text}\""));
            }
        }
        if test.ascii && !self.output.is_ascii() {
            faults.push("standard output is not ASCII".into());
        }
    }

    fn judge_json(&self, test: &Test, faults: &mut Vec<String>) {
        if test.json.is_empty() {
            return;
        }
        let Ok(document) = serde_json::from_str::<Value>(&self.output) else {
            faults.push("no JSON document".into());
            return;
        };
        for (pointer, wanted) in &test.json {
            let found = document.pointer(pointer).unwrap_or(&Value::Null);
            if found != wanted {
                faults.push(format!("{pointer} is {found}, not {wanted}"));
            }
        }
    }

    fn judge_journal(&self, test: &Test, faults: &mut Vec<String>) {
        let mut lines = self.journal.lines();
        for wanted in &test.journal {
            if !lines.any(|line| line.starts_with(wanted)) {
                faults.push(format!("no request `{wanted}` at its place"));
                break;
            }
        }
        for text in &test.never_later {
            if let Some(line) = lines.clone().find(|line| line.contains(text)) {
                faults.push(format!("request `{line}` afterwards"));
            }
        }
        for text in &test.never {
            if let Some(line) = self.journal.lines().find(|line| line.contains(text)) {
                faults.push(format!("request `{line}`"));
            }
        }
        for (beginning, number) in &test.at_most {
            let count = self.journal.lines().filter(|line| line.starts_with(beginning)).count();
            if count > *number {
                faults.push(format!("{count} requests `{beginning}`, not at most {number}"));
            }
        }
        if let Some(line) = self.journal.lines().find(|line| line.starts_with("DATA LOST")) {
            faults.push(line.to_owned());
        }
    }
}
