//! Methods and properties of udisks2.

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::platform::linux::sys::device_number::from_dev;
use crate::platform::linux::udisks::bus::{Bus, CallError, Object};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fmt::Write;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

const SERVICE: &str = "org.freedesktop.UDisks2";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Interfaces of a block device or a drive.
pub const BLOCK: &str = "org.freedesktop.UDisks2.Block";
pub const FILESYSTEM: &str = "org.freedesktop.UDisks2.Filesystem";
pub const ENCRYPTED: &str = "org.freedesktop.UDisks2.Encrypted";
pub const LOOP: &str = "org.freedesktop.UDisks2.Loop";
pub const DRIVE: &str = "org.freedesktop.UDisks2.Drive";

/// Options of a call.
type CallOptions = HashMap<&'static str, Value<'static>>;

/// udisks2 on the system bus.
#[derive(Debug, Clone)]
pub struct Udisks {
    pub bus: Bus,
    /// True if polkit may ask the user for a password.
    pub interactive: bool,
}

impl Udisks {
    /// Connects, starts the service, and checks that it knows this block device.
    ///
    /// # Errors
    /// `NotSupported` without a bus or without udisks2; `Replaced` if it knows another device by the name.
    pub fn connect(
        name: &str,
        device: u64,
        interactive: bool,
        deadline: &mut Deadline<'_>,
    ) -> Result<Udisks> {
        let udisks = Udisks { bus: Bus::connect(deadline)?, interactive };
        udisks.check_number(name, device, deadline)?;
        Ok(udisks)
    }

    /// Checks that udisks2 means this device by its name.
    ///
    /// Paths of objects are names of devices, which may belong to another device a second later.
    ///
    /// # Errors
    /// `Replaced`; as [`Udisks::property`].
    pub fn check_number(&self, name: &str, device: u64, deadline: &mut Deadline<'_>) -> Result<()> {
        let number = self.property(&block_path(name), BLOCK, "DeviceNumber", deadline)?;
        let number = u64::try_from(number).ok().map(from_dev);
        match number == Some(device) {
            true => Ok(()),
            false => {
                let why = "udisks2 has another device of this name";
                Err(Error::new(ErrorKind::Replaced, name, why))
            }
        }
    }

    /// Returns a property of an object.
    ///
    /// # Errors
    /// `NotSupported` if udisks2 or the object is missing; `TimedOut`; `Interrupted`.
    pub fn property(
        &self,
        path: &str,
        interface: &'static str,
        name: &'static str,
        deadline: &mut Deadline<'_>,
    ) -> Result<OwnedValue> {
        let object = Object { service: SERVICE, path: path.into(), interface: PROPERTIES };
        let answer = self.bus.call(&object, "Get", (interface, name), deadline, |_| {})?;
        let value = answer.map(|message| message.body().deserialize::<OwnedValue>());
        match value {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Error::new(ErrorKind::Failed, path, error.to_string())),
            Err(error) if error.is_missing_service() => {
                let why = "udisks2 is not installed, or could not be started";
                Err(Error::new(ErrorKind::NotSupported, "", why).with_hint(Hint::Elevate))
            }
            Err(error) => {
                Err(Error::new(ErrorKind::NotSupported, "", format!("udisks2: {}", error.text)))
            }
        }
    }

    /// Returns the path of the block device's drive; `None` for a loop device.
    ///
    /// # Errors
    /// As [`Udisks::property`].
    pub fn drive_path(&self, name: &str, deadline: &mut Deadline<'_>) -> Result<Option<String>> {
        let path = self.property(&block_path(name), BLOCK, "Drive", deadline)?;
        let path = OwnedObjectPath::try_from(path).map(|path| path.to_string());
        Ok(path.ok().filter(|path| path != "/"))
    }

    /// Calls a method that takes options alone.
    ///
    /// The inner error is that of udisks2.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted`.
    pub fn call(
        &self,
        path: String,
        interface: &'static str,
        method: &'static str,
        more: CallOptions,
        deadline: &mut Deadline<'_>,
        tick: impl FnMut(&mut Deadline<'_>),
    ) -> Result<Result<String, CallError>> {
        let object = Object { service: SERVICE, path, interface };
        let mut options = more;
        options.insert("auth.no_user_interaction", Value::Bool(!self.interactive));
        let answer = self.bus.call(&object, method, (options,), deadline, tick)?;
        // Only Mount returns something: the mount point.
        Ok(answer.map(|message| message.body().deserialize::<String>().unwrap_or_default()))
    }
}

/// Returns the path of the block device's object (`udisks_safe_append_to_object_path` of udisks2).
pub fn block_path(name: &str) -> String {
    let mut path = String::from("/org/freedesktop/UDisks2/block_devices/");
    for byte in name.replace('/', "!").bytes() {
        match byte.is_ascii_alphanumeric() || byte == b'_' {
            true => path.push(char::from(byte)),
            false => _ = write!(path, "_{byte:02x}"),
        }
    }
    path
}

/// Returns the error for what udisks2 has answered about `subject`.
pub fn error(answer: CallError, subject: &str) -> Error {
    let CallError { name, text } = answer;
    let known = name.strip_prefix("org.freedesktop.UDisks2.Error.").unwrap_or_default();
    match known {
        "DeviceBusy" => Error::new(ErrorKind::Busy, subject, "is in use")
            .with_os_code(Errno::BUSY.raw_os_error()),
        known if known.starts_with("NotAuthorized") => {
            let why = "udisks2 does not permit it to this user";
            Error::new(ErrorKind::NotPermitted, subject, why).with_hint(Hint::Elevate)
        }
        "TimedOut" => Error::new(ErrorKind::TimedOut, subject, format!("udisks2: {text}")),
        // Lock and PowerOff report a level that is in use in words alone (UDisks2.Error.Failed).
        "Failed" if text.contains("resource busy") || text.contains("in use") => {
            Error::new(ErrorKind::Busy, subject, format!("is in use: {text}"))
                .with_os_code(Errno::BUSY.raw_os_error())
        }
        _ => Error::new(ErrorKind::Failed, subject, format!("udisks2: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_name_becomes_an_object_path() {
        let end = |name: &str| block_path(name).rsplit('/').next().map(str::to_string);
        assert_eq!(end("sda1").as_deref(), Some("sda1"));
        assert_eq!(end("dm-0").as_deref(), Some("dm_2d0"));
        assert_eq!(end("mmcblk0p1").as_deref(), Some("mmcblk0p1"));
        assert_eq!(end("cciss/c0d0").as_deref(), Some("cciss_21c0d0"));
    }

    #[test]
    fn each_answer_has_its_kind() {
        let kind = |name: &str, text: &str| {
            let name = format!("org.freedesktop.UDisks2.Error.{name}");
            error(CallError { name, text: text.into() }, "sdb1").kind()
        };
        assert_eq!(kind("DeviceBusy", "Error unmounting"), ErrorKind::Busy);
        assert_eq!(kind("NotAuthorizedCanObtain", ""), ErrorKind::NotPermitted);
        assert_eq!(kind("NotAuthorizedDismissed", ""), ErrorKind::NotPermitted);
        assert_eq!(kind("Failed", "Error locking: Device or resource busy"), ErrorKind::Busy);
        assert_eq!(
            kind("Failed", "The drive in use: Device /dev/sda1 is mounted"),
            ErrorKind::Busy
        );
        assert_eq!(kind("Failed", "Error ejecting"), ErrorKind::Failed);
    }
}
