//! A mount namespace of one thread, with a stick and another drive in it.

use crate::platform::linux::sys::mountinfo::{MountInfo, parse};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use std::ffi::CString;
use std::fs::{create_dir_all, rename};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// Directory with the mount point of a stick, in this thread's mount namespace.
pub struct Place {
    root: tempfile::TempDir,
}

impl Place {
    /// Mounts a stick on `user/stick`, and another drive that is to stay on `other/stick`.
    pub fn new() -> Place {
        // SAFETY: affects the mounts and the directories of this thread alone, and no memory.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "needs root");
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        let place = Place { root: tempfile::tempdir().unwrap() };
        place.mount("user/stick", "stick");
        place.mount("other/stick", "other");
        place
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn mount(&self, path: &str, source: &str) {
        create_dir_all(self.at(path)).unwrap();
        mount(source, self.at(path), "tmpfs", MountFlags::empty(), None).unwrap();
    }

    pub fn lines(&self) -> Vec<MountInfo> {
        let text = std::fs::read("/proc/thread-self/mountinfo").unwrap();
        let mut lines = parse(&text);
        lines.retain(|line| line.path.starts_with(self.root.path()));
        lines
    }

    /// Sources of the mounts, in the order of the table.
    pub fn mounted(&self) -> Vec<String> {
        self.lines().iter().map(|line| line.source.to_string_lossy().into_owned()).collect()
    }

    pub fn id(&self, source: &str) -> u64 {
        self.lines().iter().find(|line| line.source == source).unwrap().id
    }

    pub fn path(&self, path: &str) -> CString {
        CString::new(self.at(path).as_os_str().as_bytes()).unwrap()
    }

    /// Replaces the directory of the stick's mount point by a link to the other one.
    pub fn swap_parent(&self) {
        rename(self.at("user"), self.at("moved")).unwrap();
        symlink(self.at("other"), self.at("user")).unwrap();
    }

    /// Runs the test in a thread, whose namespace ends with it.
    pub fn apart(test: impl FnOnce(Place) + Send + 'static) {
        let run = std::thread::spawn(|| test(Place::new())).join();
        if let Err(panic) = run {
            std::panic::resume_unwind(panic);
        }
    }

    /// Returns the text of a request to mount. The first one is below this place.
    pub fn text(&self, [path, source, kind, data]: [&str; 4]) -> Vec<u8> {
        format!("{}\0{source}\0{kind}\0{data}\0", self.at(path).display()).into_bytes()
    }
}
