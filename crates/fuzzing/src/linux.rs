//! Parsers of what the kernel, udev and drives report (docs/fuzzing.md).

use crate::Parser;
use crate::bytes::take;
use std::cell::Cell;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use unmoor::fuzzing::linux::btf::{Errno, Source, WantedTypes};
use unmoor::fuzzing::linux::mount_table::MountTable;
use unmoor::fuzzing::linux::mountinfo::{MountInfo, unescape};
use unmoor::fuzzing::linux::sense::{ScsiResponse, Sense};
use unmoor::fuzzing::linux::superblock::ReadAt;
use unmoor::fuzzing::linux::sysfs::BlockDevice;
use unmoor::fuzzing::linux::{
    btf, describe, device_number, dm_ioctl, mountinfo, pseudo_file, superblock, swaps, udev,
    writeback,
};

/// Parsers of what the kernel, udev and drives report.
pub const PARSERS: [Parser; 7] = [
    ("btf", btf),
    ("device_numbers", device_numbers),
    ("mountinfo", mountinfo),
    ("sense", sense),
    ("superblock", superblock),
    ("sysfs", sysfs),
    ("udev", udev),
];

/// `/proc/PID/mountinfo`.
///
/// Every line that is understood comes back when it is written as the kernel writes it.
pub fn mountinfo(bytes: &[u8]) {
    let table = MountTable::new(mountinfo::parse(bytes));
    assert!(table.len() <= bytes.iter().filter(|b| **b == b'\n').count() + 1);
    for line in table.iter() {
        let again = mountinfo::parse(&written(line));
        assert_eq!(again, std::slice::from_ref(line));
        let mount = table.to_mount(line);
        assert_eq!((mount.id, mount.parent, &mount.path), (line.id, line.parent, &line.path));
    }
    assert_eq!(unescape(&mangled(bytes)).as_bytes(), bytes);
    assert!(unescape(bytes).len() <= bytes.len());
}

/// A line of mountinfo, as `show_mountinfo` (fs/proc_namespace.c) writes it.
pub(crate) fn written(line: &MountInfo) -> Vec<u8> {
    let mut out = format!("{} {} ", line.id, line.parent).into_bytes();
    out.extend(format!("{}:{} ", line.device >> 32, line.device & 0xffff_ffff).into_bytes());
    out.extend([mangled(line.root.as_bytes()), b" ".to_vec()].concat());
    out.extend([mangled(line.path.as_os_str().as_bytes()), b" ".to_vec()].concat());
    out.extend([line.options.as_bytes(), b" "].concat());
    for (tag, group) in [("shared", line.shared), ("master", line.master)] {
        out.extend(group.map(|group| format!("{tag}:{group} ")).unwrap_or_default().into_bytes());
    }
    out.extend([b"- ", line.file_system.as_bytes(), b" "].concat());
    out.extend([&mangled(line.source.as_bytes())[..], b" ", &line.super_options].concat());
    out
}

/// The kernel's escapes (`mangle()`, fs/proc_namespace.c).
pub(crate) fn mangled(bytes: &[u8]) -> Vec<u8> {
    let escape = |b: &u8| match b {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{b:03o}").into_bytes(),
        other => vec![*other],
    };
    bytes.iter().flat_map(escape).collect()
}

/// Sense data, and the answer to a SCSI command on its way out of a child process.
pub fn sense(bytes: &[u8]) {
    let sense = Sense::parse(bytes);
    if let Some(sense) = sense {
        assert!((1..16).contains(&sense.key));
        assert!(!sense.tray_open() || sense.no_medium());
        let meanings =
            [sense.no_medium(), sense.stopped(), sense.transient(), sense.unknown_command()];
        assert!(meanings.iter().filter(|is| **is).count() <= 1, "{sense:?} means two things");
        assert!(!sense.to_string().contains(char::is_control));
        // What a drive leaves out counts as zero: sending that changes nothing.
        assert_eq!(Sense::parse(&[bytes, &[0; 20]].concat()), Some(sense));
        assert_eq!(
            ScsiResponse::from_bytes(ScsiResponse::Check(sense).to_bytes()),
            ScsiResponse::Check(sense)
        );
    }
    let mut rest = bytes;
    let answer = ScsiResponse::from_bytes(take(&mut rest));
    assert_eq!(ScsiResponse::from_bytes(answer.to_bytes()), answer);
}

