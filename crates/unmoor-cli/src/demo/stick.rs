//! The drive of the demonstration, and the files that are copied to it.

use crate::messages;
use std::ffi::OsString;
use unmoor::Target;
use unmoor::platform::Platform;

/// Drive of the demonstration.
pub trait Stick {
    fn machine(&self) -> &dyn Platform;
    fn target(&self) -> OsString;
    /// Returns a description, in one sentence.
    fn description(&self) -> String;
    /// Copies files to the drive, without waiting for them to be written.
    fn copy(&mut self) -> Result<String, String>;
    /// Makes a program open a file on the drive and keep it open.
    fn open_file(&mut self) -> Result<String, String>;
    fn close_file(&mut self) -> Result<(), String>;
    /// Compares the contents of the released medium.
    fn inspect(&mut self) -> Result<Vec<String>, String>;
    /// Removes everything that was made. Returns what is left, one sentence each.
    fn remove(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// Number of copied files, of the size of photographs.
pub const FILES: usize = 12;
const FILE_SIZE: usize = 2_000_000;

/// Returns name and content of one file: pseudo-random bytes that can be compared later.
pub fn checksum_files(index: usize) -> (String, Vec<u8>) {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64 ^ (index as u64 + 1);
    let mut content = Vec::with_capacity(FILE_SIZE + 8);
    while content.len() < FILE_SIZE {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        content.extend_from_slice(&seed.to_le_bytes());
    }
    content.truncate(FILE_SIZE);
    (format!("photo-{:02}.jpg", index + 1), content)
}

/// Describes what was copied: `12 files, 24.0 MB, copied and not synced: 23.9 MB are in memory only.`
pub fn copied(stick: &dyn Stick) -> String {
    let all = messages::size((FILES * FILE_SIZE) as u64);
    let copied = format!("{FILES} files, {all}, copied and not synced");
    let target = Target::parse(stick.target());
    let drive = target.and_then(|target| unmoor::resolve(stick.machine(), &target));
    match drive.ok().and_then(|d| d.unwritten()) {
        Some(bytes) => format!("{copied}: {} are in memory only.", messages::size(bytes)),
        None => format!("{copied}: pulling it out now would lose most of it."),
    }
}
