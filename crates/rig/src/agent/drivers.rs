//! Drivers that a running udev would load for the emulated hardware.

use std::process::Command;

use anyhow::{Result, ensure};

/// Modules of the host controllers, then of the devices on them. The kernel loads the rest at first use.
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

/// Module of the floppy drive, which refuses to load where there is none.
const FLOPPY: &str = "floppy";

pub fn load() -> Result<()> {
    let _ = Command::new("modprobe").arg(FLOPPY).output();
    let output = Command::new("modprobe").arg("-a").args(DRIVERS).output()?;
    ensure!(output.status.success(), "modprobe: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
