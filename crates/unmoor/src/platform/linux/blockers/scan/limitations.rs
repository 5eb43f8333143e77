//! What could not be seen, and why.

use crate::platform::linux::blockers::mounts::scan::MountScan;
use crate::platform::linux::blockers::processes::signal_mask::mask;
use crate::platform::linux::sys::mountinfo;
use crate::platform::linux::sys::procfs::Proc;

/// The first process namespace has always this number: `PROC_PID_INIT_INO`, linux/proc_ns.h.
const FIRST_PID_NAMESPACE: &[u8] = b"pid:[4026531836]";

/// `PROC_USER_INIT_INO`, as before.
const FIRST_USER_NAMESPACE: &[u8] = b"user:[4026531837]";

/// linux/capability.h.
const CAP_SYS_PTRACE: u32 = 19;

/// Is this the process namespace that has every process in it.
pub(crate) fn sees_every_process(proc: &Proc) -> bool {
    let mut text = Vec::new();
    proc.link(c"self/ns/pid", &mut text).is_ok() && text == FIRST_PID_NAMESPACE
}

/// What is hidden from this process as a whole.
pub(crate) fn limitations(proc: &Proc, survey: &MountScan) -> Vec<String> {
    let mut notes = Vec::new();
    if !sees_every_process(proc) {
        notes.push("this runs in a container: processes outside of it are not visible".to_string());
    }
    if !may_trace(proc) && hides_processes() {
        notes
            .push("/proc is mounted so that it hides other users' processes (hidepid)".to_string());
    }
    for kept in survey.kept.iter().filter(|kept| !kept.seen) {
        notes.push(format!(
            "the mount namespace that {} keeps, in which no process is, could not be looked into",
            kept.path.display()
        ));
    }
    if survey.unseen > 0 {
        notes.push(format!(
            "the mount namespace of {} process(es) could not be told",
            survey.unseen
        ));
    }
    notes
}

/// Is every process open to this one, whoever's it is (`has_pid_permissions`, fs/proc/base.c).
fn may_trace(proc: &Proc) -> bool {
    let (mut namespace, mut status) = (Vec::new(), Vec::new());
    let read = proc.link(c"self/ns/user", &mut namespace);
    let read = read.and_then(|()| proc.read(c"self/status", &mut status));
    read.is_ok() && traces(&namespace, &status)
}

/// The root of another user namespace has the capability, and over that namespace alone.
fn traces(namespace: &[u8], status: &[u8]) -> bool {
    namespace == FIRST_USER_NAMESPACE && mask(status, b"CapEff:") & 1 << CAP_SYS_PTRACE != 0
}

fn hides_processes() -> bool {
    let Ok(mounts) = mountinfo::read_self() else { return false };
    let proc = mounts.iter().rev().find(|line| line.path == std::path::Path::new("/proc"));
    proc.is_some_and(|line| {
        let options = String::from_utf8_lossy(&line.super_options).into_owned();
        let hide = options.split(',').find_map(|o| o.strip_prefix("hidepid=").map(String::from));
        hide.is_some_and(|hide| !matches!(&*hide, "0" | "off"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_whoever_may_trace_in_the_first_user_namespace() {
        let all = b"CapEff:\t000001ffffffffff\n";
        assert!(traces(FIRST_USER_NAMESPACE, all));
        assert!(!traces(b"user:[4026532561]", all), "unshare -Ur");
        assert!(!traces(FIRST_USER_NAMESPACE, b"CapEff:\t000001fffff7ffff\n"));
        assert!(!traces(FIRST_USER_NAMESPACE, b""));
    }
}
