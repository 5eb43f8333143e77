//! Faults, which are the columns of the matrix: how to cause and to remove each.

use anyhow::Result;
use serde_json::json;

use crate::scsi_debug::make_drives;
use crate::test_context::TestContext;
use unmoor_rig::drives::{Drive, STICK};

/// Directory of the driver `scsi_debug`.
const DEBUG: &str = "/sys/bus/pseudo/drivers/scsi_debug";

/// Name of the mapping that does not answer.
const MAPPING: &str = "bystander";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The drive answers every command with a transport error.
    IoError,
    /// The drive accepts no command.
    Timeout,
    /// The drive answers, but not to a command that reads or writes.
    NoRead,
    /// A mapping on another drive does not answer.
    Bystander,
    /// The medium leaves a drive on which nothing is unwritten.
    NoMedium,
    /// The medium leaves while something is unwritten.
    Removed,
    /// The whole drive leaves while something is unwritten.
    Yanked,
    /// SIGINT to the process group, as a terminal sends it for Ctrl-C.
    Interrupt,
    /// SIGTERM to the process.
    Terminate,
    /// SIGKILL to the process.
    Kill,
    /// No descriptor can be opened any more.
    NoDescriptors,
    /// There is no room in `/run`.
    RunFull,
    /// `/sys` is read-only. The release powers off, which writes there.
    SysReadOnly,
}

impl Fault {
    pub const ALL: [Self; 13] = [
        Self::IoError,
        Self::Timeout,
        Self::NoRead,
        Self::Bystander,
        Self::NoMedium,
        Self::Removed,
        Self::Yanked,
        Self::Interrupt,
        Self::Terminate,
        Self::Kill,
        Self::NoDescriptors,
        Self::RunFull,
        Self::SysReadOnly,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::IoError => "io-error",
            Self::Timeout => "timeout",
            Self::NoRead => "no-read",
            Self::Bystander => "bystander",
            Self::NoMedium => "no-medium",
            Self::Removed => "removed",
            Self::Yanked => "yanked",
            Self::Interrupt => "sigint",
            Self::Terminate => "sigterm",
            Self::Kill => "sigkill",
            Self::NoDescriptors => "no-fds",
            Self::RunFull => "run-full",
            Self::SysReadOnly => "sys-ro",
        }
    }

    /// Returns further options of the release.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            // Far less than the kernel waits for a drive.
            Self::Timeout | Self::NoRead => &["--timeout", "20s"],
            Self::SysReadOnly => &["--power-off"],
            _ => &[],
        }
    }

    /// Prepares the guest before the release begins.
    pub fn prepare(self, ctx: &mut TestContext) -> Result<()> {
        match self {
            Self::Bystander => {
                let node = make_drives(ctx, 1)?;
                let table = format!("0 8192 linear {node} 0");
                ctx.sh(&format!("dmsetup create {MAPPING} --table '{table}'")).map(drop)
            }
            Self::RunFull => ctx.sh("mount -t tmpfs -o size=64k small /run").map(drop),
            _ => Ok(()),
        }
    }

    /// Causes the fault in a release whose process is `main` and of which process `stopped` is paused.
    /// Returns a script for the part that happens in the guest.
    pub fn strike(
        self,
        ctx: &mut TestContext,
        drive: &Drive,
        main: u32,
        stopped: u32,
    ) -> Result<String> {
        match self {
            Self::NoMedium | Self::Removed => {
                let arguments = json!({ "device": drive.id, "force": true });
                ctx.note(&format!("(QEMU: the medium leaves {})", drive.id));
                ctx.machine.qmp.execute("eject", arguments)?;
            }
            Self::Yanked => {
                ctx.note("(QEMU: the stick is pulled out)");
                ctx.machine.yank(&STICK)?;
            }
            _ => {}
        }
        Ok(match self {
            Self::IoError => debug(16, -1),
            Self::Timeout => debug(0x8000, -1),
            Self::NoRead => debug(128, 1),
            Self::Bystander => format!("dmsetup suspend {MAPPING}"),
            Self::NoMedium | Self::Removed | Self::Yanked => "true".to_owned(),
            Self::Interrupt => format!("kill -INT -{main}"),
            Self::Terminate => format!("kill -TERM {main}"),
            Self::Kill => format!("kill -KILL {main}"),
            // The three that every program has are below the limit; a child may have left by itself.
            Self::NoDescriptors => format!(
                "prlimit --pid {main} --nofile=3:3; prlimit --pid {stopped} --nofile=3:3 || true"
            ),
            Self::RunFull => {
                "cat /dev/zero >/run/full; echo more >/run/more && test -s /run/more && exit 1"
                    .to_owned()
            }
            Self::SysReadOnly => "mount -o remount,bind,ro /sys".to_owned(),
        })
    }

    /// Removes the fault after the release, where it can be removed.
    pub fn mend(self, ctx: &mut TestContext) -> Result<()> {
        match self {
            Self::IoError | Self::Timeout => ctx.sh(&debug(0, 0)).map(drop),
            // The kernel sends a command again after thirty seconds, and takes the disk offline after the second time.
            Self::NoRead => {
                let disks = format!("{DEBUG}/adapter0/host*/target*/*/block/*");
                let wait =
                    format!("for one in {disks}; do blockdev --flushbufs /dev/${{one##*/}}; done");
                ctx.sh(&format!("{}; {wait}", debug(0, 0))).map(drop)
            }
            Self::Bystander => ctx.sh(&format!("dmsetup resume {MAPPING}")).map(drop),
            Self::RunFull => ctx.sh("umount /run").map(drop),
            Self::SysReadOnly => ctx.sh("mount -o remount,bind,rw /sys").map(drop),
            _ => Ok(()),
        }
    }

    /// Returns true if the drive keeps a process that asked it in the kernel.
    pub fn keeps_waiting(self) -> bool {
        matches!(self, Self::Timeout | Self::NoRead)
    }

    /// Returns true if the drive keeps its medium.
    pub fn keeps_the_medium(self) -> bool {
        !matches!(self, Self::NoMedium | Self::Removed | Self::Yanked)
    }
}

/// Returns the script that sets `scsi_debug`'s faults. With 16 a command ends with "acknowledge time-out",
/// with 128 a command that reads or writes gets no answer, with 8000h the adapter is too busy; `every` is -1 or 1 for every command, 0 for none.
fn debug(options: u32, every: i32) -> String {
    format!("echo {options} >{DEBUG}/opts; echo {every} >{DEBUG}/every_nth")
}
