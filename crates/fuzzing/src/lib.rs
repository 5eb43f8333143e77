//! Fuzz targets: every parser of untrusted input in unmoor, as functions of any bytes.
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
#[path = "../../unmoor-cli/src/escape.rs"]
mod escape;
#[path = "../../unmoor-cli/src/json/lossy.rs"]
mod lossy;
#[path = "../../unmoor-cli/src/table.rs"]
mod table;
#[allow(dead_code)]
#[path = "../../unmoor-cli/src/truncate.rs"]
mod truncate;

pub mod command;
pub mod document;

pub use unmoor::fuzzing::Parser;

/// All parsers, by the names of their seeds' directories.
pub fn parsers() -> Vec<Parser> {
    let mut parsers = unmoor::fuzzing::PARSERS.to_vec();
    parsers.extend(command::PARSERS);
    parsers.extend(document::PARSERS);
    parsers.sort_unstable_by_key(|(name, _)| *name);
    parsers
}
