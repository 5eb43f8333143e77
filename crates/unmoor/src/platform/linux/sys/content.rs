//! Type, label and UUID of a volume, and the bytes that they are read from.

/// Content of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// `ext4`, `vfat`, `crypto_LUKS`, … as libblkid names them.
    pub kind: String,
    /// Label.
    pub label: Option<String>,
    /// UUID or serial number, as libblkid writes it.
    pub uuid: Option<String>,
}

impl Content {
    /// Content of this kind, without label and UUID.
    pub fn of(kind: &str) -> Content {
        Content { kind: kind.into(), label: None, uuid: None }
    }

    /// Sets the label.
    #[must_use]
    pub fn label(mut self, label: Option<String>) -> Content {
        self.label = label;
        self
    }

    /// Sets the UUID.
    #[must_use]
    pub fn uuid(mut self, uuid: Option<String>) -> Content {
        self.uuid = uuid;
        self
    }
}

/// Something that can be read at any offset: gives as many bytes as there are.
pub trait ReadAt {
    /// Reads at most `length` bytes from `offset`.
    fn read_at(&self, offset: u64, length: usize) -> Vec<u8>;
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, length: usize) -> Vec<u8> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        self[start..start.saturating_add(length).min(self.len())].to_vec()
    }
}
