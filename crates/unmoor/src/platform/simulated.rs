//! Drives in memory.
use super::*;
use crate::error::{Error, ErrorKind};
use std::time::Duration;

/// A machine in memory.
#[derive(Debug, Default)]
pub struct Simulated {}

impl Simulated {
    /// The machine that `sim:NAME` targets name.
    pub fn demo() -> Self {
        Simulated {}
    }
}
impl Clock for Simulated {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, _time: Duration) {}
}
fn later<T>() -> Result<T> {
    Err(Error::new(ErrorKind::NotSupported, "sim", "not written yet"))
}
impl Platform for Simulated {
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
