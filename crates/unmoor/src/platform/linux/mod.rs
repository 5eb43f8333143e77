//! Linux.
#[allow(dead_code, reason = "the session is still to call it")]
mod blockers;
#[allow(dead_code, reason = "the session is still to call it")]
mod procfs;

use super::*;
use crate::error::{Error, ErrorKind};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The Linux kernel's interfaces.
#[derive(Debug, Default)]
pub struct Linux {}

impl Linux {
    /// Opens nothing yet.
    pub fn new() -> Self {
        Linux {}
    }
}
impl Clock for Linux {
    fn now(&self) -> Duration {
        static S: OnceLock<Instant> = OnceLock::new();
        S.get_or_init(Instant::now).elapsed()
    }
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time)
    }
}
fn later<T>() -> Result<T> {
    Err(Error::new(ErrorKind::NotSupported, "linux", "not written yet"))
}
impl Platform for Linux {
    fn list(&self, _all: bool) -> Result<Vec<Drive>> {
        later()
    }
    fn resolve(&self, _t: &Target) -> Result<Drive> {
        later()
    }
    fn open(&self, _d: &Drive) -> Result<Box<dyn Session + '_>> {
        later()
    }
    fn methods(&self, _d: &Drive, _a: Action) -> Vec<String> {
        Vec::new()
    }
}
