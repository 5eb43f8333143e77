//! Re-attaches a device that a power-off has removed from its bus and that is still plugged in: its port is
//! scanned again. No record of power-offs is kept. The kernel and the hub show such ports.

use crate::deadline::Deadline;
use crate::model::drive::{Bus, Port as DetachedPort};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::report::StepOutcome;
use crate::model::step::Attempt;
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::helper::{CallResult, Helper};
use crate::platform::linux::inventory::port;
use crate::platform::linux::inventory::port::Port;
use crate::platform::linux::sys::clock::within;
use crate::platform::linux::sys::pseudo_file::{number_at, text_at};
use crate::platform::linux::sys::sysfs::SysfsDir;
use crate::platform::linux::sys::{errno, usbfs};
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time that a port is without power. A hub must see the voltage fall (USB 2.0 11.11 asks for 100 ms of
/// debouncing).
const WITHOUT_POWER: Duration = Duration::from_millis(500);

/// Timeout of each method until the device appears: debouncing, a reset, and a disk that spins up.
const ENUMERATE_TIMEOUT: Duration = Duration::from_secs(6);

/// Timeout for the answer of one hub, which usbfs gives a second.
const HUB_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout for the drives of a device that has appeared: usb-storage waits a second before it scans.
const DRIVES_TIMEOUT: Duration = Duration::from_secs(15);

/// One way to re-scan a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// Switches the port's power off and on, by the kernel (`disable`, Linux 6.0).
    PortDisable,
    /// Switches the port's power by a request to the hub, for older kernels.
    PortPower,
    /// Unbinds and binds the driver of the hub, if no other device is plugged into it.
    RebindHub,
    /// `scan` of the SCSI host.
    HostScan,
    /// `power` of the slot.
    SlotPower,
    /// `rescan` of the PCI bus.
    BusRescan,
}

fn methods(port: &Port) -> &'static [Method] {
    match port {
        Port::Usb(_) => &[Method::PortDisable, Method::PortPower, Method::RebindHub],
        Port::Scsi(_) => &[Method::HostScan],
        Port::Slot(_) => &[Method::SlotPower, Method::BusRescan],
        Port::Pci(_) => &[Method::BusRescan],
    }
}

impl Method {
    fn name(self, port: &Port) -> String {
        let file = |path: PathBuf| format!("write to {}", path.display());
        match (self, port) {
            (Method::PortDisable, Port::Usb(name)) => match HubPort::of(name) {
                Some(hub_port) => file(hub_port.directory().join("disable")),
                None => "switch the port off and on".into(),
            },
            (Method::PortPower, _) => "ClearPortFeature, SetPortFeature (PORT_POWER)".into(),
            (Method::RebindHub, _) => "unbind and bind the hub".into(),
            (Method::HostScan, Port::Scsi([host, ..])) => file(scan_file(*host)),
            (Method::SlotPower, Port::Slot(device)) => match port::slot(device) {
                Some(slot) => file(slot.join("power")),
                None => "switch the slot on".into(),
            },
            (Method::BusRescan, Port::Slot(name) | Port::Pci(name)) => file(rescan_file(name)),
            _ => "look again".into(),
        }
    }
}

/// Returns the names of the methods that [`attach`] would try, in order.
pub fn method_names(port: &Port) -> Vec<String> {
    methods(port).iter().map(|method| method.name(port)).collect()
}

/// Scans the port again until the device and its drives appear.
///
/// # Errors
/// `NoSuchTarget` if there is no such port; `NoMedium` if nothing is plugged in; `Failed` if the device does not
/// appear, with every method that was tried.
pub fn attach(port: &Port, deadline: &mut Deadline<'_>) -> Result<StepOutcome> {
    if port.has_device() {
        let done = StepOutcome::skipped("it is already attached");
        return await_drives(port, deadline).map(|()| done);
    }
    let helper = Helper::new();
    check_port(port, &helper, deadline)?;
    let mut done = StepOutcome::default();
    for &method in methods(port) {
        let name = method.name(port);
        match carry_out(method, port, &helper, deadline)? {
            Ok(()) => done.attempts.push(Attempt::accepted(name)),
            Err(errno) => {
                let failed = errno::error(errno, port.to_string(), &name);
                done.attempts.push(Attempt::failed(name, errno.to_string()));
                if failed.kind() == ErrorKind::NotPermitted {
                    return Err(failed.with_attempts(done.attempts));
                }
                continue;
            }
        }
        if wait_for_device(port, deadline)? {
            await_drives(port, deadline)?;
            return Ok(done);
        }
    }
    let help = match port {
        Port::Usb(_) => "unplug it and plug it in again: its hub does not notice it otherwise",
        _ => "take it out and put it in again",
    };
    let why = "what is plugged in there did not come back";
    Err(Error::new(ErrorKind::Failed, port.to_string(), why)
        .with_help(help)
        .with_attempts(done.attempts))
}

