//! Who a process is: name, user, what started it.

use crate::model::blocker::Process;
use crate::platform::linux::blockers::processes::cgroup::Owner;
use crate::platform::linux::blockers::processes::signal_mask::SignalState;
use crate::platform::linux::sys::procfs::{Result, Task, parse};
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// A process, and what stops it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) process: Process,
    pub(crate) owner: Option<Owner>,
    /// It is a thread of the kernel.
    pub(crate) kernel: bool,
    /// The signals it hears.
    pub(crate) hearing: SignalState,
}

/// Names of users, from `/etc/passwd` alone: a name service may wait for the network.
#[derive(Debug, Default)]
pub(crate) struct Users(HashMap<u32, String>);

impl Users {
    /// Reads `/etc/passwd`.
    pub(crate) fn read() -> Users {
        Users::parse(&std::fs::read("/etc/passwd").unwrap_or_default())
    }

    pub(crate) fn parse(text: &[u8]) -> Users {
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
    /// Asks proc, for what does not wait: the command line is in the memory of the process, whose lock
    /// somebody may hold, so it comes later ([`command_line`]).
    pub(crate) fn of(pid: u32, task: &Task, users: &Users, text: &mut Vec<u8>) -> Result<Identity> {
        task.read(c"comm", text)?;
        let name = OsString::from_vec(text.strip_suffix(b"\n").unwrap_or(text).to_vec());
        task.read(c"status", text)?;
        let user = uid(text).map(|uid| users.name(uid));
        let hearing = SignalState::of(task, text);
        task.read(c"stat", text)?;
        let stat = stat(text);
        let started = stat.map_or(0, |stat| stat.started);
        let kernel = stat.is_some_and(|stat| stat.kernel);
        let owner = task.read(c"cgroup", text).ok().and_then(|()| Owner::parse(text));
        // The service itself is a child of the first process; the rest is what people started through it.
        let through = stat.is_some_and(|stat| stat.parent > 1);
        let owner = owner.map(|owner| if through { owner.user_owned() } else { owner });
        let unit = owner.as_ref().map(Owner::to_string);
        let process = Process { pid, name, command_line: Vec::new(), user, unit, started };
        Ok(Identity { process, owner, kernel, hearing })
    }
}

/// The command line.
pub(crate) fn command_line(task: &Task, text: &mut Vec<u8>) -> Vec<OsString> {
    if task.read(c"cmdline", text).is_err() || text.is_empty() {
        return Vec::new();
    }
    let words = text.strip_suffix(b"\0").unwrap_or(text).split(|b| *b == 0);
    words.map(|word| OsString::from_vec(word.to_vec())).collect()
}

/// The effective user: second number of the line `Uid:` in `/proc/PID/status`.
pub(crate) fn uid(status: &[u8]) -> Option<u32> {
    parse(
        status_line(status, b"Uid:")?
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty())
            .nth(1)?,
    )
}

/// What a line of `/proc/PID/status` says.
pub(crate) fn status_line<'t>(status: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let mut lines = status.split(|b| *b == b'\n');
    lines.find_map(|line| line.strip_prefix(name)).map(<[u8]>::trim_ascii)
}

/// What is of use in `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    /// It is a thread of the kernel, and has no files.
    pub(crate) kernel: bool,
    /// Clock ticks since boot.
    pub(crate) started: u64,
}

/// `linux/sched.h`.
const PF_KTHREAD: u64 = 0x0020_0000;

/// `linux/sched.h`: it is on its way through `exit`.
const PF_EXITING: u64 = 0x4;

/// Does it end, and wait for something in the kernel on its way out: what it had open is not shown any
/// more, and not closed yet.
pub(crate) fn is_exiting(stat: &[u8]) -> bool {
    let Some(end) = stat.iter().rposition(|b| *b == b')') else { return false };
    let mut words = stat[end + 1..].split(|b| *b == b' ').filter(|w| !w.is_empty());
    let waits = matches!(words.next(), Some(b"D" | b"S")); // field 3
    let flags: Option<u64> = words.nth(5).and_then(parse); // field 9
    waits && flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

/// Reads `/proc/PID/stat`. The name in it may hold anything, so fields count from its last bracket.
pub(crate) fn stat(text: &[u8]) -> Option<Stat> {
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
    fn this_process_is_known() {
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
    fn users_without_a_name_are_numbers() {
        let users = Users::parse(b"root:x:0:0::/root:/bin/sh\nbroken\nann:x:1000:1:::\n");
        assert_eq!(
            (users.name(0), users.name(1000), users.name(7)),
            ("root".into(), "ann".into(), "7".into())
        );
    }

    #[test]
    fn one_that_waits_on_its_way_out_is_told_from_the_living_and_the_dead() {
        let held_up =
            |state, flags| is_exiting(format!("7 (a) b) {state} 1 7 7 0 -1 {flags} 0").as_bytes());
        assert!(held_up("D", 0x40_0004) && held_up("S", 4));
        assert!(
            !held_up("D", 0x40_0000) && !held_up("Z", 4) && !held_up("R", 4) && !is_exiting(b"")
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
        fn no_bytes_at_all_make_it_fail(text: Vec<u8>) {
            stat(&text);
            uid(&text);
            Users::parse(&text);
        }
    }
}
