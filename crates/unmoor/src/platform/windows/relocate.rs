//! A program on the drive that it is to release: it would itself be what keeps the drive busy.
//!
//! It copies itself to a folder of its own in the temporary folder, starts the copy, waits for it with nothing but memory that
//! is already there, passes its exit code on and removes the copy. Waiting is what makes the lock fail
//! on real Windows (the program's image stays open as long as the process lives), so the copy is told
//! who waits: when the lock is refused and the search finds nobody else, it dismounts without the
//! lock. What that cuts off is the waiting process alone, whose pages are locked in memory.

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::target::Target;
use crate::platform::win32_parse;
use crate::platform::win32_parse::{Name, parse_name};
use crate::platform::windows::inventory::snapshot::Inventory;
use crate::platform::windows::inventory::{resolve, system_volumes};
use crate::platform::windows::sys::device::code;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use windows_sys::Win32::System::LibraryLoader::GetModuleHandleW;
use windows_sys::Win32::System::Memory::{
    MEMORY_BASIC_INFORMATION, PAGE_GUARD, PAGE_NOACCESS, VirtualLock, VirtualQuery,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, SetProcessWorkingSetSize};

/// Tells the copy who waits for it.
const WAITS: &str = "UNMOOR_WAITED_FOR_BY";
/// How the folders of copies are called in the temporary folder; what an earlier one left behind is
/// removed. Each has a folder that nobody else has written to: a program's libraries are looked for beside
/// it first.
const FOLDER: &str = "unmoor-copy-";
/// The copy in it.
const COPY: &str = "unmoor.exe";

/// The process that waits for this one on the drive to be released, if this one is a copy.
pub(crate) fn waited_for_by() -> Option<u32> {
    std::env::var(WAITS).ok()?.parse().ok()
}

/// The words for a copy, where this program lies on a drive that one of the targets means; `None`
/// where it does not, where the drive will be refused anyhow, and where this is a copy already.
///
/// # Errors
/// `Refused` when the copy would lie on that drive too.
pub(crate) fn words_for_copy(
    targets: &[Target],
    words: &[OsString],
) -> Result<Option<Vec<OsString>>> {
    if waited_for_by().is_some() {
        return Ok(None);
    }
    let inventory = Inventory::take();
    let find = |target: &Target| resolve::resolve(&inventory, target).ok();
    let Some(here) = find(&Target::Path(r"\".into())) else { return Ok(None) };
    let mine: Vec<&Target> =
        targets.iter().filter(|target| find(target).as_ref() == Some(&here)).collect();
    let volumes = inventory.on(&here);
    let needed = || system_volumes::system_volumes().into_iter().map(|needed| needed.volume);
    if mine.is_empty() || needed().any(|name| volumes.iter().any(|v| v.has_name(&name))) {
        return Ok(None);
    }
    let folder = std::env::temp_dir();
    if find(&Target::Path(folder.clone().into())).as_ref() == Some(&here) {
        let why = format!(
            "lies on the drive that it is to release, and so does the temporary folder, {}",
            folder.display()
        );
        return Err(Error::new(ErrorKind::Refused, "unmoor.exe", why)
            .with_help("copy unmoor.exe to another drive and run it from there"));
    }
    // `.` and `\` and what is relative would mean other drives to the copy.
    let fleeting: Vec<&OsString> = mine
        .into_iter()
        .filter_map(|target| match target {
            Target::Path(path) => Some(path),
            _ => None,
        })
        .filter(|path| match parse_name(&path.to_string_lossy()) {
            Name::Current | Name::Program => true,
            Name::Other => Path::new(path).is_relative(),
            _ => false,
        })
        .collect();
    let Some(volume) = volumes.first() else { return Ok(None) };
    let lasting: OsString = volume.path().into();
    let word = |word: &OsString| if fleeting.contains(&word) { &lasting } else { word }.clone();
    Ok(Some(words.iter().map(word).collect()))
}

/// Runs a copy of this program with these words, and returns its exit code.
pub(crate) fn run_copy(words: &[OsString]) -> Result<i32> {
    let failed = |what: &str, e: &std::io::Error| {
        win32_parse::error(code(e), "unmoor.exe", what)
            .with_kind(ErrorKind::Failed)
            .with_help("copy unmoor.exe to another drive and run it from there")
    };
    let program = std::env::current_exe().map_err(|e| failed("find itself", &e))?;
    let temporary = std::env::temp_dir();
    remove_old(&temporary);
    let folder = new_folder(&temporary).map_err(|e| failed("make a folder for its copy", &e))?;
    let copy = folder.join(COPY);
    if let Err(e) = fs::copy(&program, &copy) {
        remove(&folder);
        return Err(failed("copy itself", &e));
    }
    // The current folder counts as open: the copy's must be elsewhere.
    let mut command = Command::new(&copy);
    command.args(words).current_dir(&folder).env(WAITS, std::process::id().to_string());
    let ended = command.spawn().and_then(|mut child| {
        _ = std::env::set_current_dir(&temporary);
        keep_in_memory();
        child.wait()
    });
    remove(&folder);
    let status: ExitStatus = ended.map_err(|e| failed("run its copy", &e))?;
    status.code().ok_or_else(|| Error::new(ErrorKind::Failed, "unmoor.exe", "its copy was ended"))
}

/// A folder that was not there before.
fn new_folder(temporary: &Path) -> std::io::Result<PathBuf> {
    let names = (0..100).map(|n| temporary.join(format!("{FOLDER}{}-{n}", std::process::id())));
    let mut last = None;
    for folder in names {
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => last = Some(e),
            Err(e) => return Err(e),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AlreadyExists.into()))
}

/// Removes a copy and its folder, and nothing else that may be in there. A copy that runs cannot be
/// removed, and keeps its folder.
fn remove(folder: &Path) {
    if fs::remove_file(folder.join(COPY)).is_ok() {
        _ = fs::remove_dir(folder);
    }
}

/// Copies whose starter was killed before it could remove them.
fn remove_old(temporary: &Path) {
    let entries = fs::read_dir(temporary).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(FOLDER))
        .for_each(|entry| remove(&entry.path()));
}

