//! A program on the drive that it is to release: it would itself be what keeps the drive busy.
//!
//! It copies itself to the temporary folder, starts the copy, waits for it with nothing but memory that
//! is already there, passes its exit code on and removes the copy. Waiting is what makes the lock fail
//! on real Windows (the program's image stays open as long as the process lives), so the copy is told
//! who waits: when the lock is refused and the search finds nobody else, it dismounts without the
//! lock. What that cuts off is the waiting process alone, whose pages are locked in memory.

use super::control::code;
use super::inventory::Inventory;
use super::{naming, system};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::win_parse::{self, Name, parse_name};
use crate::target::Target;
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
/// How copies are called in the temporary folder; what an earlier one left behind is removed.
const COPY: &str = "unmoor-copy-";

/// The process that waits for this one on the drive to be released, if this one is a copy.
pub(super) fn waited_for_by() -> Option<u32> {
    std::env::var(WAITS).ok()?.parse().ok()
}

/// The words for a copy, where this program lies on a drive that one of the targets means; `None`
/// where it does not, or where the drive will be refused anyhow.
pub(super) fn words_for_copy(targets: &[Target], words: &[OsString]) -> Option<Vec<OsString>> {
    let inventory = Inventory::take();
    let find = |target: &Target| naming::find(&inventory, target).ok();
    let here = find(&Target::Path(r"\".into()))?;
    let mut mine = targets.iter().filter(|target| find(target).as_ref() == Some(&here)).peekable();
    mine.peek()?;
    let volumes = inventory.on(&here);
    if system::needed().iter().any(|n| volumes.iter().any(|v| v.answers_to(&n.volume))) {
        return None;
    }
    // `.` and `\` and what is relative would mean other drives to the copy.
    let fleeting: Vec<&OsString> = mine
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
    let lasting: OsString = volumes.first()?.path().into();
    let word = |word: &OsString| if fleeting.contains(&word) { &lasting } else { word }.clone();
    Some(words.iter().map(word).collect())
}

/// Runs a copy of this program with these words, and returns its exit code.
pub(super) fn run_copy(words: &[OsString]) -> Result<i32> {
    let failed = |what: &str, e: &std::io::Error| {
        win_parse::error(code(e), "unmoor.exe", what)
            .with_kind(ErrorKind::Failed)
            .with_help("copy unmoor.exe to another drive and run it from there")
    };
    let program = std::env::current_exe().map_err(|e| failed("find itself", &e))?;
    let folder = std::env::temp_dir();
    remove_old(&folder);
    let copy = folder.join(format!("{COPY}{}.exe", std::process::id()));
    fs::copy(&program, &copy).map_err(|e| failed("copy itself", &e))?;
    // The current folder counts as open: the copy's must be elsewhere.
    let mut command = Command::new(&copy);
    command.args(words).current_dir(&folder).env(WAITS, std::process::id().to_string());
    let ended = command.spawn().and_then(|mut child| {
        _ = std::env::set_current_dir(&folder);
        keep_in_memory();
        child.wait()
    });
    _ = fs::remove_file(&copy);
    let status: ExitStatus = ended.map_err(|e| failed("run its copy", &e))?;
    status.code().ok_or_else(|| Error::new(ErrorKind::Failed, "unmoor.exe", "its copy was ended"))
}

/// Copies whose starter was killed before it could remove them. One that runs cannot be removed.
fn remove_old(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let copies: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(COPY))
        .map(|entry| entry.path())
        .collect();
    for copy in copies {
        _ = fs::remove_file(copy);
    }
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
