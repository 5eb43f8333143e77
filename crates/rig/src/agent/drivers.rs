//! The drivers that a running udev would have loaded for the emulated hardware.

use std::process::Command;

use anyhow::{Result, ensure};

/// Host controllers, then what drives the devices on them. File systems and the rest load when first used.
const DRIVERS: &[&str] = &[
    "virtio_scsi",
    "virtio_blk",
    "ahci",
    "xhci_pci",
    "sdhci_pci",
    "usb_storage",
    "uas",
    "mmc_block",
    "nvme",
    "st",
    "sd_mod",
    "sr_mod",
    "sg",
    "loop",
];

/// Refuses to load where there is no such drive.
const FLOPPY: &str = "floppy";

pub fn load() -> Result<()> {
    let _ = Command::new("modprobe").arg(FLOPPY).output();
    let output = Command::new("modprobe").arg("-a").args(DRIVERS).output()?;
    ensure!(output.status.success(), "modprobe: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
