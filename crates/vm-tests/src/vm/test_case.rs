//! Tests as rows of a table, and the machines they need.

use anyhow::Result;
use unmoor_rig::drives;
use unmoor_rig::machine::Hardware;

use crate::test_context::TestContext;

/// One promise, and the function that fails if it is broken.
pub struct Test {
    pub name: &'static str,
    pub promise: &'static str,
    /// Drives that must be there with an unmodified medium when the test starts.
    pub drives: &'static [&'static drives::Drive],
    /// Machine of the test. Tests of the same machine share a boot.
    pub machine: &'static Hardware,
    pub run: fn(&mut TestContext) -> Result<()>,
}

impl Test {
    /// Returns a test with a stick in the standard machine.
    pub const fn with_stick(
        name: &'static str,
        promise: &'static str,
        run: fn(&mut TestContext) -> Result<()>,
    ) -> Test {
        Test { name, promise, drives: &[&drives::STICK], machine: &STANDARD, run }
    }
}

/// Error of a test that cannot run here, with the reason.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "skipped: {}", self.0)
    }
}

impl std::error::Error for Skip {}

/// Machine with every drive that most tests need.
pub static STANDARD: Hardware =
    Hardware { name: "standard", memory_mb: 1536, drives: drives::STANDARD, shared: true };

/// Machine whose stick logs the commands that it receives.
pub static LOGGED: Hardware =
    Hardware { name: "logged", memory_mb: 1024, drives: &[&drives::LOGGED_STICK], shared: false };

/// Machine with one drive of each kind that the standard one lacks.
pub static KINDS: Hardware =
    Hardware { name: "kinds", memory_mb: 1024, drives: drives::KINDS, shared: true };

/// Machine whose stick has a bad sector.
pub static FLAWED: Hardware =
    Hardware { name: "flawed", memory_mb: 1024, drives: &[&drives::FLAWED_STICK], shared: false };

/// Machine with a stick and the services of a desktop, which probe every drive.
pub static DESKTOP: Hardware =
    Hardware { name: "desktop", memory_mb: 1024, drives: &[&drives::STICK], shared: false };

/// Machine with drives that a person at a desk has, for tests that leave its services running.
pub static SESSIONS: Hardware = Hardware {
    name: "sessions",
    memory_mb: 1280,
    drives: &[&drives::STICK, &drives::CD, &drives::CARD],
    shared: true,
};
