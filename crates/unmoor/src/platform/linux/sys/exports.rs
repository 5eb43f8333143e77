//! `/proc/fs/nfsd/exports` (nfsd(7)): directories that the kernel's NFS server has open.

use crate::platform::linux::sys::mountinfo::unescape;
use crate::platform::linux::sys::pseudo_file::read_proc;
use std::path::PathBuf;

/// A directory that is exported to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub path: PathBuf,
    pub client: String,
}

/// Returns the exports in use; none where there is no server.
pub(crate) fn active() -> Vec<Export> {
    read_proc("/proc/fs/nfsd/exports").map(|text| parse(&text)).unwrap_or_default()
}

/// Returns the exports that exportfs(8) knows; none where there is no server.
pub(crate) fn table() -> Vec<Export> {
    read_proc("/var/lib/nfs/etab").map(|text| parse(&text)).unwrap_or_default()
}

/// Lines of `PATH CLIENT(OPTIONS)`, with comments.
pub fn parse(text: &[u8]) -> Vec<Export> {
    let lines = text.split(|b| *b == b'\n').filter(|line| line.starts_with(b"/"));
    lines
        .filter_map(|line| {
            let mut words = line.split(|b| matches!(b, b' ' | b'\t')).filter(|w| !w.is_empty());
            let path = PathBuf::from(unescape(words.next()?));
            let client = words.next()?.split(|b| *b == b'(').next()?;
            Some(Export { path, client: String::from_utf8_lossy(client).into_owned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comments_are_no_exports() {
        let text =
            b"# Version 1.1\n# Path Client(Flags) # IPs\n/mnt/my\\040stick\t10.0.0.0/8(rw,sync)\n";
        let export = Export { path: "/mnt/my stick".into(), client: "10.0.0.0/8".into() };
        assert_eq!(parse(text), [export]);
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_make_it_fail(text: Vec<u8>) {
            parse(&text);
        }
    }
}
