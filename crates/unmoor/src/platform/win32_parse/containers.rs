//! Encrypted containers that VeraCrypt or TrueCrypt has mounted.

use crate::platform::win32_parse::bytes::Bytes;

/// Number of drive letters.
const LETTERS: usize = 26;
/// Length of a path in the list, in UTF-16 units.
const PATH: usize = 260;

/// Mounted container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Letter of the volume in it.
    pub letter: char,
    /// File or partition of the container: `\??\E:\secret.hc`, `\Device\Harddisk1\Partition1`.
    pub source: String,
}

impl Container {
    /// Returns the source without the prefix of the kernel's names: `E:\\secret.hc`.
    pub fn path(&self) -> &str {
        self.source.strip_prefix(r"\??\").unwrap_or(&self.source)
    }
}

/// Reads the answer to `TC_IOCTL_GET_MOUNTED_VOLUMES` (VeraCrypt's and TrueCrypt's `Apidrvr.h`).
///
/// `MOUNT_LIST_STRUCT` begins with the bits of the letters in use and a path of 260 units for each letter; the
/// rest differs between versions.
pub fn containers(answer: &[u8]) -> Vec<Container> {
    let letters = Bytes(answer).u32(0).unwrap_or(0);
    let paths = Bytes(answer).records(4, PATH * 2, LETTERS);
    ('A'..='Z')
        .zip(paths)
        .enumerate()
        .filter(|(bit, _)| letters & (1 << bit) != 0)
        .filter_map(|(_, (letter, path))| {
            let units: Vec<u16> = path.units().take_while(|unit| *unit != 0).collect();
            let source = String::from_utf16_lossy(&units);
            (!source.is_empty()).then_some(Container { letter, source })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(mounted: &[(char, &str)], bits: u32) -> Vec<u8> {
        let mut answer = bits.to_le_bytes().to_vec();
        answer.resize(4 + LETTERS * PATH * 2 + 100, 0);
        for (letter, path) in mounted {
            let at = 4 + (*letter as usize - 'A' as usize) * PATH * 2;
            let path: Vec<u8> = path.encode_utf16().flat_map(u16::to_le_bytes).collect();
            answer[at..at + path.len()].copy_from_slice(&path);
        }
        answer
    }

    #[test]
    fn letters_in_use_have_their_container() {
        let answer = list(&[('V', r"\??\E:\secret.hc"), ('W', "stale")], 1 << 21);
        let expected = Container { letter: 'V', source: r"\??\E:\secret.hc".into() };
        assert_eq!(expected.path(), r"E:\secret.hc");
        assert_eq!(containers(&answer), [expected]);
    }

    #[test]
    fn short_and_empty_answers_have_no_container() {
        assert!(containers(&[]).is_empty());
        assert!(containers(&u32::MAX.to_le_bytes()).is_empty());
        assert!(containers(&list(&[], u32::MAX)).is_empty());
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..14000)) {
            prop_assert!(containers(&bytes).len() <= LETTERS);
        }
    }
}
