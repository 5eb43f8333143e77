//! The platform of the system that this program runs on.

use crate::model::error::Result;
#[cfg(not(any(target_os = "linux", windows)))]
use crate::model::error::{Error, ErrorKind};
#[cfg(not(any(target_os = "linux", windows)))]
use crate::model::hint::Hint;
use crate::platform::Platform;
#[cfg(target_os = "linux")]
use crate::platform::linux::Linux;
#[cfg(windows)]
use crate::platform::windows::Windows;

/// Returns the platform of the system that this program runs on.
///
/// # Errors
/// `NotSupported` on a system without drives here. Only simulated drives work there.
pub fn native() -> Result<Box<dyn Platform>> {
    #[cfg(target_os = "linux")]
    return Ok(Box::new(Linux::new()));
    #[cfg(windows)]
    return Ok(Box::new(Windows::new()));
    #[cfg(not(any(target_os = "linux", windows)))]
    Err(Error::new(
        ErrorKind::NotSupported,
        std::env::consts::OS,
        "unmoor knows no drives of this system",
    )
    .with_hint(Hint::UseSimulated))
}