/// Brings every page of this program into memory and keeps it there (`VirtualLock`): the drive they
/// came from is about to go.
fn keep_in_memory() {
    const WORKING_SET: usize = 64 << 20;
    // SAFETY: changes the limits of this process only; a refusal leaves them.
    unsafe { SetProcessWorkingSetSize(GetCurrentProcess(), WORKING_SET, WORKING_SET * 2) };
    // SAFETY: a null name means this program; its handle is its address.
    let start = unsafe { GetModuleHandleW(std::ptr::null()) } as usize;
    let mut at = start;
    loop {
        let mut region = MEMORY_BASIC_INFORMATION::default();
        let size = size_of::<MEMORY_BASIC_INFORMATION>();
        // SAFETY: asks about an address, and writes to `region`, which is as long as said.
        let told = unsafe { VirtualQuery(at as *const _, &mut region, size) };
        if told == 0 || region.AllocationBase as usize != start {
            return;
        }
        if region.Protect & (PAGE_NOACCESS | PAGE_GUARD) == 0 {
            // SAFETY: the region is this program's own and may be read; locking changes nothing in it.
            unsafe { VirtualLock(region.BaseAddress, region.RegionSize) };
        }
        at = region.BaseAddress as usize + region.RegionSize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_a_new_folder_which_goes_with_it_and_nothing_else_does() {
        let temporary = std::env::temp_dir().join(format!("unmoor-test-{}", std::process::id()));
        fs::create_dir(&temporary).unwrap();
        let (one, other) = (new_folder(&temporary).unwrap(), new_folder(&temporary).unwrap());
        assert_ne!(one, other);
        fs::write(one.join(COPY), "a copy").unwrap();
        fs::write(other.join(COPY), "a copy").unwrap();
        fs::write(other.join("letter.txt"), "not ours").unwrap();
        let stranger = temporary.join("letter.txt");
        fs::write(&stranger, "not ours").unwrap();
        // One that is just being made has no copy in it yet.
        let begun = new_folder(&temporary).unwrap();
        remove_old(&temporary);
        assert!(!one.exists());
        assert!(other.join("letter.txt").exists() && !other.join(COPY).exists());
        assert!(stranger.exists() && begun.exists());
        fs::remove_dir_all(&temporary).unwrap();
    }
}
