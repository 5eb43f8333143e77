//! Image files on loop devices, removed when a test ends.
//!
//! Each loop device gets a number that no other process uses. `losetup -f` hands out the lowest number that
//! is free, so that a device of ours, once detached by a test, stays out of other programs' way.

use crate::{loop_control, ok};
use rustix::io::Errno;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::{Rc, Weak};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// Lock of the mounts. A new mount namespace has a copy of every mount, those of other tests too, so that a
/// test that makes one without unmounting those must be [`alone`].
static MOUNTS: RwLock<()> = RwLock::new(());

type Shared = RwLockReadGuard<'static, ()>;

thread_local! {
    /// Lock of this thread's images. A second read lock in one thread could wait for a writer that
    /// waits for the first.
    static SHARED: RefCell<Weak<Shared>> = const { RefCell::new(Weak::new()) };
}

/// Returns the lock of this thread's images.
fn shared() -> Rc<Shared> {
    SHARED.with_borrow_mut(|held| {
        held.upgrade().unwrap_or_else(|| {
            let lock = Rc::new(MOUNTS.read().unwrap_or_else(PoisonError::into_inner));
            *held = Rc::downgrade(&lock);
            lock
        })
    })
}

/// Waits until no other test of this program has an image, and keeps it so.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MOUNTS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Loop device with a file (or a device) attached.
pub struct Attached {
    /// `/dev/loop1007`
    pub device: String,
    number: u32,
    file: PathBuf,
}

impl Attached {
    /// Attaches the file to a loop device of its own. `options` are those of `losetup`.
    pub fn new(file: &Path, options: &[&str]) -> Attached {
        let number = new_number();
        let device = format!("/dev/loop{number}");
        let attached = Attached { device, number, file: file.to_path_buf() };
        attached.attach(options);
        attached
    }

    fn attach(&self, options: &[&str]) {
        let run = Command::new("losetup").args(options).arg(&self.device).arg(&self.file).output();
        let run = run.expect("losetup starts");
        assert!(run.status.success(), "losetup: {}", String::from_utf8_lossy(&run.stderr));
    }

    /// Returns true if the file is attached to the device.
    pub fn is_attached(&self) -> bool {
        let path = format!("/sys/block/loop{}/loop/backing_file", self.number);
        std::fs::read_to_string(path).is_ok_and(|file| Path::new(file.trim_end()) == self.file)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mounts = || mounts(|source, _| is_device_or_part(source, &self.device));
        while self.is_attached()
            && mounts().iter().any(|m| ok(Command::new("umount").arg("-l").arg(m)))
        {}
        // While another program has the device open, the kernel detaches it later.
        for _ in 0..250 {
            if self.is_attached() {
                ok(Command::new("losetup").args(["-d", &self.device]));
            }
            if loop_control::remove(self.number) != Err(Errno::BUSY) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Adds a loop device with a number that no other process uses, and returns the number.
fn new_number() -> u32 {
    let first = 1000 + std::process::id() % 1000 * 100;
    (first..)
        .find(|number| match loop_control::add(*number) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => panic!("no loop device could be added: {errno}"),
        })
        .expect("there are more numbers than loop devices")
}

fn is_device_or_part(source: &str, device: &str) -> bool {
    source.strip_prefix(device).is_some_and(|rest| rest.is_empty() || rest.starts_with('p'))
}

/// Returns the mount points that the closure selects by source and path, the latest first.
pub(crate) fn mounts(select: impl Fn(&str, &Path) -> bool) -> Vec<PathBuf> {
    // The name of another program's mount need not be UTF-8.
    let text = std::fs::read("/proc/self/mounts").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut found: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (source, path) = (fields.next()?, PathBuf::from(unescape(fields.next()?)));
            select(source, &path).then_some(path)
        })
        .collect();
    found.reverse();
    found
}

