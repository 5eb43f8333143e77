//! The service manager's list: which service runs in which process.

use crate::platform::win32_parse::self_relative::Buffer;

/// Running service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Process of the service.
    pub pid: u32,
    /// Name that `net stop` takes.
    pub name: Vec<u16>,
}

/// Reads the `ENUM_SERVICE_STATUS_PROCESSW` records of `EnumServicesStatusExW`.
///
/// A record of `winsvc.h` is two pointers to texts (name, display name), then nine numbers, of which the eighth is the process.
pub fn services(answer: &[u8], count: usize, base: u64, pointer: usize) -> Vec<Service> {
    let size = (2 * pointer + 36).next_multiple_of(pointer);
    let answer = Buffer::new(answer, base, pointer);
    let room = answer.bytes.0.len() / size;
    (0..count.min(room))
        .filter_map(|index| {
            let at = index * size;
            let pid = answer.bytes.u32(at + 2 * pointer + 28).filter(|&pid| pid != 0)?;
            let name = answer.sz(at).filter(|name| !name.is_empty())?;
            Some(Service { pid, name })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: u64 = 0x4000;

    fn record(name_at: u64, pid: u32, pointer: usize) -> Vec<u8> {
        let mut out = (BASE + name_at).to_le_bytes()[..pointer].to_vec();
        out.extend(&BASE.to_le_bytes()[..pointer]);
        for number in [0x10, 4, 0, 0, 0, 0, 0, pid, 0u32] {
            out.extend(number.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(pointer), 0);
        out
    }

    fn list(pids: &[u32], pointer: usize) -> Vec<u8> {
        let size = record(0, 0, pointer).len();
        let text: Vec<u8> = "Spooler\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let at = (size * pids.len()) as u64;
        let mut out: Vec<u8> = pids.iter().flat_map(|&pid| record(at, pid, pointer)).collect();
        out.extend(text);
        out
    }

    #[test]
    fn services_are_read_with_their_process_for_both_pointer_sizes() {
        for pointer in [4, 8] {
            let read = services(&list(&[812, 900], pointer), 2, BASE, pointer);
            assert_eq!(read.iter().map(|s| s.pid).collect::<Vec<_>>(), [812, 900]);
            assert_eq!(String::from_utf16_lossy(&read[0].name), "Spooler");
        }
    }

    #[test]
    fn missing_and_failing_programs_are_left_out() {
        assert!(services(&list(&[0], 8), 1, BASE, 8).is_empty());
        assert_eq!(services(&list(&[812], 8), usize::MAX, BASE, 8).len(), 1);
        assert!(services(&list(&[812], 8), 1, BASE + 0x100_0000, 8).is_empty());
        assert!(services(&[], 9, BASE, 8).is_empty());
    }

    proptest! {
        #[test]
        fn no_list_makes_the_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), count: usize, base: u64,
        ) {
            for pointer in [4, 8] {
                let _ = services(&bytes, count, base, pointer);
            }
        }
    }
}
