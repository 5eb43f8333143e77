//! Letting go: the medium is ejected, or the device taken off its bus.

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::platform::win32_parse;
use crate::platform::win32_parse::Code;
use crate::platform::windows::release::handles::{
    DriveHandles, ERROR_ACCESS_DENIED, attempt, run_until,
};
use crate::platform::windows::sys::device::{Access, Device};
use crate::platform::windows::sys::{cancellable_io, devnode, storage};
use std::time::Duration;

impl DriveHandles {
    /// The handles that take a request for the whole drive: the volumes that are held, or a volume
    /// opened for it; then the drive itself.
    pub(crate) fn methods(&self) -> Vec<(String, Device)> {
        let mut ways: Vec<(String, Device)> =
            self.locked_volumes.first().cloned().into_iter().collect();
        if ways.is_empty() {
            let volume = self.drive.volumes.first();
            let opened = volume
                .and_then(|v| Some((v.name.clone(), Device::open(&v.path, Access::Read).ok()?)));
            ways.extend(opened);
        }
        if let Some(name) = self.key.device_name() {
            let device = Device::open(format!(r"\\.\{name}"), Access::Read);
            ways.extend(device.ok().map(|device| (name, device)));
        }
        ways
    }

    /// Ejects the medium: no check of what sort of drive it is, the hardware answers. First on the
    /// volume, whose handle holds the lock; then on the drive, since some volume drivers do not pass
    /// the request down.
    pub(crate) fn eject(&self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        let mut attempts = Vec::new();
        let mut failure: Option<Code> = None;
        let ways = self.methods();
        if ways.is_empty() {
            return Err(win32_parse::error(ERROR_ACCESS_DENIED, &self.drive.name, "open"));
        }
        for (name, device) in ways {
            // Many USB bridges lack it and eject anyway: a refusal is written down, no more.
            attempts.push(attempt(
                format!("IOCTL_STORAGE_MEDIA_REMOVAL (allow) on {name}"),
                &run_until(deadline, &device, storage::allow_removal)?,
            ));
            let ejected = run_until(deadline, &device, storage::eject_media)?;
            attempts.push(attempt(format!("IOCTL_STORAGE_EJECT_MEDIA on {name}"), &ejected));
            match ejected {
                Ok(()) => return Ok(StepOutcome { attempts, ..StepOutcome::default() }),
                // A drive that failed outweighs one that does not know the request.
                Err(code) if failure.is_none_or(win32_parse::says_unsupported) => {
                    failure = Some(code);
                }
                Err(_) => {}
            }
        }
        Err(self.not_ejected(failure.unwrap_or(ERROR_ACCESS_DENIED)).with_attempts(attempts))
    }

    fn not_ejected(&self, code: Code) -> Error {
        let name = &self.drive.name;
        if win32_parse::says_unsupported(code) {
            let why = format!(
                "is flushed and dismounted, but not ejected: its driver does not know the request \
                 ({})",
                win32_parse::code_name(code)
            );
            return Error::new(ErrorKind::NotSupported, name, why)
                .with_os_code(code as i32)
                .with_help("nothing of it is left to be written: take it out by hand");
        }
        win32_parse::error(code, name, "IOCTL_STORAGE_EJECT_MEDIA")
            .append_detail("it is flushed and dismounted, but not ejected")
    }

    /// Takes the device off its bus. Our own handles would be the first to veto it: they go before,
    /// and with them the locks; the request asks every program again.
    pub(crate) fn power_off(&mut self, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
        const MAX_TRIES: u32 = 3;
        let node = self.instance.as_deref().and_then(devnode::locate);
        let Some(node) = node.and_then(devnode::DevNode::removal_node) else {
            let why = "cannot be powered off: no device on the way to it is removable";
            return Err(Error::new(ErrorKind::NotSupported, &self.drive.name, why)
                .with_help("leave --power-off out to eject the medium only"));
        };
        let method = match node.instance() {
            Some(instance) => format!("CM_Request_Device_EjectW on {instance}"),
            None => "CM_Request_Device_EjectW".into(),
        };
        self.close_all();
        let mut attempts = Vec::new();
        for left in (0..MAX_TRIES).rev() {
            let veto = match cancellable_io::run_until(
                deadline,
                || false,
                move || Ok(node.request_eject()),
            )? {
                Ok(Err(veto)) if !veto.is_gone_already() => veto,
                _ => {
                    attempts.push(Attempt::accepted(&method));
                    return Ok(StepOutcome { attempts, ..StepOutcome::default() });
                }
            };
            let again = left > 0 && veto.may_pass();
            let error = veto.into_error(&self.drive.name);
            attempts.push(Attempt::failed(&method, error.detail()));
            if !again {
                return Err(error.with_attempts(attempts));
            }
            deadline.sleep(Duration::from_millis(500))?;
        }
        Ok(StepOutcome { attempts, ..StepOutcome::default() })
    }
}
