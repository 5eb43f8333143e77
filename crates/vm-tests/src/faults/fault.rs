//! What goes wrong: the columns, and how each is made and mended.

use anyhow::Result;
use serde_json::json;

use crate::test_context::TestContext;
use unmoor_rig::drives::{Drive, STICK};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The drive answers every command with a transport error.
    IoError,
    /// The drive takes no command any more.
    Timeout,
    /// The medium leaves a drive on which nothing is unwritten.
    NoMedium,
    /// The medium leaves while something is unwritten.
    Removed,
    /// The whole drive leaves while something is unwritten.
    Yanked,
    /// Ctrl-C: to the process group, as a terminal does.
    Interrupt,
    /// To the process.
    Terminate,
    /// To the process.
    Kill,
    /// No descriptor can be opened any more.
    NoDescriptors,
    /// There is no room in `/run`.
    RunFull,
    /// Nothing can be written to `/sys`; the release is to power off, which writes there.
    SysReadOnly,
}

impl Fault {
    pub const ALL: [Self; 11] = [
        Self::IoError,
        Self::Timeout,
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

    /// What the release is asked to do besides.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            // Far less than the kernel waits for a drive.
            Self::Timeout => &["--timeout", "20s"],
            Self::SysReadOnly => &["--power-off"],
            _ => &[],
        }
    }

    /// Before the release begins.
    pub fn prepare(self, ctx: &mut TestContext) -> Result<()> {
        match self {
            Self::RunFull => ctx.sh("mount -t tmpfs -o size=64k small /run").map(drop),
            _ => Ok(()),
        }
    }

    /// Makes it happen, to a release whose process is `main` and which is stopped in process `stopped`;
    /// what is to be done in the guest is returned as a script.
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

    /// What can be mended is, once the release has ended.
    pub fn mend(self, ctx: &mut TestContext) -> Result<()> {
        match self {
            Self::IoError | Self::Timeout => ctx.sh(&debug(0, 0)).map(drop),
            Self::RunFull => ctx.sh("umount /run").map(drop),
            Self::SysReadOnly => ctx.sh("mount -o remount,bind,rw /sys").map(drop),
            _ => Ok(()),
        }
    }

    /// Does the drive keep its medium.
    pub fn keeps_the_medium(self) -> bool {
        !matches!(self, Self::NoMedium | Self::Removed | Self::Yanked)
    }
}

/// `scsi_debug`: with 16 a command ends with "acknowledge time-out", with 8000h the adapter is too busy to
/// take it, for as long as that lasts; -1 is every command, 0 none.
fn debug(options: u32, every: i32) -> String {
    let directory = "/sys/bus/pseudo/drivers/scsi_debug";
    format!("echo {options} >{directory}/opts; echo {every} >{directory}/every_nth")
}