/// Replaces the octal escapes of proc(5).
fn unescape(field: &str) -> std::ffi::OsString {
    let (mut out, mut rest) = (Vec::new(), field.as_bytes());
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                out.push(byte);
                rest = &tail[3..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    std::os::unix::ffi::OsStringExt::from_vec(out)
}

/// File system in an image file, attached and mounted.
pub struct LoopImage {
    attached: Attached,
    dir: tempfile::TempDir,
    /// `/dev/loop1007`
    pub device: String,
    /// Mount point.
    pub mount: PathBuf,
    _shared: Option<Rc<Shared>>,
}

impl LoopImage {
    /// Makes an image with ext4 of this label.
    pub fn new(label: impl AsRef<OsStr>) -> LoopImage {
        LoopImage::mounted_on("mnt", label.as_ref())
    }

    /// Makes an image with ext4 of this label, for a test that is [`alone`].
    pub fn new_alone(label: &str, _alone: &RwLockWriteGuard<'_, ()>) -> LoopImage {
        LoopImage::make("mnt".as_ref(), 64 << 20, &mut mkfs_ext4(label.as_ref()), None)
    }

    /// Makes an image with ext4 of this label, mounted on a directory of this name.
    pub fn mounted_on(name: impl AsRef<OsStr>, label: impl AsRef<OsStr>) -> LoopImage {
        let mut mkfs = mkfs_ext4(label.as_ref());
        LoopImage::make(name.as_ref(), 64 << 20, &mut mkfs, Some(shared()))
    }

    /// Makes an image with the file system that this command makes.
    pub fn with_mkfs(mkfs: &[&str]) -> LoopImage {
        let mut command = Command::new(mkfs[0]);
        LoopImage::make("mnt".as_ref(), 160 << 20, command.args(&mkfs[1..]), Some(shared()))
    }

    fn make(name: &OsStr, size: u64, mkfs: &mut Command, shared: Option<Rc<Shared>>) -> LoopImage {
        let dir = tempfile::Builder::new().prefix("unmoor-test-").tempdir().unwrap();
        let (file, mount) = (dir.path().join("image"), dir.path().join(name));
        std::fs::create_dir(&mount).unwrap();
        std::fs::File::create(&file).unwrap().set_len(size).unwrap();
        assert!(ok(mkfs.arg(&file)), "{mkfs:?} failed");
        let attached = Attached::new(&file, &[]);
        let device = attached.device.clone();
        let image = LoopImage { attached, dir, device, mount, _shared: shared };
        image.mount_at(&image.mount);
        image
    }

    /// Returns the path of the image file.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Creates a directory beside the mount point, on another file system.
    pub fn beside(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Mounts the device on a further directory.
    pub fn mount_at(&self, path: &Path) {
        assert!(ok(Command::new("mount").arg(&self.device).arg(path)), "mount {}", self.device);
    }

    /// Moves the mount into a directory with shared propagation, and returns that directory.
    pub fn share(&self) -> PathBuf {
        // A mount propagates only if its parent mount is shared.
        let shared = self.beside("shared");
        assert!(ok(Command::new("mount").args(["--bind"]).args([&shared, &shared])));
        assert!(ok(Command::new("mount").args(["--make-shared"]).arg(&shared)));
        let inside = shared.join("mnt");
        std::fs::create_dir(&inside).unwrap();
        assert!(ok(Command::new("mount").args(["--move"]).args([&self.mount, &inside])));
        shared
    }

    /// Attaches and mounts the image again, after it was released.
    pub fn insert(&mut self) {
        self.attached.attach(&[]);
        self.mount_at(&self.mount);
    }

    /// Returns the number of mounts of the device.
    pub fn mounts(&self) -> usize {
        mounts(|source, _| source == self.device).len()
    }

    /// Returns true if the image is attached to its device.
    pub fn attached(&self) -> bool {
        self.attached.is_attached()
    }

    /// Checks the file system in the image, without changes.
    pub fn fsck(&self) -> Output {
        Command::new("fsck.ext4").args(["-f", "-n"]).arg(self.file()).output().unwrap()
    }
}

fn mkfs_ext4(label: &OsStr) -> Command {
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-F", "-L"]).arg(label);
    command
}

impl Drop for LoopImage {
    fn drop(&mut self) {
        let dir = self.dir.path();
        for mount in mounts(|_, path| path.starts_with(dir)) {
            ok(Command::new("umount").arg("-l").arg(mount));
        }
    }
}
