//! Compares the ids of the rig's tests with those of docs/windows.md and contrib/windows/promises.ps1.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn of_rig() -> BTreeSet<String> {
    windows_rig::all().into_iter().map(|test| test.id.to_owned()).collect()
}

/// Returns the texts between this mark and its next occurrence on the same line.
fn between(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.lines().flat_map(move |line| line.split(mark).skip(1).step_by(2))
}

#[test]
fn the_script_has_exactly_the_ids_of_the_rig() {
    let script = text("contrib/windows/promises.ps1");
    let is_id = |word: &&str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-/".contains(c);
        word.contains('/') && !word.starts_with('/') && word.chars().all(allowed)
    };
    let ids: BTreeSet<String> = between(&script, '\'').filter(is_id).map(str::to_owned).collect();
    assert_eq!(ids, of_rig());
}

#[test]
fn every_id_of_the_document_is_in_the_rig_and_the_other_way_round() {
    let document = text("docs/windows.md");
    let (rig, mut covered) = (of_rig(), BTreeSet::new());
    let families: BTreeSet<&str> = rig.iter().filter_map(|id| id.split('/').next()).collect();
    // `image/` and `image/named…` mean every id that begins so.
    for word in between(&document, '`') {
        let beginning = word.trim_end_matches('…');
        let Some((family, rest)) = beginning.split_once('/') else { continue };
        if !families.contains(family) {
            continue;
        }
        let all = rest.is_empty() || beginning != word;
        let means = |id: &&String| if all { id.starts_with(beginning) } else { *id == word };
        let meant: Vec<_> = rig.iter().filter(means).collect();
        assert!(!meant.is_empty(), "docs/windows.md names `{word}`, which the rig lacks");
        covered.extend(meant.into_iter().cloned());
    }
    let missing: Vec<_> = rig.difference(&covered).collect();
    assert!(missing.is_empty(), "docs/windows.md lacks {missing:?}");
}
