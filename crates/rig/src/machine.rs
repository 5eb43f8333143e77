//! A running virtual machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde_json::json;

use crate::drives::Drive;
use crate::guest::Guest;
use crate::media::{self, Medium};
use crate::qmp::Qmp;
use crate::{initramfs, kernel};
use xtask::process::program;

/// Path in the guest of the rig's folder, wherever the host has it.
pub const GUEST_FOLDER: &str = "/unmoor-rig";

/// Name in the guest of the copy of the running program.
pub const GUEST_TOOLS: &str = "rig-guest";

/// Timeout for a boot. A boot takes some ten seconds, but emulation is slow and the host may be busy.
const BOOT: Duration = Duration::from_secs(240);

/// Hardware of a machine.
#[derive(Debug)]
pub struct Hardware {
    pub name: &'static str,
    pub memory_mb: u32,
    pub drives: &'static [&'static Drive],
    /// True if tests may use the machine one after another. Otherwise each test boots its own.
    pub shared: bool,
}

impl Hardware {
    /// Returns the number of emulated processors. Two find more races; one takes a third of the time on a
    /// host with few processors, since two emulated ones spin while they wait for each other.
    /// `UNMOOR_RIG_PROCESSORS` overrides the number.
    fn processors(&self) -> String {
        let own = if self.name.starts_with("soak") { "1" } else { "2" };
        std::env::var("UNMOOR_RIG_PROCESSORS").unwrap_or_else(|_| own.to_owned())
    }
}

/// Programs under test, and the folder for this run's files.
pub struct Rig {
    directory: PathBuf,
    kernel: kernel::Kernel,
    archive: PathBuf,
    /// Number of machines that were booted.
    machines: AtomicUsize,
}

impl Rig {
    /// Prepares everything that a machine needs. `binary` becomes `unmoor` in the guest.
    pub fn prepare(binary: &Path) -> Result<Self> {
        let kernel = kernel::ensure()?;
        let directory = xtask::paths::rig().join("run");
        let programs = xtask::paths::rig().join("bin");
        fs::create_dir_all(&directory)?;
        fs::create_dir_all(&programs)?;
        // The guest runs this program too. Copies, so that a build during the run does not change what the guest is looking at.
        replace(&std::env::current_exe()?, &programs.join(GUEST_TOOLS))?;
        replace(binary, &programs.join("unmoor"))?;
        let archive = initramfs::build(&kernel, &directory)?;
        Ok(Self { directory, kernel, archive, machines: AtomicUsize::new(0) })
    }

    /// Adds a program to the folder of `unmoor`, which is in the guest's `PATH`.
    pub fn add_program(binary: &Path, name: &str) -> Result<()> {
        replace(binary, &xtask::paths::rig().join("bin").join(name))
    }

