//! Processes that keep something of a drive in use, until a test ends.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

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

/// Process that is killed when the test ends.
pub struct Holder(pub Child);

impl Holder {
    /// Starts a process and waits for the line on standard output that says it is ready.
    pub fn ready(command: &mut Command) -> Holder {
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
    pub fn shell(script: &str, argument: impl AsRef<OsStr>) -> Holder {
        let script = format!("{script}\necho ready; read forever; exit 0");
        // A shell cannot trap signals that were ignored when it started.
        let signals = ["--default-signal=HUP,TERM", "bash", "-c", &script, "bash"];
        Holder::ready(Command::new("env").args(signals).arg(argument))
    }

    /// Starts a shell in a mount namespace of its own, without the mounts of other tests.
    pub fn in_a_namespace(propagation: &str, script: &str, keep: &Path) -> Holder {
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

    /// Starts a Python program after the prologue, with the path as `keep`.
    pub fn python(script: &str, keep: &Path) -> Holder {
        let script = format!("{PROLOGUE}{script}");
        Holder::ready(Command::new("python3").args(["-c", &script]).arg(keep))
    }

    /// Returns the PID.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a shell that runs `script` with `$1` set. It prints a line when it is ready.
pub fn shell(script: &str, argument: &Path) -> Holder {
    Holder::ready(Command::new("sh").args(["-c", script, "sh"]).arg(argument))
}
