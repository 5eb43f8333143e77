//! The demonstration's stick as an image file on a loop device, with a real file system. Needs root.
//!
//! Everything made here is removed on drop: on errors, panics and Ctrl-C too. Nothing else is touched.

use super::stick::{FILES, Stick, checksum_files, copied};
use super::system::{exists, run, tool};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use unmoor::Cancel;
use unmoor::platform::{self, Platform};

const SIZE: u64 = 96_000_000;

/// Timeout for other programs to close a loop device of ours.
const DETACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval between two checks of the loop devices.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// File system, with the commands that make and check it.
struct Kind {
    name: &'static str,
    make: &'static [&'static str],
    check: &'static [&'static str],
}

const KINDS: [Kind; 2] = [
    Kind { name: "ext4", make: &["mkfs.ext4", "-q", "-F"], check: &["fsck.ext4", "-f", "-n"] },
    Kind { name: "vfat", make: &["mkfs.vfat"], check: &["fsck.vfat", "-n"] },
];

pub struct Image {
    machine: Box<dyn Platform>,
    kind: &'static Kind,
    folder: PathBuf,
    device: Option<PathBuf>,
    editor: Option<Child>,
}

impl Image {
    /// Returns a mounted stick, or the reason why there is none.
    pub fn attached(cancel: &Cancel) -> Result<Image, String> {
        if fs::metadata("/proc/self").is_ok_and(|me| me.uid() != 0) {
            return Err("a real one needs root: sudo unmoor demo".into());
        }
        let kind = KINDS.iter().find(|k| exists(k.make[0])).ok_or("there is no mkfs.ext4 here")?;
        let machine = platform::native().map_err(|e| e.to_string())?;
        let folder = std::env::temp_dir().join(format!("unmoor-demo-{}", std::process::id()));
        // The folder must be new, so that everything in it is ours.
        DirBuilder::new().mode(0o700).create(&folder).map_err(|e| format!("{folder:?}: {e}"))?;
        let mut image = Image { machine, kind, folder, device: None, editor: None };
        image.set_up(cancel)?;
        Ok(image)
    }

    fn set_up(&mut self, cancel: &Cancel) -> Result<(), String> {
        let (file, mount) = (self.file(), self.mount());
        File::create_new(&file).and_then(|f| f.set_len(SIZE)).map_err(|e| e.to_string())?;
        fs::create_dir(&mount).map_err(|e| e.to_string())?;
        let (make, options) = self.kind.make.split_first().expect("each kind names its tool");
        let mut words: Vec<OsString> = options.iter().map(OsString::from).collect();
        words.push(file.clone().into());
        run(make, &words)?;
        let device = run("losetup", &["--find".as_ref(), "--show".as_ref(), file.as_os_str()])?;
        self.device = Some(device.into());
        run("mount", &[self.device.as_deref().unwrap_or(&file), &mount])?;
        if cancel.is_cancelled() { Err("interrupted".into()) } else { Ok(()) }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("stick.img")
    }

    fn mount(&self) -> PathBuf {
        self.folder.join("stick")
    }

    fn verify_contents(&self) -> PathBuf {
        self.folder.join("second-look")
    }

    /// Returns the loop devices that our image is attached to.
    fn attached_devices(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let is_ours = |name: &OsString| {
            let backing = Path::new("/sys/block").join(name).join("loop/backing_file");
            fs::read_to_string(backing).is_ok_and(|f| Path::new(f.trim_end()) == self.file())
        };
        let names = entries.map(|entry| entry.file_name()).filter(is_ours);
        names.map(|name| Path::new("/dev").join(name)).collect()
    }

