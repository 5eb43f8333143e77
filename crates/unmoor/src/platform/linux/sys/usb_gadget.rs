//! USB gadgets in configfs (Documentation/usb/gadget_configfs.rst): backing files of mass storage functions.

use crate::platform::linux::sys::pseudo_file::read_path;
use crate::platform::linux::sys::sysfs::SysfsDir;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "/sys/kernel/config/usb_gadget";

/// Logical unit with an open file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GadgetFile {
    /// Directory of the logical unit.
    pub(crate) directory: PathBuf,
    /// File or block device behind it.
    pub(crate) file: PathBuf,
}

/// Lists the logical units with an open file.
pub(crate) fn open_files() -> Vec<GadgetFile> {
    let names = |path: &Path| SysfsDir::open(path).and_then(|dir| dir.names()).unwrap_or_default();
    let mut files = Vec::new();
    for gadget in names(Path::new(DIRECTORY)) {
        let functions = Path::new(DIRECTORY).join(gadget).join("functions");
        for function in names(&functions).iter().filter(|name| name.starts_with("mass_storage.")) {
            let function = functions.join(function);
            for unit in names(&function).iter().filter(|name| name.starts_with("lun.")) {
                let directory = function.join(unit);
                let path = read_path(directory.join("file")).unwrap_or_default();
                let path = path.strip_suffix(b"\n").unwrap_or(&path);
                if !path.is_empty() {
                    let file = PathBuf::from(OsString::from_vec(path.to_vec()));
                    files.push(GadgetFile { directory, file });
                }
            }
        }
    }
    files
}
