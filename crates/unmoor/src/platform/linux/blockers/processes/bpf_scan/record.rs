//! Records that the programs write.

/// Size of a record, in bytes: process, thread, kind, number.
pub(crate) const RECORD_SIZE: usize = 16;

/// Kind of a record: what is known of its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    WorkingDirectory,
    Root,
    Program,
    /// Open file, or an anonymous one that may hold files.
    File,
    /// Open device.
    Node,
    MappedFile,
    MappedNode,
    /// The table of descriptors is too large for the program.
    FilesUnseen,
    /// Another one changes the memory map.
    MappingsUnseen,
    /// Mount namespace, with its number.
    Namespace,
    /// Exiting process.
    Exiting,
    /// No file of the devices is mapped, by any process.
    NothingMapped,
}

impl Kind {
    const ALL: [Kind; 12] = [
        Kind::WorkingDirectory,
        Kind::Root,
        Kind::Program,
        Kind::File,
        Kind::Node,
        Kind::MappedFile,
        Kind::MappedNode,
        Kind::FilesUnseen,
        Kind::MappingsUnseen,
        Kind::Namespace,
        Kind::Exiting,
        Kind::NothingMapped,
    ];
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) pid: u32,
    /// Thread; that of the process itself is equal to it.
    pub(crate) tid: u32,
    pub(crate) kind: Kind,
    /// Number of the device, in the kernel's own form, or of the namespace.
    pub(crate) number: u32,
}

impl Record {
    /// Reads the records in the output of an iterator.
    pub(crate) fn all(bytes: &[u8]) -> impl Iterator<Item = Record> {
        bytes.as_chunks::<RECORD_SIZE>().0.iter().filter_map(|record| {
            let word = |at: usize| {
                record[at..].first_chunk().map(|word| u32::from_ne_bytes(*word)).unwrap_or_default()
            };
            let kind = *Kind::ALL.get(word(8) as usize)?;
            Some(Record { pid: word(0), tid: word(4), kind, number: word(12) })
        })
    }

    /// Returns the number of the device as the rest of the program writes it.
    pub(crate) fn device(&self) -> u64 {
        device_of(self.number)
    }
}

/// Returns a device number, given in the kernel's own form, as the rest of the program writes it.
pub(super) fn device_of(number: u32) -> u64 {
    u64::from(number >> 20) << 32 | u64::from(number & 0xf_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_with_the_numbers_of_their_kinds() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
        let mut bytes = Vec::new();
        for word in [7u32, 8, Kind::Node as u32, 8 << 20 | 17, 1, 2, 99, 3] {
            bytes.extend(word.to_ne_bytes());
        }
        let expected = Record { pid: 7, tid: 8, kind: Kind::Node, number: 8 << 20 | 17 };
        assert_eq!(Record::all(&bytes).collect::<Vec<_>>(), [expected]);
        assert_eq!(expected.device(), 8 << 32 | 17);
    }
}