/// Checks that there is such a port, and a device in it, as far as that is visible without a change.
fn check_port(port: &Port, helper: &Helper, deadline: &mut Deadline<'_>) -> Result<()> {
    let none = |what: &str| Error::new(ErrorKind::NoSuchTarget, port.to_string(), what.to_string());
    let empty = || Error::new(ErrorKind::NoMedium, port.to_string(), "nothing is plugged in there");
    match port {
        Port::Usb(name) => {
            let hub_port = HubPort::of(name).ok_or_else(|| none("there is no such USB port"))?;
            // Where this user may not ask the hub, the methods report that.
            if hub_port.is_connected(helper, deadline)? == Ok(false) {
                return Err(empty());
            }
        }
        Port::Scsi([host, ..]) if !scan_file(*host).exists() => {
            return Err(none("there is no such SCSI host"));
        }
        Port::Scsi(_) => {}
        Port::Slot(device) => {
            let slot = port::slot(device).ok_or_else(|| none("there is no such slot"))?;
            if number_at(CWD, slot.join("adapter")) == Some(0) {
                return Err(empty());
            }
        }
        Port::Pci(name) if !rescan_file(name).exists() => {
            return Err(none("there is no such PCI bus"));
        }
        Port::Pci(_) => {}
    }
    Ok(())
}

fn carry_out(
    method: Method,
    port: &Port,
    helper: &Helper,
    deadline: &mut Deadline<'_>,
) -> CallResult<()> {
    match (method, port) {
        (Method::PortDisable, Port::Usb(name)) => {
            let Some(hub_port) = HubPort::of(name) else { return Ok(Err(Errno::NODEV)) };
            let file = hub_port.directory().join("disable");
            power_cycle(
                |deadline| write(&file, b"1", helper, deadline),
                |deadline| write(&file, b"0", helper, deadline),
                deadline,
            )
        }
        (Method::PortPower, Port::Usb(name)) => {
            let hub = match HubPort::of(name).ok_or(Errno::NODEV).and_then(|s| s.open_hub()) {
                Ok(opened) => opened,
                Err(errno) => return Ok(Err(errno)),
            };
            let (hub, number) = hub;
            let power = |on| {
                let request = Request::HubPower { hub: hub.as_fd(), port: number, on };
                move |deadline: &mut Deadline<'_>| helper.run(&request, deadline)
            };
            power_cycle(power(false), power(true), deadline)
        }
        (Method::RebindHub, Port::Usb(name)) => {
            let Some(hub_port) = HubPort::of(name) else { return Ok(Err(Errno::NODEV)) };
            if hub_port.has_others() {
                return Ok(Err(Errno::BUSY));
            }
            let driver = Path::new("/sys/bus/usb/drivers/hub");
            let interface = hub_port.interface.into_bytes();
            let (unbind, bind) = (driver.join("unbind"), driver.join("bind"));
            power_cycle(
                |deadline| write(&unbind, &interface, helper, deadline),
                |deadline| write(&bind, &interface, helper, deadline),
                deadline,
            )
        }
        (Method::HostScan, Port::Scsi([host, channel, target, unit])) => write(
            &scan_file(*host),
            format!("{channel} {target} {unit}").as_bytes(),
            helper,
            deadline,
        ),
        (Method::SlotPower, Port::Slot(device)) => match port::slot(device) {
            Some(slot) => write(&slot.join("power"), b"1", helper, deadline),
            None => Ok(Err(Errno::NODEV)),
        },
        (Method::BusRescan, Port::Slot(name) | Port::Pci(name)) => {
            write(&rescan_file(name), b"1", helper, deadline)
        }
        _ => Ok(Err(Errno::OPNOTSUPP)),
    }
}

/// Time for switching a port on again after the deadline has passed.
const SWITCH_ON_TIMEOUT: Duration = Duration::from_secs(5);

