//! Image files on loop devices, removed again whatever happens.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::rc::{Rc, Weak};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A new mount namespace has a copy of every mount of the machine, those of the tests beside it too:
/// who makes one is alone meanwhile.
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

/// Keeps other tests' images away while this one makes a mount namespace.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    NAMESPACES.write().unwrap_or_else(PoisonError::into_inner)
}

/// An ext4 file system in an image file, attached and mounted.
pub struct Image {
    _shared: Option<Rc<Shared>>,
    dir: tempfile::TempDir,
    /// `/dev/loop7`
    pub device: String,
    /// Where it is mounted.
    pub mount: PathBuf,
}

impl Image {
    /// A new one, or `None`, said aloud, where this machine cannot have it.
    pub fn new(label: impl AsRef<OsStr>) -> Option<Image> {
        Image::make(label.as_ref(), Some(shared()))
    }

    /// A new one for who is [`alone`].
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

    /// The image file.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// A directory beside the mount point, on the machine's own file system.
    pub fn beside(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Mounts the device here too.
    pub fn mount_at(&self, path: &Path) {
        assert!(ran(Command::new("mount").arg(&self.device).arg(path)));
    }

    /// Attaches and mounts the image again, after it was released.
    pub fn insert(&mut self) {
        self.device = attach(&self.file(), &[]).unwrap();
        self.mount_at(&self.mount);
    }

    /// Number of mounts of the device.
    pub fn mounts(&self) -> usize {
        // Once it is detached, the device is the next process's: so are the mounts.
        if !self.attached() {
            return 0;
        }
        // Somebody else's mount may have a name that is no text.
        let text = std::fs::read("/proc/self/mounts").unwrap();
        let text = String::from_utf8_lossy(&text);
        text.lines().filter(|line| line.starts_with(&format!("{} ", self.device))).count()
    }

    /// Returns true if the image is attached to its device.
    pub fn attached(&self) -> bool {
        is_attached(&self.device, &self.file())
    }

    /// Checks the file system in the image, changing nothing.
    pub fn fsck(&self) -> Output {
        Command::new("fsck.ext4").args(["-f", "-n"]).arg(self.file()).output().unwrap()
    }
}

/// Returns true if this file is behind this loop device.
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

/// Attaches a file to a free loop device. `losetup -f` finds one and then takes it, so that another
/// process may be faster.
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

/// Runs it, and says whether it succeeded.
pub fn ran(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// A process that is stopped when this is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A shell that runs `script` with `$1` set, and is ready when it has printed a line.
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

/// Exit code and output of the command.
pub struct Run {
    /// Exit code.
    pub code: i32,
    /// Everything it printed.
    pub text: String,
}

/// Runs the command with words that need not be text.
pub fn unmoor_with<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unmoor"));
    command.args(words).stdin(Stdio::null()).output().unwrap()
}

/// Runs the command.
pub fn unmoor(arguments: &[&str]) -> Run {
    answer(Command::new(env!("CARGO_BIN_EXE_unmoor")).args(arguments))
}

/// Runs this command and keeps what it prints.
pub fn answer(command: &mut Command) -> Run {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Run {
        code: output.status.code().unwrap_or(-1),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}
