//! `cargo xtask prose`: house phrases, unclear first sentences and old names.

mod names;
mod phrases;
mod rust_file;
mod sentences;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use names::{EXCEPTIONS, Exception, FILES, ITEMS, OldName};
use phrases::PHRASES;
use rust_file::{Definition, TEST, Text, definitions, doc_comments, strings};

/// Folders and files that are checked, relative to the repository.
const SCOPE: &[&str] = &["crates", "xtask", "docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// Files that hold the patterns and names themselves.
const OWN_DATA: &str = "crates/source-checks/src/prose/";

/// Output of the Windows rig, recorded as it was printed.
const RECORDED: &str = "crates/windows-rig/FINDINGS.md";

/// One rule.
pub struct Rule {
    pub name: &'static str,
    /// False for a rule whose offences are counted only.
    pub fails: bool,
    /// Start of the paths that the rule is for.
    scope: &'static str,
    check: fn(&File) -> Vec<Text>,
}

/// Every rule.
const RULES: &[Rule] = &[
    Rule { name: "first-sentence", fails: true, scope: "", check: unclear_first_sentences },
    Rule { name: "phrase", fails: true, scope: "", check: house_phrases },
    Rule { name: "old-file-name", fails: true, scope: "", check: old_file_names },
    Rule { name: "old-name", fails: true, scope: "", check: old_names },
    Rule { name: "unnamed-subject", fails: true, scope: "", check: unnamed_subjects },
    Rule {
        name: "long-public-sentence",
        fails: true,
        scope: "crates/unmoor/src/",
        check: |file| long_first_sentences(file, true),
    },
    Rule {
        name: "long-sentence",
        fails: false,
        scope: "",
        check: |file| long_first_sentences(file, false),
    },
];

/// A file that is checked.
pub struct File {
    /// Relative to the repository.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Checks every file and prints each offence. Returns the number of offences against rules that fail.
///
/// # Errors
/// A file that cannot be read or parsed.
pub fn check(repository: &Path) -> Result<usize> {
    let mut files = Vec::new();
    for part in SCOPE {
        collect(repository, &repository.join(part), &mut files)?;
    }
    let mut failures = 0;
    for rule in RULES {
        let mut count = 0;
        for file in files.iter().filter(|file| file.path.starts_with(rule.scope)) {
            for found in (rule.check)(file) {
                count += 1;
                if rule.fails {
                    println!("{}:{}: {}: {}", file.path, found.line, rule.name, found.text);
                }
            }
        }
        failures += if rule.fails { count } else { 0 };
        let word = if rule.fails { "" } else { ", counted only" };
        eprintln!("prose: {:20} {count}{word}", rule.name);
    }
    for Exception { file, name, reason } in EXCEPTIONS {
        eprintln!("prose: excepted: {name} in {file}: {reason}");
    }
    println!("prose: {failures} offences in {} files", files.len());
    Ok(failures)
}

fn collect(repository: &Path, path: &Path, files: &mut Vec<File>) -> Result<()> {
    if path.is_dir() {
        let mut entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::path);
        return entries.iter().try_for_each(|entry| collect(repository, &entry.path(), files));
    }
    let is_checked =
        path.extension().is_some_and(|extension| extension == "rs" || extension == "md");
    let relative = path.strip_prefix(repository)?.to_string_lossy().into_owned();
    if !is_checked || !path.exists() || relative.starts_with(OWN_DATA) || relative == RECORDED {
        return Ok(());
    }
    let text = fs::read_to_string(path).with_context(|| relative.clone())?;
    if relative.ends_with(".rs") {
        syn::parse_file(&text).with_context(|| relative.clone())?;
    }
    files.push(File { path: relative, text });
    Ok(())
}

fn unclear_first_sentences(file: &File) -> Vec<Text> {
    first_sentences(file, |_, sentence| sentences::fault(sentence))
}

fn long_first_sentences(file: &File, public_only: bool) -> Vec<Text> {
    first_sentences(file, |is_public, sentence| {
        let counts = sentences::is_long(sentence) && (is_public || !public_only);
        counts.then(|| format!("more than {} words", sentences::LIMIT))
    })
}

/// Returns the faults that `judge` finds in the first sentences of a Rust file's doc comments.
fn first_sentences(file: &File, fault: impl Fn(bool, &str) -> Option<String>) -> Vec<Text> {
    let mut found = Vec::new();
    for comment in doc_comments(&file.text).iter().filter(|_| file.is_rust()) {
        let sentence = sentences::first_sentence(&comment.text.text);
        if let Some(fault) = fault(comment.is_public, &sentence) {
            found.push(Text { line: comment.text.line, text: format!("{fault}: {sentence}") });
        }
    }
    found
}

fn house_phrases(file: &File) -> Vec<Text> {
    if !file.is_rust() {
        return phrases_in(paragraphs(&file.text));
    }
    let comments = doc_comments(&file.text).into_iter().map(|comment| comment.text);
    // The file parses, so its tokens do.
    let strings = strings(&file.text).unwrap_or_default();
    phrases_in(comments.chain(strings))
}

/// Returns the paragraphs of a Markdown file.
fn paragraphs(text: &str) -> Vec<Text> {
    let mut paragraphs: Vec<Text> = Vec::new();
    let mut is_open = false;
    for (index, line) in text.lines().enumerate() {
        match paragraphs.last_mut() {
            _ if line.trim().is_empty() => is_open = false,
            Some(last) if is_open => {
                last.text.push('\n');
                last.text.push_str(line);
            }
            _ => {
                paragraphs.push(Text { line: index + 1, text: line.to_owned() });
                is_open = true;
            }
        }
    }
    paragraphs
}

fn phrases_in(texts: impl IntoIterator<Item = Text>) -> Vec<Text> {
    let mut found = Vec::new();
    for text in texts {
        for phrase in PHRASES {
            if let Some(at) = find(&text.text, phrase.text) {
                let line = text.line + text.text[..at].matches('\n').count();
                let text = format!("{:?}; write {}", phrase.text, phrase.instead);
                found.push(Text { line, text });
            }
        }
    }
    found
}

/// Returns where whole words stand in a text, whatever their case and the white space between them.
fn find(text: &str, words: &str) -> Option<usize> {
    let words: Vec<&str> = words.split(' ').collect();
    let mut starts = text.char_indices().filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
    });
    starts.find(|(at, _)| stands_at(&text[*at..], &words)).map(|(at, _)| at)
}

