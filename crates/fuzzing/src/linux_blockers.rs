//! Parsers of the blocker scan, as functions that take any bytes (docs/fuzzing.md).

use crate::Parser;
use crate::linux::{counters, mangled};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use unmoor::fuzzing::linux::cgroup::Owner;
use unmoor::fuzzing::linux::fdinfo::FdInfo;
use unmoor::fuzzing::linux::identity::Users;
use unmoor::fuzzing::linux::maps::Mapping;
use unmoor::fuzzing::linux::mount_table::MountTable;
use unmoor::fuzzing::linux::mountinfo::source_is_device;
use unmoor::fuzzing::linux::mounts::{MountScan, Namespace, NsMember, PeerGroups};
use unmoor::fuzzing::linux::procfs::namespace_number;
use unmoor::fuzzing::linux::pseudo_file::replace;
use unmoor::fuzzing::linux::signal_mask::{SignalState, mask};
use unmoor::fuzzing::linux::{
    exports, external_stack, identity, mountinfo, overlay_options, procfs, shell_quote, sock_diag,
};

/// Parsers of what the blocker scan reads.
pub const PARSERS: [Parser; 8] = [
    ("cgroup", cgroup),
    ("mount_tables", mount_tables),
    ("overlay", overlay),
    ("proc_maps", proc_maps),
    ("proc_process", proc_process),
    ("proc_tables", proc_tables),
    ("remedies", remedies),
    ("unix_sockets", unix_sockets),
];

/// Scans the mount tables of two namespaces, with a 0 between.
pub fn mount_tables(bytes: &[u8]) {
    let middle = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let tables = [&bytes[..middle], bytes.get(middle + 1..).unwrap_or_default()];
    let nodes = [(8 << 32 | 17, 1), (8 << 32 | 16, 0)];
    let (mut scan, mut groups) = (MountScan::default(), PeerGroups::default());
    let mut mounts = 0;
    for (table, namespace) in
        tables.into_iter().zip([Namespace::Ours, Namespace::Member(NsMember::process(2))])
    {
        let mut lines = mountinfo::parse(table);
        // Such sources and relative layers would be looked up on this machine.
        lines.retain(|line| line.device >> 32 != 0 || !source_is_device(line));
        lines.retain(|line| {
            overlay_options::layers(&line.super_options).iter().all(|(_, l)| l.is_absolute())
        });
        mounts += lines.len();
        scan.add_table(&MountTable::new(lines), namespace, &nodes, &mut groups);
    }
    scan.mark_propagated(&groups);
    assert!(scan.drive_mounts.len() + scan.nested_mounts.len() <= mounts);
    assert!(scan.overlays.len() <= mounts);
    assert!(!scan.drive_mounts.iter().any(|m| m.namespace.is_ours() && m.propagates));
    assert!(scan.drive_mounts.iter().all(|m| nodes.contains(&(m.device, m.index))));
    for ours in [true, false] {
        let of_drive = scan.drive_mounts.iter().filter(|m| m.namespace.is_ours() == ours);
        let of_drive: HashSet<u64> = of_drive.map(|m| m.id).collect();
        let nested = scan.nested_mounts.iter().filter(|n| n.namespace.is_ours() == ours);
        let nested: Vec<u64> = nested.map(|n| n.id).collect();
        let unique: HashSet<u64> = nested.iter().copied().collect();
        assert_eq!(unique.len(), nested.len(), "a nested mount is reported twice");
        assert!(unique.is_disjoint(&of_drive), "a mount of the drive counts as nested");
    }
}

/// Parses `/proc/PID/maps`.
pub fn proc_maps(bytes: &[u8]) {
    for mapping in Mapping::all(bytes) {
        assert_ne!(mapping.inode, 0);
        let (path, deleted) = mapping.path();
        assert!(path.as_os_str().len() <= bytes.len());
        let (major, minor) = (mapping.device >> 32, mapping.device & 0xffff_ffff);
        let access = if mapping.writing { "rw-s" } else { "r--p" };
        let line = format!("0-1 {access} 0 {major:02x}:{minor:02x} {} ", mapping.inode);
        let mut line = line.into_bytes();
        let name = replace(path.as_os_str().as_bytes(), b"\n", br"\012");
        let plain = !name.trim_ascii_start().is_empty() && name.trim_ascii_start() == name;
        line.extend(name);
        line.extend(if deleted { &b" (deleted)"[..] } else { b"" });
        // "00:00" stands for memory without a file, however it got its inode.
        if plain && mapping.device != 0 {
            assert_eq!(Mapping::parse(&line).map(|again| again.path()), Some((path, deleted)));
        }
    }
}

/// Parses the files of one process: `fdinfo`, `status`, `stat`, the link of its namespace; and `/etc/passwd`.
pub fn proc_process(bytes: &[u8]) {
    let whole = FdInfo::parse(bytes);
    // A truncated file gives fewer fields, but no other values.
    if let Some(begin) = bytes.get(..bytes.len() / 2) {
        let part = FdInfo::parse(begin);
        let cut = begin.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let lines = FdInfo::parse(&begin[..cut]);
        assert!(lines.mount.is_none() || part.mount == lines.mount && whole.mount == lines.mount);
    }
    if let Some(stat) = identity::stat(bytes) {
        let flags = if stat.kernel { 0x0020_0000 } else { 0 };
        let zeros = "0 ".repeat(12);
        let text = format!("1 (a) b) S {} 1 1 -1 -1 {flags} {zeros}{}", stat.parent, stat.started);
        assert_eq!(identity::stat(text.as_bytes()), Some(stat));
    }
    if let Some(uid) = identity::uid(bytes) {
        assert_eq!(identity::uid(format!("Uid:\t1\t{uid}\t3\t4\n").as_bytes()), Some(uid));
    }
    let ignored = mask(bytes, b"SigIgn:");
    assert_eq!(mask(format!("SigIgn:\t{ignored:016x}\n").as_bytes(), b"SigIgn:"), ignored);
    SignalState::parse(bytes).terminating_signal();
    let _ = Users::parse(bytes);
    if let Some(number) = namespace_number(bytes) {
        assert_eq!(namespace_number(format!("mnt:[{number}]").as_bytes()), Some(number));
    }
    let number: Option<u32> = procfs::parse(bytes);
    assert!(number.is_none() || bytes.iter().all(u8::is_ascii_digit));
}