    /// Detaches our image, and waits until it is detached. Returns the devices that keep it.
    ///
    /// While another program has a loop device open, the kernel only marks it (`LO_FLAGS_AUTOCLEAR`,
    /// loop(4)), and detaches it on the last close.
    fn detach(&self) -> Vec<PathBuf> {
        for device in self.attached_devices() {
            _ = run("losetup", &["--detach".as_ref(), device.as_os_str()]);
        }
        let end = Instant::now() + DETACH_TIMEOUT;
        loop {
            let attached = self.attached_devices();
            if attached.is_empty() || Instant::now() >= end {
                return attached;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns true if the directory is on another device than our folder.
    fn is_mounted(&self, place: &Path) -> bool {
        let device = |path: &Path| fs::symlink_metadata(path).map(|m| m.dev()).ok();
        device(place).is_some_and(|there| Some(there) != device(&self.folder))
    }

    /// Returns the number of files that are intact on the medium.
    fn count_files(&self, there: &Path) -> usize {
        let right = |index: &usize| {
            let (name, content) = checksum_files(*index);
            fs::read(there.join(name)).is_ok_and(|read| read == content)
        };
        (0..FILES).filter(right).count()
    }
}

impl Stick for Image {
    fn machine(&self) -> &dyn Platform {
        &*self.machine
    }

    fn target(&self) -> OsString {
        self.mount().into()
    }

    fn description(&self) -> String {
        let device = self.device.clone().unwrap_or_default();
        let (kind, mount) = (self.kind.name, self.mount());
        format!("{} with {kind} on it, mounted on {}.", device.display(), mount.display())
    }

    fn copy(&mut self) -> Result<String, String> {
        for (name, content) in (0..FILES).map(checksum_files) {
            fs::write(self.mount().join(name), content).map_err(|e| e.to_string())?;
        }
        Ok(copied(self))
    }

    fn open_file(&mut self) -> Result<String, String> {
        let letter =
            File::create_new(self.mount().join("letter.txt")).map_err(|e| e.to_string())?;
        // `cat > letter.txt` keeps the file open until its standard input is closed.
        let editor = tool("cat").stdin(Stdio::piped()).stdout(letter).spawn();
        let editor = editor.map_err(|e| format!("cat: {e}"))?;
        let pid = editor.id();
        self.editor = Some(editor);
        Ok(format!("`cat > letter.txt` (pid {pid}) waits for more to write."))
    }

    fn close_file(&mut self) -> Result<(), String> {
        let Some(mut editor) = self.editor.take() else { return Ok(()) };
        drop(editor.stdin.take());
        editor.wait().map(|_| ()).map_err(|e| e.to_string())
    }

    fn inspect(&mut self) -> Result<Vec<String>, String> {
        let mut seen = Vec::new();
        let file = self.file();
        if let Some((check, options)) = self.kind.check.split_first().filter(|(c, _)| exists(c)) {
            let mut words: Vec<OsString> = options.iter().map(OsString::from).collect();
            words.push(file.clone().into());
            run(check, &words).map_err(|why| format!("the file system is not clean: {why}"))?;
            seen.push(format!("{check} finds the file system clean."));
        }
        let there = self.verify_contents();
        fs::create_dir(&there).map_err(|e| e.to_string())?;
        run("mount", &["-o".as_ref(), "loop,ro".as_ref(), file.as_os_str(), there.as_os_str()])?;
        let found = self.count_files(&there);
        run("umount", &[&there])?;
        match found {
            FILES => seen.push(format!(
                "Mounted again, read-only: {found} of {FILES} files, byte for byte. Nothing was lost."
            )),
            _ => return Err(format!("only {found} of {FILES} files are on the medium")),
        }
        Ok(seen)
    }

    fn remove(&mut self) -> Vec<String> {
        if let Some(mut editor) = self.editor.take() {
            _ = editor.kill();
            _ = editor.wait();
        }
        for place in [self.verify_contents(), self.mount()] {
            if self.is_mounted(&place) {
                unmount(&place);
            }
        }
        let attached = self.detach();
        for place in [self.verify_contents(), self.mount()] {
            // If another program unmounted it while files were copied, the copies are in here.
            if !self.is_mounted(&place) {
                _ = fs::remove_dir_all(place);
            }
        }
        _ = fs::remove_file(self.file());
        _ = fs::remove_dir(&self.folder);
        let open_elsewhere = |device: PathBuf| {
            format!("{} stays attached until another program closes it", device.display())
        };
        let mut left: Vec<String> = attached.into_iter().map(open_elsewhere).collect();
        if self.folder.exists() {
            left.push(format!("{} could not be removed", self.folder.display()));
        }
        left
    }
}

/// Unmounts our file system. If an interrupted call still keeps it busy after 5 s, unmounts it lazily.
fn unmount(place: &Path) {
    for _ in 0..50 {
        if run("umount", &[place]).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    _ = run("umount", &["--lazy".as_ref(), place.as_os_str()]);
}

impl Drop for Image {
    fn drop(&mut self) {
        _ = self.remove();
    }
}
