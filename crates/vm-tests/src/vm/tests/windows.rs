//! The Windows program in Wine, on the machine's emulated drives.
//!
//! Wine passes Win32 requests on to Linux's drivers. So the tray opens by the whole path from
//! `IOCTL_STORAGE_EJECT_MEDIA` down to the drive.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::test_context::{TestContext, document, expect_code};
use crate::vm::test_case::Test;
use unmoor_rig::agent::protocol::{Output, Program};
use unmoor_rig::drives::{CD, STICK};
use unmoor_rig::machine::{GUEST_FOLDER, Hardware};
use xtask::process;
use xtask::windows::prefix::{Prefix, WINE, windows_path};

/// Machine for Wine, whose processes and files need more memory than the other tests.
pub static MACHINE: Hardware =
    Hardware { name: "wine", memory_mb: 4096, drives: &[&CD, &STICK], shared: true };

pub const TESTS: &[Test] = &[
    Test {
        name: "windows.eject-cd",
        promise: "unmoor.exe eject D: dismounts the disc and opens the tray; load D: closes it",
        drives: &[&CD],
        machine: &MACHINE,
        run: eject_and_load,
    },
    Test {
        name: "windows.eject-cd-json",
        promise: "the document of unmoor.exe keeps the same contract, and status finds the label",
        drives: &[&CD],
        machine: &MACHINE,
        run: cd_document,
    },
    Test {
        name: "windows.stick",
        promise: "a stick on which Wine refuses to eject: flushed, dismounted, not ejected, and why",
        drives: &[&STICK],
        machine: &MACHINE,
        run: stick,
    },
    Test {
        name: "windows.own-drive",
        promise: "unmoor.exe on its own disc runs from a copy, whose exit code comes back and which leaves no trace",
        drives: &[&STICK],
        machine: &MACHINE,
        run: own_drive,
    },
];

/// Returns the prefix of [`Prefix::ensure`] as the guest sees it.
fn prefix() -> Prefix {
    Prefix::at(Path::new(GUEST_FOLDER).join("wine"))
}

/// Runs `unmoor.exe` in the guest's Wine.
fn windows(ctx: &mut TestContext, arguments: &[&str]) -> Result<Output> {
    wine(ctx, &windows_path(Path::new(GUEST_FOLDER).join("bin/unmoor.exe")), arguments)
}

fn wine(ctx: &mut TestContext, program: &str, arguments: &[&str]) -> Result<Output> {
    let mut words = vec![WINE.to_owned(), program.to_owned()];
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    let environment = prefix().environment();
    ctx.run(Program { words, environment, ..Program::default() })
}

/// Mounts a device and gives it a letter.
fn letter(ctx: &mut TestContext, letter: &str, device: &str, options: &str) -> Result<()> {
    ctx.mount(&format!("{options} {device}"), "/mnt/letter")?;
    let prefix = prefix();
    // A server of an earlier test knows the letters as they were then.
    ctx.sh(&prefix.end_script())?;
    // Two letters of the same folder are one drive to Wine: only this test's letter is there.
    ctx.sh(&prefix.no_letters_script())?;
    ctx.sh(&prefix.letter_script(letter, "/mnt/letter", device)).map(drop)
}

fn cd(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&CD)?;
    letter(ctx, "d:", &node, "-o ro")
}

fn eject_and_load(ctx: &mut TestContext) -> Result<()> {
    cd(ctx)?;
    let mark = ctx.machine.qmp.mark();
    let output = windows(ctx, &["eject", "D:"])?;
    expect_code(&output, 0)?;
    ctx.expect_mounted("/mnt/letter", false)?;
    ctx.expect_tray(mark, &CD, true)?;
    let mark = ctx.machine.qmp.mark();
    let output = windows(ctx, &["load", "D:"])?;
    expect_code(&output, 0)?;
    ctx.expect_tray(mark, &CD, false)
}

