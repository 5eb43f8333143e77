//! One small text for each rule.

use super::*;

fn found(path: &str, text: &str, rule: &str) -> Vec<(usize, String)> {
    let rule = RULES.iter().find(|one| one.name == rule).unwrap();
    let file = File { path: path.to_owned(), text: text.to_owned() };
    (rule.check)(&file).into_iter().map(|text| (text.line, text.text)).collect()
}

fn lines(path: &str, text: &str, rule: &str) -> Vec<usize> {
    found(path, text, rule).into_iter().map(|(line, _)| line).collect()
}

#[test]
fn first_words_and_questions_are_found() {
    let text = "//! What this is.\n\n/// Is it mounted.\nfn a() {}\n/// Returns true if it is\n/// mounted. Is it?\n\
                fn b() {}\n/// Mounted, or not?\nfn c() {}\n/// Island of a map.\nfn d() {}\n/// One that writes.\nfn e() {}";
    assert_eq!(lines("crates/x/src/a.rs", text, "first-sentence"), [1, 3, 8, 12]);
}

#[test]
fn a_sentence_may_have_an_abbreviation_and_more_lines() {
    let comment = "Returns the node, e.g. `/dev/sdb`, of\nthe drive. It is short.\n\nMore.";
    assert_eq!(
        sentences::first_sentence(comment),
        "Returns the node, e.g. `/dev/sdb`, of the drive."
    );
}

#[test]
fn phrases_are_found_across_lines_in_comments_strings_and_documents() {
    let text = "/// Waits until it is\n/// looked at.\nfn a() {\n    // in the way: an ordinary comment\n    \
                print(\"nothing is in \\\n        the way\", r#\"it says:\n let go\"#);\n}\n#[allow(x, reason = \"in the way\")]\nfn b() {}";
    assert_eq!(lines("crates/x/src/a.rs", text, "phrase"), [1, 1, 5, 7]);
    let text =
        "# Title\n\nA process is\nin the\nway of it.\n\n    $ unmoor\n    is in the wayside\n";
    assert_eq!(lines("docs/a.md", text, "phrase"), [4]);
}

#[test]
fn old_names_are_found_by_kind_and_scope() {
    let text = "pub struct Visitor { pub bystanders: u8 }\nenum E { Perhaps }\nfn look() { let visitor = 1; }\n\
                #[test]\nfn nobody_looks() {}\nimpl Visitor { const PATIENCE: u8 = 1; fn hear(&self) {} }";
    let in_library = found("crates/unmoor/src/policy/plan.rs", text, "old-name");
    let kinds: Vec<&str> =
        in_library.iter().map(|(_, text)| text.split(':').next().unwrap()).collect();
    let all = [
        "struct Visitor",
        "field bystanders",
        "variant Perhaps",
        "fn look",
        "const PATIENCE",
        "fn hear",
    ];
    assert_eq!(kinds, all);
    // `look` is an everyday word outside of the library.
    assert_eq!(lines("crates/rig/src/a.rs", text, "old-name"), [1, 1, 2, 6, 6]);
    // A name with its kind is checked of that kind alone.
    let text = "struct Over { over: u8 }\nfn over() {}\nenum E { Running }\ntrait Running {}";
    assert_eq!(lines("crates/unmoor/src/a.rs", text, "old-name"), [1, 2, 4]);
}

#[test]
fn functions_whose_name_names_nothing_are_found() {
    let text =
        "#[test]\nfn nobody_looks() {}\nfn who_in_time() {}\nfn whole() {}\nstruct what_it_is;";
    assert_eq!(lines("crates/rig/src/a.rs", text, "unnamed-subject"), [2, 3]);
}

#[test]
fn old_file_names_are_found_in_their_scope() {
    assert_eq!(lines("crates/unmoor/src/platform/linux/machine.rs", "", "old-file-name"), [1]);
    assert_eq!(lines("crates/rig/src/machine.rs", "", "old-file-name"), []);
    assert_eq!(lines("crates/vm-tests/src/faults/scene.rs", "", "old-file-name"), [1]);
}

#[test]
fn long_first_sentences_of_public_items_are_found() {
    let long = "/// Returns one two three four five six seven eight nine ten eleven twelve thirteen fourteen \
                fifteen.\n";
    let text = format!("{long}pub fn a() {{}}\n{long}#[must_use]\npub(crate) fn b() {{}}");
    assert_eq!(lines("crates/unmoor/src/a.rs", &text, "long-public-sentence"), [1]);
    assert_eq!(lines("crates/unmoor/src/a.rs", &text, "long-sentence"), [1, 3]);
}

#[test]
fn every_exception_names_a_file_and_a_reason() {
    for exception in EXCEPTIONS {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(exception.file);
        assert!(path.exists(), "{}", exception.file);
        assert!(!exception.reason.is_empty(), "{}: {}", exception.file, exception.name);
    }
}