/// Parses the kernel's list of sockets that are bound to files.
pub fn unix_sockets(bytes: &[u8]) {
    let mut found = Vec::new();
    sock_diag::parse(bytes, |bound| found.push(bound));
    assert!(found.len() <= bytes.len() / 32);
    for bound in found {
        assert_ne!(bound.socket, 0);
        // A socket name ends at its first 0, and is at most 108 bytes long.
        if bound.name.len() < 108 {
            let mut again = Vec::new();
            let part = sock_diag::parse(&sock_diag::written(&bound), |b| again.push(b));
            assert_eq!((part, again), (sock_diag::Part::Last, vec![bound]));
        }
    }
}

/// Parses tables of the whole system: NFS exports and counters of unwritten pages.
pub fn proc_tables(bytes: &[u8]) {
    counters(bytes);
    for export in exports::parse(bytes) {
        assert!(export.path.is_absolute());
        let path = mangled(export.path.as_os_str().as_bytes());
        let line = [&path[..], b"\t", export.client.as_bytes(), b"(rw)\n"].concat();
        assert_eq!(exports::parse(&line), [export]);
    }
}

/// Parses `/proc/PID/cgroup`, and builds the command that stops the unit.
///
/// A user who may create a control group chooses its name. No name becomes an option of the command, or more than one
/// word.
pub fn cgroup(bytes: &[u8]) {
    let Some(owner) = Owner::parse(bytes) else { return };
    assert!(!owner.to_string().is_empty() && !owner.noun().is_empty());
    let Some(words) = owner.stop() else { return };
    const OURS: [&str; 3] = ["--user", "--machine", "-n"];
    for word in &words {
        let ours = OURS.contains(&word.as_str());
        assert!(ours || !word.starts_with('-'), "{words:?} has a foreign option");
    }
    if let Some(command) = shell_quote::shell_command(words.iter().map(OsStr::new)) {
        assert!(
            command.contains(OCTAL) || split_by_a_shell(&command).as_deref() == Some(&words[..])
        );
    }
}

/// Parses the options of an overlay.
pub fn overlay(bytes: &[u8]) {
    let layers = overlay_options::layers(bytes);
    assert!(layers.iter().map(|(_, layer)| layer.as_os_str().len()).sum::<usize>() <= bytes.len());
    // The kernel escapes a layer for the option, and then for mountinfo.
    let shown = |name: &str, layer: &[u8]| {
        let own = layer.iter().flat_map(|b| match b {
            b'\\' | b':' | b',' => vec![b'\\', *b],
            b => vec![*b],
        });
        let own: Vec<u8> = own.collect();
        let escaped = own.iter().flat_map(|b| match b {
            b',' | b' ' | b'\t' | b'\n' | b'\\' => format!("\\{b:03o}").into_bytes(),
            b => vec![*b],
        });
        [name.as_bytes().to_vec(), b"=".to_vec(), escaped.collect()].concat()
    };
    for (role, layer) in layers {
        assert!(["lowerdir", "upperdir", "workdir"].contains(&role));
        let bytes = layer.as_os_str().as_bytes();
        if !bytes.is_empty() {
            assert_eq!(overlay_options::layers(&shown(role, bytes)), [(role, layer.clone())]);
        }
    }
}

/// Start of a word that is written in octal.
const OCTAL: &str = "\"$(printf '";

/// Builds commands with names of files and of logical volumes in them.
///
/// A shell reads back the same words, and no control character reaches the terminal.
pub fn remedies(bytes: &[u8]) {
    let words: Vec<&OsStr> = bytes.split(|b| *b == 0).map(OsStr::from_bytes).collect();
    if let Some(line) = shell_quote::shell_command(words.iter().copied()) {
        assert!(!line.contains(char::is_control));
        let meant: Option<Vec<String>> =
            words.iter().map(|word| word.to_str().map(str::to_string)).collect();
        // Words in octal are read back by a real shell, in the tests of `shell_quote`.
        assert!(line.contains(OCTAL) || split_by_a_shell(&line) == meant);
    }
    if let Some(line) = shell_quote::command_on(&["umount"], Path::new(OsStr::from_bytes(bytes))) {
        assert!(line.contains(OCTAL) || split_by_a_shell(&line).is_some_and(|w| w.len() == 2));
    }
    let replaced = replace(bytes, br"\012", b"\n");
    assert!(replaced.len() <= bytes.len());
    assert!(!replaced.windows(4).any(|four| four == br"\012") || bytes.contains(&b'\\'));
    if let Ok(name) = std::str::from_utf8(bytes) {
        assert!(external_stack::logical_volume(name).len() <= name.len());
    }
}

/// Splits a line of plain and quoted words as a POSIX shell does (sh(1p), 2.2 "Quoting").
fn split_by_a_shell(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            '\'' => {
                begun = true;
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '\\' => {
                begun = true;
                word.push(chars.next()?);
            }
            // Special characters of the shell have to be quoted.
            c if "|&;<>()$`\"\t\n*?[#~!{}".contains(c) => return None,
            c => {
                begun = true;
                word.push(c);
            }
        }
    }
    if begun {
        words.push(word);
    }
    Some(words)
}
