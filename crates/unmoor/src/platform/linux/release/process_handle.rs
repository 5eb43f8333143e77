//! Processes that are to end: taken hold of, looked at again, asked, and made to.

use crate::model::blocker::Process;
use crate::model::error::{Error, ErrorKind, Result};
use crate::platform::ProcessHandle;
use crate::platform::linux::blockers::processes::identity::stat;
use crate::platform::linux::blockers::processes::process_blocker::is_ancestor;
use crate::platform::linux::blockers::processes::signal_mask::{SignalState, TermSignal};
use crate::platform::linux::sys::errno;
use crate::platform::linux::sys::pidfd::PidFd;
use crate::platform::linux::sys::procfs::{Proc, is_gone};
use rustix::io::Errno;
use rustix::process::Signal;

/// Takes hold of this process; `None` when it has gone, whoever has its number now.
pub fn open_process(process: &Process) -> Result<Option<Box<dyn ProcessHandle>>> {
    let failed = |errno, what| errno::error(errno, describe_process(process), what);
    let held = match PidFd::open(process.pid) {
        Ok(held) => held,
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
        Err(Errno::NOSYS) => {
            let why = "this kernel cannot hold a process (pidfd, Linux 5.3)";
            return Err(Error::new(ErrorKind::NotSupported, describe_process(process), why));
        }
        Err(errno) => return Err(failed(errno, "pidfd_open")),
    };
    // The descriptor means whoever had the number when it was opened. If that number still belongs to
    // the process that was found, it did so at that moment, too.
    let mut text = Vec::new();
    let proc = Proc::open().map_err(|errno| failed(errno, "/proc"))?;
    match proc.task(process.pid).and_then(|task| task.read(c"stat", &mut text)) {
        Ok(()) => {}
        Err(errno) if is_gone(errno) => return Ok(None),
        Err(errno) => return Err(failed(errno, "/proc/PID/stat")),
    }
    let Some(now) = stat(&text) else {
        return Err(failed(Errno::INVAL, "/proc/PID/stat"));
    };
    if now.started != process.started {
        return Ok(None);
    }
    let own = process.pid == std::process::id() || is_ancestor(&proc, process.pid);
    if own || now.kernel || process.pid <= 1 {
        return Err(Error::new(
            ErrorKind::Refused,
            describe_process(process),
            "it must not be ended",
        ));
    }
    let mildest = SignalState::of_process(&proc, process.pid).terminating_signal();
    Ok(Some(Box::new(PidFdHandle { held, name: describe_process(process), mildest })))
}

/// A process that is held.
struct PidFdHandle {
    held: PidFd,
    name: String,
    /// What it hears: interactive shells ignore SIGTERM, and heed SIGHUP.
    mildest: TermSignal,
}

impl PidFdHandle {
    fn send(&self, signal: Signal) -> Result<()> {
        match self.held.signal(signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno::error(errno, &*self.name, "pidfd_send_signal")),
        }
    }
}

impl ProcessHandle for PidFdHandle {
    fn terminate(&mut self) -> Result<&'static str> {
        let (signal, name) = match self.mildest {
            TermSignal::HangUp => (Signal::HUP, "SIGHUP"),
            // Who hears neither has no harm from being asked, before it is made to end.
            TermSignal::Terminate | TermSignal::Kill => (Signal::TERM, "SIGTERM"),
        };
        self.send(signal)?;
        // One that was stopped (Ctrl-Z) hears nothing until it goes on.
        self.send(Signal::CONT)?;
        Ok(name)
    }

    fn kill(&mut self) -> Result<&'static str> {
        self.send(Signal::KILL).map(|()| "SIGKILL")
    }

    fn has_exited(&mut self) -> bool {
        self.held.has_ended()
    }
}

fn describe_process(process: &Process) -> String {
    format!("{} (pid {})", process.name.to_string_lossy(), process.pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    /// A process that is stopped whatever the test comes to.
    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    impl Sleeper {
        fn new(script: &str) -> Sleeper {
            // A shell cannot change what was ignored when it began, as under nohup.
            let mut command = Command::new("env");
            command.args(["--default-signal=HUP,TERM", "bash", "-c"]);
            command.arg(format!("{script}\necho; read -r line"));
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut byte = [0];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut byte).unwrap();
            Sleeper(child)
        }

        fn process(&self) -> Process {
            process(self.0.id())
        }

        fn is_alive(&mut self) -> bool {
            self.0.try_wait().unwrap().is_none()
        }
    }

    fn process(pid: u32) -> Process {
        let mut text = Vec::new();
        Proc::open().unwrap().task(pid).unwrap().read(c"stat", &mut text).unwrap();
        Process {
            pid,
            name: "it".into(),
            command_line: Vec::new(),
            user: None,
            unit: None,
            started: stat(&text).unwrap().started,
        }
    }

    fn ends(sleeper: &mut Sleeper, held: &mut dyn ProcessHandle) -> bool {
        (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            !sleeper.is_alive() && held.has_exited()
        })
    }

    #[test]
    fn who_was_found_is_asked_and_ends() {
        let mut sleeper = Sleeper::new("");
        let mut held = open_process(&sleeper.process()).unwrap().expect("it is there");
        assert!(!held.has_exited());
        assert_eq!(held.terminate().unwrap(), "SIGTERM");
        assert!(ends(&mut sleeper, &mut *held));
    }

    #[test]
    fn another_process_of_the_same_number_is_never_hit() {
        let mut sleeper = Sleeper::new("");
        let earlier = Process { started: sleeper.process().started - 1, ..sleeper.process() };
        assert!(open_process(&earlier).unwrap().is_none());
        assert!(sleeper.is_alive());
    }

    #[test]
    fn who_ignores_the_usual_signal_is_hung_up() {
        let mut sleeper = Sleeper::new("trap '' TERM");
        let mut held = open_process(&sleeper.process()).unwrap().expect("it is there");
        assert_eq!(held.terminate().unwrap(), "SIGHUP");
        assert!(ends(&mut sleeper, &mut *held));
    }

    #[test]
    fn who_is_stopped_hears_it_too() {
        let mut sleeper = Sleeper::new("");
        PidFd::open(sleeper.0.id()).unwrap().signal(Signal::STOP).unwrap();
        let mut held = open_process(&sleeper.process()).unwrap().expect("it is there");
        held.terminate().unwrap();
        assert!(ends(&mut sleeper, &mut *held));
    }

    #[test]
    fn who_does_not_listen_is_made_to_end() {
        let mut sleeper = Sleeper::new("trap : TERM HUP");
        let mut held = open_process(&sleeper.process()).unwrap().expect("it is there");
        assert_eq!(held.kill().unwrap(), "SIGKILL");
        assert!(ends(&mut sleeper, &mut *held));
    }

    #[test]
    fn this_program_and_what_started_it_are_refused() {
        for pid in [std::process::id(), std::os::unix::process::parent_id(), 1] {
            let error = open_process(&process(pid)).err().expect("it is refused");
            assert_eq!(error.kind(), ErrorKind::Refused, "{pid}");
        }
    }

    #[test]
    fn threads_of_the_kernel_are_refused() {
        let mut text = Vec::new();
        let proc = Proc::open().unwrap();
        let read = proc.task(2).and_then(|task| task.read(c"stat", &mut text));
        match read.ok().and_then(|()| stat(&text)) {
            Some(stat) if stat.kernel => {
                assert_eq!(open_process(&process(2)).err().unwrap().kind(), ErrorKind::Refused);
            }
            _ => eprintln!("skipped: in a container, no thread of the kernel is to be seen"),
        }
    }
}