fn stands_at(mut text: &str, words: &[&str]) -> bool {
    for (number, word) in words.iter().enumerate() {
        if number > 0 {
            let rest = text.trim_start();
            if rest.len() == text.len() {
                return false;
            }
            text = rest;
        }
        let Some(start) = text.get(..word.len()) else { return false };
        if !start.eq_ignore_ascii_case(word) {
            return false;
        }
        text = &text[word.len()..];
    }
    !text.starts_with(|next: char| next.is_alphanumeric() || next == '_')
}

fn old_file_names(file: &File) -> Vec<Text> {
    let parts = file.path.split('/').map(|part| part.trim_end_matches(".rs"));
    let found = parts.filter_map(|part| old_name(FILES, file, "", part));
    found
        .map(|old| format!("{}: its new name is {}", old.name, old.new))
        .map(|text| Text { line: 1, text })
        .collect()
}

fn old_names(file: &File) -> Vec<Text> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let all = definitions(&file.text).unwrap_or_default().into_iter();
    for definition in all.filter(|definition| definition.kind != TEST) {
        if let Some(old) = old_name(ITEMS, file, definition.kind, &definition.name) {
            let Definition { line, kind, name } = definition;
            let text = format!("{kind} {name}: its new name is {}", old.new);
            found.push(Text { line, text });
        }
    }
    found
}

/// First words of a function's name that name nothing.
const UNNAMED: &[&str] = &["it_", "nobody_", "one_that_", "what_", "who_", "whoever_"];

fn unnamed_subjects(file: &File) -> Vec<Text> {
    if !file.is_rust() {
        return Vec::new();
    }
    let all = definitions(&file.text).unwrap_or_default().into_iter();
    let is_unnamed = |name: &str| UNNAMED.iter().any(|word| name.starts_with(word));
    let functions = all.filter(|definition| ["fn", TEST].contains(&definition.kind));
    functions
        .filter(|function| is_unnamed(&function.name))
        .map(|Definition { line, name, .. }| Text {
            line,
            text: format!("fn {name}: begin with a noun"),
        })
        .collect()
}

fn old_name<'n>(names: &'n [OldName], file: &File, kind: &str, name: &str) -> Option<&'n OldName> {
    let is_exempt = |exception: &Exception| exception.file == file.path && exception.name == name;
    if EXCEPTIONS.iter().any(is_exempt) {
        return None;
    }
    let matches = |old: &&OldName| match old.name.split_once(' ') {
        Some((only, old)) => (only, old) == (kind, name),
        None => old.name == name,
    };
    names.iter().filter(matches).find(|old| file.path.starts_with(old.scope))
}
