//! Needs of a test: privileges, devices, tools. Each is checked once.

use crate::loop_image::{Attached, LoopImage};
use crate::ok;
use std::collections::HashMap;
use std::panic::catch_unwind;
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

/// A need.
pub struct Need {
    /// Name, as in "needs root and loop devices".
    pub name: &'static str,
    check: fn() -> bool,
}

/// Root, and loop devices that the kernel mounts ext4 from.
pub const LOOP_DEVICES: Need = Need { name: "root and loop devices", check: has_loop_devices };
/// Partitions of loop devices.
pub const LOOP_PARTITIONS: Need =
    Need { name: "a kernel that reads partition tables", check: has_loop_partitions };
/// FUSE, ntfs-3g and its tools.
pub const FUSE: Need = Need { name: "loop devices, FUSE and ntfs-3g", check: has_fuse };
/// btrfs, and its tools.
pub const BTRFS: Need = Need { name: "btrfs", check: has_btrfs };
/// overlayfs, and the kernel's types for BPF.
pub const OVERLAY: Need = Need { name: "overlayfs and BTF", check: has_overlay };
/// Python with ctypes.
pub const PYTHON: Need = Need { name: "python3", check: has_python };
/// A C compiler.
pub const C_COMPILER: Need = Need { name: "a C compiler", check: || compiles(&[]) };
/// A C compiler with a static C library.
pub const STATIC_C: Need = Need { name: "a static C library", check: || compiles(&["-static"]) };
/// `script` of util-linux.
pub const SCRIPT: Need = Need { name: "script(1)", check: has_script };
/// dbus-daemon, for a bus of the test's own.
pub const DBUS_DAEMON: Need =
    Need { name: "dbus-daemon", check: || ok(Command::new("dbus-daemon").arg("--version")) };
/// Real udisks2, polkit and D-Bus, in namespaces of their own.
pub const UDISKS: Need = Need {
    name: "root, loop devices, udisks2, polkit and D-Bus",
    check: || LOOP_DEVICES.is_met() && crate::desktop::is_installed(),
};

/// binfmt_misc in the kernel.
pub const BINFMT_MISC: Need = Need {
    name: "binfmt_misc",
    check: || can_mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "register"),
};
/// uprobe_events in tracefs.
pub const UPROBES: Need = Need {
    name: "uprobe_events",
    check: || can_mount("tracefs", "/sys/kernel/tracing", "uprobe_events"),
};
/// io_uring with paths of registered files in fdinfo (Linux 6.7).
pub const IO_URING_PATHS: Need =
    Need { name: "python3 and io_uring of Linux 6.7", check: has_io_uring_paths };
/// XFS, and its tools.
pub const XFS: Need = Need {
    name: "xfs",
    check: || {
        let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        known.contains("\txfs\n") && ok(Command::new("mkfs.xfs").arg("-V"))
    },
};
/// Control groups of version 2, alone or beside those of version 1.
pub const CGROUP2: Need = Need {
    name: "control groups of version 2",
    check: || {
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        mounts.iter().any(|m| std::path::Path::new(m).join("cgroup.controllers").exists())
    },
};
/// User namespaces.
pub const USER_NAMESPACES: Need = Need {
    name: "user namespaces",
    check: || ok(Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"])),
};

impl Need {
    /// Returns true if the need is met. The first call checks it.
    pub fn is_met(&self) -> bool {
        static MET: LazyLock<Mutex<HashMap<&'static str, bool>>> = LazyLock::new(Mutex::default);
        let known = MET.lock().unwrap_or_else(PoisonError::into_inner).get(self.name).copied();
        known.unwrap_or_else(|| {
            let met = (self.check)();
            MET.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name, met);
            met
        })
    }
}

/// Returns true if the closure does not panic. Prints nothing.
fn works(check: impl Fn() + std::panic::UnwindSafe) -> bool {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let works = catch_unwind(check).is_ok();
    std::panic::set_hook(hook);
    works
}

fn has_loop_devices() -> bool {
    rustix::process::geteuid().is_root() && works(|| drop(LoopImage::new("unmoor-probe")))
}

fn has_fuse() -> bool {
    LOOP_DEVICES.is_met()
        && std::fs::File::open("/dev/fuse").is_ok()
        && ok(Command::new("mkfs.ntfs").arg("--version"))
        && ok(Command::new("sh").args(["-c", "command -v ntfs-3g"]))
}

fn has_overlay() -> bool {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    known.contains("\toverlay\n") && std::path::Path::new("/sys/kernel/btf/vmlinux").exists()
}

fn has_btrfs() -> bool {
    LOOP_DEVICES.is_met()
        && ok(Command::new("btrfs").arg("--version"))
        && works(|| drop(LoopImage::with_mkfs(&["mkfs.btrfs", "-q", "-f"])))
}

fn has_loop_partitions() -> bool {
    LOOP_DEVICES.is_met()
        && works(|| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("image");
            std::fs::File::create(&file).unwrap().set_len(4 << 20).unwrap();
            let mut sfdisk = Command::new("sfdisk");
            let mut sfdisk = sfdisk.arg("-q").arg(&file).stdin(Stdio::piped()).spawn().unwrap();
            std::io::Write::write_all(&mut sfdisk.stdin.take().unwrap(), b"label: dos\n,1M,L\n")
                .unwrap();
            assert!(sfdisk.wait().unwrap().success());
            let attached = Attached::new(&file, &["-P"]);
            assert!(std::path::Path::new(&format!("{}p1", attached.device)).exists());
        })
}

fn has_python() -> bool {
    ok(Command::new("python3").args(["-c", "import ctypes"]))
}

fn has_script() -> bool {
    ok(Command::new("script").args(["-qec", "true", "/dev/null"]))
}

fn compiles(options: &[&str]) -> bool {
    let Ok(dir) = tempfile::tempdir() else { return false };
    let source = dir.path().join("probe.c");
    std::fs::write(&source, "int main(void) { return 0; }").is_ok()
        && ok(Command::new("cc").args(options).arg("-o").arg(dir.path().join("probe")).arg(&source))
}

/// Returns true if this file system of the kernel has this entry, once mounted.
fn can_mount(file_system: &str, path: &str, entry: &str) -> bool {
    let script = format!(
        "test -e {path}/{entry} || mount -t {file_system} none {path}; test -e {path}/{entry}"
    );
    ok(Command::new("unshare").args(["--mount", "--propagation", "private", "sh", "-c", &script]))
}

fn has_io_uring_paths() -> bool {
    let script = "import ctypes, os, re
version = tuple(map(int, re.findall('[0-9]+', os.uname().release)[:2]))
ring = ctypes.CDLL(None).syscall(425, 1, ctypes.create_string_buffer(120))
exit(ring < 0 or version < (6, 7))";
    has_python() && ok(Command::new("python3").args(["-c", script]))
}
