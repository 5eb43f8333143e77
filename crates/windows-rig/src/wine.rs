//! Building of the driver and the DLL, and Wine to run them in.

use crate::outcome::BROKEN;
use crate::{Outcome, Test};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const WINE: &str = "/usr/lib/wine/wine64";
const SERVER: &str = "/usr/lib/wine/wineserver64";
const COMPILER: &str = "x86_64-w64-mingw32-gcc";
/// Headers of driver development of Debian's mingw.
const DRIVER_HEADERS: &str = "/usr/x86_64-w64-mingw32/include/ddk";
/// Time beyond a test's deadline, after which the launcher itself counts as broken.
const BOOT_TIMEOUT: Duration = Duration::from_secs(60);

/// A running Wine with the driver loaded. It ends when this is dropped.
pub struct Rig {
    directory: PathBuf,
}

impl Rig {
    /// Builds what is needed below `target`, and starts it. The first time makes a prefix (700 MB).
    ///
    /// Wine 8.0 sometimes ends a program with 1 before its first instruction. A prefix made meanwhile may lack
    /// services, so a second attempt makes a new one.
    pub fn start(target: &Path) -> Result<Rig> {
        let rig = Rig { directory: target.join("windows-rig") };
        fs::create_dir_all(rig.prefix())?;
        rig.build()?;
        rig.boot().or_else(|error| {
            println!("Wine does not start: {error:#}; a new prefix is made");
            rig.end();
            fs::remove_dir_all(rig.prefix())?;
            fs::create_dir_all(rig.prefix())?;
            rig.boot()
        })?;
        Ok(rig)
    }

    /// Starts Wine and the driver, and ends a Wine that runs already.
    ///
    /// # Errors
    /// When a program of Wine fails, with its output.
    pub fn boot(&self) -> Result<()> {
        self.end();
        let made = self.prefix().join("made");
        if !made.exists() {
            self.quietly(&mut self.wine(&["wineboot", "--init"]))?;
            // The registry is written to its files when the server ends by itself.
            self.quietly(self.environment(Command::new(SERVER)).arg("--wait"))?;
            fs::write(made, "")?;
        }
        self.install_veracrypt()?;
        self.quietly(self.environment(Command::new(SERVER)).arg("--persistent=300"))?;
        self.quietly(&mut self.wine(&["rig.exe", "start", "rig.sys"]))
    }

    fn prefix(&self) -> PathBuf {
        self.directory.join("prefix")
    }

    fn build(&self) -> Result<()> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let driver = ["-shared", "-nostdlib", "-Wl,--subsystem,native", "-Wl,--entry,DriverEntry"];
        let headers = format!("-I{DRIVER_HEADERS}");
        let driver: Vec<&str> = driver.into_iter().chain([headers.as_str()]).collect();
        self.compile(&source.join("driver"), "rig.sys", &driver, &["-lntoskrnl"])?;
        let libraries = ["-lsetupapi", "-lcfgmgr32", "-lntdll", "-lshell32", "-ladvapi32"];
        self.compile(&source.join("interpose"), "interpose.dll", &["-shared"], &libraries)?;
        let library = self.directory.join("interpose.dll");
        let library = library.to_str().context("a path that is no UTF-8")?;
        self.compile(&source.join("veracrypt"), "veracrypt.exe", &[], &[])?;
        let libraries = [library, "-ladvapi32"];
        self.compile(&source.join("launcher"), "rig.exe", &["-municode"], &libraries)
    }

    fn install_veracrypt(&self) -> Result<()> {
        let folder = self.prefix().join("drive_c/Program Files/VeraCrypt");
        fs::create_dir_all(&folder)?;
        fs::copy(self.directory.join("veracrypt.exe"), folder.join("VeraCrypt.exe"))?;
        Ok(())
    }

    fn compile(&self, folder: &Path, name: &str, flags: &[&str], libraries: &[&str]) -> Result<()> {
        let mut files: Vec<PathBuf> = fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "c"));
        files.sort();
        let mut compiler = Command::new(COMPILER);
        compiler.args(["-O2", "-Wall", "-Wextra", "-Werror"]).args(flags).args(files);
        compiler.arg("-o").arg(self.directory.join(name)).args(libraries);
        let status = compiler.status().context(COMPILER)?;
        ensure!(status.success(), "{name} does not compile");
        Ok(())
    }

    fn environment(&self, mut command: Command) -> Command {
        command.env("WINEPREFIX", self.prefix()).env("WINEDEBUG", "-all");
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml=");
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command.current_dir(&self.directory).stdin(Stdio::null());
        command
    }

    fn wine(&self, words: &[&str]) -> Command {
        let mut command = self.environment(Command::new(WINE));
        command.args(words);
        command
    }

    /// Runs a command, whose output becomes part of the error where it fails.
    ///
    /// The output goes to a file: Wine's services inherit it, and would keep a pipe open.
    fn quietly(&self, command: &mut Command) -> Result<()> {
        let output = self.directory.join("boot.txt");
        let file = File::create(&output)?;
        let status =
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).status()?;
        ensure!(
            status.success(),
            "{command:?}: {status}: {}",
            String::from_utf8_lossy(&fs::read(output)?).trim()
        );
        Ok(())
    }

    fn end(&self) {
        // Fails where no server runs.
        for word in ["-k", "-w"] {
            let _ = self.quietly(self.environment(Command::new(SERVER)).arg(word));
        }
    }

    /// Runs one test.
    ///
    /// # Errors
    /// When the rig fails; what the program does wrong is in the outcome.
    pub fn run(&self, program: &Path, test: &Test) -> Result<Outcome> {
        let at = |name: &str| self.directory.join(name);
        fs::write(at("scenario.txt"), &test.scenario)?;
        let _ = fs::remove_file(at("journal.txt"));
        let deadline = test.deadline.to_string();
        let mut wine = self.wine(&["rig.exe", "run", "scenario.txt", "journal.txt", &deadline]);
        for (how, what) in &test.holders {
            wine.arg(format!("--{how}")).arg(what);
        }
        wine.arg("--").arg(windows_path(program)).args(&test.words);
        // Files, not pipes: Wine's services inherit them, and would keep a pipe open.
        wine.stdout(File::create(at("output.txt"))?).stderr(File::create(at("errors.txt"))?);
        let start = Instant::now();
        let mut child = wine.spawn().context(WINE)?;
        let limit = Duration::from_secs(test.deadline.into()) + BOOT_TIMEOUT;
        let code = wait(&mut child, start + limit)?;
        let seconds = start.elapsed().as_secs_f32();
        let text = |name: &str| -> Result<String> {
            Ok(String::from_utf8_lossy(&fs::read(at(name))?).replace('\r', ""))
        };
        let errors = text("errors.txt")?;
        ensure!(code != BROKEN, "{}: the rig failed: {errors}", test.id);
        let journal = text("journal.txt").context("no journal")?;
        ensure!(!journal.contains("rig: no "), "{}: {journal}", test.id);
        Ok(Outcome::new(code, text("output.txt")?, errors, journal, seconds).judge(test))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns the exit code, or an error when the limit passes.
fn wait(child: &mut Child, limit: Instant) -> Result<i32> {
    loop {
        if let Some(status) = child.try_wait()? {
            return status.code().context("Wine was killed");
        }
        if Instant::now() >= limit {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("the launcher does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A path of this machine as a program in Wine sees it.
fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display().to_string().replace('/', r"\"))
}
