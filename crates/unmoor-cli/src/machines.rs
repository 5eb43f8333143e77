//! The systems that targets live on: the real one and the simulated one, each made when first needed
//! and kept, so that two targets of one call see the same drives.

use std::cell::OnceCell;
use unmoor::platform::{self, Platform};
use unmoor::{Result, Target};

/// The systems that targets live on.
#[derive(Default)]
pub struct Platforms {
    native: OnceCell<Box<dyn Platform>>,
    simulated: OnceCell<Box<dyn Platform>>,
}

impl Platforms {
    /// The system that this target lives on.
    pub fn of(&self, target: &Target) -> Result<&dyn Platform> {
        let cell = match target {
            Target::Simulated(_) => &self.simulated,
            _ => &self.native,
        };
        if cell.get().is_none() {
            _ = cell.set(platform::for_target(target)?);
        }
        Ok(&**cell.get().expect("it was made a line above"))
    }
}