    /// Creates an empty folder for a machine. Machines with the same hardware may run at the same time.
    fn folder_of(&self, hardware: &Hardware) -> Result<PathBuf> {
        let number = self.machines.fetch_add(1, Ordering::Relaxed);
        let folder = self.directory.join(format!("{}.{number}", hardware.name));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    pub fn boot(&self, hardware: &'static Hardware) -> Result<Machine> {
        Machine::boot(self, hardware)
    }
}

fn replace(from: &Path, to: &Path) -> Result<()> {
    let _ = fs::remove_file(to);
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

/// A machine with its control channel and its agent.
pub struct Machine {
    pub qmp: Qmp,
    pub guest: Guest,
    process: Child,
    directory: PathBuf,
    images: BTreeMap<&'static str, PathBuf>,
    generation: u32,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Machine {
    fn boot(rig: &Rig, hardware: &'static Hardware) -> Result<Self> {
        let directory = rig.folder_of(hardware)?;
        let (control, control_end) = channel()?;
        let (agent, agent_end) = channel()?;
        // It must not go on alone when this program is killed.
        let mut command = program("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]);
        command.current_dir(&directory).stdin(Stdio::null());
        command.args(["-nodefaults", "-display", "none", "-no-reboot", "-M", "q35"]);
        // Emulated on every host alike: a /dev/kvm that is there need not work (seen: QEMU aborts on it, or
        // the guest never says a word). -smap: with SMAP, Wine dies at its first iretq. -erms, -fsrm: the
        // kernel would copy byte by byte then, which is slow to emulate; -la57: so is a fifth level of tables.
        command.args(["-accel", "tcg", "-cpu", "max,-smap,-erms,-fsrm,-la57", "-smp"]);
        command.arg(hardware.processors());
        command.arg("-m").arg(hardware.memory_mb.to_string());
        command.arg("-kernel").arg(&rig.kernel.image).arg("-initrd").arg(&rig.archive);
        command.args(["-append", COMMAND_LINE]);
        command.args(["-serial", "file:console.log"]);
        command.args(["-virtfs", HOST_ROOT]);
        command.arg("-chardev").arg(format!("socket,id=qmp,fd={}", control_end.as_raw_fd()));
        command.args(["-mon", "chardev=qmp,mode=control"]);
        command.arg("-chardev").arg(format!("socket,id=agent,fd={}", agent_end.as_raw_fd()));
        command.args(["-device", "virtio-serial-pci"]);
        command
            .arg("-device")
            .arg(format!("virtserialport,chardev=agent,name={}", crate::agent::PORT));
        let mut images = BTreeMap::new();
        let mut controllers: Vec<&str> = Vec::new();
        for drive in hardware.drives {
            for controller in drive.controllers {
                if !controllers.contains(controller) {
                    controllers.push(controller);
                    command.args(["-device", controller]);
                }
            }
            let mut argument = format!("if=none,id={}", drive.id);
            if let Some(medium) = drive.medium {
                let image = new_image(&directory, medium, drive.id, 0)?;
                argument.push_str(&contents(drive, medium, &image)?);
                images.insert(drive.id, image);
            }
            command.arg("-drive").arg(argument);
            command.arg("-device").arg(device(drive));
        }
        let log = fs::File::create(directory.join("qemu.log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().context("cannot start qemu-system-x86_64")?;
        drop((control_end, agent_end));
        let started = KillOnDrop(Some(process));
        let qmp = Qmp::new(control).with_context(|| log_tails(&directory))?;
        let mut guest = Guest::new(agent)?;
        guest.await_boot(BOOT).with_context(|| log_tails(&directory))?;
        let process = started.keep();
        Ok(Self { qmp, guest, process, directory, images, generation: 0 })
    }

    /// Returns the image file of the medium that is in the drive now.
    pub fn image(&self, drive: &Drive) -> Result<PathBuf> {
        self.images.get(drive.id).cloned().with_context(|| format!("nothing is in {}", drive.id))
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the processor time that the emulator has used, which other load on the host does not change.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let stat = stat.unwrap_or_default();
        // The name before the last parenthesis may have spaces; user and system time are fields 14 and 15.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 =
            fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Inserts an unmodified medium, whatever medium and tray state the drive has now.
    pub fn insert(&mut self, drive: &Drive) -> Result<()> {
        let Some(medium) = drive.medium else {
            return Ok(());
        };
        // It has a machine that was booted for this test alone.
        if drive.logged || medium == Medium::Flawed {
            return Ok(());
        }
        if drive.fixed {
            // Nothing can be changed in it; nothing of it is in use now, so the guest will read it anew.
            return overwrite(&self.template(medium)?, &self.image(drive)?);
        }
        self.generation += 1;
        let image = new_image(&self.directory, medium, drive.id, self.generation)?;
        let arguments = json!({
            "device": drive.id,
            "filename": image,
            "format": "raw",
            "force": true,
            "read-only-mode": if medium.read_only() { "read-only" } else { "retain" },
        });
        self.qmp.execute("blockdev-change-medium", arguments)?;
        if let Some(old) = self.images.insert(drive.id, image) {
            let _ = fs::remove_file(old);
        }
        Ok(())
    }

    /// Returns the template from which the medium's images are copied.
    pub fn template(&self, medium: Medium) -> Result<PathBuf> {
        template(&self.directory, medium)
    }

    /// Unplugs the drive without notice to the guest, as a user would.
    pub fn yank(&mut self, drive: &Drive) -> Result<()> {
        let mark = self.qmp.mark();
        self.qmp.execute("device_del", json!({ "id": device_id(drive) }))?;
        self.qmp.await_event(mark, |event| {
            event.name == "DEVICE_DELETED" && event.data["device"] == device_id(drive)
        })?;
        Ok(())
    }

    /// Plugs in a drive that was unplugged, or that the guest powered off.
    pub fn plug(&mut self, drive: &Drive) -> Result<()> {
        self.generation += 1;
        let mut backend = format!("if=none,id={}", drive.id);
        if let Some(medium) = drive.medium {
            let image = new_image(&self.directory, medium, drive.id, self.generation)?;
            backend.push_str(&format!(",format=raw,file={}", image.display()));
            self.images.insert(drive.id, image);
        }
        self.add(drive, &backend)
    }

    /// Plugs in a drive with this image as its medium. With a log, QEMU records the write and flush commands
    /// that it receives.
    pub fn plug_image(&mut self, drive: &Drive, image: &Path, log: Option<&Path>) -> Result<()> {
        let contents = match log {
            Some(log) => recorded(image, log)?,
            None => format!(",format=raw,file={}", option_value(image)),
        };
        self.add(drive, &format!("if=none,id={}{contents}", drive.id))
    }

    fn add(&mut self, drive: &Drive, backend: &str) -> Result<()> {
        // The machine protocol cannot make a backend that is called by its drive's name, as the ones made
        // at the start are, and a usb-storage's medium can be changed by that name alone.
        let quoted = backend.replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("drive_add dummy \"{quoted}\"");
        let said = self.qmp.execute("human-monitor-command", json!({ "command-line": line }))?;
        anyhow::ensure!(said.as_str().is_some_and(|said| said.trim() == "OK"), "{line}: {said}");
        let mut arguments = json!({});
        for (index, part) in device(drive).split(',').enumerate() {
            match part.split_once('=') {
                Some((name, value)) if name == "removable" => {
                    arguments[name] = json!(value == "on")
                }
                Some((name, value)) => arguments[name] = json!(value),
                None if index == 0 => arguments["driver"] = json!(part),
                None => {}
            }
        }
        self.qmp.execute("device_add", arguments)?;
        Ok(())
    }

    /// Returns the last lines of the guest's console and of QEMU's log.
    pub fn console(&self) -> String {
        log_tails(&self.directory)
    }
}

/// Kernel command line.
///
/// `no_timer_check`: on a busy host the kernel takes the emulated timer for broken, and panics.
/// `norandmaps`: at random addresses, the emulator translates the code of each program again at every start, which
/// takes two thirds of the time. `tsc=reliable`: without it, the kernel reads the time from an emulated device.
/// `cryptomgr.notests`: the self-tests of a cipher take seconds when emulated.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check norandmaps tsc=reliable \
                            cryptomgr.notests=1";

/// QEMU's export of the host's root, read-only. `remap` keeps inode numbers unique across file systems.
const HOST_ROOT: &str =
    "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap,id=host";

/// Returns the part of the `-drive` argument that defines the drive's contents.
fn contents(drive: &Drive, medium: Medium, image: &Path) -> Result<String> {
    let file = option_value(image);
    if drive.logged {
        return recorded(image, &image.with_extension("log"));
    }
    if medium == Medium::Flawed {
        let rule = "inject-error.0";
        return Ok(format!(
            ",driver=blkdebug,image.driver=file,image.filename={file},{rule}.event=none,\
             {rule}.iotype=write,{rule}.errno=5,{rule}.once=off,{rule}.sector={}",
            media::BAD_SECTOR
        ));
    }
    let protection = if medium.read_only() { ",readonly=on" } else { "" };
    Ok(format!(",format=raw,file={file}{protection}"))
}

fn recorded(image: &Path, log: &Path) -> Result<String> {
    fs::File::create(log)?;
    Ok(format!(
        ",driver=blklogwrites,file.driver=file,file.filename={},log.driver=file,log.filename={}",
        option_value(image),
        option_value(log)
    ))
}

/// Returns the path as a value in QEMU's options, where a comma ends it unless it is doubled.
fn option_value(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

fn device(drive: &Drive) -> String {
    format!("{},drive={},id={}", drive.device, drive.id, device_id(drive))
}

fn device_id(drive: &Drive) -> String {
    format!("{}-device", drive.id)
}

fn new_image(directory: &Path, medium: Medium, id: &str, generation: u32) -> Result<PathBuf> {
    let image = directory.join(format!("{id}.{generation}.img"));
    media::copy(&template(directory, medium)?, &image)?;
    Ok(image)
}

fn template(directory: &Path, medium: Medium) -> Result<PathBuf> {
    let template = directory.join(format!("{medium:?}.template"));
    if !template.exists() {
        media::make(medium, &template)?;
    }
    Ok(template)
}

fn overwrite(from: &Path, to: &Path) -> Result<()> {
    let mut target = fs::OpenOptions::new().write(true).open(to)?;
    std::io::copy(&mut fs::File::open(from)?, &mut target)?;
    Ok(())
}

/// Returns a socket pair: the host's end, and the end that QEMU inherits.
fn channel() -> Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None)?;
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::CLOEXEC)?;
    Ok((UnixStream::from(ours), theirs))
}

fn log_tails(directory: &Path) -> String {
    let mut text = String::new();
    for name in ["qemu.log", "console.log"] {
        let content = fs::read(directory.join(name)).unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        let lines: Vec<&str> = content.lines().collect();
        for line in &lines[lines.len().saturating_sub(25)..] {
            text.push_str(&format!("  {name}: {line}\n"));
        }
    }
    text
}

/// Child process that is killed if the rest of the boot fails.
struct KillOnDrop(Option<Child>);

impl KillOnDrop {
    #[allow(clippy::expect_used, reason = "it is taken here only, and this consumes it")]
    fn keep(mut self) -> Child {
        self.0.take().expect("kept once")
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
