//! The seeds lead a fuzzer into the parser: each is understood.
#![cfg(target_os = "linux")]

use std::path::Path;
use unmoor::fuzzing::linux::superblock::probe;
use unmoor_fuzzing::linux::Medium;

#[test]
fn every_seed_of_a_superblock_is_recognised() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/superblock");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let found = probe(&Medium::new(&std::fs::read(&path).unwrap()));
        println!("{}: {found:?}", path.display());
        let found = found.unwrap_or_else(|| panic!("{} is nothing", path.display()));
        let labelled = !["ntfs", "LVM2_member", "squashfs"].contains(&&*found.kind);
        assert_eq!(found.label.is_some(), labelled, "{}", path.display());
    }
}
