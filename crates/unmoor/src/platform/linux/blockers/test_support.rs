//! Loop devices and processes for tests, removed when a test ends.

use crate::model::drive::{Bus, Drive, DriveId, DriveKind, Medium};
use crate::model::volume::{Mount, Volume, VolumeKind};
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::mountinfo;
use crate::platform::linux::sys::procfs::stat_at;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

/// Lock around `losetup`, which finds a free device and attaches it in two steps.
static LOSETUP: Mutex<()> = Mutex::new(());

/// File system on a loop device, mounted in a directory of its own.
pub(crate) struct Stick {
    pub(crate) device: PathBuf,
    pub(crate) mount: PathBuf,
    dir: PathBuf,
}

impl Stick {
    /// Creates one with ext4; returns `None` where this host has no loop devices.
    pub(crate) fn new() -> Option<Stick> {
        Stick::with(&["mkfs.ext4", "-q", "-F"])
    }

    /// Creates one with the file system that this command makes.
    pub(crate) fn with(mkfs: &[&str]) -> Option<Stick> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root for loop devices");
            return None;
        }
        let dir =
            PathBuf::from(text(Command::new("mktemp").args(["-d", "-t", "unmoor-who-XXXXXX"]))?);
        let (image, mount) = (dir.join("image"), dir.join("mnt"));
        std::fs::create_dir(&mount).ok()?;
        std::fs::File::create(&image).ok()?.set_len(160 << 20).ok()?;
        if !ok(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image)) {
            eprintln!("skipped: {} does not work here", mkfs[0]);
            let _ = std::fs::remove_dir_all(&dir);
            return None;
        }
        let device = {
            let _lock = LOSETUP.lock();
            text(Command::new("losetup").args(["-f", "--show"]).arg(&image))
        };
        let Some(device) = device else {
            eprintln!("skipped: no loop devices here");
            let _ = std::fs::remove_dir_all(&dir);
            return None;
        };
        let stick = Stick { device: device.into(), mount, dir };
        if !ok(Command::new("mount").arg(&stick.device).arg(&stick.mount)) {
            eprintln!("skipped: this kernel does not mount what {} makes", mkfs[0]);
            return None;
        }
        Some(stick)
    }

    /// Returns the device number.
    pub(crate) fn number(&self) -> u64 {
        let path = CString::new(self.device.as_os_str().as_bytes()).unwrap();
        stat_at(&path).unwrap().node.unwrap()
    }

    /// Returns true if the device still has its own image.
    fn is_attached(&self) -> bool {
        let name = self.device.file_name().unwrap_or_default().to_string_lossy();
        let backing_file = std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"));
        backing_file.is_ok_and(|image| Path::new(image.trim_end()) == self.dir.join("image"))
    }

    /// Creates a directory beside its mount point, on another file system.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Moves the mount into a directory with shared propagation, and returns that directory.
    pub(crate) fn share(&self) -> PathBuf {
        // A mount propagates only if its parent mount is shared.
        let shared = self.beside("shared");
        assert!(ok(Command::new("mount").args(["--bind"]).args([&shared, &shared])));
        assert!(ok(Command::new("mount").args(["--make-shared"]).arg(&shared)));
        let inside = shared.join("mnt");
        std::fs::create_dir(&inside).unwrap();
        assert!(ok(Command::new("mount").args(["--move"]).args([&self.mount, &inside])));
        shared
    }

    /// Describes the drive as the platform would.
    pub(crate) fn drive(&self) -> Drive {
        let name = self.device.file_name().unwrap().to_string_lossy().into_owned();
        let table = MountTable::read_self().unwrap();
        let mounts: Vec<Mount> =
            table.iter().filter(|l| l.source == self.device).map(|l| table.to_mount(l)).collect();
        let volume = Volume {
            path: self.device.clone(),
            device: self.number(),
            kind: VolumeKind::Disk,
            mounts,
            ..crate::model::drive::tests::volume(&name, &name)
        };
        Drive {
            id: DriveId { device: self.number(), generation: 0 },
            name,
            path: self.device.clone(),
            kind: DriveKind::Loop,
            bus: Bus::Virtual,
            medium: Medium::Present,
            volumes: vec![volume],
            ..crate::model::drive::tests::drive()
        }
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        let mounts = mountinfo::read_self().unwrap_or_default();
        for mount in mounts.iter().rev().filter(|l| l.path.starts_with(&self.dir)) {
            ok(Command::new("umount").arg("-l").arg(&mount.path));
        }
        // After a test has detached the device, another test may use it.
        if self.is_attached() {
            ok(Command::new("losetup").arg("-d").arg(&self.device));
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Prologue of the Python programs.
///
/// `apart` moves a thread into a mount namespace of its own, without the mounts of other tests.
const PROLOGUE: &str = r#"
import ctypes, os, sys, threading, time
libc, keep = ctypes.CDLL(None), sys.argv[1]
threading.excepthook = lambda failed: (sys.__excepthook__(*failed[:3]), os._exit(1))
def ready():
    print("ready", flush=True)
    time.sleep(1000)
def apart():
    assert libc.unshare(0x20000) == 0
    assert libc.mount(None, b"/", None, 0x44000, None) == 0
    leave_others()
def leave_others():
    mounts = [line.split()[4] for line in open("/proc/thread-self/mountinfo", "rb")]
    for mount in reversed(mounts):
        if mount.startswith(b"/tmp/") and not (mount + b"/").startswith(keep.encode() + b"/"):
            libc.umount2(mount, 2)
"#;

/// Process that ends with the test.
pub(crate) struct Holder(pub(crate) Child);

impl Holder {
    /// Starts a process and waits for the line on standard output that says it is ready.
    pub(crate) fn ready(command: &mut Command) -> Holder {
        use std::io::{BufRead, BufReader};
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("standard output is piped");
        BufReader::new(out).read_line(&mut line).expect("standard output can be read");
        assert!(!line.is_empty(), "the process ended early");
        Holder(child)
    }

    /// Starts a shell that runs this script and stays until it is killed.
    pub(crate) fn shell(script: &str, argument: &Path) -> Holder {
        let script = format!("{script}\necho ready; read forever; exit 0");
        // A shell cannot trap signals that were ignored when it started.
        let signals = ["--default-signal=HUP,TERM", "bash", "-c", &script, "bash"];
        Holder::ready(Command::new("env").args(signals).arg(argument))
    }

    /// Starts a shell in a mount namespace of its own, without the mounts of other tests.
    pub(crate) fn in_a_namespace(propagation: &str, script: &str, keep: &Path) -> Holder {
        let script = format!(
            r#"for mount in $(findmnt -rno TARGET | tac); do
                   case $mount in "$1" | "$1"/*) ;; /tmp/*) umount -l "$mount" ;; esac
               done
               {script}
               echo ready; read forever; exit 0"#
        );
        let bash = ["bash", "-c", &script, "bash"];
        Holder::ready(
            Command::new("unshare")
                .args(["--mount", "--propagation", propagation])
                .args(bash)
                .arg(keep),
        )
    }

    /// Starts a Python program after the prologue, with the path as `keep`; `None` without Python.
    pub(crate) fn python(script: &str, keep: &Path) -> Option<Holder> {
        if !ok(Command::new("python3").args(["-c", "import ctypes"])) {
            eprintln!("skipped: no python3");
            return None;
        }
        let script = format!("{PROLOGUE}{script}");
        Some(Holder::ready(Command::new("python3").args(["-c", &script]).arg(keep)))
    }

    /// Returns the PID.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command; returns true if it succeeds.
pub(crate) fn ok(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

fn text(command: &mut Command) -> Option<String> {
    let out = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?.trim().to_string();
    (out.status.success() && !text.is_empty()).then_some(text)
}