/// Device numbers in their three spellings: `8:17`, `dev_t`, device-mapper.
pub fn device_numbers(mut bytes: &[u8]) {
    if let Some(number) = std::str::from_utf8(bytes).ok().and_then(device_number::parse) {
        let text = format!("{}:{}", number >> 32, number & 0xffff_ffff);
        assert_eq!(device_number::parse(&text), Some(number));
    }
    // The kernel has twelve bits and twenty (linux/kdev_t.h).
    let major = u64::from(u32::from_le_bytes(take(&mut bytes)) & 0xfff);
    let minor = u64::from(u32::from_le_bytes(take(&mut bytes)) & 0xf_ffff);
    let number = major << 32 | minor;
    assert_eq!(device_number::from_dev(dm_ioctl::encoded(number)), number);
    let any = device_number::from_dev(u64::from_le_bytes(take(&mut bytes)));
    assert_eq!(device_number::parse(&format!("{}:{}", any >> 32, any as u32)), Some(any));
}

/// Attributes and links of sysfs: the place of a drive, the number of a partition, texts and numbers.
pub fn sysfs(bytes: &[u8]) {
    if let Some(text) = pseudo_file::text_of(bytes) {
        assert!(!text.is_empty());
        assert_eq!(pseudo_file::text_of(text.as_bytes()).as_deref(), Some(&*text));
        assert_eq!(pseudo_file::text_of(format!("{text}\n").as_bytes()), Some(text));
    }
    let text = String::from_utf8_lossy(bytes);
    let (target, name) = text.split_once('\n').unwrap_or((&text, ""));
    if let Some(place) = BlockDevice::parse(Path::new("/sys/dev/block"), target) {
        assert!(!place.disk.is_empty() && !place.disk.contains('/'));
        assert_eq!(place.disk_path.file_name(), Some(place.disk.as_ref()));
        assert!(place.partition.as_ref().is_none_or(|p| !p.is_empty() && !p.contains('/')));
        assert!(place.disk_path.starts_with("/"));
        let _ = place.bus();
        if let Some(number) = describe::partition_number(&place.disk, name) {
            let digits = name[place.disk.len()..].trim_start_matches(['p', '+', '0']);
            assert!(digits == number.to_string() || number == 0);
        }
    }
}

/// `/proc/swaps`, and the counters of what is unwritten.
pub(crate) fn counters(bytes: &[u8]) {
    for path in swaps::parse(bytes) {
        assert!(path.is_absolute());
        assert!(path.as_os_str().len() <= bytes.len());
        let line = [b"Filename\n", &mangled(path.as_os_str().as_bytes())[..], b" file 4 0 -3\n"];
        // Other white space than the kernel escapes ends a name, and no kernel writes it.
        if !path.as_os_str().as_bytes().iter().any(|b| matches!(b, b'\r' | 0x0c)) {
            assert_eq!(swaps::parse(&line.concat()), [path]);
        }
    }
    let one = writeback::sum(bytes, &["Dirty:"]);
    let both = writeback::sum(bytes, &["Dirty:", "Writeback:"]);
    assert!(both.is_none() || one <= both);
}

