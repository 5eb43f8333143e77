//! Libraries and functions that the Windows program imports.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::process;

/// Libraries that every Windows since 7 has. Newer ones are loaded at run time, or not at all.
const WINDOWS_7: &[&str] = &[
    "advapi32.dll",
    "cfgmgr32.dll",
    "kernel32.dll",
    "msvcrt.dll",
    "ntdll.dll",
    "setupapi.dll",
    "shell32.dll",
    "user32.dll",
    "userenv.dll",
    "ws2_32.dll",
];

/// Functions of those libraries that are newer than Windows 7 and that a compiler or crate may use.
const LATER: &[&str] = &[
    "GetSystemTimePreciseAsFileTime",
    "GetTempPath2W",
    "SetThreadDescription",
    "WaitOnAddress",
    "WakeByAddressAll",
    "WakeByAddressSingle",
    "PathCchCanonicalizeEx",
    "CreateFile2",
    "CM_Get_Device_Interface_ListW2",
];

/// Fails if the program imports anything that Windows 7 lacks.
pub fn check(program: &Path) -> Result<()> {
    let listing = process::run(Command::new("objdump").arg("-p").arg(program))?;
    let libraries: BTreeSet<String> = listing
        .lines()
        .filter_map(|line| line.trim().strip_prefix("DLL Name:"))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    ensure!(!libraries.is_empty(), "objdump names no library of {}", program.display());
    let new: Vec<_> = libraries.iter().filter(|l| !WINDOWS_7.contains(&l.as_str())).collect();
    ensure!(new.is_empty(), "{} needs libraries that Windows 7 lacks: {new:?}", program.display());
    let names: BTreeSet<&str> = listing.lines().flat_map(str::split_whitespace).collect();
    let later: Vec<_> = LATER.iter().filter(|name| names.contains(*name)).collect();
    ensure!(later.is_empty(), "{} needs later functions: {later:?}", program.display());
    Ok(())
}
