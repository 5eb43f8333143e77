//! The same command line as root: by sudo, doas or run0, whichever is installed.
//!
//! The words are passed on as they were given, and through no shell.

use crate::escape::shell_quoted;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use unmoor::{Error, ErrorKind};

/// True with `--elevate`.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Programs that run another one as root, the most common first.
const PROGRAMS: [&str; 3] = ["sudo", "doas", "run0"];

/// Folders that these programs search, whatever the PATH of the user is.
const SYSTEM_FOLDERS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Records that `--elevate` was given.
pub fn request() {
    REQUESTED.store(true, Ordering::Relaxed);
}

/// Returns true with `--elevate`.
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Returns what to do about a lack of permission, with the exact command.
pub fn advice() -> String {
    if cfg!(windows) {
        return "run it as administrator, from an elevated prompt".into();
    }
    let words: Vec<String> = words().iter().map(|word| shell_quoted(word)).collect();
    format!("run it as root: {}", words.join(" "))
}

/// Returns the words of this command line, with the program that elevates in front, if there is one.
pub fn words() -> Vec<OsString> {
    let own = std::env::current_exe().ok();
    let name = own.as_ref().and_then(|own| own.file_name().zip(own.parent()));
    let program = match name {
        Some((name, folder)) if SYSTEM_FOLDERS.iter().any(|system| folder == Path::new(system)) => {
            name.to_os_string()
        }
        _ => own.clone().map_or_else(|| "unmoor".into(), PathBuf::into_os_string),
    };
    let elevator = elevator().map(OsString::from);
    elevator.into_iter().chain([program]).chain(std::env::args_os().skip(1)).collect()
}

/// Returns the first of the programs in the PATH.
pub fn elevator() -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    PROGRAMS.into_iter().find(|name| {
        std::env::split_paths(&path)
            .any(|folder| folder.is_absolute() && folder.join(name).is_file())
    })
}

/// Replaces this process by the command as root. Returns only if that fails.
#[cfg(unix)]
pub fn run() -> Error {
    use crate::working_directory;
    use std::os::unix::process::CommandExt;
    let words = words();
    let mut command = std::process::Command::new(&words[0]);
    command.args(&words[1..]);
    if let Some(folder) = working_directory::original() {
        command.current_dir(folder);
    }
    let error = command.exec();
    let program = words[0].to_string_lossy().into_owned();
    Error::new(ErrorKind::Failed, program, format!("cannot be started: {error}"))
}

#[cfg(not(unix))]
pub fn run() -> Error {
    Error::new(ErrorKind::NotSupported, "--elevate", "is not available on this system")
}
