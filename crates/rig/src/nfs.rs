//! Programs of the NFS server, unpacked and not installed: installing them would start a server.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use xtask::process::run;

/// Path of the programs in the guest.
pub const PROGRAMS: &str = "/unmoor-rig/nfs/usr/sbin";

/// Downloads and unpacks the programs unless that was done before.
pub fn ensure() -> Result<()> {
    let directory = xtask::paths::rig().join("nfs");
    if directory.join("usr/sbin/exportfs").exists() {
        return Ok(());
    }
    let unfinished = xtask::paths::rig().join("nfs.unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&unfinished)?;
    run(Command::new("apt-get")
        .args(["-qq", "download", "nfs-kernel-server"])
        .current_dir(&unfinished))?;
    let package =
        fs::read_dir(&unfinished)?.next().context("apt-get download left no package")??;
    run(Command::new("dpkg").arg("-x").arg(package.path()).arg(&unfinished))?;
    fs::remove_file(package.path())?;
    fs::rename(&unfinished, Path::new(&directory))?;
    Ok(())
}
