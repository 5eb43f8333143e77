//! Patterns of names: `*` is any text, `?` one character.

/// Returns true if the text is a pattern: it has a `*` or `?`.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Returns true if the text is this word in any case, or fits it as a pattern.
pub(crate) fn fits(word: &str, text: &str) -> bool {
    let (word, text) = (word.to_lowercase(), text.to_lowercase());
    !text.is_empty() && (word == text || (is_pattern(&word) && glob(&word, &text)))
}

/// Returns true if the text fits the pattern: `*` is any text, `?` one character.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The last `*`, and how much of the text it takes.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_fit_in_any_case_and_an_empty_text_fits_none() {
        assert!(fits("holiday", "HOLIDAY") && fits("holi*", "HOLIDAY"));
        assert!(!fits("holi", "HOLIDAY") && !fits("*", "") && !fits("", ""));
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, text) in [
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c", "ac"),
            ("?b?", "abc"),
            ("*b*", "abc"),
            ("*", ""),
            ("a**c", "abbc"),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*d", "abc"), ("?", ""), ("a?", "abc"), ("", "a"), ("*a", "ab")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_fits_itself_and_a_star(text in "[a-z*?]{0,12}", rest in "[a-z]{0,6}") {
            let plain = text.replace(['*', '?'], "x");
            prop_assert!(glob(&plain, &plain));
            let pattern = format!("{plain}*");
            let longer = format!("{plain}{rest}");
            prop_assert!(glob(&pattern, &longer));
            glob(&text, &rest);
        }
    }
}
