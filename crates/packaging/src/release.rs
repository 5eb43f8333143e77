//! Everything that a release offers for download, with checksums.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::{build, paths, process, windows};

use crate::deb;
use crate::output::output;

const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Makes the Debian package, the archives and SHA256SUMS.
pub fn make(without_windows: bool) -> Result<()> {
    let directory = paths::target().join("release-files");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    copy_into(&deb::make()?, &directory)?;
    static_archive(&directory)?;
    if !without_windows {
        for (bits, program) in ["64", "32"].iter().zip(windows::build_all()?) {
            windows_archive(&directory, bits, &program)?;
        }
    }
    write_checksums(&directory)?;
    println!("{}", directory.display());
    Ok(())
}

fn name(system: &str) -> String {
    format!("unmoor-{}-{system}", env!("CARGO_PKG_VERSION"))
}

/// Makes a tarball of the static program, man pages and completions.
fn static_archive(directory: &Path) -> Result<()> {
    let program = build::packaged()?;
    check_static(&program)?;
    let folder = directory.join(name("linux-x86_64"));
    fill(&folder, &program)?;
    process::run(
        Command::new("cp")
            .arg("-r")
            .args(["man", "completions"].map(|part| output().join(part)))
            .arg(&folder),
    )?;
    let archive = format!("{}.tar.gz", folder.display());
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf", &archive, "-C"]);
    process::run(tar.arg(directory).arg(name("linux-x86_64")))?;
    fs::remove_dir_all(folder).map_err(Into::into)
}

/// Fails if the program needs a dynamic linker.
fn check_static(program: &Path) -> Result<()> {
    let headers = process::run(Command::new("readelf").arg("-lW").arg(program))?;
    ensure!(!headers.contains("INTERP"), "{} needs a dynamic linker", program.display());
    Ok(())
}

fn windows_archive(directory: &Path, bits: &str, program: &Path) -> Result<()> {
    let name = name(&format!("windows-{bits}"));
    let folder = directory.join(&name);
    fill(&folder, program)?;
    let mut zip = Command::new("zip");
    let archive = format!("{name}.zip");
    process::run(zip.args(["-q", "-r", "-X", &archive, &name]).current_dir(directory))?;
    fs::remove_dir_all(folder).map_err(Into::into)
}

/// Makes a folder with the program and the documents.
fn fill(folder: &Path, program: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    copy_into(program, folder)?;
    DOCUMENTS.iter().try_for_each(|document| copy_into(&paths::repository().join(document), folder))
}

fn copy_into(file: &Path, directory: &Path) -> Result<()> {
    let name = file.file_name().context("a file has a name")?;
    fs::copy(file, directory.join(name)).with_context(|| file.display().to_string())?;
    Ok(())
}

/// Writes SHA256SUMS, which `sha256sum -c` reads.
fn write_checksums(directory: &Path) -> Result<()> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
    files.sort();
    let names = files.iter().filter_map(|file| file.file_name());
    let sums = process::run(Command::new("sha256sum").args(names).current_dir(directory))?;
    fs::write(directory.join("SHA256SUMS"), sums).map_err(Into::into)
}
