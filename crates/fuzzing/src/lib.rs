//! Fuzz targets: every parser of untrusted input in unmoor, as functions of any bytes.
//!
//! Each function asserts what is promised of its parser, not only that the parser survives: parsed text
//! comes back when it is written again, nothing points outside the input, and a wrong length costs
//! neither memory nor time. Text that cannot be parsed is no failure. A broken promise is a panic, which
//! is what a fuzzer looks for.
//!
//! Two runners use them: libFuzzer on a nightly toolchain (`fuzz/` at the root of the repository), and
//! random changes of the seeds on any toolchain (`tests/mutations.rs`). docs/fuzzing.md describes both.

// The command is a program, not a library, so its files that read or escape are compiled here again.
#[allow(dead_code)]
#[path = "../../unmoor-cli/src/args.rs"]
mod args;
#[allow(dead_code)]
#[path = "../../unmoor-cli/src/duration.rs"]
mod duration;
#[allow(dead_code)]
#[path = "../../unmoor-cli/src/escape.rs"]
mod escape;
#[path = "../../unmoor-cli/src/table.rs"]
mod table;
#[allow(dead_code)]
#[path = "../../unmoor-cli/src/truncate.rs"]
mod truncate;

mod bytes;
pub mod command;
pub mod document;
#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(target_os = "linux")]
pub mod linux_blockers;
pub mod targets;
pub mod windows;

/// A parser's name, and the function that feeds it.
pub type Parser = (&'static str, fn(&[u8]));

/// All parsers, by the names of their seeds' directories.
pub fn parsers() -> Vec<Parser> {
    let mut parsers = targets::PARSERS.to_vec();
    #[cfg(target_os = "linux")]
    parsers.extend(linux::PARSERS.into_iter().chain(linux_blockers::PARSERS));
    parsers.extend(windows::PARSERS);
    parsers.extend(command::PARSERS);
    parsers.extend(document::PARSERS);
    parsers.sort_unstable_by_key(|(name, _)| *name);
    parsers
}
