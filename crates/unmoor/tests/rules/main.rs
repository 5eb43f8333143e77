//! Rules of a release, checked on simulated machines that record what really happened.
//!
//! Each module is one rule. `docs/testing.md` names the mutation that each test catches.

/// Builds the default options with these fields set.
macro_rules! options {
    (@value $field:ident) => { $field };
    (@value $field:ident $value:expr) => { $value };
    ($($field:ident $(: $value:expr)?),* $(,)?) => {{
        let mut options = unmoor::Options::default();
        $(options.$field = options!(@value $field $($value)?);)*
        options
    }};
}

mod all_or_nothing;
mod always_unlocked;
mod attach;
mod batch;
mod deadlines;
mod dry_run;
mod examples;
mod force;
mod kill;
mod never_another_device;
mod never_while_mounted;
mod not_exclusive;
mod nothing_lost;
mod own_handles;
mod plans;
mod power_off;
mod raw_writers;
mod report_is_true;
mod run;
mod scenario;
mod stages;
mod teardown_order;
mod tray;
mod windows_policy;
