//! Image files on loop devices, removed again in any case.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::rc::{Rc, Weak};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Lock of the machine's mounts. A new mount namespace copies every mount, also those of concurrent
/// tests, so a test that makes a namespace runs alone.
static NAMESPACES: RwLock<()> = RwLock::new(());

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
            let lock = Rc::new(NAMESPACES.read().unwrap_or_else(PoisonError::into_inner));
            *held = Rc::downgrade(&lock);
            lock
        })
    })
}

/// Excludes other tests' images while this test makes a mount namespace.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    NAMESPACES.write().unwrap_or_else(PoisonError::into_inner)
}

/// An ext4 file system in an image file, attached and mounted.
pub struct Image {
    _shared: Option<Rc<Shared>>,
    dir: tempfile::TempDir,
    /// `/dev/loop7`
    pub device: String,
    /// Mount point.
    pub mount: PathBuf,
}

impl Image {
    /// Returns a new image, or `None`, with a message, if this machine cannot make one.
    pub fn new(label: impl AsRef<OsStr>) -> Option<Image> {
        Image::make(label.as_ref(), Some(shared()))
    }

    /// Returns a new image for a test that runs [`alone`].
    pub fn new_alone(label: &str, _alone: &RwLockWriteGuard<'_, ()>) -> Option<Image> {
        Image::make(label.as_ref(), None)
    }

    fn make(label: &OsStr, shared: Option<Rc<Shared>>) -> Option<Image> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root for loop devices");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (file, mount) = (dir.path().join("image"), dir.path().join("mnt"));
        std::fs::create_dir(&mount).unwrap();
        std::fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
        assert!(ran(Command::new("mkfs.ext4").args(["-q", "-F", "-L"]).arg(label).arg(&file)));
        let device = attach(&file, &[])?;
        let image = Image { _shared: shared, dir, device, mount };
        image.mount_at(&image.mount);
        Some(image)
    }

    /// Returns the path of the image file.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Returns a directory beside the mount point, on the machine's own file system.
    pub fn beside(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Mounts the device on this path too.
    pub fn mount_at(&self, path: &Path) {
        assert!(ran(Command::new("mount").arg(&self.device).arg(path)));
    }

    /// Attaches and mounts the image again, after it was released.
    pub fn insert(&mut self) {
        self.device = attach(&self.file(), &[]).unwrap();
        self.mount_at(&self.mount);
    }

    /// Returns the number of mounts of the device, as listed in `/proc/self/mounts`.
    pub fn mounts(&self) -> usize {
        // A detached device, with its mounts, may belong to another process.
        if !self.attached() {
            return 0;
        }
        // A mount of another process may have a name that is not UTF-8.
        let text = std::fs::read("/proc/self/mounts").unwrap();
        let text = String::from_utf8_lossy(&text);
        text.lines().filter(|line| line.starts_with(&format!("{} ", self.device))).count()
    }

    /// Returns true if the image is attached to its device.
    pub fn attached(&self) -> bool {
        is_attached(&self.device, &self.file())
    }

    /// Checks the file system in the image, read-only.
    pub fn fsck(&self) -> Output {
        Command::new("fsck.ext4").args(["-f", "-n"]).arg(self.file()).output().unwrap()
    }
}

/// Returns true if this file backs this loop device.
pub fn is_attached(device: &str, file: &Path) -> bool {
    let name = device.trim_start_matches("/dev/");
    std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"))
        .is_ok_and(|behind| Path::new(behind.trim()) == file)
}

impl Drop for Image {
    fn drop(&mut self) {
        while self.mounts() > 0 && ran(Command::new("umount").args(["-l", &self.device])) {}
        if self.attached() {
            ran(Command::new("losetup").args(["-d", &self.device]));
        }
    }
}

/// Attaches a file to a free loop device. `losetup -f` finds a device first and opens it later, so that
/// another process may be faster.
pub fn attach(file: &Path, options: &[&str]) -> Option<String> {
    for _ in 0..20 {
        let run = Command::new("losetup").args(["-f", "--show"]).args(options).arg(file).output();
        match run {
            Ok(run) if run.status.success() => {
                return Some(String::from_utf8(run.stdout).unwrap().trim().to_string());
            }
            Ok(run) if String::from_utf8_lossy(&run.stderr).contains("busy") => {}
            _ => break,
        }
    }
    eprintln!("skipped: no loop devices on this machine");
    None
}

/// Runs the command and returns true if it succeeded.
pub fn ran(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// A process that is killed on drop.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a shell that runs `script` with `$1` set, and waits for its first line.
pub fn shell(script: &str, argument: &Path) -> Running {
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.as_mut().unwrap()),
        &mut line,
    )
    .unwrap();
    Running(child)
}

/// Result of the command.
pub struct CommandOutput {
    /// Exit code.
    pub code: i32,
    /// Standard output, then standard error.
    pub text: String,
}

/// Runs the command with words that need not be UTF-8.
pub fn unmoor_with<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unmoor"));
    command.args(words).stdin(Stdio::null()).output().unwrap()
}

/// Runs the command.
pub fn unmoor(arguments: &[&str]) -> CommandOutput {
    answer(Command::new(env!("CARGO_BIN_EXE_unmoor")).args(arguments))
}

/// Runs this command and captures its output.
pub fn answer(command: &mut Command) -> CommandOutput {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    CommandOutput {
        code: output.status.code().unwrap_or(-1),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}
