//! Handles of processes that are to end: opened, checked again, terminated and killed.

use crate::model::blocker::Process;
use crate::model::error::{Error, ErrorKind, Result};
use crate::platform::ProcessHandle;
use crate::platform::linux::blockers::processes::identity::stat;
use crate::platform::linux::blockers::processes::process_blocker::is_ancestor;
use crate::platform::linux::blockers::processes::signal_mask::{SignalState, TermSignal};
use crate::platform::linux::inventory::servers;
use crate::platform::linux::sys::errno;
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::pidfd::PidFd;
use crate::platform::linux::sys::procfs::{Proc, is_gone};
use rustix::io::Errno;
use rustix::process::Signal;

/// Opens this process; `None` if it has ended, even if another one has its number.
pub fn open_process(process: &Process) -> Result<Option<Box<dyn ProcessHandle>>> {
    let failed = |errno, what| errno::error(errno, describe_process(process), what);
    let proc = Proc::open().map_err(|errno| failed(errno, "/proc"))?;
    if !proc.shows_own_namespace() {
        let why = "/proc is of another PID namespace: the number means another process here";
        return Err(Error::new(ErrorKind::Refused, describe_process(process), why));
    }
    let pidfd = match PidFd::open(process.pid) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
        Err(Errno::NOSYS) => {
            let why = "this kernel cannot hold a process (pidfd, Linux 5.3)";
            return Err(Error::new(ErrorKind::NotSupported, describe_process(process), why));
        }
        Err(errno) => return Err(failed(errno, "pidfd_open")),
    };
    // The descriptor means the process that had the number when it was opened. If the number still belongs to the
    // process that was found, it did so at that moment, too.
    let mut text = Vec::new();
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
    let table = MountTable::read_self().map_err(|errno| failed(errno, "/proc/self/mountinfo"))?;
    let servers = servers::find_among(&table, vec![process.pid]);
    if servers.is_none_or(|servers| !servers.is_empty()) {
        let why = "it serves a mounted file system or a block device, and is not ended";
        return Err(Error::new(ErrorKind::Refused, describe_process(process), why));
    }
    let own = process.pid == std::process::id() || is_ancestor(&proc, process.pid);
    if own || now.kernel || process.pid <= 1 {
        return Err(Error::new(
            ErrorKind::Refused,
            describe_process(process),
            "it must not be ended",
        ));
    }
    let terminating_signal = SignalState::of_process(&proc, process.pid).terminating_signal();
    Ok(Some(Box::new(PidFdHandle { pidfd, name: describe_process(process), terminating_signal })))
}

/// A process, by its pidfd.
struct PidFdHandle {
    pidfd: PidFd,
    name: String,
    /// Signal that ends it: interactive shells ignore SIGTERM, and end at SIGHUP.
    terminating_signal: TermSignal,
}

impl PidFdHandle {
    fn send(&self, signal: Signal) -> Result<()> {
        match self.pidfd.signal(signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno::error(errno, &*self.name, "pidfd_send_signal")),
        }
    }
}

