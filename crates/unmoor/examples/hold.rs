//! Uses a file or drive in the named way, for `unmoor who` to find. Ends with its standard input.
//!
//! ```text
//! hold write E:\letter.txt        hold read E:\letter.txt
//! hold directory E:\folder        hold current E:\folder
//! hold deleted E:\letter.txt
//! hold library E:\some.dll        hold mapped E:\letter.txt        (Windows)
//! hold read \\.\E:                hold device \\.\PhysicalDrive1  (Windows: the volume, the disk itself)
//! hold lock \\.\E:                hold stubborn E:\letter.txt      (Windows: locked; ignores Ctrl-C)
//! ```
//! Takes several pairs, one after the other. Prints `ready` and its process number once it holds them
//! all. At the end it writes once more to what `write` opened, and fails if that fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut held: Vec<Box<dyn std::any::Any>> = Vec::new();
    let mut written = Vec::new();
    for pair in words.chunks(2) {
        let [how, what] = pair else { return Err(io::Error::other("hold HOW WHAT…")) };
        let path = Path::new(what);
        match how.as_str() {
            "write" => written.push(write(path)?),
            "read" => held.push(Box::new(File::open(path)?)),
            "deleted" => {
                held.push(Box::new(write(path)?));
                std::fs::remove_file(path)?;
            }
            "directory" => held.push(Box::new(directory(path)?)),
            "current" => std::env::set_current_dir(path)?,
            #[cfg(windows)]
            "device" => held.push(Box::new(OpenOptions::new().read(true).write(true).open(path)?)),
            #[cfg(windows)]
            "lock" => held.push(Box::new(windows::lock(path)?)),
            #[cfg(windows)]
            "stubborn" => {
                windows::ignore_control_events()?;
                held.push(Box::new(write(path)?));
            }
            #[cfg(windows)]
            "library" => windows::library(path)?,
            #[cfg(windows)]
            "mapped" => windows::mapped(path)?,
            _ => return Err(io::Error::other(format!("{how}: not a way to hold something"))),
        }
    }
    println!("ready {}", std::process::id());
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    written.iter_mut().try_for_each(|file| file.write_all(b"held\r\n"))
}

fn write(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(b"held\r\n")?;
    Ok(file)
}

#[cfg(not(windows))]
fn directory(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Opens a directory, which Windows allows only with `FILE_FLAG_BACKUP_SEMANTICS`.
#[cfg(windows)]
fn directory(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
    OpenOptions::new().read(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)
}

#[cfg(windows)]
mod windows {
    use std::io;
    use std::os::windows::ffi::OsStrExt;
    use std::os::windows::io::AsRawHandle;
    use std::path::Path;
    use std::ptr::{null, null_mut};
    use windows_sys::Win32::System::Console::SetConsoleCtrlHandler;
    use windows_sys::Win32::System::IO::DeviceIoControl;
    use windows_sys::Win32::System::Ioctl::FSCTL_LOCK_VOLUME;
    use windows_sys::Win32::System::LibraryLoader::{DONT_RESOLVE_DLL_REFERENCES, LoadLibraryExW};
    use windows_sys::Win32::System::Memory::{
        CreateFileMappingW, FILE_MAP_READ, MapViewOfFile, PAGE_READONLY,
    };

    /// Opens a volume and locks it (`FSCTL_LOCK_VOLUME`).
    pub fn lock(volume: &Path) -> io::Result<std::fs::File> {
        let file = std::fs::File::options().read(true).write(true).open(volume)?;
        let mut returned = 0;
        // SAFETY: the handle is open; the request has neither input nor output.
        let locked = unsafe {
            DeviceIoControl(
                file.as_raw_handle(),
                FSCTL_LOCK_VOLUME,
                null(),
                0,
                null_mut(),
                0,
                &mut returned,
                null_mut(),
            )
        };
        if locked == 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
    }

    /// Keeps Ctrl-C and the end of the console from ending this program.
    pub fn ignore_control_events() -> io::Result<()> {
        unsafe extern "system" fn handled(_event: u32) -> i32 {
            1
        }
        // SAFETY: the handler is a function of this program, and touches nothing.
        let set = unsafe { SetConsoleCtrlHandler(Some(handled), 1) };
        if set == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Loads a program or library without running any of it.
    pub fn library(path: &Path) -> io::Result<()> {
        let path: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
        // SAFETY: `path` ends in a NUL; nothing of the library is run or called.
        let module =
            unsafe { LoadLibraryExW(path.as_ptr(), null_mut(), DONT_RESOLVE_DLL_REFERENCES) };
        if module.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Maps a file that is not a program and closes it. Only the mapping remains.
    pub fn mapped(path: &Path) -> io::Result<()> {
        let file = std::fs::File::open(path)?;
        // SAFETY: the file is open; the other pointers may be null; the view is never accessed.
        let view = unsafe {
            let mapping =
                CreateFileMappingW(file.as_raw_handle(), null(), PAGE_READONLY, 0, 0, null());
            let view = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
            windows_sys::Win32::Foundation::CloseHandle(mapping);
            view
        };
        if view.Value.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
