//! What a test is: a row in a table, with the machine it needs.

use anyhow::Result;
use unmoor_rig::drives;
use unmoor_rig::machine::Hardware;

use crate::test_context::TestContext;

/// One promise, and the function that fails when it is broken.
pub struct Test {
    pub name: &'static str,
    pub promise: &'static str,
    /// The drives that must be there with an untouched medium when it starts.
    pub drives: &'static [&'static drives::Drive],
    /// What the test needs to be booted. Tests of the same machine share a boot.
    pub machine: &'static Hardware,
    pub run: fn(&mut TestContext) -> Result<()>,
}

/// Returned by a test that cannot be carried out here; the text says why.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "skipped: {}", self.0)
    }
}

impl std::error::Error for Skip {}

/// The machine with every drive that most tests need.
pub static STANDARD: Hardware =
    Hardware { name: "standard", memory_mb: 1536, drives: drives::STANDARD, shared: true };

/// A machine whose stick records what it is told.
pub static LOGGED: Hardware =
    Hardware { name: "logged", memory_mb: 1024, drives: &[&drives::LOGGED_STICK], shared: false };

/// A machine with one drive of each kind that the standard one has not.
pub static KINDS: Hardware =
    Hardware { name: "kinds", memory_mb: 1024, drives: drives::KINDS, shared: true };

/// A machine whose stick has a bad sector.
pub static FLAWED: Hardware =
    Hardware { name: "flawed", memory_mb: 1024, drives: &[&drives::FLAWED_STICK], shared: false };
