//! `--watch`: changes are printed as they come, until an interrupt or until their reader leaves.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;
use unmoor_test_support::{
    Attached, LOOP_DEVICES, LoopImage, Test, ok, shell, test, with_default_signals,
};

/// Time after which a line that does not come is a failure, and no longer a hang.
const LONGEST: Duration = Duration::from_secs(60);

/// A running `unmoor … --watch`.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(words: &[&str]) -> Watch {
        let mut child = with_default_signals(env!("CARGO_BIN_EXE_unmoor"))
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
        Watch { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.recv_timeout(LONGEST).expect("another line is printed")
    }

    /// Returns the next events of this drive: their names, and the drive in the last.
    fn event(&mut self, device: &str) -> (String, Value) {
        loop {
            let line = self.line();
            unmoor_contract::check_event(&line).unwrap_or_else(|f| panic!("{f:?}: {line}"));
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["drive"]["path"] == device {
                return (event["event"].as_str().unwrap().into(), event["drive"].clone());
            }
        }
    }

    /// Reads until a line has this text.
    fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(ok(Command::new("kill").args(["-s", name, &pid])));
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn is_mounted(drive: &Value) -> bool {
    !drive["volumes"][0]["mounts"].as_array().unwrap().is_empty()
}

fn a_drive_is_seen_to_come_to_be_unmounted_and_to_leave() {
    let mut image = LoopImage::new("unmoor-watch");
    let mut watch = Watch::start(&["list", "--all", "--watch", "--json"]);
    let (event, drive) = watch.event(&image.device);
    assert_eq!((&*event, is_mounted(&drive)), ("present", true));
    assert!(ok(Command::new("umount").arg(&image.mount)));
    let (event, drive) = watch.event(&image.device);
    assert_eq!((&*event, is_mounted(&drive)), ("changed", false));
    assert!(ok(Command::new("losetup").args(["-d", &image.device])));
    assert_eq!(watch.event(&image.device).0, "removed");
    image.insert();
    // Attached and mounted by two programs: one event, or two.
    let (event, mut drive) = watch.event(&image.device);
    assert_eq!(event, "added");
    while !is_mounted(&drive) {
        let event;
        (event, drive) = watch.event(&image.device);
        assert_eq!(event, "changed");
    }
    watch.signal("INT");
    assert_eq!(watch.exit_code(), Some(130));
}

fn a_target_that_is_not_there_yet_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image");
    std::fs::File::create(&file).unwrap().set_len(16 << 20).unwrap();
    assert!(ok(Command::new("mkfs.ext4").args(["-q", "-L", "unmoor-later"]).arg(&file)));
    let mut watch = Watch::start(&["list", "--watch", "-o", "path", "LABEL=unmoor-later"]);
    assert!(watch.line().starts_with("EVENT"));
    let image = Attached::new(&file, &[]);
    let line = watch.until("added");
    assert!(line.contains(&image.device), "{line}");
    watch.signal("TERM");
    assert_eq!(watch.exit_code(), Some(130));
}

fn a_watch_ends_when_its_reader_leaves() {
    let image = LoopImage::new("unmoor-watch");
    for words in [&["list", "--watch"][..], &["who", "--watch"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_unmoor"))
            .args(words)
            .arg(&image.device)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        drop(out);
        // Nothing happens to the drive, so nothing is written to the closed pipe.
        assert_eq!(child.wait().unwrap().code(), Some(0), "{words:?}");
    }
}

fn unmoor_who_prints_again_when_a_program_comes_and_goes() {
    let image = LoopImage::new("unmoor-watch");
    let mut watch = Watch::start(&["who", "--watch", &image.device]);
    watch.until("not in use");
    let script = "cd \"$1\" && echo ready && exec sleep 600";
    let holder = shell(script, &image.mount);
    watch.until("in use by 1 process");
    watch.until("sleep (pid");
    drop(holder);
    watch.until("not in use");
    assert!(ok(Command::new("umount").arg(&image.mount)));
    assert!(ok(Command::new("losetup").args(["-d", &image.device])));
    // Without a drive nothing is left to be watched.
    watch.until("its medium was taken out");
    assert_eq!(watch.exit_code(), Some(1));
}

fn each_line_of_who_is_a_document() {
    let image = LoopImage::new("unmoor-watch");
    let mut watch = Watch::start(&["who", "--json", "--watch", &image.device]);
    let mut document = || {
        let line = watch.line();
        unmoor_contract::check(&line, None).unwrap_or_else(|faults| panic!("{faults:?}: {line}"));
        serde_json::from_str::<Value>(&line).unwrap()["targets"][0]["outcome"].clone()
    };
    assert_eq!(document(), "done");
    let _holder = shell("cd \"$1\" && echo ready && exec sleep 600", &image.mount);
    assert_eq!(document(), "busy");
}

pub const TESTS: &[Test] = &[
    test!(a_drive_is_seen_to_come_to_be_unmounted_and_to_leave, LOOP_DEVICES),
    test!(a_target_that_is_not_there_yet_is_waited_for, LOOP_DEVICES),
    test!(a_watch_ends_when_its_reader_leaves, LOOP_DEVICES),
    test!(unmoor_who_prints_again_when_a_program_comes_and_goes, LOOP_DEVICES),
    test!(each_line_of_who_is_a_document, LOOP_DEVICES),
];
