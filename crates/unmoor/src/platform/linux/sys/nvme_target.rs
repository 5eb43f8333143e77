//! The kernel's NVMe target in configfs (drivers/nvme/target/configfs.c): files and devices behind its namespaces.

use crate::platform::linux::sys::pseudo_file::read_path;
use crate::platform::linux::sys::sysfs::SysfsDir;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "/sys/kernel/config/nvmet/subsystems";

/// Enabled namespace of a subsystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NvmeNamespace {
    /// Directory in configfs.
    pub(crate) directory: PathBuf,
    /// File or block device behind it.
    pub(crate) backing: PathBuf,
}

/// Lists the enabled namespaces, which have their file or device open.
pub(crate) fn enabled_namespaces() -> Vec<NvmeNamespace> {
    let names = |path: &Path| SysfsDir::open(path).and_then(|dir| dir.names()).unwrap_or_default();
    let mut found = Vec::new();
    for subsystem in names(Path::new(DIRECTORY)) {
        let namespaces = Path::new(DIRECTORY).join(subsystem).join("namespaces");
        for number in names(&namespaces) {
            let directory = namespaces.join(number);
            let read = |name: &str| read_path(&*directory.join(name)).unwrap_or_default();
            let path = read("device_path");
            let path = path.strip_suffix(b"\n").unwrap_or(&path);
            if read("enable").starts_with(b"1") && !path.is_empty() {
                let backing = PathBuf::from(OsString::from_vec(path.to_vec()));
                found.push(NvmeNamespace { directory, backing });
            }
        }
    }
    found
}
