//! Runner of tests that need more than an ordinary user has.

use crate::mount_namespace;
use crate::need::Need;
use libtest_mimic::{Arguments, Trial};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A test, and what it needs.
pub struct Test {
    /// Path of the function.
    pub name: &'static str,
    /// Needs, all of which must be met.
    pub needs: &'static [&'static Need],
    /// The test. It fails by a panic.
    pub run: fn(),
}

/// Names a function as a [`Test`], with its needs.
#[macro_export]
macro_rules! test {
    ($function:ident $(, $need:path)* $(,)?) => {
        $crate::Test {
            name: concat!(module_path!(), "::", stringify!($function)),
            needs: &[$(&$need),*],
            run: $function,
        }
    };
}

/// Runs the tests as `cargo test` does, and exits. Tests with an unmet need are reported as ignored.
pub fn run(groups: &[&[Test]]) -> ! {
    let mut arguments = Arguments::from_args();
    // No flag makes a test run whose need is not met.
    arguments.include_ignored = false;
    let mut ignored: BTreeMap<String, usize> = BTreeMap::new();
    // Without the privilege there are no mounts to hide either.
    mount_namespace::enter();
    let total: usize = groups.iter().map(|group| group.len()).sum();
    let mut trials = Vec::with_capacity(total);
    for test in groups.iter().copied().flatten() {
        let unmet: Vec<&str> =
            test.needs.iter().filter(|need| !need.is_met()).map(|need| need.name).collect();
        // The first part of the path is the name of the test program.
        let name = test.name.split_once("::").map_or(test.name, |(_, name)| name);
        let body = test.run;
        let trial = Trial::test(name, move || {
            catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").into()
            })
        });
        trials.push(match unmet.is_empty() {
            true => trial,
            false => {
                let reason = format!("needs {}", unmet.join(" and "));
                *ignored.entry(reason.clone()).or_default() += 1;
                trial.with_kind(reason).with_ignored_flag(true)
            }
        });
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    for (reason, count) in ignored {
        eprintln!("ignored: {count} of {} tests: {reason}", total);
    }
    conclusion.exit()
}
