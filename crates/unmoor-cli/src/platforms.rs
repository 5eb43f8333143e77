//! Platforms of the targets: native and simulated, each created once on first use, so that all targets
//! of one call see the same drives.

#[cfg(windows)]
use crate::windows::self_copy::native;
use std::cell::OnceCell;
use unmoor::platform::Platform;
#[cfg(not(windows))]
use unmoor::platform::native;
#[cfg(not(feature = "demo"))]
use unmoor::{Error, ErrorKind};
use unmoor::{Result, Target};

/// Native and simulated platform.
#[derive(Default)]
pub struct Platforms {
    native: OnceCell<Box<dyn Platform>>,
    simulated: OnceCell<Box<dyn Platform>>,
}

impl Platforms {
    /// Returns the platform of the target.
    pub fn of(&self, target: &Target) -> Result<&dyn Platform> {
        self.listed(matches!(target, Target::Simulated(_)))
    }

    /// Returns the simulated platform, or the native one.
    pub fn listed(&self, simulated: bool) -> Result<&dyn Platform> {
        let cell = if simulated { &self.simulated } else { &self.native };
        if cell.get().is_none() {
            _ = cell.set(if simulated { self::simulated()? } else { native()? });
        }
        Ok(&**cell.get().expect("it was made a line above"))
    }
}

/// Returns a new simulated platform.
#[cfg(feature = "demo")]
pub fn simulated() -> Result<Box<dyn Platform>> {
    Ok(Box::new(unmoor_simulated::Simulated::demo()))
}

/// Returns an error: this build has no simulated platform.
#[cfg(not(feature = "demo"))]
pub fn simulated() -> Result<Box<dyn Platform>> {
    let why = "this build has no simulated drives (cargo feature `demo`)";
    Err(Error::new(ErrorKind::NotSupported, "sim:", why))
}
