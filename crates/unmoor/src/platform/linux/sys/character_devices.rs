//! Character devices of a drive in sysfs: SCSI generic (`sg`), block SCSI generic (`bsg`), NVMe generic (`ng`).

use crate::platform::linux::sys::device_number::of_character_device;
use crate::platform::linux::sys::sysfs::SysfsDir;

/// Returns the numbers of the character devices through which commands reach this drive.
pub(crate) fn of_drive(name: &str) -> Vec<u64> {
    let Ok(device) = SysfsDir::open(format!("/sys/block/{}/device", name.replace('/', "!"))) else {
        return Vec::new();
    };
    let classes = ["scsi_generic", "bsg"];
    let nodes = classes.iter().flat_map(|class| {
        device.names_in(*class).into_iter().map(move |node| format!("{class}/{node}/dev"))
    });
    let nvme = name.strip_prefix("nvme").map(|rest| format!("ng{rest}/dev"));
    nodes.chain(nvme).filter_map(|path| parse(&device.text(path)?)).collect()
}

fn parse(text: &str) -> Option<u64> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(of_character_device(major.parse().ok()?, minor.parse().ok()?))
}