fn cd_document(ctx: &mut TestContext) -> Result<()> {
    cd(ctx)?;
    let status = checked(&windows(ctx, &["status", "D:", "--json"])?, 0)?;
    let drive = &status["targets"][0]["drive"];
    ensure!(drive["kind"] == "optical" && drive["medium"] == "present", "{drive}");
    ensure!(drive["volumes"][0]["label"] == "RIGCD", "{drive}");
    let mark = ctx.machine.qmp.mark();
    let ejected = checked(&windows(ctx, &["eject", "D:", "--json"])?, 0)?;
    ensure!(ejected["targets"][0]["outcome"] == "released", "{ejected}");
    ctx.expect_tray(mark, &CD, true)
}

fn stick(ctx: &mut TestContext) -> Result<()> {
    // Wine unmounts what its device link points to, and ejects that: so the file system is on the whole
    // stick, without partitions.
    let node = ctx.node(&STICK)?;
    ctx.sh(&format!("wipefs -a {node} && mkfs.vfat -I -n RIGWHOLE {node}"))?;
    letter(ctx, "e:", &node, "-t vfat")?;
    ctx.sh("echo precious > /mnt/letter/precious.txt")?;
    let mark = ctx.machine.qmp.mark();
    let output = windows(ctx, &["eject", "E:", "--json"])?;
    // Which refusal depends on how far Wine passes the request down: "knows it not" or "failed".
    let code = if output.code == Some(7) { 7 } else { 1 };
    let document = checked(&output, code)?;
    let target = &document["targets"][0];
    let wanted = if code == 7 { "not-supported" } else { "failed" };
    ensure!(target["outcome"] == wanted, "{target}");
    for (step, wanted) in [("flush", "done"), ("dismount", "done"), ("eject", "failed")] {
        ensure!(status_of(target, step) == Some(wanted), "{step}: {target}");
    }
    let message = target["message"].as_str().context("no message")?;
    for part in ["flushed and dismounted", "not ejected", "ERROR_"] {
        ensure!(message.contains(part), "the message does not say {part:?}: {message}");
    }
    ctx.expect_mounted("/mnt/letter", false)?;
    ctx.mount(&node, "/mnt/letter")?;
    ctx.sh("grep precious /mnt/letter/precious.txt && umount /mnt/letter")?;
    ctx.expect_untouched(mark, &STICK)
}

fn own_drive(ctx: &mut TestContext) -> Result<()> {
    let fat = ctx.partition(&STICK, 2)?;
    letter(ctx, "e:", &fat, "-t vfat")?;
    let bin = xtask::paths::rig().join("bin");
    // With all that a debugger wants, the program is larger than the stick's partition.
    let mut strip = Command::new("x86_64-w64-mingw32-strip");
    process::run(strip.args(["-o", "unmoor-small.exe", "unmoor.exe"]).current_dir(&bin))?;
    ctx.sh(&format!("cp {GUEST_FOLDER}/bin/unmoor-small.exe /mnt/letter/unmoor.exe && sync"))?;
    let output = wine(ctx, r"E:\unmoor.exe", &["eject", r"\", "--dismount-only"])?;
    // Linux keeps the mount while the program that waits lies on it, and the verification sees that: its
    // exit code comes back from the copy, which is gone afterwards.
    expect_code(&output, 1)?;
    ensure!(output.stderr.contains("is mounted again"), "{}", output.stderr);
    let folder = prefix().directory().display().to_string();
    let left = ctx.sh(&format!("find {folder} -iname 'unmoor*.exe'"))?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}

fn status_of<'a>(target: &'a Value, step: &str) -> Option<&'a str> {
    let steps = target["steps"].as_array()?;
    steps.iter().find(|s| s["step"] == step)?["status"].as_str()
}

/// Checks and returns the document, as on Linux.
fn checked(output: &Output, code: i32) -> Result<Value> {
    expect_code(output, code)?;
    unmoor_contract::check(&output.stdout, Some(code))
        .map_err(|faults| anyhow::anyhow!("{}: {}", faults.join("; "), output.stdout))?;
    document(output, code)
}
