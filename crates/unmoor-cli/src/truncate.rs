//! Shortens text to a number of columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Minimum width of a shortened path.
const LEAST: usize = 20;

/// Cuts the text to `limit` columns; `…` marks the missing end.
pub fn cut(text: &str, limit: Option<usize>) -> String {
    let Some(limit) = limit.filter(|limit| text.width() > *limit) else { return text.to_string() };
    match limit {
        0 => String::new(),
        _ => format!("{}…", begin(text, limit - 1)),
    }
}

/// Shortens the path to `limit` columns (at least [`LEAST`]). `…` replaces the middle, since the
/// beginning names the drive and the end names the file.
pub fn shortened(path: &str, limit: Option<usize>) -> String {
    let Some(limit) = limit.map(|limit| limit.max(LEAST)).filter(|limit| path.width() > *limit)
    else {
        return path.to_string();
    };
    let name = path.rfind(['/', '\\']).map_or(path, |at| &path[at..]);
    let tail = end(path, name.width().clamp(limit / 2, limit * 3 / 4));
    format!("{}…{tail}", begin(path, limit - 1 - tail.width()))
}

/// Returns the longest beginning that fits.
fn begin(text: &str, limit: usize) -> &str {
    let mut used = 0;
    let over = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > limit
    });
    over.map_or(text, |(at, _)| &text[..at])
}

/// Returns the longest end that fits.
fn end(text: &str, limit: usize) -> &str {
    let mut used = 0;
    let over = text.char_indices().rev().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > limit
    });
    over.map_or(text, |(at, c)| &text[at + c.len_utf8()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_keeps_its_beginning_and_the_name_of_the_file() {
        let path = "/media/stick/holiday/2024/Cornwall/pictures/sunset.jpeg";
        assert_eq!(shortened(path, Some(30)), "/media/stick/h…res/sunset.jpeg");
        assert_eq!(shortened(path, Some(55)), path);
        assert_eq!(shortened(path, None), path);
        assert_eq!(shortened(path, Some(0)).width(), LEAST);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_it_may_be(text: String, limit in 0usize..100) {
            prop_assert!(cut(&text, Some(limit)).width() <= limit);
            let short = shortened(&text, Some(limit));
            prop_assert!(short.width() <= limit.max(LEAST), "{short:?}");
            if text.width() <= limit {
                prop_assert_eq!(short, text);
            }
        }
    }
}