impl ProcessHandle for PidFdHandle {
    fn terminate(&mut self) -> Result<&'static str> {
        let (signal, name) = match self.terminating_signal {
            TermSignal::HangUp => (Signal::HUP, "SIGHUP"),
            // SIGTERM does no harm to a process that ignores it, before SIGKILL.
            TermSignal::Terminate | TermSignal::Kill => (Signal::TERM, "SIGTERM"),
        };
        self.send(signal)?;
        // A stopped process (Ctrl-Z) gets no signal until it continues.
        self.send(Signal::CONT)?;
        Ok(name)
    }

    fn kill(&mut self) -> Result<&'static str> {
        self.send(Signal::KILL).map(|()| "SIGKILL")
    }

    fn has_exited(&mut self) -> bool {
        self.pidfd.has_exited()
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

    /// A process that is killed at the end of the test.
    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    impl Sleeper {
        fn new(script: &str) -> Sleeper {
            // A shell cannot handle a signal that was ignored when it began, as under nohup.
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

    fn ends(sleeper: &mut Sleeper, pidfd: &mut dyn ProcessHandle) -> bool {
        (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            !sleeper.is_alive() && pidfd.has_exited()
        })
    }

    #[test]
    fn a_process_ends_at_sigterm() {
        let mut sleeper = Sleeper::new("");
        let mut pidfd = open_process(&sleeper.process()).unwrap().expect("it is there");
        assert!(!pidfd.has_exited());
        assert_eq!(pidfd.terminate().unwrap(), "SIGTERM");
        assert!(ends(&mut sleeper, &mut *pidfd));
    }

    /// Runs this test's own program in a PID namespace whose /proc is another's.
    #[test]
    #[ignore = "needs root"]
    fn no_process_is_opened_by_the_numbers_of_another_pid_namespace() {
        let name = "no_process_is_opened_by_the_numbers_of_another_pid_namespace";
        const PROCESS: &str = "UNMOOR_TEST_PROCESS";
        if let Ok(pid) = std::env::var(PROCESS) {
            let error = open_process(&process(pid.parse().unwrap())).err().expect("it is refused");
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            assert!(error.to_string().contains("PID namespace"), "{error}");
            return;
        }
        let mut sleeper = Sleeper::new("");
        for options in [&["--pid", "--fork"][..], &["--pid"]] {
            let program = std::env::current_exe().unwrap();
            let mut command = Command::new("unshare");
            command.args(options).arg("sh").args(["-c", "\"$@\"; exit $?", "sh"]).arg(program);
            command.args([name, "--ignored"]).env(PROCESS, sleeper.0.id().to_string());
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
            assert!(sleeper.is_alive());
        }
    }

    #[test]
    fn another_process_of_the_same_number_gets_no_signal() {
        let mut sleeper = Sleeper::new("");
        let earlier = Process { started: sleeper.process().started - 1, ..sleeper.process() };
        assert!(open_process(&earlier).unwrap().is_none());
        assert!(sleeper.is_alive());
    }

    #[test]
    fn a_process_that_ignores_sigterm_gets_sighup() {
        let mut sleeper = Sleeper::new("trap '' TERM");
        let mut pidfd = open_process(&sleeper.process()).unwrap().expect("it is there");
        assert_eq!(pidfd.terminate().unwrap(), "SIGHUP");
        assert!(ends(&mut sleeper, &mut *pidfd));
    }

    #[test]
    fn a_stopped_process_ends_too() {
        let mut sleeper = Sleeper::new("");
        PidFd::open(sleeper.0.id()).unwrap().signal(Signal::STOP).unwrap();
        let mut pidfd = open_process(&sleeper.process()).unwrap().expect("it is there");
        pidfd.terminate().unwrap();
        assert!(ends(&mut sleeper, &mut *pidfd));
    }

    #[test]
    fn a_process_that_handles_both_signals_is_killed() {
        let mut sleeper = Sleeper::new("trap : TERM HUP");
        let mut pidfd = open_process(&sleeper.process()).unwrap().expect("it is there");
        assert_eq!(pidfd.kill().unwrap(), "SIGKILL");
        assert!(ends(&mut sleeper, &mut *pidfd));
    }

    #[test]
    fn this_program_and_its_ancestors_are_refused() {
        for pid in [std::process::id(), std::os::unix::process::parent_id(), 1] {
            let error = open_process(&process(pid)).err().expect("it is refused");
            assert_eq!(error.kind(), ErrorKind::Refused, "{pid}");
        }
    }

    #[test]
    #[ignore = "needs /proc with threads of the kernel: not in a container"]
    fn threads_of_the_kernel_are_refused() {
        let mut text = Vec::new();
        let proc = Proc::open().unwrap();
        let read = proc.task(2).and_then(|task| task.read(c"stat", &mut text));
        match read.ok().and_then(|()| stat(&text)) {
            Some(stat) if stat.kernel => {
                assert_eq!(open_process(&process(2)).err().unwrap().kind(), ErrorKind::Refused);
            }
            _ => panic!("no thread of the kernel is visible here"),
        }
    }
}
