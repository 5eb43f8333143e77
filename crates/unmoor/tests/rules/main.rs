//! The rules of the procedure, held against simulated machines whose truth can be asked afterwards.
//!
//! One module is one rule. `docs/testing.md` says which breakage of the procedure each test catches.

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
mod deadlines;
mod dry_run;
mod examples;
mod force;
mod held;
mod kill;
mod many;
mod never_another_device;
mod never_while_mounted;
mod nothing_lost;
mod own_handles;
mod plans;
mod power_off;
mod report_is_true;
mod run;
mod scenario;
mod stages;
mod tray;
mod undo_order;
mod windows_policy;
mod writers;
