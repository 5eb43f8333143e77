//! First sentences of doc comments.

use super::phrases::FIRST_WORDS;

/// Words that a first sentence may have.
pub const LIMIT: usize = 15;

/// Abbreviations that end in a full stop and end no sentence.
const ABBREVIATIONS: &[&str] = &["e.g.", "i.e.", "etc.", "cf."];

/// Returns the first sentence of a comment, with single spaces.
pub fn first_sentence(comment: &str) -> String {
    let paragraph = comment.split("\n\n").next().unwrap_or_default();
    let mut sentence: Vec<&str> = Vec::new();
    for word in paragraph.split_whitespace() {
        sentence.push(word);
        let bare = word.trim_end_matches([')', '"', '*']);
        if bare.ends_with(['.', '?', '!']) && !ABBREVIATIONS.contains(&bare) {
            break;
        }
    }
    sentence.join(" ")
}

/// Returns what is wrong with how the sentence begins or ends.
pub fn fault(sentence: &str) -> Option<String> {
    if sentence.trim_end_matches([')', '*']).ends_with('?') {
        return Some("a question; write \"Returns true if …\"".to_owned());
    }
    let found = FIRST_WORDS.iter().find(|(words, _)| {
        let rest = sentence.strip_prefix(words);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
    });
    found.map(|(words, instead)| format!("begins with {words:?}; write {instead}"))
}

/// Returns true if the sentence has more words than [`LIMIT`].
pub fn is_long(sentence: &str) -> bool {
    sentence.split_whitespace().count() > LIMIT
}
