//! Names a user may type for a drive on Windows, classified by their form.

use crate::platform::pattern::fits;
use crate::platform::win32_parse::ioctl_output::Descriptor;

/// Form of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// `E:`, `E:\`, `e`, `\\.\E:`: a drive letter, in upper case.
    Letter(char),
    /// `\\?\Volume{…}\`, with or without the ends: the part `Volume{…}`.
    Volume(String),
    /// `\Device\HarddiskVolume5`, `\Device\CdRom0`.
    Kernel(String),
    /// `\Device\Harddisk2\Partition1`: a disk and the number of a partition.
    Partition { disk: u32, partition: u32 },
    /// `PhysicalDrive2`, `\\.\CdRom0`: a name in the Win32 device namespace, without `\\.\`.
    Device(String),
    /// `.`: the drive of the current directory.
    Current,
    /// `\`: the drive that this program lies on.
    Program,
    /// Anything else: a mounted folder, a path on the volume, or a label.
    Other,
}

/// Returns the form of a name.
pub fn parse(given: &str) -> Name {
    match given {
        "." | r".\" | "./" => return Name::Current,
        r"\" | "/" => return Name::Program,
        _ => {}
    }
    let slashed = given.replace('/', r"\");
    if let Some(kernel) = strip(&slashed, r"\Device\") {
        if let Some(name) = partition(kernel) {
            return name;
        }
        return Name::Kernel(format!(r"\Device\{}", kernel.trim_end_matches('\\')));
    }
    let bare = [r"\\.\", r"\\?\", r"\??\"].iter().find_map(|p| strip(&slashed, p));
    let short = bare.unwrap_or(&slashed).trim_end_matches('\\');
    if let Some(letter) = letter(short, bare.is_none()) {
        return Name::Letter(letter);
    }
    if strip(short, "Volume{").is_some() && short.ends_with('}') && !short.contains('\\') {
        return Name::Volume(short.to_string());
    }
    let numbered = ["PhysicalDrive", "CdRom", "Harddisk"].iter().any(|p| {
        strip(short, p).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    if numbered && !short.contains('\\') {
        return Name::Device(short.to_string());
    }
    Name::Other
}

/// `Harddisk2\Partition1`; partition 0 is the whole disk, and no partition.
fn partition(kernel: &str) -> Option<Name> {
    let (disk, partition) = strip(kernel, "Harddisk")?.split_once('\\')?;
    let partition = strip(partition, "Partition")?.trim_end_matches('\\').parse().ok()?;
    Some(Name::Partition { disk: disk.parse().ok()?, partition }).filter(|_| partition != 0)
}

/// Returns true if the word is the drive's model, with or without its vendor, or its serial number, or is
/// a pattern of one of them.
pub(crate) fn is_drive(word: &str, descriptor: &Descriptor) -> bool {
    let trimmed = |text: &Option<String>| text.as_deref().map(|text| text.trim().to_owned());
    let [vendor, model, serial] =
        [&descriptor.vendor, &descriptor.product, &descriptor.serial].map(trimmed);
    let whole = vendor.zip(model.clone()).map(|(vendor, model)| format!("{vendor} {model}"));
    [model, whole, serial].into_iter().flatten().any(|text| fits(word.trim(), &text))
}

/// Returns the last part of a kernel name: `HarddiskVolume5` of `\Device\HarddiskVolume5`.
pub fn kernel_base(kernel: &str) -> &str {
    kernel.rsplit('\\').find(|part| !part.is_empty()).unwrap_or(kernel)
}

/// Returns true for the kernel name of a floppy drive. The driver of USB floppy drives calls its devices disks and
/// counts them by itself, so their numbers are those of other drives.
pub(crate) fn is_floppy(kernel: &str) -> bool {
    strip(kernel, r"\Device\Floppy").is_some()
}

/// Returns the letter of `E:`, and of `e` if `bare_too`.
fn letter(text: &str, bare_too: bool) -> Option<char> {
    let mut chars = text.chars();
    let letter = chars.next().filter(char::is_ascii_alphabetic)?;
    let drive = match chars.as_str() {
        ":" => true,
        "" => bare_too,
        _ => false,
    };
    drive.then(|| letter.to_ascii_uppercase())
}

/// `str::strip_prefix`, blind to ASCII case as Windows names are.
fn strip<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GUID: &str = "Volume{0b2e4f3c-0000-0000-0000-100000000000}";

    #[test]
    fn every_way_to_write_a_letter_means_the_letter() {
        for given in ["E:", r"E:\", "e", "e:", "E:/", r"\\.\E:", r"\\?\e:\"] {
            assert_eq!(parse(given), Name::Letter('E'), "{given}");
        }
        assert_eq!(parse(r"E:\folder"), Name::Other);
        assert_eq!(parse("ä:"), Name::Other);
    }

    #[test]
    fn a_floppy_drive_is_known_by_its_kernel_name() {
        assert!(is_floppy(r"\Device\Floppy0") && is_floppy(r"\device\floppy1"));
        assert!(!is_floppy(r"\Device\HarddiskVolume5") && !is_floppy("Floppy0"));
    }

    #[test]
    fn volumes_devices_and_kernel_names_are_told_apart() {
        for given in [format!(r"\\?\{GUID}\"), format!(r"\\.\{GUID}"), GUID.to_string()] {
            assert_eq!(parse(&given), Name::Volume(GUID.into()), "{given}");
        }
        assert_eq!(parse(&format!(r"\\?\{GUID}\folder")), Name::Other);
        assert_eq!(parse("physicaldrive2"), Name::Device("physicaldrive2".into()));
        assert_eq!(parse(r"\\.\CdRom0"), Name::Device("CdRom0".into()));
        let kernel = Name::Kernel(r"\Device\HarddiskVolume5".into());
        assert_eq!(parse(r"\device\HarddiskVolume5"), kernel);
        assert_eq!(kernel_base(r"\Device\HarddiskVolume5"), "HarddiskVolume5");
    }

    #[test]
    fn a_partition_is_named_by_its_disk_and_number() {
        let first = Name::Partition { disk: 12, partition: 1 };
        assert_eq!(parse(r"\Device\Harddisk12\Partition1"), first);
        for other in
            [r"\Device\Harddisk1\Partition0", r"\Device\Harddisk1\DR1", r"\Device\HarddiskX\P"]
        {
            assert!(matches!(parse(other), Name::Kernel(_)), "{other}");
        }
    }

    #[test]
    fn a_model_is_named_with_or_without_its_vendor() {
        let drive = Descriptor {
            removable_media: true,
            vendor: Some("SanDisk".into()),
            product: Some("Cruzer Blade".into()),
            serial: None,
            bus: crate::model::drive::Bus::Usb,
            hotplug_bus: true,
        };
        assert!(is_drive("cruzer blade", &drive) && is_drive("SanDisk Cruzer Blade", &drive));
        assert!(!is_drive("Cruzer", &drive) && !is_drive("", &drive));
        assert!(!is_drive("", &Descriptor { product: None, ..drive }));
    }

    #[test]
    fn the_current_drive_and_the_programs_drive_have_signs() {
        assert_eq!(parse("."), Name::Current);
        assert_eq!(parse(r"\"), Name::Program);
        assert_eq!(parse("CDROM"), Name::Other, "that is a label");
    }

    proptest! {
        #[test]
        fn no_name_panics(given in ".{0,60}") {
            let _ = parse(&given);
        }

        #[test]
        fn almost_names_do_not_panic(given in r"[\\/.?EeVolumePhysicalDrive{}:0-9ä]{0,30}") {
            let _ = parse(&given);
            let _ = kernel_base(&given);
        }
    }
}
