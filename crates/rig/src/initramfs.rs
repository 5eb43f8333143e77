//! First user space of the guest: a static busybox and the modules that the host's root needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::kernel::Kernel;
use xtask::process::run;

/// Modules for the host's root and for the agent's port.
const MODULES: &[&str] = &["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"];

/// Script that runs as the guest's first process. It reads files that [`build`] writes to `/rig`.
const INIT: &str = include_str!("init.sh");

/// Builds the compressed archive and returns its path.
pub fn build(kernel: &Kernel, directory: &Path) -> Result<PathBuf> {
    let root = directory.join("initramfs");
    let _ = fs::remove_dir_all(&root);
    for name in ["bin", "modules", "proc", "sys", "dev", "lower", "upper", "root"] {
        fs::create_dir_all(root.join(name))?;
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
    fs::copy(busybox.unwrap_or("/bin/busybox"), root.join("bin/busybox"))?;
    let mut order = String::new();
    for file in kernel.module_files(MODULES)? {
        let name = file.file_name().unwrap_or_default();
        fs::copy(&file, root.join("modules").join(name))?;
        order.push_str(&format!("{}\n", name.to_string_lossy()));
    }
    fs::write(root.join("modules/order"), order)?;
    fs::create_dir(root.join("rig"))?;
    let rig = fs::canonicalize(xtask::paths::rig())?;
    fs::write(root.join("rig/directory"), rig.as_os_str().as_encoded_bytes())?;
    let init = root.join("init");
    fs::write(&init, INIT)?;
    run(Command::new("chmod").arg("755").arg(&init))?;
    let archive = directory.join("initramfs.cpio.gz");
    run(Command::new("sh")
        .args(["-c", "find . | cpio --quiet -o -H newc | gzip -1 > \"$1\"", "sh"])
        .arg(&archive)
        .current_dir(&root))?;
    Ok(archive)
}
