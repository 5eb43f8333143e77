//! Kernel names of files, and their paths on this drive.
//!
//! The kernel names a file `\Device\HarddiskVolume5\folder\letter.txt`; Wine names it by the letter it
//! was opened with, `\??\E:\folder\letter.txt`; Windows' settings have `\??\C:\pagefile.sys` and
//! `C:\pagefile.sys`. All of them are found here.

/// Names of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeNames {
    /// Kernel name: `\Device\HarddiskVolume5`.
    pub kernel: Option<String>,
    /// Volume name: `\\?\Volume{…}`.
    pub guid: Option<String>,
    /// Mount points: `E:\`, `C:\Mount\Card\`. The first one is shown.
    pub mounts: Vec<String>,
}

/// File on one of the volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePath {
    /// Index of the volume, counted from 0.
    pub volume: usize,
    /// Path that is shown; `None` for the volume itself, opened as a device.
    pub path: Option<Vec<u16>>,
}

/// Returns the volume that a file lies on; `None` for a file of another drive.
pub fn find(places: &[VolumeNames], name: &[u16]) -> Option<VolumePath> {
    let mut best: Option<(usize, VolumePath)> = None;
    for (volume, place) in places.iter().enumerate() {
        for prefix in place.prefixes() {
            let Some(rest) = below(name, &prefix) else { continue };
            // A folder where a volume is mounted lies on another volume: the longest name is meant.
            if best.as_ref().is_none_or(|(length, _)| prefix.len() > *length) {
                let path = (!rest.is_empty()).then(|| place.user_path(rest));
                best = Some((prefix.len(), VolumePath { volume, path }));
            }
        }
    }
    best.map(|(_, location)| location)
}

impl VolumeNames {
    /// Returns the prefixes of the names of its files, without a final `\`.
    fn prefixes(&self) -> Vec<String> {
        let bare = |name: &str| name.trim_end_matches('\\').to_string();
        let mut all: Vec<String> = self.kernel.iter().map(|name| bare(name)).collect();
        let win32 = self.mounts.iter().chain(&self.guid).map(|name| bare(name));
        for name in win32.filter(|name| !name.is_empty()) {
            let inner = name.strip_prefix(r"\\?\").unwrap_or(&name);
            all.extend([r"\??\", r"\\?\", r"\DosDevices\"].map(|way| format!("{way}{inner}")));
            all.push(name);
        }
        all.retain(|name| !name.is_empty());
        all
    }

    /// Returns the path that is shown.
    fn user_path(&self, rest: &[u16]) -> Vec<u16> {
        let names = self.mounts.iter().chain(&self.guid).chain(&self.kernel);
        let root = names.map(|name| name.trim_end_matches('\\')).find(|name| !name.is_empty());
        root.unwrap_or_default().encode_utf16().chain(rest.iter().copied()).collect()
    }
}

/// Returns the rest of `name` after `prefix`: empty, or with a `\` in front. Blind to ASCII case.
fn below<'n>(name: &'n [u16], prefix: &str) -> Option<&'n [u16]> {
    let mut rest = name;
    for wanted in prefix.encode_utf16() {
        let (first, others) = rest.split_first()?;
        if lower(*first) != lower(wanted) {
            return None;
        }
        rest = others;
    }
    (rest.is_empty() || rest[0] == u16::from(b'\\')).then_some(rest)
}

fn lower(unit: u16) -> u16 {
    u8::try_from(unit).map_or(unit, |byte| byte.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places() -> Vec<VolumeNames> {
        let stick = VolumeNames {
            kernel: Some(r"\Device\HarddiskVolume5".into()),
            guid: Some(r"\\?\Volume{ab}\".into()),
            mounts: vec![r"E:\".into(), r"C:\Mount\Card\".into()],
        };
        let nameless = VolumeNames {
            kernel: Some(r"\Device\HarddiskVolume6".into()),
            guid: Some(r"\\?\Volume{cd}\".into()),
            mounts: vec![],
        };
        vec![stick, nameless]
    }

    fn found(name: &str) -> Option<(usize, Option<String>)> {
        let units: Vec<u16> = name.encode_utf16().collect();
        let location = find(&places(), &units)?;
        Some((location.volume, location.path.map(|path| String::from_utf16_lossy(&path))))
    }

    #[test]
    fn a_file_is_found_by_every_name_it_may_have() {
        for name in [
            r"\Device\HarddiskVolume5\a\b.txt",
            r"\device\harddiskvolume5\a\b.txt",
            r"\??\E:\a\b.txt",
            r"\??\e:\a\b.txt",
            r"\\?\E:\a\b.txt",
            r"\DosDevices\E:\a\b.txt",
            r"E:\a\b.txt",
            r"C:\Mount\Card\a\b.txt",
            r"\\?\Volume{AB}\a\b.txt",
            r"\??\Volume{ab}\a\b.txt",
        ] {
            assert_eq!(found(name), Some((0, Some(r"E:\a\b.txt".into()))), "{name}");
        }
    }

    #[test]
    fn a_volume_whose_name_only_begins_alike_is_another_one() {
        for name in [
            r"\Device\HarddiskVolume55\a.txt",
            r"\Device\HarddiskVolume",
            r"\??\EE:\a",
            r"\Device\Mup\server\share\E:\a",
            r"C:\Mount\Cards\a",
            r"C:\Mount",
            "",
        ] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn the_volume_itself_is_no_file_on_it_and_its_root_is_one() {
        assert_eq!(found(r"\Device\HarddiskVolume5"), Some((0, None)));
        assert_eq!(found(r"\Device\HarddiskVolume5\"), Some((0, Some(r"E:\".into()))));
    }

    #[test]
    fn a_volume_without_a_letter_is_called_by_its_volume_name() {
        let path = r"\\?\Volume{cd}\x".to_string();
        assert_eq!(found(r"\Device\HarddiskVolume6\x"), Some((1, Some(path))));
    }

    #[test]
    fn a_volume_mounted_in_a_folder_of_another_is_itself() {
        let mut all = places();
        all[1].mounts = vec![r"E:\inner\".into()];
        let name: Vec<u16> = r"\??\E:\inner\x".encode_utf16().collect();
        assert_eq!(find(&all, &name).map(|location| location.volume), Some(1));
    }

    #[test]
    fn units_that_are_no_unicode_survive() {
        let mut name: Vec<u16> = r"\Device\HarddiskVolume5\".encode_utf16().collect();
        name.push(0xd800);
        let path = find(&places(), &name).and_then(|location| location.path).unwrap();
        assert_eq!(path.last(), Some(&0xd800));
    }

    proptest! {
        #[test]
        fn no_name_panics(name in proptest::collection::vec(any::<u16>(), 0..60)) {
            prop_assert_eq!(find(&places(), &name), None);
        }

        #[test]
        fn almost_names_do_not_panic(name in r"[\\?DeviceHarddiskVolume5E:CMountCard]{0,40}") {
            let units: Vec<u16> = name.encode_utf16().collect();
            let _ = find(&places(), &units);
            let _ = find(&[VolumeNames::default()], &units);
        }
    }
}