/// Switches the port off and on. It is switched on even after the deadline, so that no port stays dead.
fn power_cycle(
    off: impl FnOnce(&mut Deadline<'_>) -> CallResult<()>,
    on: impl FnOnce(&mut Deadline<'_>) -> CallResult<()>,
    deadline: &mut Deadline<'_>,
) -> CallResult<()> {
    let switched_off = off(deadline);
    let paused = match &switched_off {
        Ok(Ok(())) => deadline.sleep(WITHOUT_POWER),
        _ => Ok(()),
    };
    let switched_on = within(SWITCH_ON_TIMEOUT, on);
    match (switched_off?, paused) {
        (Err(errno), _) => Ok(Err(errno)),
        (Ok(()), Err(stopped)) => Err(stopped),
        (Ok(()), Ok(())) => switched_on,
    }
}

fn write(file: &Path, text: &[u8], helper: &Helper, deadline: &mut Deadline<'_>) -> CallResult<()> {
    let file = match openat(CWD, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(errno) => return Ok(Err(errno)),
    };
    helper.run(&Request::Write { file: file.as_fd(), text }, deadline)
}

fn wait_for_device(port: &Port, deadline: &mut Deadline<'_>) -> Result<bool> {
    let end = deadline.now() + ENUMERATE_TIMEOUT;
    while !port.has_device() {
        if deadline.now() >= end {
            return Ok(false);
        }
        deadline.sleep(Duration::from_millis(50))?;
    }
    Ok(true)
}

/// Waits for the drives of the device, which appear one after the other.
fn await_drives(port: &Port, deadline: &mut Deadline<'_>) -> Result<()> {
    let end = deadline.now() + DRIVES_TIMEOUT;
    let mut before = 0;
    loop {
        let now = port.disks().len();
        if now > 0 && now == before {
            return Ok(());
        }
        before = now;
        if deadline.now() >= end {
            let why = "the device is there, but has no drive that the system knows";
            return Err(Error::new(ErrorKind::Failed, port.to_string(), why));
        }
        deadline.sleep(Duration::from_millis(300))?;
    }
}

/// A port of a USB hub.
struct HubPort {
    /// The hub's directory: `/sys/bus/usb/devices/usb2`, `…/1-4`.
    hub: PathBuf,
    /// Its interface, to which the driver is bound: `2-0:1.0`, `1-4:1.0`.
    interface: String,
    /// The directory of the port, below the interface's.
    name: String,
    number: u16,
}

impl HubPort {
    /// Returns the port that a USB device of this name is plugged into.
    fn of(device: &str) -> Option<HubPort> {
        let (root, ports) = device.split_once('-')?;
        let (hub, interfaces, number) = match ports.rsplit_once('.') {
            Some((above, number)) => (format!("{root}-{above}"), format!("{root}-{above}"), number),
            None => (format!("usb{root}"), format!("{root}-0"), ports),
        };
        let directory = Path::new("/sys/bus/usb/devices").join(&hub);
        let name = format!("{hub}-port{number}");
        let prefix = format!("{interfaces}:");
        let interface = SysfsDir::open(&*directory)
            .and_then(|node| node.names())
            .ok()?
            .into_iter()
            .filter(|entry| entry.starts_with(&prefix))
            .find(|entry| directory.join(entry).join(&name).exists())?;
        Some(HubPort { hub: directory, interface, name, number: number.parse().ok()? })
    }

    fn directory(&self) -> PathBuf {
        self.hub.join(&self.interface).join(&self.name)
    }

    fn open_hub(&self) -> std::result::Result<(rustix::fd::OwnedFd, u16), Errno> {
        Ok((usbfs::open(&SysfsDir::open(&*self.hub)?)?, self.number))
    }

    fn is_connected(&self, helper: &Helper, deadline: &mut Deadline<'_>) -> CallResult<bool> {
        let (hub, port) = match self.open_hub() {
            Ok(opened) => opened,
            Err(errno) => return Ok(Err(errno)),
        };
        let request = Request::HubConnected { hub: hub.as_fd(), port };
        Ok(helper.call(&request, deadline)?.map(|[connected, ..]| connected == 1))
    }

    /// Returns true if another device is plugged into the hub.
    fn has_others(&self) -> bool {
        let ports = SysfsDir::open(&*self.hub.join(&self.interface)).and_then(|node| node.names());
        ports.unwrap_or_default().iter().any(|port| {
            port.contains("-port")
                && self.hub.join(&self.interface).join(port).join("device").exists()
        })
    }
}

fn scan_file(host: u64) -> PathBuf {
    PathBuf::from(format!("/sys/class/scsi_host/host{host}/scan"))
}

/// Returns the `rescan` file of a function's bus: `0000:01:00.0` is on the bus `0000:01`.
fn rescan_file(name: &str) -> PathBuf {
    let bus = name.rsplit_once(':').map_or(name, |(bus, _)| bus);
    Path::new("/sys/class/pci_bus").join(bus).join("rescan")
}

/// Returns the ports with a device that can be attached.
///
/// # Errors
/// `NotPermitted`: only root may open the device node of a USB hub.
pub fn detached_devices() -> Result<Vec<DetachedPort>> {
    let mut found = usb()?;
    found.extend(sata());
    found.extend(slots());
    Ok(found)
}

/// Finds the ports of hubs that are connected and have no device.
fn usb() -> Result<Vec<DetachedPort>> {
    let devices = Path::new("/sys/bus/usb/devices");
    let helper = Helper::new();
    let mut found = Vec::new();
    for interface in names(devices).into_iter().filter(|name| name.contains(':')) {
        let directory = devices.join(&interface);
        let ports = names(&directory);
        let ports: Vec<&String> = ports.iter().filter(|name| name.contains("-port")).collect();
        for port in ports {
            let Some((hub, number)) = port.rsplit_once("-port") else { continue };
            if directory.join(port).join("device").exists() {
                continue;
            }
            let device = match hub.strip_prefix("usb") {
                Some(root) => format!("{root}-{number}"),
                None => format!("{hub}.{number}"),
            };
            let connected = match HubPort::of(&device) {
                Some(port) => within(HUB_TIMEOUT, |deadline| port.is_connected(&helper, deadline)),
                None => Ok(Err(Errno::NODEV)),
            };
            let connected = connected.unwrap_or(Err(Errno::TIMEDOUT));
            match connected {
                Ok(true) => found.push(detached_port(Port::Usb(device), Bus::Usb)),
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                    return Err(errno::error(errno, hub, "access to the hub is denied"));
                }
                // The hub was removed meanwhile, or does not answer.
                Ok(false) | Err(_) => {}
            }
        }
    }
    Ok(found)
}

/// Finds SATA ports with a disk that the SCSI layer does not have: `delete` leaves the link up.
fn sata() -> Vec<DetachedPort> {
    let classes = Path::new("/sys/class/ata_device");
    let of = |name: String| -> Option<DetachedPort> {
        let class = text_at(CWD, classes.join(&name).join("class"))?;
        if class != "ata" && class != "atapi" {
            return None;
        }
        // …/ata2/link2/dev2.0/ata_device/dev2.0; the port's SCSI host is beside the link.
        let place = std::fs::canonicalize(classes.join(&name)).ok()?;
        let port = place.ancestors().nth(4)?;
        let host = names(port).into_iter().find(|n| n.starts_with("host"))?;
        let number: u64 = host.strip_prefix("host")?.parse().ok()?;
        let target: u64 = name.rsplit_once('.')?.1.parse().ok()?;
        let port = Port::Scsi([number, 0, target, 0]);
        (!port.has_device()).then(|| detached_port(port, Bus::Ata))
    };
    names(classes).into_iter().filter_map(of).collect()
}

/// Finds slots with a card that is switched off, or was removed.
fn slots() -> Vec<DetachedPort> {
    let of = |name: String| -> Option<DetachedPort> {
        let slot = Path::new(port::SLOTS).join(name);
        if number_at(CWD, slot.join("adapter")) != Some(1) || !slot.join("power").exists() {
            return None;
        }
        let port = Port::Slot(text_at(CWD, slot.join("address"))?);
        (!port.has_device()).then(|| detached_port(port, Bus::Nvme))
    };
    names(Path::new(port::SLOTS)).into_iter().filter_map(of).collect()
}

fn detached_port(port: Port, bus: Bus) -> DetachedPort {
    DetachedPort { name: port.to_string(), bus }
}

fn names(directory: &Path) -> Vec<String> {
    SysfsDir::open(directory).and_then(|node| node.names()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::{Cancel, Clock};
    use crate::platform::linux::Linux;
    use std::cell::Cell;

    #[test]
    fn a_port_is_switched_on_again_whatever_the_deadline_says() {
        let (clock, cancel, on) = (Linux::new(), Cancel::new(), Cell::new(false));
        let mut watch = |_| {};
        let mut deadline = Deadline::until(&clock, clock.now(), &cancel, &mut watch);
        let switch_on = |_: &mut Deadline<'_>| {
            on.set(true);
            Ok(Ok(()))
        };
        let error = power_cycle(|_| Ok(Ok(())), switch_on, &mut deadline).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(on.get());
    }

    #[test]
    fn a_pci_function_is_on_its_bus() {
        let file = |name| rescan_file(name).display().to_string();
        assert_eq!(file("0000:01:00.0"), "/sys/class/pci_bus/0000:01/rescan");
        assert_eq!(file("0000:01:00"), "/sys/class/pci_bus/0000:01/rescan");
    }
}
