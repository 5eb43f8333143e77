//! Parsers of what Windows reports (docs/fuzzing.md).

use crate::Parser;
use crate::bytes::{take, units};
use unmoor::ErrorKind;
use unmoor::fuzzing::win32::*;

/// Parsers of what Windows reports.
pub const PARSERS: [Parser; 4] = [
    ("windows_answers", windows_answers),
    ("windows_errors", windows_errors),
    ("windows_names", windows_names),
    ("windows_tables", windows_tables),
];

/// The structures that `DeviceIoControl` fills in.
///
/// No list is longer than the bytes that it could have come from, and texts are trimmed and end.
pub fn windows_answers(bytes: &[u8]) {
    if let Some(number) = device_number(bytes) {
        assert!(number.partition.is_none_or(|n| n != 0 && n != u32::MAX));
        let partition = number.partition.unwrap_or(0);
        let words = [number.kind, number.number, partition].map(u32::to_le_bytes);
        assert_eq!(device_number(&words.concat()), Some(number));
    }
    if let Some(disks) = disk_extents(bytes) {
        assert!(disks.len() <= bytes.len() / 24);
        assert!(disks.windows(2).all(|pair| pair[0] < pair[1]), "each disk once");
    }
    if let Some(descriptor) = device_descriptor(bytes) {
        for text in [descriptor.vendor, descriptor.product, descriptor.serial].into_iter().flatten()
        {
            assert!(!text.is_empty() && text.trim() == text && !text.contains('\0'));
            // A byte that is no UTF-8 becomes a character of three.
            assert!(text.len() <= bytes.len() * 3);
        }
    }
    if let Some(size) = disk_size(bytes) {
        assert!(size > 0 && i64::try_from(size).is_ok());
    }
    assert!(bytes_written(bytes).is_none_or(|size| i64::try_from(size).is_ok()));
    let _ = hotplug(bytes);
}

/// Error codes and vetoes: whatever the number, an error comes of it that says what to look up.
pub fn windows_errors(mut bytes: &[u8]) {
    let code = u32::from_le_bytes(take(&mut bytes));
    let kind = i32::from_le_bytes(take(&mut bytes));
    let status = u32::from_le_bytes(take(&mut bytes));
    let name = String::from_utf8_lossy(bytes).into_owned();
    let error = error(code, &name, "IOCTL_STORAGE_EJECT_MEDIA");
    assert_eq!(error.os_code(), Some(code as i32));
    assert!(error.to_string().contains(&code.to_string()));
    assert!(code_name(code).contains(&code.to_string()));
    let _ = says_unsupported(code);
    let veto = Veto { call: "CM_Request_Device_EjectW", kind, name: name.clone(), status };
    let passes = veto.may_pass() && !veto.is_gone_already();
    let error = veto.into_error("E:");
    assert!(error.hint().is_some());
    assert!(error.to_string().contains(&kind.to_string()));
    assert!(!passes || error.kind() != ErrorKind::NotPermitted, "asked again for a missing right");
}

/// Names that a user may type, and lists of names that Windows hands out.
pub fn windows_names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse_name(&text) {
        Name::Letter(letter) => {
            assert!(letter.is_ascii_uppercase());
            assert_eq!(parse_name(&format!(r"\\.\{letter}:")), Name::Letter(letter));
        }
        Name::Volume(volume) => {
            assert!(!volume.contains('\\') && volume.ends_with('}'));
            assert_eq!(parse_name(&format!(r"\\?\{volume}\")), Name::Volume(volume));
        }
        Name::Device(device) => {
            assert!(!device.contains('\\'));
            assert_eq!(parse_name(&format!(r"\\.\{device}")), Name::Device(device));
        }
        Name::Partition { disk, partition } => {
            let name = format!(r"\Device\Harddisk{disk}\Partition{partition}");
            assert_eq!(parse_name(&name), Name::Partition { disk, partition });
        }
        Name::Kernel(kernel) => {
            assert!(kernel.starts_with(r"\Device\"));
            assert_eq!(parse_name(&kernel), Name::Kernel(kernel.clone()));
            assert!(kernel.ends_with(kernel_base(&kernel)) || kernel.ends_with('\\'));
        }
        Name::Current | Name::Program | Name::Other => {}
    }
    if let Some(volume) = page_file_volume(&text) {
        let known = volume.starts_with(r"\Device\");
        assert!(known || matches!(parse_name(&volume), Name::Letter(_)), "{volume:?}");
    }
    let units = units(bytes);
    let mut used = 0;
    for text in multi_sz(&units) {
        assert!(!text.is_empty() && !text.contains(&0));
        used += text.len();
    }
    assert!(used <= units.len());
    assert!(units.starts_with(sz(&units)) && !sz(&units).contains(&0));
}

/// Tables with pointers in them, names of files, command lines: what the search for blockers reads.
///
/// No table is longer than what it came from, no text holds what ends one, and a command that is offered
/// is read back as the words that were meant.
pub fn windows_tables(mut bytes: &[u8]) {
    let pointer = if take::<1>(&mut bytes)[0] & 1 == 0 { 4 } else { 8 };
    let base = u64::from_le_bytes(take(&mut bytes));
    assert!(handle_table(bytes, pointer).len() <= bytes.len() / (3 * pointer + 16));
    for file in image_files(bytes, base, pointer) {
        assert!(!file.volume.is_empty() && !file.volume.contains(&0) && !file.path.contains(&0));
    }
    assert!(containers(bytes).len() <= 26);
    for service in services(bytes, usize::MAX, base, pointer) {
        assert!(service.pid != 0 && !service.name.is_empty() && !service.name.contains(&0));
    }
    let answer = Buffer::new(bytes, base, pointer);
    assert!(answer.counted(0).is_none_or(|text| text.len() <= bytes.len() / 2));
    assert!(answer.sid(0).and_then(|sid| sid_text(&sid)).is_none_or(|text| text.starts_with("S-")));
    let units = units(bytes);
    let stick = VolumeNames {
        kernel: Some(r"\Device\HarddiskVolume5".into()),
        guid: Some(r"\\?\Volume{ab}\".into()),
        mounts: vec![r"E:\".into()],
    };
    if let Some(VolumePath { volume, path }) = find(&[stick], &units) {
        assert_eq!(volume, 0);
        let shown = path.map(|path| String::from_utf16_lossy(&path));
        assert!(shown.is_none_or(|shown| shown.starts_with(r"E:\")));
    }
    let all = words(&units);
    assert!(all.iter().map(Vec::len).sum::<usize>() <= units.len());
    let name = String::from_utf16_lossy(&units);
    if let Some(command) = mounted_folder(&name) {
        assert!(!command.contains(char::is_control));
        let line: Vec<u16> = command.encode_utf16().collect();
        assert_eq!(words(&line).len(), 3, "{command:?}");
    }
    if let Some(command) = image(&name).1 {
        let line: Vec<u16> = command.encode_utf16().collect();
        assert_eq!(words(&line).len(), 4, "{command:?}");
    }
}
