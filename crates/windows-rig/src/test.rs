//! Description of one test.

use serde_json::Value;

/// One promise: a scenario, a command line, and what must come out of it.
#[derive(Debug, Clone)]
pub struct Test {
    /// Name of the promise, the same wherever the promise is tested.
    pub id: &'static str,
    pub promise: &'static str,
    pub scenario: String,
    /// Programs that hold something: how (`read`, `write`, `stubborn`, `pipes`, `service`,
    /// `stubborn-service`), and what.
    pub holders: Vec<(&'static str, &'static str)>,
    pub words: Vec<&'static str>,
    /// Deadline in seconds.
    pub deadline: u32,
    /// Exit codes, any of which is right.
    pub codes: Vec<i32>,
    /// Texts that must be in what the program prints, in any case.
    pub says: Vec<&'static str>,
    pub never_says: Vec<&'static str>,
    /// Values in the JSON document, by JSON pointer.
    pub json: Vec<(&'static str, Value)>,
    /// Beginnings of lines of the driver's journal, in this order.
    pub journal: Vec<&'static str>,
    /// Texts that no line of the journal may contain.
    pub never: Vec<&'static str>,
    /// Texts that no line after those of `journal` may contain.
    pub never_later: Vec<&'static str>,
    /// Beginnings of lines, and how many of them there may be.
    pub at_most: Vec<(&'static str, usize)>,
    /// Standard output must be ASCII.
    pub ascii: bool,
}

impl Test {
    pub fn new(id: &'static str, promise: &'static str, words: &[&'static str], code: i32) -> Test {
        Test {
            id,
            promise,
            scenario: String::new(),
            holders: Vec::new(),
            words: words.to_vec(),
            deadline: 40,
            codes: vec![code],
            says: Vec::new(),
            never_says: Vec::new(),
            json: Vec::new(),
            journal: Vec::new(),
            never: Vec::new(),
            never_later: Vec::new(),
            at_most: Vec::new(),
            ascii: false,
        }
    }

    /// Adds lines to the scenario.
    pub fn on(mut self, lines: &str) -> Test {
        self.scenario.push_str(lines);
        self.scenario.push('\n');
        self
    }

    /// Replaces text in the scenario. Panics where there is none to replace: the table is wrong then.
    pub fn with(mut self, text: &str, replacement: &str) -> Test {
        assert!(self.scenario.contains(text), "{}: the scenario lacks {text}", self.id);
        self.scenario = self.scenario.replacen(text, replacement, 1);
        self
    }

    pub fn reader(mut self, path: &'static str) -> Test {
        self.holders.push(("read", path));
        self
    }

    pub fn writer(mut self, path: &'static str) -> Test {
        self.holders.push(("write", path));
        self
    }

    /// A writer that does not close when it is asked to.
    pub fn stubborn(mut self, path: &'static str) -> Test {
        self.holders.push(("stubborn", path));
        self
    }

    /// A service that has the file open to write.
    pub fn service(mut self, path: &'static str) -> Test {
        self.holders.push(("service", path));
        self
    }

    /// A service that does not stop.
    pub fn stubborn_service(mut self, path: &'static str) -> Test {
        self.holders.push(("stubborn-service", path));
        self
    }

    pub fn blocked_pipes(mut self, number: &'static str) -> Test {
        self.holders.push(("pipes", number));
        self
    }

    pub fn deadline(mut self, seconds: u32) -> Test {
        self.deadline = seconds;
        self
    }

    pub fn or_code(mut self, code: i32) -> Test {
        self.codes.push(code);
        self
    }

    pub fn says(mut self, text: &'static str) -> Test {
        self.says.push(text);
        self
    }

    pub fn never_says(mut self, text: &'static str) -> Test {
        self.never_says.push(text);
        self
    }

    pub fn json(mut self, pointer: &'static str, value: impl Into<Value>) -> Test {
        self.json.push((pointer, value.into()));
        self
    }

    pub fn journal(mut self, line: &'static str) -> Test {
        self.journal.push(line);
        self
    }

    pub fn never_later(mut self, text: &'static str) -> Test {
        self.never_later.push(text);
        self
    }

    pub fn never(mut self, text: &'static str) -> Test {
        self.never.push(text);
        self
    }

    pub fn at_most(mut self, number: usize, line: &'static str) -> Test {
        self.at_most.push((line, number));
        self
    }

    pub fn ascii(mut self) -> Test {
        self.ascii = true;
        self
    }
}
