//! The real command on a real file system.
//!
//! The test needs root, loop devices and mkfs.ext4, and reports what is missing.
#![cfg(target_os = "linux")]

mod common;

use common::unmoor;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A mounted ext4 image. Dropping it removes everything.
struct Stick {
    folder: PathBuf,
    device: OsString,
    place: PathBuf,
}

impl Stick {
    /// Mounts a new image on a folder of this name. Returns `None`, with the reason on standard error,
    /// if that is not possible.
    fn mounted_on(name: &[u8]) -> Option<Stick> {
        let made = Stick::make(name);
        if let Err(why) = &made {
            eprintln!("skipped: {why}");
        }
        made.ok()
    }

    fn make(name: &[u8]) -> Result<Stick, String> {
        if fs::metadata("/proc/self").is_ok_and(|me| me.uid() != 0) {
            return Err("not root".into());
        }
        let number = name.iter().fold(0u32, |n, b| n.wrapping_mul(31) + u32::from(*b));
        let folder = format!("unmoor-test-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let place = folder.join(OsStr::from_bytes(name));
        fs::create_dir_all(&place).map_err(|e| e.to_string())?;
        let mut stick = Stick { folder, device: OsString::new(), place };
        let image = stick.folder.join("image");
        File::create(&image).and_then(|f| f.set_len(32 << 20)).map_err(|e| e.to_string())?;
        tool("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_os_str()])?;
        let shown = tool("losetup", &["--find".as_ref(), "--show".as_ref(), image.as_os_str()])?;
        stick.device = shown.trim().into();
        tool("mount", &[&stick.device, stick.place.as_os_str()])?;
        Ok(stick)
    }

    fn is_mounted(&self) -> bool {
        let device = |path| fs::metadata(path).map(|m| m.dev()).ok();
        device(&self.place) != device(&self.folder)
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        if self.is_mounted() {
            _ = tool("umount", &[self.place.as_os_str()]);
            _ = tool("losetup", &["--detach".as_ref(), self.device.as_os_str()]);
        }
        _ = fs::remove_dir_all(&self.folder);
    }
}

fn tool(name: &str, words: &[&OsStr]) -> Result<String, String> {
    let ran = Command::new(name).args(words).output().map_err(|e| format!("{name}: {e}"))?;
    match ran.status.success() {
        true => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&ran.stderr))),
    }
}

#[test]
fn a_place_whose_name_is_no_text_is_released_and_shown_harmlessly() {
    let name = b"\xff\x1b[2J\nforged line";
    let Some(stick) = Stick::mounted_on(name) else { return };
    let place = stick.place.as_os_str();

    let status = unmoor([OsStr::new("status"), place]);
    assert!(!status.out.contains('\x1b'), "{:?}", status.out);
    assert!(status.out.contains("\\xff\\x1b[2J\\nforged line"), "{:?}", status.out);

    let run = unmoor([OsStr::new("eject"), OsStr::new("--json"), place]);
    assert_eq!(unmoor_contract::check(&run.out, Some(0)), Ok(()), "{}{}", run.out, run.err);
    assert!(run.out.contains("ff1b5b324a0a666f72676564206c696e65\""), "{}", run.out);
    assert!(!stick.is_mounted());
}

#[test]
fn what_is_in_use_stays_mounted_and_is_released_afterwards() {
    let Some(stick) = Stick::mounted_on(b"busy") else { return };
    let held = File::create(stick.place.join("letter.txt")).expect("it can be written");
    let run = unmoor([OsStr::new("--json"), stick.place.as_os_str()]);
    assert_eq!(unmoor_contract::check(&run.out, Some(3)), Ok(()), "{}", run.out);
    assert!(stick.is_mounted());
    drop(held);
    let run = unmoor([stick.device.as_os_str()]);
    assert!(run.code == 0 && run.out.contains("released and detached"), "{}{}", run.out, run.err);
    assert!(!stick.is_mounted());
}

#[test]
fn ctrl_c_ends_the_waiting_and_leaves_everything_as_it_was() {
    let Some(stick) = Stick::mounted_on(b"wait") else { return };
    let held = File::create(stick.place.join("letter.txt")).expect("it can be written");
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_unmoor"))
        .args(["eject", "--wait", "1h"])
        .arg(&stick.place)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut lines = BufReader::new(waiting.stderr.take().expect("it is piped"));
    let mut output = String::new();
    while !output.contains("waiting up to") && lines.read_line(&mut output).expect("text") > 0 {}
    let pid = waiting.id().to_string();
    tool("kill", &["-INT".as_ref(), pid.as_ref()]).expect("it still waits");
    lines.read_to_string(&mut output).expect("text");
    assert_eq!(waiting.wait().expect("it ends").code(), Some(130), "{output}");
    assert!(output.contains("interrupted"), "{output}");
    assert!(stick.is_mounted());
    drop(held);
}
