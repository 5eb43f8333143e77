//! uprobe_events (Documentation/trace/uprobetracer.rst): programs with a probe.

use crate::platform::linux::sys::mount_id;
use crate::platform::linux::sys::pseudo_file::read_proc;
use rustix::fs::CWD;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Mount points of tracefs: its own, and the one below debugfs.
const DIRECTORIES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Returns true if tracefs is mounted below debugfs. The kernel mounts it there at the first use.
fn is_below_debugfs() -> bool {
    let mount = |path| mount_id::of_name(CWD, path);
    mount(c"/sys/kernel/debug/tracing").is_ok_and(|id| Ok(id) != mount(c"/sys/kernel/debug"))
}

/// Probe in a program or library, which keeps the file's mount busy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uprobe {
    /// Mount point of tracefs.
    pub(crate) directory: &'static str,
    /// Group and name: `uprobes/p_true_0x1000`.
    pub(crate) event: String,
    /// Path of the program, as it was given.
    pub(crate) program: PathBuf,
}

/// Lists the probes; empty where tracefs is not mounted or may not be read.
pub(crate) fn active() -> Vec<Uprobe> {
    let read = |directory: &'static str| {
        if directory == DIRECTORIES[1] && !is_below_debugfs() {
            return None;
        }
        Some((directory, read_proc(format!("{directory}/uprobe_events")).ok()?))
    };
    let Some((directory, text)) = DIRECTORIES.into_iter().find_map(read) else {
        return Vec::new();
    };
    text.split(|b| *b == b'\n').filter_map(|line| parse(line, directory)).collect()
}

/// Parses a line of the form `p:GROUP/EVENT PATH:OFFSET ARGUMENTS`.
pub(crate) fn parse(line: &[u8], directory: &'static str) -> Option<Uprobe> {
    let mut words = line.split(|b| *b == b' ');
    let (kind, place) = (words.next()?, words.next()?);
    let event = kind.strip_prefix(b"p:").or_else(|| kind.strip_prefix(b"r:"))?;
    let event = std::str::from_utf8(event).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/');
    let colon = place.iter().rposition(|b| *b == b':')?;
    let program = PathBuf::from(OsString::from_vec(place[..colon].to_vec()));
    event.chars().all(plain).then(|| Uprobe { directory, event: event.to_string(), program })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn probes_and_return_probes_are_read() {
        let parsed = |line: &[u8]| parse(line, "/t").map(|probe| (probe.event, probe.program));
        let expected = Some(("uprobes/a".to_string(), PathBuf::from("/m/b:c")));
        assert_eq!(parsed(b"p:uprobes/a /m/b:c:0x0000000000001000"), expected);
        assert_eq!(parsed(b"r:uprobes/a /m/b:c:0x10 arg1=%ax"), expected);
        assert_eq!(parsed(b"p:uprobes/a;reboot /m/b:0x10"), None);
        assert_eq!(parsed(b""), None);
    }

    proptest! {
        #[test]
        fn no_input_panics(line: Vec<u8>) {
            parse(&line, "/t");
        }
    }
}
