//! The system's own tools, called for the demonstration: their failure becomes a sentence.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// A tool, found where administrators' tools are even if the user's PATH does not say so.
pub fn tool(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        // Ctrl-C is for us alone: a tool that is cut off would leave half of its work behind.
        .process_group(0);
    command
}

/// Runs the tool; what it printed, or why it failed.
pub fn run<S: AsRef<OsStr>>(name: &str, words: &[S]) -> Result<String, String> {
    let ran = tool(name).args(words).output().map_err(|e| format!("{name}: {e}"))?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).trim().to_string());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let said = said.lines().next().unwrap_or("it failed and did not say why");
    Err(format!("{name}: {}", said.trim_start_matches(&format!("{name}: "))))
}

/// Is there such a tool.
pub fn exists(name: &str) -> bool {
    let said = tool(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    said.is_ok()
}
