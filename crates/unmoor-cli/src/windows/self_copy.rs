//! Releases the drive that this program itself runs from.
//!
//! The open program file would keep the drive busy, so the program copies itself to a new folder below
//! the temporary folder, or as administrator below "Program Files", runs the copy with the same arguments, waits, passes the exit code on and
//! removes the copy. Windows refuses the lock while the waiting process lives, because its program file
//! stays open. The copy therefore knows the number of the waiting process (`Windows::waited_for_by`) and
//! dismounts without a lock if no other process uses the drive. The waiting process alone is cut off,
//! and its pages are locked in memory.

use super::keep_in_memory::keep_in_memory;
use super::runas;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{fs, io};
use unmoor::platform::windows::Windows;
use unmoor::platform::{self, Platform};
use unmoor::{Drive, Error, ErrorKind, Result, Target};

/// Environment variable that gives the copy the number of the waiting process.
const WAITING_PROCESS: &str = "UNMOOR_WAITED_FOR_BY";
/// Start of the name of a copy's folder. Each copy has a new folder: Windows
/// looks for a program's libraries beside the program first, so no other user may have put files there.
const FOLDER: &str = "unmoor-copy-";
/// Name of the copy in its folder.
const COPY: &str = "unmoor.exe";

/// Returns the number of the process that waits for this one, if this process is a copy.
fn waiting_process() -> Option<u32> {
    std::env::var(WAITING_PROCESS).ok()?.parse().ok()
}

/// Returns the platform of this machine.
///
/// # Errors
/// As [`platform::native`].
pub fn native() -> Result<Box<dyn Platform>> {
    match waiting_process() {
        Some(pid) => Ok(Box::new(Windows::new().waited_for_by(pid))),
        None => platform::native(),
    }
}

/// Runs a copy of this program if the program lies on a drive that one of the targets names, and
/// returns the exit code of the copy.
///
/// # Errors
/// `Refused` if the copy would lie on that drive too; `Failed` if the copy could not be made or run.
pub fn run(targets: &[Target], arguments: &[OsString]) -> Result<Option<i32>> {
    match arguments_for_copy(targets, arguments)? {
        Some(arguments) => run_copy(&arguments).map(Some),
        None => Ok(None),
    }
}

/// Returns the arguments for a copy. `None` if no copy is needed: the program lies on another drive or
/// on the system drive, or this process is a copy already.
fn arguments_for_copy(targets: &[Target], arguments: &[OsString]) -> Result<Option<Vec<OsString>>> {
    if waiting_process().is_some() {
        return Ok(None);
    }
    let windows = Windows::new();
    let Ok(own) = windows.resolve(&Target::Path(r"\".into())) else { return Ok(None) };
    if !own.system_uses.is_empty() {
        return Ok(None);
    }
    let is_own =
        |target: &Target| windows.resolve(target).is_ok_and(|drive: Drive| drive.id == own.id);
    let on_own: Vec<&Target> = targets.iter().filter(|target| is_own(target)).collect();
    let (Some(_), Some(volume)) = (on_own.first(), own.volumes.first()) else { return Ok(None) };
    let temporary = parent();
    if is_own(&Target::Path(temporary.clone().into())) {
        let why = format!(
            "lies on the drive that it is to release, and so does the temporary folder, {}",
            temporary.display()
        );
        return Err(Error::new(ErrorKind::Refused, "unmoor.exe", why)
            .with_help("copy unmoor.exe to another drive and run it from there"));
    }
    let replace = |argument: &OsString| {
        let names_own = |target: &&Target| matches!(target, Target::Path(path) if path == argument);
        match on_own.iter().any(names_own) && depends_on_process(argument) {
            true => volume.path.clone().into(),
            false => argument.clone(),
        }
    };
    Ok(Some(arguments.iter().map(replace).collect()))
}

/// Returns true if a path means something else to a process with another working directory or another
/// program file: `.`, `\`, a relative path.
fn depends_on_process(path: &OsString) -> bool {
    let has_prefix = matches!(Path::new(path).components().next(), Some(Component::Prefix(_)));
    !has_prefix && !path.to_string_lossy().starts_with(r"\Device\")
}

/// Runs a copy of this program with these arguments, and returns its exit code.
fn run_copy(arguments: &[OsString]) -> Result<i32> {
    let failed = |what: &str, e: &io::Error| {
        let error = Error::new(ErrorKind::Failed, "unmoor.exe", format!("cannot {what}: {e}"))
            .with_help("copy unmoor.exe to another drive and run it from there");
        match e.raw_os_error() {
            Some(code) => error.with_os_code(code),
            None => error,
        }
    };
    let program = std::env::current_exe().map_err(|e| failed("find itself", &e))?;
    let parent = parent();
    remove_old(&parent);
    let folder = new_folder(&parent).map_err(|e| failed("make a folder for its copy", &e))?;
    let copy = folder.join(COPY);
    if let Err(e) = fs::copy(&program, &copy) {
        remove(&folder);
        return Err(failed("copy itself", &e));
    }
    // The current folder counts as open: the copy's must be elsewhere.
    let mut command = Command::new(&copy);
    command
        .args(arguments)
        .current_dir(&folder)
        .env(WAITING_PROCESS, std::process::id().to_string());
    let ended = command.spawn().and_then(|mut child| {
        _ = std::env::set_current_dir(&parent);
        keep_in_memory();
        child.wait()
    });
    remove(&folder);
    let status: ExitStatus = ended.map_err(|e| failed("run its copy", &e))?;
    status
        .code()
        .ok_or_else(|| Error::new(ErrorKind::Failed, "unmoor.exe", "its copy was terminated"))
}

/// Returns the folder for the folders of copies.
///
/// Other programs of the same user may write to the temporary folder, also between the copy and its start as
/// administrator; and rules of an enterprise often forbid programs there, but not in "Program Files".
fn parent() -> PathBuf {
    let program_folder = || Windows::program_folder().filter(|_| runas::is_elevated());
    program_folder().unwrap_or_else(std::env::temp_dir)
}

/// Creates a folder with a name that no other folder had.
fn new_folder(temporary: &Path) -> io::Result<PathBuf> {
    let names = (0..100).map(|n| temporary.join(format!("{FOLDER}{}-{n}", std::process::id())));
    let mut last = None;
    for folder in names {
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = Some(e),
            Err(e) => return Err(e),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
}

/// Removes a copy and its folder if nothing else is in it. A running copy cannot be removed, and keeps
/// its folder.
fn remove(folder: &Path) {
    if fs::remove_file(folder.join(COPY)).is_ok() {
        _ = fs::remove_dir(folder);
    }
}

/// Removes copies whose waiting process was killed before it could do so.
fn remove_old(temporary: &Path) {
    let entries = fs::read_dir(temporary).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(FOLDER))
        .for_each(|entry| remove(&entry.path()));
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
