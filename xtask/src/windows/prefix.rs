//! Wine prefix: a folder with a registry and drive letters.
//!
//! A letter is two links in `dosdevices`: `d:` to the mount point, `d::` to the block device. Wine asks
//! udisks for the type of a letter's drive, or takes it from the registry where udisks does not run.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};

use crate::process;

/// Path of Wine itself. The script that Debian puts in `PATH` prints advice on standard error.
pub const WINE: &str = "/usr/lib/wine/wine64";

/// Path of Wine's server, which keeps the state of a prefix.
const SERVER: &str = "/usr/lib/wine/wineserver64";

/// Drive letters of the tests, and the type of each drive.
pub const LETTERS: &[(&str, &str)] = &[("d:", "cdrom"), ("e:", "floppy"), ("f:", "floppy")];

/// Wine prefix.
pub struct Prefix {
    directory: PathBuf,
}

impl Prefix {
    /// Returns the prefix of all tests, made at the first use.
    pub fn ensure() -> Result<Self> {
        let directory = crate::paths::rig().join("wine");
        let done = Self::at(directory.clone());
        if directory.join("made").exists() {
            return Ok(done);
        }
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        process::run(done.wine().args(["wineboot", "--init"]))?;
        for (letter, sort) in LETTERS {
            let key = r"HKLM\Software\Wine\Drives";
            let words = ["reg", "add", key, "/v", letter, "/t", "REG_SZ", "/d", sort, "/f"];
            process::run(done.wine().args(words))?;
        }
        // The registry is written to its files when the server ends.
        process::run(done.server().arg("--wait"))?;
        fs::write(directory.join("made"), "")?;
        Ok(done)
    }

    /// Returns the prefix in this folder, which must have been made before.
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns a command that runs a Windows program, whose path comes next.
    pub fn wine(&self) -> Command {
        let mut command = Command::new(WINE);
        self.set(&mut command);
        command
    }

    fn server(&self) -> Command {
        let mut command = Command::new(SERVER);
        self.set(&mut command);
        command
    }

    /// Starts Wine's server, which stays until the result is dropped.
    ///
    /// Starting the server takes most of the time of a short program, and a program that starts while the
    /// server is exiting fails. A server that is left from a run that was killed may be another version's, so
    /// it is ended first.
    pub fn stay(&self) -> Result<Server<'_>> {
        let server = Server(self);
        server.end();
        // It goes on in the background and would keep our pipes open.
        let started = quietly(self.server().arg("--persistent=300"))?;
        ensure!(started.success(), "wineserver does not start: {started}");
        // The first program starts Wine's services, which inherit what it prints to.
        let first = quietly(self.wine().args(["cmd", "/c", "exit"]))?;
        ensure!(first.success(), "Wine starts no program: {first}");
        Ok(server)
    }

    fn set<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY")
    }

    /// Returns Wine's environment variables.
    pub fn environment(&self) -> Vec<(String, String)> {
        let directory = self.directory.to_string_lossy().into_owned();
        let pairs = [
            ("WINEPREFIX", directory.as_str()),
            // Its remarks about what it lacks would stand between the program's own words.
            ("WINEDEBUG", "-all"),
            // It would ask on a screen whether to fetch these.
            ("WINEDLLOVERRIDES", "mscoree,mshtml="),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// Returns the shell command that ends the prefix's server.
    pub fn end_script(&self) -> String {
        let server = format!("WINEPREFIX={} {SERVER}", self.directory.display());
        format!("{server} -k; {server} -w; true")
    }

    /// Returns the shell command that gives a letter to a mounted device.
    pub fn letter_script(&self, letter: &str, mounted: &str, device: &str) -> String {
        let links = self.directory.join("dosdevices");
        let links = links.display();
        format!("ln -sfn {mounted} {links}/{letter} && ln -sfn {device} {links}/{letter}:")
    }

    /// Returns the shell command that removes all letters of [`LETTERS`].
    pub fn no_letters_script(&self) -> String {
        let links = self.directory.join("dosdevices");
        let paths = LETTERS.iter().flat_map(|(letter, _)| {
            [format!("{}/{letter}", links.display()), format!("{}/{letter}:", links.display())]
        });
        format!("rm -f {}", paths.collect::<Vec<_>>().join(" "))
    }

    /// Assigns a letter to a folder of this machine.
    pub fn letter(&self, letter: &str, folder: &Path) -> Result<()> {
        let link = self.directory.join("dosdevices").join(letter);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(folder, &link).context("a drive letter")
    }

    /// Removes a letter.
    pub fn forget(&self, letter: &str) {
        let _ = fs::remove_file(self.directory.join("dosdevices").join(letter));
    }
}

/// Returns a path of this machine as a program in Wine sees it.
pub fn windows_path(path: impl AsRef<OsStr>) -> String {
    format!("Z:{}", path.as_ref().to_string_lossy().replace('/', r"\"))
}

/// Wine's server, which ends on drop.
pub struct Server<'p>(&'p Prefix);

impl Server<'_> {
    fn end(&self) {
        // It fails where no server runs. The second call waits until there is none.
        let _ = quietly(self.0.server().arg("-k"));
        let _ = quietly(self.0.server().arg("-w"));
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

fn quietly(command: &mut Command) -> Result<ExitStatus> {
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?)
}
