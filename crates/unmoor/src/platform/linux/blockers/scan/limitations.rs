//! Limits of a scan: users that this process cannot see, and why.

use crate::platform::linux::blockers::mounts::scan::MountScan;
use crate::platform::linux::blockers::processes::signal_mask::mask;
use crate::platform::linux::sys::mountinfo;
use crate::platform::linux::sys::procfs::Proc;

/// Link of the initial PID namespace: `PROC_PID_INIT_INO`, linux/proc_ns.h.
const FIRST_PID_NAMESPACE: &[u8] = b"pid:[4026531836]";

/// Link of the initial user namespace: `PROC_USER_INIT_INO`, linux/proc_ns.h.
const FIRST_USER_NAMESPACE: &[u8] = b"user:[4026531837]";

/// Capability to trace any process (linux/capability.h).
const CAP_SYS_PTRACE: u32 = 19;

/// Returns true if this process is in the initial PID namespace, which shows every process.
pub(crate) fn sees_every_process(proc: &Proc) -> bool {
    let mut text = Vec::new();
    proc.link(c"self/ns/pid", &mut text).is_ok() && text == FIRST_PID_NAMESPACE
}

/// Returns a note for each limit that holds for the whole scan.
pub(crate) fn limitations(proc: &Proc, mounts: &MountScan) -> Vec<String> {
    let mut notes = Vec::new();
    if !proc.shows_own_namespace() {
        notes.push(
            "/proc is of another PID namespace, so its process numbers mean other processes here: \
             mount -t proc proc /proc"
                .to_string(),
        );
    }
    if !sees_every_process(proc) {
        notes.push("this runs in a container: processes outside of it are not visible".to_string());
    }
    if !may_trace(proc) && hides_processes() {
        notes
            .push("/proc is mounted so that it hides other users' processes (hidepid)".to_string());
    }
    for pinned in mounts.pinned.iter().filter(|pinned| !pinned.was_read) {
        notes.push(format!(
            "the mount namespace pinned by {}, which has no process, could not be read",
            pinned.path.display()
        ));
    }
    if mounts.unreadable > 0 {
        notes.push(format!(
            "the mount namespace of {} process(es) could not be read",
            mounts.unreadable
        ));
    }
    notes
}

/// Returns true if this process may inspect every other one (`has_pid_permissions`, fs/proc/base.c).
fn may_trace(proc: &Proc) -> bool {
    let (mut namespace, mut status) = (Vec::new(), Vec::new());
    let read = proc.link(c"self/ns/user", &mut namespace);
    let read = read.and_then(|()| proc.read(c"self/status", &mut status));
    read.is_ok() && traces(&namespace, &status)
}

/// Returns true if the capability holds in the initial user namespace, and so over every process.
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
    fn only_the_initial_user_namespace_gives_the_right_to_trace_all() {
        let all = b"CapEff:\t000001ffffffffff\n";
        assert!(traces(FIRST_USER_NAMESPACE, all));
        assert!(!traces(b"user:[4026532561]", all), "unshare -Ur");
        assert!(!traces(FIRST_USER_NAMESPACE, b"CapEff:\t000001fffff7ffff\n"));
        assert!(!traces(FIRST_USER_NAMESPACE, b""));
    }
}
