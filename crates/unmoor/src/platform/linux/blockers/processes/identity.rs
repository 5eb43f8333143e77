//! Identity of a process: name, user, unit or container.

use crate::model::blocker::Process;
use crate::platform::linux::blockers::processes::cgroup::Owner;
use crate::platform::linux::blockers::processes::signal_mask::SignalState;
use crate::platform::linux::sys::procfs::{Result, Task, parse, status_line};
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Process, with what is needed to stop it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) process: Process,
    pub(crate) owner: Option<Owner>,
    /// True for a kernel thread.
    pub(crate) kernel: bool,
    /// True if it is in the user namespace of this program.
    pub(crate) is_in_own_user_ns: bool,
    /// Signals that it ignores, blocks or catches.
    pub(crate) signals: SignalState,
}

/// User names from `/etc/passwd`.
///
/// No name service is asked, because that may wait for the network.
#[derive(Debug, Default)]
pub struct Users(HashMap<u32, String>);

impl Users {
    /// Reads `/etc/passwd`.
    pub(crate) fn read() -> Users {
        Users::parse(&std::fs::read("/etc/passwd").unwrap_or_default())
    }

    pub fn parse(text: &[u8]) -> Users {
        let mut users = HashMap::new();
        for line in text.split(|b| *b == b'\n') {
            let mut words = line.split(|b| *b == b':');
            if let (Some(name), Some(uid)) = (words.next(), words.nth(1).and_then(parse)) {
                users.entry(uid).or_insert_with(|| String::from_utf8_lossy(name).into_owned());
            }
        }
        Users(users)
    }

    fn name(&self, uid: u32) -> String {
        self.0.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

impl Identity {
    /// Reads the identity of a process, without its command line.
    ///
    /// The command line is in the memory of the process, whose lock may be taken for long. [`command_line`] reads it.
    ///
    /// # Errors
    /// ESRCH or ENOENT if the process has exited.
    pub(crate) fn of(pid: u32, task: &Task, users: &Users, text: &mut Vec<u8>) -> Result<Identity> {
        task.read(c"comm", text)?;
        let name = OsString::from_vec(text.strip_suffix(b"\n").unwrap_or(text).to_vec());
        task.read(c"status", text)?;
        let user = uid(text).map(|uid| users.name(uid));
        let signals = SignalState::of(task, text);
        task.read(c"stat", text)?;
        let stat = stat(text);
        let started = stat.map_or(0, |stat| stat.started);
        let kernel = stat.is_some_and(|stat| stat.kernel);
        let owner = task.read(c"cgroup", text).ok().and_then(|()| Owner::parse(text));
        // The service itself is a child of PID 1. The others were started by users through it.
        let is_descendant = stat.is_some_and(|stat| stat.parent > 1);
        let owner = owner.map(|owner| if is_descendant { owner.user_owned() } else { owner });
        let unit = owner.as_ref().map(Owner::to_string);
        let process = Process { pid, name, command_line: Vec::new(), user, unit, started };
        let user_ns = task.link(c"ns/user", text).map(|()| std::mem::take(text));
        let own_user_ns = std::fs::read_link("/proc/self/ns/user").ok();
        let is_in_own_user_ns = match (user_ns, own_user_ns) {
            (Ok(other), Some(own)) => other == own.as_os_str().as_bytes(),
            _ => true,
        };
        Ok(Identity { process, owner, kernel, is_in_own_user_ns, signals })
    }
}

/// Reads the command line.
pub(crate) fn command_line(task: &Task, text: &mut Vec<u8>) -> Vec<OsString> {
    if task.read(c"cmdline", text).is_err() || text.is_empty() {
        return Vec::new();
    }
    let words = text.strip_suffix(b"\0").unwrap_or(text).split(|b| *b == 0);
    words.map(|word| OsString::from_vec(word.to_vec())).collect()
}

/// Returns the effective user: second number of the line `Uid:` in `/proc/PID/status`.
pub fn uid(status: &[u8]) -> Option<u32> {
    parse(
        status_line(status, b"Uid:")?
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty())
            .nth(1)?,
    )
}

/// Returns true if the process runs as root or as the user of a service, and as no person.
pub(crate) fn is_of_service(task: &Task) -> bool {
    let mut status = Vec::new();
    task.read(c"status", &mut status).is_ok() && uid(&status).is_some_and(is_service)
}

/// Returns true for the user IDs of root and of services, fixed or dynamic
/// (<https://systemd.io/UIDS-GIDS/>).
fn is_service(uid: u32) -> bool {
    matches!(uid, 0..1000 | 61_184..=65_519)
}

/// Fields of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub parent: u32,
    /// True for a kernel thread, which has no files.
    pub kernel: bool,
    /// Start time, in clock ticks since boot.
    pub started: u64,
}

