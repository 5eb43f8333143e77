//! Numbers and texts at offsets in an answer of unknown length.

/// Output of a driver, of the length it returned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    pub(crate) fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    pub(crate) fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// Returns a number or address of pointer size: 4 or 8 bytes.
    pub(crate) fn pointer(self, at: usize, size: usize) -> Option<u64> {
        if size == 4 { self.u32(at).map(u64::from) } else { self.u64(at) }
    }

    /// Returns the bytes as units of UTF-16, without an odd one at the end.
    pub(crate) fn units(self) -> impl Iterator<Item = u16> + 'a {
        self.0.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair))
    }

    /// Returns a size, which Windows keeps signed; `None` for a negative one.
    pub(crate) fn size(self, at: usize) -> Option<u64> {
        self.u64(at).filter(|&n| i64::try_from(n).is_ok())
    }

    /// Returns a NUL-terminated text, trimmed; `None` for an empty one.
    pub(crate) fn text(self, at: usize) -> Option<String> {
        let rest = self.0.get(at..)?;
        let end = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
        let text = String::from_utf8_lossy(&rest[..end]);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_string())
    }

    /// Returns up to `count` records of `size` bytes from `at` on.
    pub(crate) fn records(
        self,
        at: usize,
        size: usize,
        count: usize,
    ) -> impl Iterator<Item = Bytes<'a>> {
        let rest = self.0.get(at..).unwrap_or(&[]);
        rest.chunks_exact(size).take(count).map(Bytes)
    }
}