/// udev's database.
pub fn udev(bytes: &[u8]) {
    if let Some(content) = udev::parse(bytes) {
        assert!(!content.kind.is_empty());
        for text in [content.label, content.uuid].into_iter().flatten() {
            assert!(!text.is_empty());
            let property = format!("E:ID_FS_TYPE=x\nE:ID_FS_LABEL_ENC={}\n", encoded(&text));
            assert_eq!(udev::parse(property.as_bytes()).and_then(|c| c.label), Some(text));
        }
    }
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(udev::decode(&encoded(&text)), text);
}

/// As udev's `encode_devnode_name` writes what is not a plain character.
fn encoded(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(*c) || !c.is_ascii();
    let escape = |c: char| match plain(&c) {
        true => c.to_string(),
        false => format!("\\x{:02x}", u32::from(c)),
    };
    text.chars().map(escape).collect()
}

/// Superblocks. The bytes are pieces of a medium: an offset, a length, and what stands there.
///
/// No more than a megabyte is read in at most 300 pieces, whatever the medium says of itself.
pub fn superblock(bytes: &[u8]) {
    let medium = Medium::new(bytes);
    if let Some(content) = superblock::probe(&medium) {
        assert!(!content.kind.is_empty());
        assert!(content.label.is_none_or(|label| !label.is_empty() && label.len() < 4096));
        assert!(content.uuid.is_none_or(|uuid| !uuid.is_empty() && uuid.len() < 160));
    }
    assert!(medium.reads.get() <= 300, "{} reads", medium.reads.get());
    assert!(medium.volume.get() <= 1 << 20, "{} bytes read", medium.volume.get());
}

/// A medium of 64 MiB, with zeros between its pieces.
pub struct Medium {
    pieces: Vec<(usize, Vec<u8>)>,
    reads: Cell<usize>,
    volume: Cell<usize>,
}

impl Medium {
    const SIZE: usize = 64 << 20;

    /// Reads the pieces: offset (4 bytes), length (2 bytes), content.
    pub fn new(mut bytes: &[u8]) -> Medium {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let offset = u32::from_le_bytes(take(&mut bytes)) as usize % Medium::SIZE;
            let length = usize::from(u16::from_le_bytes(take(&mut bytes))).min(bytes.len());
            pieces.push((offset, bytes[..length].to_vec()));
            bytes = &bytes[length..];
        }
        Medium { pieces, reads: Cell::new(0), volume: Cell::new(0) }
    }
}

impl ReadAt for Medium {
    fn read_at(&self, offset: u64, length: usize) -> Vec<u8> {
        assert!(length <= 128 * 1024, "{length} bytes in one read");
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(Medium::SIZE);
        let end = start.saturating_add(length).min(Medium::SIZE);
        let mut out = vec![0; end - start];
        for (at, piece) in &self.pieces {
            let (from, to) = ((*at).max(start), (at + piece.len()).min(end));
            if from < to {
                out[from - start..to - start].copy_from_slice(&piece[from - at..to - at]);
            }
        }
        self.reads.set(self.reads.get() + 1);
        self.volume.set(self.volume.get() + out.len());
        out
    }
}

/// The kernel's description of its types.
pub fn btf(bytes: &[u8]) {
    const FUNCTIONS: [&str; 1] = ["bpf_iter_task_file"];
    const MEMBERS: [(&str, &str); 2] = [("file", "f_inode"), ("inode", "i_sb")];
    let wanted = WantedTypes { functions: &FUNCTIONS, members: &MEMBERS };
    if let Ok(found) = btf::find_in(&Description(bytes), &wanted) {
        for (of, name) in MEMBERS {
            assert!(found.member(of, name).is_none_or(|at| at >= 0));
        }
        // Each type takes three words.
        let most = bytes.len() as u32 / 12;
        assert!(found.function(FUNCTIONS[0]).is_none_or(|number| (1..=most).contains(&number)));
    }
}

struct Description<'b>(&'b [u8]);

impl Source for Description<'_> {
    fn read(&self, room: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.0.get(at..)).unwrap_or(&[]);
        let length = room.len().min(rest.len());
        room[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}
