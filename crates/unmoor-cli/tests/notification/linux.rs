use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use unmoor_test_support::{DBUS_DAEMON, Test, test};
use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;
use zbus::zvariant::OwnedValue;

/// A notification: summary, body, urgency.
type Shown = (String, String, u8);

/// The interface of a desktop.
struct Desktop(Mutex<Sender<Shown>>);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Desktop {
    #[allow(clippy::too_many_arguments)] // Those of the specification.
    fn notify(
        &self,
        _app_name: String,
        _replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        _actions: Vec<String>,
        hints: HashMap<String, OwnedValue>,
        _expiry: i32,
    ) -> u32 {
        let urgency = hints.get("urgency").and_then(|urgency| u8::try_from(urgency).ok());
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sender.send((summary, body, urgency.unwrap_or(0))).unwrap();
        7
    }
}

/// A session bus of its own.
struct Bus {
    daemon: Child,
    address: String,
}

impl Bus {
    fn start() -> Bus {
        let mut daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let mut out = BufReader::new(daemon.stdout.take().unwrap());
        out.read_line(&mut address).unwrap();
        Bus { daemon, address: address.trim().into() }
    }

    fn desktop(&self) -> (Connection, Receiver<Shown>) {
        let (sender, shown) = mpsc::channel();
        let connection = Builder::address(&*self.address)
            .and_then(|bus| bus.name("org.freedesktop.Notifications"))
            .and_then(|bus| {
                bus.serve_at("/org/freedesktop/Notifications", Desktop(Mutex::new(sender)))
            })
            .and_then(Builder::build);
        (connection.unwrap(), shown)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        _ = self.daemon.kill();
        _ = self.daemon.wait();
    }
}

/// Returns exit code and everything that is printed.
fn unmoor(address: Option<&str>, words: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unmoor"));
    command.args(words.split(' ')).stdin(Stdio::null());
    command.env_remove("XDG_RUNTIME_DIR").env_remove("DBUS_SESSION_BUS_ADDRESS");
    if let Some(address) = address {
        command.env("DBUS_SESSION_BUS_ADDRESS", address);
    }
    let run = command.output().unwrap();
    let text = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    (run.status.code(), text)
}

fn the_desktop_shows_what_became_of_each_drive() {
    let bus = Bus::start();
    let (_desktop, shown) = bus.desktop();
    for (words, code, summary, urgency) in [
        ("--notify sim:stick", 0, "Safe to take out", 1),
        ("--notify --power-off sim:disk", 0, "Safe to unplug", 1),
        ("--notify -u sim:stick", 0, "Dismounted", 1),
        ("--notify sim:busy", 3, "In use: not released", 2),
        ("--notify sim:liar", 1, "Not released", 2),
        ("eject --notify sim:nosuch", 6, "Not released", 2),
    ] {
        let (ended, text) = unmoor(Some(&bus.address), words);
        assert_eq!(ended, Some(code), "{words}: {text}");
        let (title, body, level) = shown.try_recv().unwrap_or_else(|_| panic!("{words}: {text}"));
        assert_eq!((&*title, level), (summary, urgency), "{words}");
        let first = text.lines().find(|line| line.starts_with("sim:")).unwrap();
        assert!(body.starts_with(&first.replace('&', "&amp;")), "{words}: {body}\n{text}");
    }
    // Who uses it is in the notification too.
    unmoor(Some(&bus.address), "--notify sim:busy");
    assert!(shown.try_recv().unwrap().1.contains("letter.txt"));
    for words in ["sim:stick", "--notify --dry-run sim:stick"] {
        unmoor(Some(&bus.address), words);
        assert!(shown.try_recv().is_err(), "{words}");
    }
}

fn each_of_several_drives_is_shown() {
    let bus = Bus::start();
    let (_desktop, shown) = bus.desktop();
    let (code, text) = unmoor(Some(&bus.address), "--notify sim:stick sim:busy sim:cd");
    assert_eq!(code, Some(3), "{text}");
    let mut titles: Vec<String> = shown.try_iter().map(|(title, ..)| title).collect();
    titles.sort();
    assert_eq!(titles, ["In use: not released", "Safe to take out", "Safe to take out"]);
}

fn without_a_desktop_the_result_is_the_same() {
    let (code, alone) = unmoor(None, "sim:stick");
    assert_eq!(code, Some(0));
    // A bus with no desktop on it, no bus, and a bus that never answers.
    let bus = Bus::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let silent = format!("unix:path={}", path.display());
    for address in [None, Some(&*bus.address), Some("unix:path=/nonexistent"), Some(&*silent)] {
        let (code, text) = unmoor(address, "--notify sim:stick");
        assert_eq!((code, &text), (Some(0), &alone), "{address:?}");
    }
}

pub const TESTS: &[Test] = &[
    test!(the_desktop_shows_what_became_of_each_drive, DBUS_DAEMON),
    test!(each_of_several_drives_is_shown, DBUS_DAEMON),
    test!(without_a_desktop_the_result_is_the_same, DBUS_DAEMON),
];
