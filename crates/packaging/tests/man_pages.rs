//! Every page is one that man(1) and mandoc(1) read without complaint.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn pages() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    unmoor_packaging::man_pages::write(directory.path()).expect("the pages are written");
    let pages = fs::read_dir(directory.path()).expect("it is there").map(|e| e.unwrap().path());
    let mut pages: Vec<PathBuf> = pages.collect();
    pages.sort();
    (directory, pages)
}

#[test]
fn each_command_has_a_page() {
    let (_directory, pages) = pages();
    let names: Vec<_> = pages.iter().map(|p| p.file_name().unwrap().to_string_lossy()).collect();
    for name in ["eject.unmoor.1", "unmoor.1", "unmoor-eject.1", "unmoor-list.1", "unmoor-who.1"] {
        assert!(names.iter().any(|page| page == name), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|page| page.contains("help")), "{names:?}");
}

#[test]
#[ignore = "needs man"]
fn man_formats_every_page_without_a_warning() {
    let (_directory, pages) = pages();
    for page in pages {
        let run = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(&page)
            .env("LC_ALL", "C.UTF-8")
            .env("MANROFFSEQ", "")
            .env("MANWIDTH", "80")
            .output()
            .expect("man is installed");
        let warnings = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() && warnings.is_empty(), "{}: {warnings}", page.display());
    }
}

#[test]
#[ignore = "needs mandoc"]
fn mandoc_finds_no_error_in_any_page() {
    let (_directory, pages) = pages();
    let run = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).args(&pages).output();
    let run = run.expect("mandoc is installed");
    let complaints = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && complaints.is_empty(), "{complaints}");
}

#[test]
fn a_page_shows_options_examples_and_related_pages() {
    let (directory, _) = pages();
    let text = |page: &str| {
        let run = Command::new("man").arg("-l").arg(directory.path().join(page)).output();
        let text = String::from_utf8_lossy(&run.expect("man is installed").stdout).into_owned();
        // man(1) justifies lines.
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let eject = text("unmoor-eject.1");
    for part in
        ["--wait <TIME>", "unmoor eject --power-off sdb", "unmoor(1)", "SYNOPSIS unmoor eject ["]
    {
        assert!(eject.contains(part), "{part}: {eject}");
    }
    let whole = text("unmoor.1");
    for part in ["unmoor-who(1)", "Exit codes", "--color"] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    let as_eject = text("eject.unmoor.1");
    for part in ["--no-partitions-unmount", "SYNOPSIS eject [OPTIONS] [DEVICE|MOUNTPOINT]"] {
        assert!(as_eject.contains(part), "{part}: {as_eject}");
    }
}
