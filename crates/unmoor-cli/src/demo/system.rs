//! Runs the system's tools for the demonstration; a failure becomes a sentence.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Returns a command that is also searched for in the sbin folders.
pub fn tool(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        // Keeps Ctrl-C from the tool, which would leave half of its work behind.
        .process_group(0);
    command
}

/// Runs the tool and returns its output, or why it failed.
pub fn run<S: AsRef<OsStr>>(name: &str, words: &[S]) -> Result<String, String> {
    let ran = tool(name).args(words).output().map_err(|e| format!("{name}: {e}"))?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).trim().to_string());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let said = said.lines().next().unwrap_or("it failed and did not say why");
    Err(format!("{name}: {}", said.trim_start_matches(&format!("{name}: "))))
}

/// Returns true if the tool is installed.
pub fn exists(name: &str) -> bool {
    let said = tool(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    said.is_ok()
}