/// Flag of a kernel thread (linux/sched.h).
const PF_KTHREAD: u64 = 0x0020_0000;

/// Flag of an exiting process (linux/sched.h).
const PF_EXITING: u64 = 0x4;

/// Returns true if the process is exiting and waits in the kernel.
///
/// Its files are not shown any more, and not closed yet.
pub(crate) fn is_exiting(stat: &[u8]) -> bool {
    let Some(end) = stat.iter().rposition(|b| *b == b')') else { return false };
    let mut words = stat[end + 1..].split(|b| *b == b' ').filter(|w| !w.is_empty());
    let is_waiting = matches!(words.next(), Some(b"D" | b"S")); // field 3
    let flags: Option<u64> = words.nth(5).and_then(parse); // field 9
    is_waiting && flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

/// Parses `/proc/PID/stat`.
///
/// The name may contain any byte, so fields count from its last bracket.
pub fn stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|b| *b == b')')?;
    let mut words = text[end + 1..].split(|b| *b == b' ').filter(|w| !w.is_empty());
    let parent = parse(words.nth(1)?)?; // field 4
    let flags: u64 = parse(words.nth(4)?)?; // field 9
    let started = parse(words.nth(12)?)?; // field 22
    Some(Stat { parent, kernel: flags & PF_KTHREAD != 0, started })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::sys::procfs::Proc;
    use proptest::prelude::*;

    #[test]
    fn a_person_is_no_service() {
        assert!([0, 5, 101, 999, 61_184, 65_519].into_iter().all(is_service));
        assert!(![1000, 1234, 60_000, 65_534, 100_000].into_iter().any(is_service));
    }

    #[test]
    fn this_process_is_identified() {
        let me = std::process::id();
        let task = Proc::open().unwrap().task(me).unwrap();
        let mut text = Vec::new();
        let identity = Identity::of(me, &task, &Users::read(), &mut text).unwrap();
        let process = identity.process;
        assert_eq!(process.pid, me);
        assert!(process.started > 0);
        assert!(process.user.is_some());
        let words: Vec<_> = std::env::args_os().collect();
        assert_eq!(command_line(&task, &mut text), words);
        task.read(c"stat", &mut text).unwrap();
        assert_eq!(stat(&text).unwrap().parent, std::os::unix::process::parent_id());
    }

    #[test]
    fn users_without_a_name_are_shown_as_numbers() {
        let users = Users::parse(b"root:x:0:0::/root:/bin/sh\nbroken\nann:x:1000:1:::\n");
        assert_eq!(
            (users.name(0), users.name(1000), users.name(7)),
            ("root".into(), "ann".into(), "7".into())
        );
    }

    #[test]
    fn an_exiting_process_that_waits_is_recognised() {
        let exiting =
            |state, flags| is_exiting(format!("7 (a) b) {state} 1 7 7 0 -1 {flags} 0").as_bytes());
        assert!(exiting("D", 0x40_0004) && exiting("S", 4));
        assert!(
            !exiting("D", 0x40_0000) && !exiting("Z", 4) && !exiting("R", 4) && !is_exiting(b"")
        );
    }

    proptest! {
        #[test]
        fn a_name_with_brackets_and_spaces_does_not_shift_the_fields(
            name in "[ -~\n]{0,15}", parent: u32, kernel: bool, started: u64,
        ) {
            let flags = if kernel { 0x0020_8040 } else { 0x0040_0000 };
            let zeros = "0 ".repeat(12);
            let text = format!("1 ({name}) S {parent} 1 1 -1 -1 {flags} {zeros}{started} 0 0\n");
            prop_assert_eq!(stat(text.as_bytes()), Some(Stat { parent, kernel, started }));
        }

        #[test]
        fn no_input_panics(text: Vec<u8>) {
            stat(&text);
            uid(&text);
            Users::parse(&text);
        }
    }
}
