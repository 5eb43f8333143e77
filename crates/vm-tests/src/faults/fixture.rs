//! Drive to release, with mounts and written files.

use anyhow::{Result, ensure};

use super::fault::Fault;
use super::step::Step;
use crate::stick_files::{Written, mount_both, write};
use crate::test_context::TestContext;
use unmoor_rig::drives::{CD, Drive, STICK};

/// Size of the written files: enough to need writing, little enough to be quick.
const BYTES: u32 = 1_000_000;

pub struct Fixture {
    pub node: String,
    pub mounts: &'static [&'static str],
    kind: Kind,
}

enum Kind {
    /// QEMU's USB stick, ext4 and vfat.
    Stick { written: Option<Written> },
    /// QEMU's SCSI CD drive.
    Disc,
    /// Drive of the kernel's `scsi_debug`, which can fail any command.
    Debug,
}

impl Fixture {
    /// Returns QEMU's drives for this case.
    pub fn drives(step: Step, fault: Fault) -> &'static [&'static Drive] {
        match fault {
            Fault::IoError | Fault::Timeout | Fault::NoRead => &[],
            // Nothing is ever flushed to a disc.
            Fault::NoMedium if step != Step::Flush => &[&CD],
            _ => &[&STICK],
        }
    }

    /// Creates the fixture in which this fault can happen.
    pub fn create(ctx: &mut TestContext, step: Step, fault: Fault) -> Result<Self> {
        match Self::drives(step, fault) {
            [] => debug(ctx),
            [drive] if drive.id == CD.id => disc(ctx),
            _ => stick(ctx, fault != Fault::NoMedium),
        }
    }

    /// Returns the drive in QEMU, if it is QEMU's.
    pub fn drive(&self) -> Option<&'static Drive> {
        match self.kind {
            Kind::Stick { .. } => Some(&STICK),
            Kind::Disc => Some(&CD),
            Kind::Debug => None,
        }
    }

    /// Fails unless the released medium has every byte.
    pub fn expect_every_byte(&self, ctx: &mut TestContext) -> Result<()> {
        match &self.kind {
            Kind::Stick { written: Some(written) } => {
                let image = ctx.snapshot(&STICK)?;
                written.expect_on(&image)
            }
            Kind::Stick { written: None } | Kind::Disc => Ok(()),
            Kind::Debug => {
                let node = &self.node;
                ctx.unmoor(0, &["load", node])?;
                ctx.sh(&format!("fsck.ext4 -fn {node}"))?;
                ctx.mount(&format!("-o ro {node}"), "/mnt/again")?;
                ctx.sh("cmp /tmp/data /mnt/again/data.bin && umount /mnt/again").map(drop)
            }
        }
    }
}

fn stick(ctx: &mut TestContext, writes: bool) -> Result<Fixture> {
    mount_both(ctx)?;
    let written = match writes {
        true => Some(write(ctx, BYTES)?),
        false => {
            ctx.sh("sync -f /mnt/ext /mnt/fat")?;
            None
        }
    };
    let node = ctx.node(&STICK)?;
    Ok(Fixture { node, mounts: &["/mnt/ext", "/mnt/fat"], kind: Kind::Stick { written } })
}

fn disc(ctx: &mut TestContext) -> Result<Fixture> {
    let node = ctx.node(&CD)?;
    ctx.mount(&format!("-o ro {node}"), "/mnt/disc")?;
    Ok(Fixture { node, mounts: &["/mnt/disc"], kind: Kind::Disc })
}

/// Creates a `scsi_debug` drive. The driver injects errors only where an answer takes time (`ndelay`, in ns).
fn debug(ctx: &mut TestContext) -> Result<Fixture> {
    let name = ctx.sh(&format!(
        "set -e; modprobe scsi_debug removable=1 dev_size_mb=32 ndelay=5000; \
         find() {{ ls /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block 2>/dev/null; }}; \
         until find >/dev/null; do sleep 0.1; done; \
         name=$(find); mkfs.ext4 -q /dev/$name; mkdir -p /mnt/debug; mount /dev/$name /mnt/debug; \
         head -c {BYTES} /dev/urandom >/tmp/data; cp /tmp/data /mnt/debug/data.bin; echo $name"
    ))?;
    ensure!(name.starts_with("sd"), "scsi_debug made no drive: {name}");
    Ok(Fixture { node: format!("/dev/{name}"), mounts: &["/mnt/debug"], kind: Kind::Debug })
}
