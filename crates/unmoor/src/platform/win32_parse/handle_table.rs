//! Reader of the system's table of handles.
//!
//! `NtQuerySystemInformation(SystemExtendedHandleInformation)` answers with `SYSTEM_HANDLE_INFORMATION_EX`:
//! a count, a reserved word, then records, all of pointer size. The class is in no Windows header; the
//! layout is the one that public headers of debugging tools and of Wine agree on.

use crate::platform::win32_parse::bytes::Bytes;

/// Handle of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    /// Process that has the handle.
    pub pid: u32,
    /// Value of the handle in that process.
    pub value: u64,
    /// Access rights: an `ACCESS_MASK`.
    pub access: u32,
    /// Type of the object, a number that differs between versions of Windows.
    pub kind: u16,
}

/// Reads the table, as far as there are records. `pointer` is 4 or 8.
pub fn handle_table(answer: &[u8], pointer: usize) -> Vec<Handle> {
    let bytes = Bytes(answer);
    let Some(count) = bytes.pointer(0, pointer) else { return Vec::new() };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    // Object, process and handle, each of pointer size; access, two short numbers, attributes, reserved.
    let size = 3 * pointer + 16;
    let read = |record: Bytes<'_>| {
        Some(Handle {
            pid: u32::try_from(record.pointer(pointer, pointer)?).ok()?,
            value: record.pointer(2 * pointer, pointer)?,
            access: record.u32(3 * pointer)?,
            kind: record.u16(3 * pointer + 6)?,
        })
    };
    bytes.records(2 * pointer, size, count).filter_map(read).collect()
}

/// Returns the handles of the same type as one that is known to be a file's; `None` if the table lacks
/// that one.
pub(crate) fn files_like(table: &[Handle], pid: u32, value: u64) -> Option<Vec<Handle>> {
    let known = table.iter().find(|handle| handle.pid == pid && handle.value == value)?;
    Some(table.iter().filter(|handle| handle.kind == known.kind).copied().collect())
}

/// Returns the handle without its tag bits. Its two low bits are the application's to mark it with
/// (`OBJ_HANDLE_TAGBITS` of `ntdef.h`): `ntdll` sets bit 0 in the handle of a current directory on a
/// removable medium, and bit 1 in one that is about to be replaced.
pub(crate) fn untagged(handle: u64) -> Option<u64> {
    const OBJ_HANDLE_TAGBITS: u64 = 3;
    Some(handle & !OBJ_HANDLE_TAGBITS).filter(|&handle| handle != 0)
}

/// `FILE_READ_DATA` of `winnt.h`, for a directory `FILE_LIST_DIRECTORY`.
const FILE_READ_DATA: u32 = 0x01;
/// `FILE_WRITE_DATA`.
const FILE_WRITE_DATA: u32 = 0x02;
/// `FILE_APPEND_DATA`.
const FILE_APPEND_DATA: u32 = 0x04;
/// `FILE_EXECUTE`, for a directory `FILE_TRAVERSE`.
const FILE_EXECUTE: u32 = 0x20;

/// Returns true if a handle with these rights can write.
pub(crate) fn may_write(access: u32) -> bool {
    access & (FILE_WRITE_DATA | FILE_APPEND_DATA) != 0
}

/// Returns true if a handle with these rights can read, run or write. A volume opened for less blocks no
/// file system.
pub(crate) fn may_touch(access: u32) -> bool {
    may_write(access) || access & (FILE_READ_DATA | FILE_EXECUTE) != 0
}

/// Returns true if a handle with these rights that does not answer is taken for a pipe.
///
/// A question to a file that was opened for synchronous I/O waits for the request that the file is in.
/// Pipes, consoles and serial ports are in a read for as long as nothing comes; a file on a disk is not.
/// Pipe ends have these rights: `CreatePipe` gives FILE_GENERIC_READ with FILE_WRITE_ATTRIBUTES and
/// FILE_GENERIC_WRITE with FILE_READ_ATTRIBUTES, consoles and duplex pipes have both. A directory that a
/// program watches (FILE_LIST_DIRECTORY, SYNCHRONIZE) has others.
pub(crate) fn is_pipe_like(access: u32) -> bool {
    matches!(access, 0x12_0189 | 0x12_0196 | 0x12_019b | 0x12_019f | 0x10_0000 | 0x1a_019f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marks_on_a_handle_are_no_part_of_it() {
        for marked in [0x54, 0x55, 0x56, 0x57] {
            assert_eq!(untagged(marked), Some(0x54));
        }
        assert_eq!([untagged(0), untagged(3)], [None, None]);
    }

    /// A table as the kernel writes it.
    fn table(handles: &[Handle], pointer: usize) -> Vec<u8> {
        let word = |n: u64| n.to_le_bytes()[..pointer].to_vec();
        let mut out = [word(handles.len() as u64), word(0)].concat();
        for handle in handles {
            out.extend(word(0xdead_beef));
            out.extend(word(handle.pid.into()));
            out.extend(word(handle.value));
            out.extend(handle.access.to_le_bytes());
            out.extend([0, 0]);
            out.extend(handle.kind.to_le_bytes());
            out.extend([0; 8]);
        }
        out
    }

    const FILE: Handle = Handle { pid: 812, value: 0x44, access: 0x12_019f, kind: 37 };

    #[test]
    fn a_table_is_read_for_both_pointer_sizes() {
        for pointer in [4, 8] {
            let read = handle_table(&table(&[FILE, FILE], pointer), pointer);
            assert_eq!(read, [FILE, FILE], "{pointer}");
        }
    }

    #[test]
    fn more_handles_promised_than_sent_are_not_made_up() {
        let mut answer = table(&[FILE, FILE], 8);
        answer[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(handle_table(&answer, 8).len(), 2);
        answer.truncate(answer.len() - 1);
        assert_eq!(handle_table(&answer, 8), [FILE]);
        assert!(handle_table(&answer[..7], 8).is_empty());
    }

    #[test]
    fn a_process_number_that_is_none_is_left_out() {
        let mut answer = table(&[FILE], 8);
        answer[16 + 8..16 + 16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(handle_table(&answer, 8).is_empty());
    }

    #[test]
    fn files_are_known_by_the_type_of_a_file() {
        let pipe_or_key = Handle { kind: 41, value: 0x48, ..FILE };
        let other = Handle { pid: 4, value: 0x10, ..FILE };
        let all = [pipe_or_key, FILE, other];
        assert_eq!(files_like(&all, 812, 0x44), Some(vec![FILE, other]));
        assert_eq!(files_like(&all, 812, 0x99), None);
    }

    #[test]
    fn rights_tell_writing_from_reading_and_from_asking() {
        assert!(may_write(0x2) && may_write(0x4) && !may_write(0x12_0089));
        assert!(may_touch(0x1) && may_touch(0x20) && !may_touch(0x10_0080));
    }

    #[test]
    fn a_stuck_pipe_is_told_from_a_watched_directory_and_a_file_that_is_read() {
        assert!([0x12_0189, 0x12_0196, 0x12_019f, 0x10_0000].into_iter().all(is_pipe_like));
        assert!(![0x10_0001, 0x12_0089, 0x12_0116].into_iter().any(is_pipe_like));
    }

    proptest! {
        #[test]
        fn no_table_makes_the_reader_panic(answer in proptest::collection::vec(any::<u8>(), 0..300)) {
            for pointer in [4, 8] {
                let read = handle_table(&answer, pointer);
                prop_assert!(read.len() <= answer.len() / (3 * pointer + 16));
            }
        }
    }
}
