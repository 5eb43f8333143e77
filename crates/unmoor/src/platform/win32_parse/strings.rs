//! UTF-16 texts of Windows: NUL-terminated, or lists of such that end with an empty one.

use std::borrow::Cow;

/// Returns the units before the first NUL, or all of them.
pub fn sz(units: &[u16]) -> &[u16] {
    let end = units.iter().position(|&u| u == 0).unwrap_or(units.len());
    &units[..end]
}

/// Returns the texts of a `REG_MULTI_SZ`, of `QueryDosDeviceW` or of `GetVolumePathNamesForVolumeNameW`. The
/// list ends at an empty text or at the end of what there is: an unterminated last text counts.
pub fn multi_sz(units: &[u16]) -> impl Iterator<Item = &[u16]> {
    units.split(|&u| u == 0).take_while(|text| !text.is_empty())
}

/// Returns the volume of a page file, as `C:` or a kernel name.
///
/// `ExistingPageFiles` has `\??\C:\pagefile.sys`, `PagingFiles` has `C:\pagefile.sys 0 0`; `?:\…` there
/// means "wherever Windows likes", and `ExistingPageFiles` then says where that is.
pub fn page_file_volume(entry: &str) -> Option<Cow<'_, str>> {
    let entry = entry.strip_prefix(r"\??\").unwrap_or(entry);
    if entry.starts_with(r"\Device\") {
        let end = entry.match_indices('\\').nth(2).map_or(entry.len(), |(at, _)| at);
        return Some(entry[..end].into());
    }
    let mut chars = entry.chars();
    match (chars.next(), chars.next()) {
        (Some(letter), Some(':')) if letter.is_ascii_alphabetic() => {
            Some(format!("{}:", letter.to_ascii_uppercase()).into())
        }
        _ => None,
    }
}

/// Returns the root folder of a volume that is opened by this path: `E:\` of `\\.\E:`.
pub(crate) fn volume_root(path: &str) -> String {
    format!(r"{}\", path.strip_prefix(r"\\.\").unwrap_or(path).trim_end_matches('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_root_of_a_volume_ends_in_a_backslash() {
        assert_eq!(volume_root(r"\\.\E:"), r"E:\");
        assert_eq!(volume_root(r"\\?\Volume{1}"), r"\\?\Volume{1}\");
    }

    fn list(text: &str) -> Vec<String> {
        let units: Vec<u16> = text.encode_utf16().collect();
        multi_sz(&units).map(String::from_utf16_lossy).collect()
    }

    #[test]
    fn a_list_ends_at_its_empty_text_or_where_the_units_end() {
        assert_eq!(list("E:\\\0C:\\Mount\\Card\\\0\0junk"), ["E:\\", "C:\\Mount\\Card\\"]);
        assert_eq!(list("E:\\\0unfinished"), ["E:\\", "unfinished"]);
        assert!(list("").is_empty() && list("\0\0").is_empty());
    }

    #[test]
    fn page_files_tell_their_volume() {
        let on = |entry| page_file_volume(entry).map(Cow::into_owned);
        assert_eq!(on(r"\??\c:\pagefile.sys").as_deref(), Some("C:"));
        assert_eq!(on(r"D:\pagefile.sys 1024 2048").as_deref(), Some("D:"));
        let kernel = on(r"\Device\HarddiskVolume3\pagefile.sys");
        assert_eq!(kernel.as_deref(), Some(r"\Device\HarddiskVolume3"));
        assert_eq!(on(r"?:\pagefile.sys"), None);
        assert_eq!(on(""), None);
    }

    proptest! {
        #[test]
        fn lists_hold_no_nul_and_end(units in proptest::collection::vec(0u16..4, 0..50)) {
            for text in multi_sz(&units) {
                prop_assert!(!text.is_empty() && !text.contains(&0));
            }
            prop_assert!(!sz(&units).contains(&0));
        }

        #[test]
        fn no_page_file_entry_panics(entry in ".{0,40}") {
            let _ = page_file_volume(&entry);
        }
    }
}
