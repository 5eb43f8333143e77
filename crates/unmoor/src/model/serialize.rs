//! Serialization (feature `serde`): the names and shapes of the JSON document.
//!
//! Strings of JSON are Unicode. In a path that is not, each invalid part becomes U+FFFD, and a field beside it,
//! with `_bytes` added to its name, holds the true bytes in hexadecimal (Windows: UTF-16 units, little-endian).

use crate::model::blocker::{Blocker, BlockerKind, Role, UsageKind};
use crate::model::drive::{Bus, DriveKind, Medium, Presence};
use crate::model::error::{Error, ErrorKind};
use crate::model::report::TerminationResult;
use crate::model::step::{Action, Status, Step};
use crate::model::volume::VolumeKind;
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};
use std::ffi::OsStr;
use std::fmt::{Display, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

macro_rules! serialize_by_name {
    ($($type:ty)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    )*};
}

serialize_by_name! {
    Action BlockerKind Bus DriveKind ErrorKind Medium Presence Role Status Step TerminationResult UsageKind
    VolumeKind
}

impl Serialize for Blocker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Blocker", 7)?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("process", &self.process)?;
        fields.serialize_field("role", &self.process.as_ref().map(|_| self.role))?;
        fields.serialize_field("uses", &self.uses)?;
        fields.serialize_field("description", &self.description)?;
        fields.serialize_field("remedy", &self.remedy)?;
        fields.serialize_field("command", &self.command)?;
        fields.end()
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Error", 4)?;
        fields.serialize_field("kind", &self.kind())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.serialize_field("step", &self.step())?;
        fields.serialize_field("os_code", &self.os_code())?;
        fields.end()
    }
}

/// Serializes the name of a file as a field `NAME`.
///
/// If the name is not Unicode, a field `NAME_bytes` follows.
///
/// For programs that add such a field to a document of their own: `serde(flatten, serialize_with)`.
///
/// # Errors
/// The serializer's.
pub fn name_and_bytes<S: Serializer>(
    name: &'static str,
    bytes: &'static str,
    value: Option<&OsStr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_map(None)?;
    fields.serialize_entry(name, &value.map(OsStr::to_string_lossy))?;
    if let Some(value) = value.filter(|value| value.to_str().is_none()) {
        fields.serialize_entry(bytes, &hexadecimal(value))?;
    }
    fields.end()
}

pub(super) fn path<S: Serializer>(value: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    name_and_bytes("path", "path_bytes", Some(value.as_os_str()), serializer)
}

pub(super) fn root<S: Serializer>(value: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    name_and_bytes("root", "root_bytes", Some(value.as_os_str()), serializer)
}

pub(super) fn optional_path<S: Serializer>(
    value: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    name_and_bytes("path", "path_bytes", value.as_deref().map(Path::as_os_str), serializer)
}

pub(super) fn backing_file<S: Serializer>(
    value: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let value = value.as_deref().map(Path::as_os_str);
    name_and_bytes("backing_file", "backing_file_bytes", value, serializer)
}

pub(super) fn lossy<S: Serializer>(
    value: &impl AsRef<OsStr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.as_ref().to_string_lossy())
}

pub(super) fn lossy_list<S: Serializer>(
    values: &[impl AsRef<OsStr>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| value.as_ref().to_string_lossy()))
}

pub(super) fn display<S: Serializer>(
    values: &[impl Display],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

pub(super) fn milliseconds<S: Serializer>(
    value: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_micros() as f64 / 1000.0)
}

fn hexadecimal(name: &OsStr) -> String {
    let mut text = String::new();
    for byte in true_bytes(name) {
        _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(unix)]
fn true_bytes(name: &OsStr) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(name).to_vec()
}

#[cfg(windows)]
fn true_bytes(name: &OsStr) -> Vec<u8> {
    std::os::windows::ffi::OsStrExt::encode_wide(name).flat_map(u16::to_le_bytes).collect()
}
