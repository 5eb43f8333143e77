//! What could not be seen, and why.

use super::survey::Survey;
use crate::platform::linux::mountinfo;
use crate::platform::linux::procfs::Proc;

/// The first process namespace has always this number: `PROC_PID_INIT_INO`, linux/proc_ns.h.
const FIRST_PID_NAMESPACE: &[u8] = b"pid:[4026531836]";

/// Is this the process namespace that has every process in it.
pub(super) fn sees_every_process(proc: &Proc) -> bool {
    let mut text = Vec::new();
    proc.link(c"self/ns/pid", &mut text).is_ok() && text == FIRST_PID_NAMESPACE
}

/// What is hidden from this process as a whole.
pub(super) fn of(proc: &Proc, survey: &Survey) -> Vec<String> {
    let mut notes = Vec::new();
    if !sees_every_process(proc) {
        notes.push("this runs in a container: processes outside of it are not visible".to_string());
    }
    if !rustix::process::geteuid().is_root() && hides_processes() {
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

fn hides_processes() -> bool {
    let Ok(mounts) = mountinfo::own() else { return false };
    let proc = mounts.iter().rev().find(|line| line.path == std::path::Path::new("/proc"));
    proc.is_some_and(|line| {
        let options = String::from_utf8_lossy(&line.super_options).into_owned();
        let hide = options.split(',').find_map(|o| o.strip_prefix("hidepid=").map(String::from));
        hide.is_some_and(|hide| !matches!(&*hide, "0" | "off"))
    })
}
