//! Files on the two partitions of a stick, and the check that they are on its image.

use anyhow::{Context, Result, ensure};
use unmoor_rig::drives::{Drive, STICK};
use unmoor_rig::media::{FileSystem, STICK_EXT4, STICK_VFAT, Snapshot, check, checksum, recover};

use crate::test_context::TestContext;

/// Checksums of the files on the two partitions.
pub struct Written {
    /// Checksum of `data.bin` on ext4.
    pub ext4: String,
    /// Checksum of `data.bin` on vfat.
    pub vfat: String,
}

/// Mounts both partitions at `/mnt/ext` and `/mnt/fat`.
pub fn mount_both(ctx: &mut TestContext) -> Result<()> {
    mount_at(ctx, &STICK)
}

/// Mounts both partitions of another drive with such a medium.
pub fn mount_at(ctx: &mut TestContext, drive: &Drive) -> Result<()> {
    let (ext, fat) = (ctx.partition(drive, 1)?, ctx.partition(drive, 2)?);
    let script =
        format!("mkdir -p /mnt/ext /mnt/fat && mount {ext} /mnt/ext && mount {fat} /mnt/fat");
    ctx.sh(&script).map(drop)
}

/// Writes 20 MB of random data to both partitions, without sync.
pub fn write_both(ctx: &mut TestContext) -> Result<Written> {
    write(ctx, 20_000_000)
}

/// Writes that much random data to both partitions, without sync.
pub fn write(ctx: &mut TestContext, bytes: u32) -> Result<Written> {
    let mut write = |path: &str| -> Result<String> {
        // The sum is taken of the source: what is in the cache may be what is wrong.
        let script = format!(
            "head -c {bytes} /dev/urandom >/tmp/data && cp /tmp/data {path} && sha256sum </tmp/data; rm /tmp/data"
        );
        let sum = ctx.sh(&script)?;
        Ok(sum.split_whitespace().next().unwrap_or_default().to_owned())
    };
    Ok(Written { ext4: write("/mnt/ext/data.bin")?, vfat: write("/mnt/fat/data.bin")? })
}

impl Written {
    /// Fails unless the image has the file on ext4 after its journal is replayed; ext4 may be mounted.
    pub fn expect_ext4_after_its_journal(&self, image: &Snapshot) -> Result<()> {
        let part = image.partition(STICK_EXT4)?;
        recover(&part)?;
        let sum = checksum(FileSystem::Ext4, &part, "data.bin").context("on the image")?;
        ensure!(sum == self.ext4, "ext4: the image has other bytes than were written");
        check(FileSystem::Ext4, &part)
    }

    /// Fails unless the image has both files and both file systems are clean.
    pub fn expect_on(&self, image: &Snapshot) -> Result<()> {
        for (file_system, place, wanted) in
            [(FileSystem::Ext4, STICK_EXT4, &self.ext4), (FileSystem::Vfat, STICK_VFAT, &self.vfat)]
        {
            let part = image.partition(place)?;
            let sum = checksum(file_system, &part, "data.bin").context("on the image")?;
            ensure!(sum == *wanted, "{file_system:?}: the image has other bytes than were written");
            check(file_system, &part)?;
        }
        Ok(())
    }
}
