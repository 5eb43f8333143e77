//! Texts that an answer points to: the pointers lead into the answer itself, or they are lies.

use crate::platform::win32_parse::bytes::Bytes;

/// Output with pointers into itself, and the address where it was written.
#[derive(Debug, Clone, Copy)]
pub struct Buffer<'a> {
    pub(crate) bytes: Bytes<'a>,
    /// Address of the first byte.
    base: u64,
    /// Size of a pointer: 4 or 8.
    pub(crate) pointer: usize,
}

impl<'a> Buffer<'a> {
    pub fn new(bytes: &'a [u8], base: u64, pointer: usize) -> Self {
        Buffer { bytes: Bytes(bytes), base, pointer }
    }

    /// Returns the bytes from the target of the pointer at this offset on.
    fn at_pointer(self, at: usize) -> Option<Bytes<'a>> {
        let target = self.bytes.pointer(at, self.pointer)?;
        let offset = usize::try_from(target.checked_sub(self.base)?).ok()?;
        self.bytes.0.get(offset..).filter(|rest| !rest.is_empty()).map(Bytes)
    }

    /// Returns the NUL-terminated text that the pointer at this offset leads to; `None` for a null pointer, for
    /// one that leads elsewhere, and for a text without an end.
    pub(crate) fn sz(self, at: usize) -> Option<Vec<u16>> {
        let units: Vec<u16> = self.at_pointer(at)?.units().take_while(|&u| u != 0).collect();
        let room = self.at_pointer(at)?.0.len() / 2;
        (units.len() < room).then_some(units)
    }

    /// Returns the `UNICODE_STRING` at this offset: length and room in bytes, then a pointer.
    pub fn counted(self, at: usize) -> Option<Vec<u16>> {
        let length = usize::from(self.bytes.u16(at)?);
        if length == 0 {
            return Some(Vec::new());
        }
        let text = self.at_pointer(at + self.pointer)?;
        Some(Bytes(text.0.get(..length)?).units().collect())
    }

    /// Returns the security identifier that the pointer at this offset leads to.
    ///
    /// `SID` of `winnt.h` is a revision, the count of numbers, six bytes of authority, and the numbers.
    pub fn sid(self, at: usize) -> Option<Vec<u8>> {
        let sid = self.at_pointer(at)?;
        let length = 8 + 4 * usize::from(sid.u8(1)?);
        sid.0.get(..length).map(<[u8]>::to_vec)
    }
}

/// Returns a security identifier in text form: `S-1-5-21-…-1001`.
pub fn sid_text(sid: &[u8]) -> Option<String> {
    let bytes = Bytes(sid);
    let authority = sid.get(2..8)?.iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    let mut text = format!("S-{}-{authority}", bytes.u8(0)?);
    for number in 0..usize::from(bytes.u8(1)?) {
        text.push_str(&format!("-{}", bytes.u32(8 + 4 * number)?));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: u64 = 0x7000;

    fn counted(length: u16, pointer: u64, text: &str) -> Vec<u8> {
        let mut out = [length.to_le_bytes(), length.to_le_bytes()].concat();
        out.extend([0; 4]);
        out.extend(pointer.to_le_bytes());
        out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        out
    }

    #[test]
    fn a_counted_text_is_read_from_behind_its_pointer() {
        let bytes = counted(4, BASE + 16, "E:\\");
        let text = Buffer::new(&bytes, BASE, 8).counted(0).unwrap();
        assert_eq!(String::from_utf16_lossy(&text), "E:");
        assert_eq!(Buffer::new(&counted(0, 0, ""), BASE, 8).counted(0), Some(vec![]));
    }

    #[test]
    fn a_pointer_that_leads_elsewhere_leads_nowhere() {
        for pointer in [0, 1, BASE - 1, BASE + 16 + 4, u64::MAX] {
            let bytes = counted(4, pointer, "E:");
            assert_eq!(Buffer::new(&bytes, BASE, 8).counted(0), None, "{pointer:#x}");
        }
        let longer_than_sent = counted(400, BASE + 16, "E:");
        assert_eq!(Buffer::new(&longer_than_sent, BASE, 8).counted(0), None);
    }

    #[test]
    fn a_text_without_an_end_is_none() {
        let bytes = |text| counted(0, BASE + 16, text);
        let read = |text| Buffer::new(&bytes(text), BASE, 8).sz(8);
        assert_eq!(read("ab\0c"), Some("ab".encode_utf16().collect()));
        assert_eq!(read("ab"), None);
        assert_eq!(read("\0"), Some(vec![]));
    }

    #[test]
    fn a_security_identifier_is_written_as_windows_writes_it() {
        let mut bytes = (BASE + 8).to_le_bytes().to_vec();
        bytes.extend([1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0]);
        let sid = Buffer::new(&bytes, BASE, 8).sid(0).unwrap();
        assert_eq!(sid_text(&sid).as_deref(), Some("S-1-5-32-544"));
        bytes.pop();
        assert_eq!(Buffer::new(&bytes, BASE, 8).sid(0), None);
        assert_eq!(sid_text(&[1, 1]), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..64), base: u64, at in 0..80usize,
        ) {
            for pointer in [4, 8] {
                let answer = Buffer::new(&bytes, base, pointer);
                let _ = (answer.sz(at), answer.counted(at));
                let _ = answer.sid(at).and_then(|sid| sid_text(&sid));
                let _ = sid_text(&bytes);
            }
        }

        #[test]
        fn near_pointers_do_not_panic(
            length in 0..40u16, offset in 0..40u64, text in "[a-z\\x00]{0,9}",
        ) {
            let bytes = counted(length, BASE + offset, &text);
            let answer = Buffer::new(&bytes, BASE, 8);
            let read = answer.counted(0).unwrap_or_default();
            prop_assert!(read.len() <= bytes.len() / 2);
            let _ = answer.sz(8);
        }
    }
}
