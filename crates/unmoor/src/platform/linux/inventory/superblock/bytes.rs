//! Bytes from a medium, and the readers that every superblock needs.

/// Bytes from a medium: what lies beyond them reads as nothing.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn get(&self, offset: usize, length: usize) -> Option<&[u8]> {
        self.0.get(offset..offset.checked_add(length)?)
    }

    pub(crate) fn is(&self, offset: usize, magic: &[u8]) -> bool {
        self.get(offset, magic.len()) == Some(magic)
    }

    pub(crate) fn array<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset, N)?.try_into().ok()
    }

    pub(crate) fn u8(&self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }

    pub(crate) fn u16(&self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_le_bytes)
    }

    /// Text up to its first NUL, without the spaces around it.
    pub(crate) fn text(&self, offset: usize, length: usize) -> Option<String> {
        text(self.get(offset, length)?)
    }

    /// A UUID of 16 bytes, as it is written down (RFC 9562).
    pub(crate) fn uuid(&self, offset: usize) -> Option<String> {
        let bytes: [u8; 16] = self.array(offset)?;
        if bytes == [0; 16] {
            return None;
        }
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        Some(parts.join("-"))
    }
}

pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_string())
}

/// UTF-16 up to its first NUL.
pub(crate) fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let units = bytes.as_chunks().0.iter().map(|pair| unit(*pair));
    let units: Vec<u16> = units.take_while(|&u| u != 0).collect();
    let text = String::from_utf16_lossy(&units);
    (!text.is_empty()).then_some(text)
}
