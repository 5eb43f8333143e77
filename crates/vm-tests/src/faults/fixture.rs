//! What is to be released: a drive with something mounted from it, and something written.

use anyhow::{Result, ensure};

use super::fault::Fault;
use super::step::Step;
use crate::stick_files::{Written, mount_both, write};
use crate::test_context::Trial;
use unmoor_rig::drives::{CD, Drive, STICK};

/// Enough to need writing, little enough to be quick.
const BYTES: u32 = 1_000_000;

pub struct Scene {
    pub node: String,
    pub mounts: &'static [&'static str],
    kind: Kind,
}

enum Kind {
    /// QEMU's USB stick, ext4 and vfat.
    Stick { written: Option<Written> },
    /// QEMU's SCSI CD drive.
    Disc,
    /// A drive of the kernel's `scsi_debug`, which can be told to fail at any command.
    Debug,
}

impl Scene {
    /// QEMU's drives that it needs.
    pub fn drives(step: Step, fault: Fault) -> &'static [&'static Drive] {
        match fault {
            Fault::IoError | Fault::Timeout => &[],
            // Nothing is ever flushed to a disc.
            Fault::NoMedium if step != Step::Flush => &[&CD],
            _ => &[&STICK],
        }
    }

    /// The one in which this fault can be made.
    pub fn set(trial: &mut Trial, step: Step, fault: Fault) -> Result<Self> {
        match Self::drives(step, fault) {
            [] => debug(trial),
            [drive] if drive.id == CD.id => disc(trial),
            _ => stick(trial, fault != Fault::NoMedium),
        }
    }

    pub fn is_disc(&self) -> bool {
        matches!(self.kind, Kind::Disc)
    }

    /// The name of the drive in QEMU.
    pub fn drive(&self) -> Option<&'static Drive> {
        match self.kind {
            Kind::Stick { .. } => Some(&STICK),
            Kind::Disc => Some(&CD),
            Kind::Debug => None,
        }
    }

    /// Fails unless the released medium has every byte.
    pub fn expect_whole(&self, trial: &mut Trial) -> Result<()> {
        match &self.kind {
            Kind::Stick { written: Some(written) } => {
                let image = trial.snapshot(&STICK)?;
                written.expect_on(&image)
            }
            Kind::Stick { written: None } | Kind::Disc => Ok(()),
            Kind::Debug => {
                let node = &self.node;
                trial.unmoor(0, &["load", node])?;
                trial.sh(&format!("fsck.ext4 -fn {node}"))?;
                trial.mount(&format!("-o ro {node}"), "/mnt/again")?;
                trial.sh("cmp /tmp/data /mnt/again/data.bin && umount /mnt/again").map(drop)
            }
        }
    }
}

fn stick(trial: &mut Trial, writes: bool) -> Result<Scene> {
    mount_both(trial)?;
    let written = match writes {
        true => Some(write(trial, BYTES)?),
        false => {
            trial.sh("sync -f /mnt/ext /mnt/fat")?;
            None
        }
    };
    let node = trial.node(&STICK)?;
    Ok(Scene { node, mounts: &["/mnt/ext", "/mnt/fat"], kind: Kind::Stick { written } })
}

fn disc(trial: &mut Trial) -> Result<Scene> {
    let node = trial.node(&CD)?;
    trial.mount(&format!("-o ro {node}"), "/mnt/disc")?;
    Ok(Scene { node, mounts: &["/mnt/disc"], kind: Kind::Disc })
}

/// Errors are injected only where an answer takes its time (`ndelay`, in ns).
fn debug(trial: &mut Trial) -> Result<Scene> {
    let name = trial.sh(&format!(
        "set -e; modprobe scsi_debug removable=1 dev_size_mb=32 ndelay=5000; \
         find() {{ ls /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block 2>/dev/null; }}; \
         until find >/dev/null; do sleep 0.1; done; \
         name=$(find); mkfs.ext4 -q /dev/$name; mkdir -p /mnt/debug; mount /dev/$name /mnt/debug; \
         head -c {BYTES} /dev/urandom >/tmp/data; cp /tmp/data /mnt/debug/data.bin; echo $name"
    ))?;
    ensure!(name.starts_with("sd"), "scsi_debug made no drive: {name}");
    Ok(Scene { node: format!("/dev/{name}"), mounts: &["/mnt/debug"], kind: Kind::Debug })
}
