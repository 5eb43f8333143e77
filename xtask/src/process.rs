//! Running other programs, with errors that name the program and show its output.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Returns a command that also finds administrators' programs: Debian keeps `/usr/sbin` out of a user's
/// `PATH`.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"));
    command
}

/// Runs a command and returns its output. An error shows the output.
pub fn run(command: &mut Command) -> Result<String> {
    let shown = line(command);
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start: {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command with its output going to this program's.
pub fn run_visibly(command: &mut Command) -> Result<()> {
    let shown = line(command);
    let status = command.status().with_context(|| format!("cannot start: {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs a command to its end and returns its exit code, output and errors. Kills it after a minute.
pub fn finish(command: &mut Command) -> Result<(i32, String, String)> {
    const TIMEOUT: Duration = Duration::from_secs(60);
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let id = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(TIMEOUT) else {
        let _ = run(Command::new("kill").args(["-KILL", &id.to_string()]));
        bail!("it did not end within {} s", TIMEOUT.as_secs());
    };
    let output = output?;
    let code = output.status.code().context("it was killed")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((code, text(&output.stdout), text(&output.stderr)))
}

/// Returns the command as a user would type it.
pub fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Returns `cargo run` for the program of a package of this workspace; its arguments come next.
pub fn cargo_run(package: &str) -> Command {
    let mut cargo = Command::new(cargo());
    cargo.args(["run", "--quiet", "--manifest-path"]);
    cargo.arg(crate::paths::repository().join("Cargo.toml"));
    cargo.args(["--package", package, "--"]);
    cargo
}

/// Returns the cargo that runs this program.
pub fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
