//! Compiler for Windows.
//!
//! The `win7` targets run on Windows 7 and later, and in Wine 8.0, which lacks a library that the ordinary
//! targets need (`bcryptprimitives.dll`). No standard library is published for them, so it is built here from
//! the compiler's source: rustup's `rust-src` where installed, otherwise Debian's `rust-web-src`. Panics
//! unwind, since every lock is a guard.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    ThirtyTwo,
    SixtyFour,
}

/// Cargo with a compiler that has the source of its standard library.
pub struct Toolchain {
    /// Folder of its programs.
    programs: PathBuf,
    bits: Bits,
}

impl Toolchain {
    pub fn find(bits: Bits) -> Result<Self> {
        let candidates = [rustup(), Some(PathBuf::from("/usr/bin"))];
        let programs = candidates
            .into_iter()
            .flatten()
            .find(|programs| has_source(programs))
            .context("no compiler here has the source of its standard library")?;
        Ok(Self { programs, bits })
    }

    pub fn target(&self) -> &'static str {
        match self.bits {
            Bits::SixtyFour => "x86_64-win7-windows-gnu",
            Bits::ThirtyTwo => "i686-win7-windows-gnu",
        }
    }

    /// Returns `cargo VERB` for Windows, at the root of the repository.
    pub fn cargo(&self, verb: &str) -> Command {
        let mut command = Command::new(self.programs.join("cargo"));
        command.current_dir(crate::paths::repository());
        command.arg(verb);
        command.args(["-Zbuild-std=std,panic_unwind,test", "--target", self.target()]);
        command.arg("--target-dir").arg(target_directory());
        // What a stable compiler needs to be told before it builds its own standard library.
        command.env("RUSTC_BOOTSTRAP", "1");
        // The cargo that runs us has left its own compiler's name in our environment.
        for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER"] {
            command.env_remove(name);
        }
        for (name, program) in [("RUSTC", "rustc"), ("RUSTDOC", "rustdoc")] {
            command.env(name, self.programs.join(program));
        }
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.programs.display()));
        command
    }

    /// Returns the folder of the build's output.
    pub fn output(&self) -> PathBuf {
        target_directory().join(self.target())
    }
}

/// Returns the target directory, separate from the other compiler's, whose output this one cannot use.
fn target_directory() -> PathBuf {
    crate::paths::target().join("windows")
}

/// Returns the folder of the default toolchain of rustup.
fn rustup() -> Option<PathBuf> {
    let mut which = Command::new("rustup");
    let rustc = process::run(which.args(["which", "rustc"])).ok()?;
    Path::new(rustc.trim()).parent().map(Path::to_path_buf)
}

fn has_source(programs: &Path) -> bool {
    let sysroot = || -> Result<bool> {
        let mut rustc = Command::new(programs.join("rustc"));
        let sysroot = process::run(rustc.args(["--print", "sysroot"]))?;
        let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std");
        ensure!(programs.join("cargo").exists(), "no cargo");
        Ok(library.exists())
    };
    sysroot().unwrap_or(false)
}
