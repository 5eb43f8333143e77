//! Loop devices over images that take a second to write: slow drives without an emulated processor.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use xtask::process::{program, run};

use crate::cost::Cost;
use crate::loop_control::Existing;
use crate::measure::measure;

/// Bytes that an image takes in a second, and that are not written yet when a run begins.
const RATE: usize = 1_000_000;

/// Size of an image, in bytes.
const SIZE: u64 = 32 << 20;

/// Images that are served through FUSE, each as slow as the others.
pub struct SlowImages {
    directory: PathBuf,
    /// One `qemu-storage-daemon` for each image: of several images, it writes one at a time.
    servers: Vec<Child>,
    nodes: Vec<String>,
    existing: Existing,
}

impl SlowImages {
    /// Makes the images, each with an ext4, and serves them.
    pub fn serve(count: usize) -> Result<Self> {
        let directory = xtask::paths::rig().join("bench-slow");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let existing = Existing::read()?;
        let mut images = Self { directory, servers: Vec::new(), nodes: Vec::new(), existing };
        for number in 0..count {
            let server = start_server(&images.directory, number)?;
            images.servers.push(server);
        }
        images.wait()?;
        Ok(images)
    }

    /// Waits until every image is served.
    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_served = |number| {
            fs::metadata(served(&self.directory, number)).is_ok_and(|file| file.len() == SIZE)
        };
        while !(0..self.servers.len()).all(is_served) {
            ensure!(Instant::now() < deadline, "qemu-storage-daemon does not serve the images");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Mounts and writes to the first drives, and measures the program with their nodes as its last arguments.
    pub fn measure(&mut self, count: usize, words: &[&str]) -> Result<Cost> {
        for number in 0..count {
            let point = self.directory.join(format!("mount{number}"));
            fs::create_dir_all(&point)?;
            let attach = ["--find", "--show"];
            let node = run(program("losetup").args(attach).arg(served(&self.directory, number)))?;
            self.nodes.push(node.trim().to_owned());
            run(program("mount").arg(node.trim()).arg(&point))?;
            // ext4 would begin to write at once what replaces a file.
            let _ = fs::remove_file(point.join("data"));
            fs::write(point.join("data"), vec![7; RATE])?;
        }
        let nodes: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        let cost = measure(&[words, &nodes].concat())?;
        let left = self.detach()?;
        ensure!(
            cost.code == 0 && left == 0,
            "{words:?} exited with {}, and left {left}",
            cost.code
        );
        Ok(cost)
    }

    /// Takes down the loop devices that are left, and returns their number.
    fn detach(&mut self) -> Result<usize> {
        let mut left = 0;
        for node in std::mem::take(&mut self.nodes) {
            let name = node.replace("/dev/", "");
            if Path::new("/sys/block").join(name).join("loop").exists() {
                left += 1;
                let _ = run(program("umount").arg(&node));
                let _ = run(program("losetup").args(["--detach", &node]));
            }
            self.existing.remove_new(&node);
        }
        Ok(left)
    }
}

impl Drop for SlowImages {
    fn drop(&mut self) {
        let _ = self.detach();
        for (number, server) in self.servers.iter_mut().enumerate() {
            let _ = server.kill();
            let _ = server.wait();
            let _ = run(program("umount").args(["--lazy"]).arg(served(&self.directory, number)));
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Makes an image with an ext4, and starts its server.
fn start_server(directory: &Path, number: usize) -> Result<Child> {
    let image = directory.join(format!("{number}.img"));
    File::create(&image)?.set_len(SIZE)?;
    // Otherwise the kernel goes on with it once the file system is mounted, and the image has no time left.
    let whole = ["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
    run(program("mkfs.ext4").args(whole).arg(&image))?;
    let served = served(directory, number);
    File::create(&served)?;
    let mut daemon = program("qemu-storage-daemon");
    daemon.args(["--object", &format!("throttle-group,id=rate,x-bps-write={RATE}")]);
    daemon.args(["--blockdev", &format!("file,filename={},node-name=file", image.display())]);
    daemon.args(["--blockdev", "throttle,throttle-group=rate,file=file,node-name=slow"]);
    let export = format!("fuse,id=slow,node-name=slow,mountpoint={},writable=on", served.display());
    daemon.args(["--export", &export]);
    Ok(daemon.stdin(Stdio::null()).spawn()?)
}

/// Returns the path at which an image is served.
fn served(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("{number}.slow"))
}
