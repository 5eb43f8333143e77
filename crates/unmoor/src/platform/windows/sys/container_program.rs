//! Command lines of VeraCrypt and TrueCrypt: "Command Line Usage for Windows" of VeraCrypt's documentation.

use crate::platform::windows::sys::registry;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Starts the program, to dismount the volume with this letter; returns `None` if it is not installed.
///
/// Without `/force` it locks the volume first, which fails while files on it are open. `/silent` asks
/// nothing.
pub(crate) fn dismount(program: &str, letter: char) -> Option<Child> {
    registry::program_folders().into_iter().find_map(|folder| {
        let path = Path::new(&folder).join(program).join(format!("{program}.exe"));
        let mut command = Command::new(path);
        command.args(["/dismount", &letter.to_string(), "/quit", "/silent"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().ok()
    })
}
