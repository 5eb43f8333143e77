//! The Windows program in Wine, on the machine's real (emulated) drives.
//!
//! Wine passes Win32's requests on to Linux's drivers, so what opens the tray here is the whole way from
//! `IOCTL_STORAGE_EJECT_MEDIA` down to the drive.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::test_context::{Trial, document, expect_code};
use crate::vm::test_case::Test;
use unmoor_rig::agent::protocol::{Ended, Program};
use unmoor_rig::drives::{CD, STICK};
use unmoor_rig::machine::{GUEST_FOLDER, Hardware};
use xtask::process;
use xtask::windows::prefix::{Prefix, WINE, windows_path};

/// Wine's processes and what they write want more room than the rest of the tests.
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
        promise: "unmoor.exe on the disc that is to be ejected runs from a copy, which leaves no trace",
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
fn windows(trial: &mut Trial, arguments: &[&str]) -> Result<Ended> {
    wine(trial, &windows_path(Path::new(GUEST_FOLDER).join("bin/unmoor.exe")), arguments)
}

fn wine(trial: &mut Trial, program: &str, arguments: &[&str]) -> Result<Ended> {
    let mut words = vec![WINE.to_owned(), program.to_owned()];
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    let environment = prefix().environment();
    trial.run(Program { words, environment, ..Program::default() })
}

/// Mounts a device and gives it a letter.
fn letter(trial: &mut Trial, letter: &str, device: &str, options: &str) -> Result<()> {
    trial.mount(&format!("{options} {device}"), "/mnt/letter")?;
    let prefix = prefix();
    // A server of an earlier test knows the letters as they were then.
    trial.sh(&prefix.end_script())?;
    // Two letters of the same folder are one drive to Wine: only this test's letter is there.
    trial.sh(&prefix.no_letters_script())?;
    trial.sh(&prefix.letter_script(letter, "/mnt/letter", device)).map(drop)
}

fn cd(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&CD)?;
    letter(trial, "d:", &node, "-o ro")
}

fn eject_and_load(trial: &mut Trial) -> Result<()> {
    cd(trial)?;
    let mark = trial.machine.qmp.mark();
    let ended = windows(trial, &["eject", "D:"])?;
    expect_code(&ended, 0)?;
    trial.expect_mounted("/mnt/letter", false)?;
    trial.expect_tray(mark, &CD, true)?;
    let mark = trial.machine.qmp.mark();
    let ended = windows(trial, &["load", "D:"])?;
    expect_code(&ended, 0)?;
    trial.expect_tray(mark, &CD, false)
}

fn cd_document(trial: &mut Trial) -> Result<()> {
    cd(trial)?;
    let status = checked(&windows(trial, &["status", "D:", "--json"])?, 0)?;
    let drive = &status["targets"][0]["drive"];
    ensure!(drive["kind"] == "optical" && drive["medium"] == "present", "{drive}");
    ensure!(drive["volumes"][0]["label"] == "RIGCD", "{drive}");
    let mark = trial.machine.qmp.mark();
    let ejected = checked(&windows(trial, &["eject", "D:", "--json"])?, 0)?;
    ensure!(ejected["targets"][0]["outcome"] == "released", "{ejected}");
    trial.expect_tray(mark, &CD, true)
}

fn stick(trial: &mut Trial) -> Result<()> {
    // Wine unmounts what its device link points to, and ejects that: so the file system is on the whole
    // stick, without partitions.
    let node = trial.node(&STICK)?;
    trial.sh(&format!("wipefs -a {node} && mkfs.vfat -I -n RIGWHOLE {node}"))?;
    letter(trial, "e:", &node, "-t vfat")?;
    trial.sh("echo precious > /mnt/letter/precious.txt")?;
    let mark = trial.machine.qmp.mark();
    let ended = windows(trial, &["eject", "E:", "--json"])?;
    // Which refusal depends on how far Wine passes the request down: "knows it not" or "failed".
    let code = if ended.code == Some(7) { 7 } else { 1 };
    let document = checked(&ended, code)?;
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
    trial.expect_mounted("/mnt/letter", false)?;
    trial.mount(&node, "/mnt/letter")?;
    trial.sh("grep precious /mnt/letter/precious.txt && umount /mnt/letter")?;
    trial.expect_untouched(mark, &STICK)
}

fn own_drive(trial: &mut Trial) -> Result<()> {
    let fat = trial.partition(&STICK, 2)?;
    letter(trial, "e:", &fat, "-t vfat")?;
    let bin = xtask::paths::rig().join("bin");
    // With all that a debugger wants, the program is larger than the stick's partition.
    let mut strip = Command::new("x86_64-w64-mingw32-strip");
    process::run(strip.args(["-o", "unmoor-small.exe", "unmoor.exe"]).current_dir(&bin))?;
    trial.sh(&format!("cp {GUEST_FOLDER}/bin/unmoor-small.exe /mnt/letter/unmoor.exe && sync"))?;
    let ended = wine(trial, r"E:\unmoor.exe", &["eject", r"\", "--dismount-only"])?;
    // Linux keeps the mount while the program that waits lies on it, whatever Wine answers: what is
    // seen here is that the copy did the work, that its exit code came back, and that it is gone.
    expect_code(&ended, 0)?;
    let folder = prefix().directory().display().to_string();
    let left = trial.sh(&format!("find {folder} -iname 'unmoor*.exe'"))?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}

fn status_of<'a>(target: &'a Value, step: &str) -> Option<&'a str> {
    let steps = target["steps"].as_array()?;
    steps.iter().find(|s| s["step"] == step)?["status"].as_str()
}

/// The document, after the same checks as on Linux.
fn checked(ended: &Ended, code: i32) -> Result<Value> {
    expect_code(ended, code)?;
    unmoor_contract::check(&ended.stdout, Some(code))
        .map_err(|faults| anyhow::anyhow!("{}: {}", faults.join("; "), ended.stdout))?;
    document(ended, code)
}
