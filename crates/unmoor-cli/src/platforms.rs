//! Platforms of the targets: native and simulated, each created once on first use, so that all targets
//! of one call see the same drives.

#[cfg(windows)]
use crate::windows::self_copy::native;
use std::cell::OnceCell;
use unmoor::platform::Platform;
#[cfg(not(windows))]
use unmoor::platform::native;
use unmoor::{Result, Target};
use unmoor_simulated::Simulated;

/// Native and simulated platform.
#[derive(Default)]
pub struct Platforms {
    native: OnceCell<Box<dyn Platform>>,
    simulated: OnceCell<Simulated>,
}

impl Platforms {
    /// Returns the platform of the target.
    pub fn of(&self, target: &Target) -> Result<&dyn Platform> {
        self.listed(matches!(target, Target::Simulated(_)))
    }

    /// Returns the simulated platform, or the native one.
    pub fn listed(&self, simulated: bool) -> Result<&dyn Platform> {
        if simulated {
            return Ok(self.simulated.get_or_init(Simulated::demo));
        }
        if self.native.get().is_none() {
            _ = self.native.set(native()?);
        }
        Ok(&**self.native.get().expect("it was made a line above"))
    }
}
