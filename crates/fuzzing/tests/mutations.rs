//! Feeds every parser its seeds and random changes of them, on any toolchain.
//!
//! `UNMOOR_FUZZ_CASES` (1000) is the number of changes for each parser; with `UNMOOR_FUZZ_SECONDS` each
//! parser gets as many as fit into that time. `UNMOOR_FUZZ_PARSER` selects one parser.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestError, TestRunner};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unmoor_fuzzing::{Parser, parsers};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn seeds(parser: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = fuzz().join("seeds").join(parser);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// One change of a seed.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    /// Overwrites 1, 2, 4 or 8 bytes with a boundary value.
    Edge(Index, usize, u64),
    /// Replaces the rest by the rest of another seed.
    Splice(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let edge = prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(1 << 31),
        Just((1 << 31) - 1),
        Just(1 << 63),
        Just(0x7f),
        Just(0x8000)
    ];
    // Separators break text most often.
    let bytes = prop_oneof![
        any::<Vec<u8>>(),
        r"[ \t\n:;,=/\\'-]{1,4}".prop_map(String::into_bytes),
        "[0-9]{1,30}".prop_map(String::into_bytes),
    ];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<Index>(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<Index>(), 1usize..64).prop_map(|(at, length)| Change::Remove(at, length)),
        (any::<Index>(), 1usize..64, 2usize..40).prop_map(|(at, n, m)| Change::Repeat(at, n, m)),
        (any::<Index>(), 0usize..4, edge).prop_map(|(at, width, n)| Change::Edge(
            at,
            1 << width,
            n
        )),
        any::<(Index, Index, Index)>()
            .prop_map(|(at, other, from)| Change::Splice(at, other, from)),
    ]
}

fn changed(seeds: &[(PathBuf, Vec<u8>)], first: &Index, changes: &[Change]) -> Vec<u8> {
    let mut bytes = first.get(seeds).1.clone();
    for change in changes {
        let place = |at: &Index, bytes: &Vec<u8>| at.index(bytes.len() + 1);
        match change {
            Change::Set(at, byte) => {
                let at = place(at, &bytes);
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
            Change::Flip(at, bit) => {
                let at = place(at, &bytes);
                if let Some(old) = bytes.get_mut(at) {
                    *old ^= 1 << bit;
                }
            }
            Change::Insert(at, more) => {
                let at = place(at, &bytes);
                bytes.splice(at..at, more.iter().copied());
            }
            Change::Remove(at, length) => {
                let at = place(at, &bytes);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Change::Repeat(at, length, times) => {
                let at = place(at, &bytes);
                let piece = bytes[at..(at + length).min(bytes.len())].repeat(*times);
                bytes.splice(at..at, piece);
            }
            Change::Edge(at, width, number) => {
                let at = place(at, &bytes);
                let end = (at + width).min(bytes.len());
                bytes.splice(at..end, number.to_le_bytes()[..*width].iter().copied());
            }
            Change::Splice(at, other, from) => {
                let (at, other) = (place(at, &bytes), &other.get(seeds).1);
                bytes.truncate(at);
                bytes.extend(&other[place(from, other)..]);
            }
        }
        bytes.truncate(1 << 16);
    }
    bytes
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

fn feed((name, parser): Parser) {
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for (path, bytes) in &seeds {
        let fed = std::panic::catch_unwind(|| parser(bytes));
        assert!(fed.is_ok(), "{name} does not survive its seed {}", path.display());
    }
    let cases = number("UNMOOR_FUZZ_CASES").unwrap_or(1000);
    let time = number("UNMOOR_FUZZ_SECONDS").map(Duration::from_secs);
    let strategy = (any::<Index>(), prop::collection::vec(change(), 1..8));
    let (begun, mut fed) = (Instant::now(), 0);
    loop {
        let config = Config {
            cases: u32::try_from(cases).unwrap_or(u32::MAX),
            failure_persistence: None,
            ..Config::default()
        };
        let run = TestRunner::new(config).run(&strategy, |(first, changes)| {
            parser(&changed(&seeds, &first, &changes));
            Ok(())
        });
        match run {
            Ok(()) => fed += cases,
            Err(TestError::Fail(why, (first, changes))) => {
                let bytes = changed(&seeds, &first, &changes);
                panic!("{name}: {why}\nto keep it as a seed, these are its bytes:\n{bytes:?}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
        if time.is_none_or(|time| begun.elapsed() >= time) {
            break;
        }
    }
    println!("{name}: {} seeds, {fed} changes of them", seeds.len());
}

#[test]
fn no_bytes_break_a_promise_of_any_parser() {
    let only = std::env::var("UNMOOR_FUZZ_PARSER").ok();
    let wanted: Vec<Parser> =
        parsers().into_iter().filter(|(name, _)| only.as_ref().is_none_or(|o| o == name)).collect();
    assert!(!wanted.is_empty(), "there is no parser {only:?}");
    wanted.into_iter().for_each(feed);
}

/// Compares the lists on Linux, which has all parsers.
#[cfg(target_os = "linux")]
#[test]
fn every_parser_has_its_fuzz_target_its_seeds_and_its_line_in_the_document() {
    let names: BTreeSet<String> = parsers().iter().map(|(name, _)| (*name).to_string()).collect();
    let files = |dir: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(fuzz().join(dir)).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        entries.map(|entry| stem(entry.unwrap().path())).collect()
    };
    assert_eq!(files("fuzz_targets"), names);
    assert_eq!(files("seeds"), names);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let document = std::fs::read_to_string(fuzz().join("../docs/fuzzing.md")).unwrap();
    for name in &names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} in fuzz/Cargo.toml");
        assert!(document.contains(&format!("| `{name}` |")), "{name} in docs/fuzzing.md");
        let target = fuzz().join("fuzz_targets").join(format!("{name}.rs"));
        assert!(std::fs::read_to_string(target).unwrap().contains(&format!("::{name}(")), "{name}");
    }
}
