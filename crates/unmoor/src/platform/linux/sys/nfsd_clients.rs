//! `/proc/fs/nfsd/clients` (Linux 5.3): NFSv4 clients of the kernel's server, and their open files.

use crate::platform::linux::sys::device_number::number;
use crate::platform::linux::sys::pseudo_file::{read_proc, text_of};
use crate::platform::linux::sys::sysfs::SysfsDir;
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "/proc/fs/nfsd/clients";

/// Client with state in the server: open files, locks, delegations, layouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NfsClient {
    /// File that expires the client when `expire` is written to it.
    pub(crate) ctl: PathBuf,
    /// Address: `192.0.2.7:892`.
    pub(crate) address: Option<String>,
    /// Device number of the file system of each file, and the file's name.
    pub(crate) files: Vec<(u64, String)>,
}

/// Lists the clients; empty where there is no server.
pub(crate) fn active() -> Vec<NfsClient> {
    let names = SysfsDir::open(DIRECTORY).and_then(|dir| dir.names()).unwrap_or_default();
    let client = |name: String| {
        let directory = Path::new(DIRECTORY).join(name);
        let states = read_proc(directory.join("states")).unwrap_or_default();
        let info = read_proc(directory.join("info")).unwrap_or_default();
        NfsClient { ctl: directory.join("ctl"), address: address(&info), files: files(&states) }
    };
    names.into_iter().map(client).collect()
}

/// Returns the value of the line `address` in the file `info`.
pub(crate) fn address(info: &[u8]) -> Option<String> {
    let value = info.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"address: "))?;
    text_of(value).map(|text| text.trim_matches('"').to_string())
}

/// Returns the files in the file `states`, one for each line with a superblock (`nfs4_show_superblock`).
pub(crate) fn files(states: &[u8]) -> Vec<(u64, String)> {
    let text = String::from_utf8_lossy(states);
    let file = |line: &str| {
        let superblock = value(line, "superblock: \"")?;
        let mut numbers = superblock.split(':').map(|digits| u32::from_str_radix(digits, 16));
        let device = number(numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some((device, value(line, "filename: \"").unwrap_or_default().to_string()))
    };
    text.lines().filter_map(file).collect()
}

fn value<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let rest = &line[line.find(name)? + name.len()..];
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn open_files_and_the_address_are_read() {
        let states = b"- 0x00000001c9: { type: open, access: rw, deny: --, superblock: \"08:11:13\", \
                       filename: \"dir/file\", owner: \"open id:\\x00\" }\n\
                       - 0x00000002c9: { type: deleg, access: r, superblock: \"fd:1a:13\", filename: \"x\" }\n\
                       - 0x3: { type: layout }\n";
        let expected = [(8 << 32 | 17, "dir/file".to_string()), (0xfd << 32 | 26, "x".to_string())];
        assert_eq!(files(states), expected);
        let info = b"clientid: 0x1\naddress: \"192.0.2.7:892\"\nname: \"Linux NFSv4.2 host\"\n";
        assert_eq!(address(info).as_deref(), Some("192.0.2.7:892"));
        assert_eq!(address(b""), None);
    }

    proptest! {
        #[test]
        fn no_input_panics(text: Vec<u8>) {
            files(&text);
            address(&text);
        }
    }
}
