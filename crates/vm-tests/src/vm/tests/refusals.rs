//! What must never be released, or not by this user.

use anyhow::{Result, ensure};

use crate::test_context::{Trial, document, expect_code, unmoor};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{CD, OWN, STICK};

/// Debian's `nobody`.
const NOBODY: u32 = 65534;

pub const TESTS: &[Test] = &[
    Test {
        name: "refused.root",
        promise: "/ is refused",
        drives: &[],
        machine: &STANDARD,
        run: |trial| refused(trial, "/"),
    },
    Test {
        name: "refused.boot",
        promise: "the disk that carries /boot is refused, by device and by mount point",
        drives: &[&OWN],
        machine: &STANDARD,
        run: boot,
    },
    Test {
        name: "refused.root-disk",
        promise: "the disk that carries / is refused, as seen from inside that root",
        drives: &[&OWN],
        machine: &STANDARD,
        run: root_disk,
    },
    Test {
        name: "refused.swap",
        promise: "a stick with active swap is in use, also by force: the swap is named, and stays as it is",
        drives: &[&STICK],
        machine: &STANDARD,
        run: swap,
    },
    Test {
        name: "refused.not-permitted",
        promise: "a user who may not open the device: exit 5, with what would help",
        drives: &[&CD],
        machine: &STANDARD,
        run: not_permitted,
    },
];

fn refused(trial: &mut Trial, target: &str) -> Result<()> {
    let document = trial.unmoor_json(1, &["eject", target])?;
    ensure!(document["targets"][0]["outcome"] == "refused", "{document}");
    Ok(())
}

fn boot(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&OWN)?;
    // A namespace of its own, so that only this test sees the guest booted from there.
    for target in [node.as_str(), "/boot"] {
        let script = format!("mount {node} /boot && exec unmoor eject --json {target}");
        let ended = trial.run(in_namespace(&script))?;
        expect_code(&ended, 1)?;
        let document = document(&ended, 1)?;
        ensure!(document["targets"][0]["outcome"] == "refused", "{document}");
    }
    Ok(())
}

fn root_disk(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&OWN)?;
    let script = format!(
        "mkdir -p /mnt/own && mount {node} /mnt/own && cd /mnt/own && mkdir -p proc sys dev bin && \
         cp $(command -v unmoor) bin && \
         for f in $(ldd bin/unmoor | grep -o '/[^ ]*'); do mkdir -p .${{f%/*}}; cp -L $f .$f; done; \
         for d in proc sys dev; do mount --rbind /$d $d; done; exec chroot . /bin/unmoor eject --json /"
    );
    let ended = trial.run(in_namespace(&script))?;
    expect_code(&ended, 1)?;
    let document = document(&ended, 1)?;
    ensure!(document["targets"][0]["outcome"] == "refused", "{document}");
    Ok(())
}

fn in_namespace(script: &str) -> unmoor_rig::agent::protocol::Program {
    crate::test_context::words(&["unshare", "-m", "sh", "-c", script])
}

fn swap(trial: &mut Trial) -> Result<()> {
    let part = trial.partition(&STICK, 2)?;
    trial.sh(&format!("mkswap -q {part} && swapon {part}"))?;
    let node = trial.node(&STICK)?;
    let mark = trial.machine.qmp.mark();
    for options in [&["eject"][..], &["eject", "--force"]] {
        let words: Vec<&str> = options.iter().copied().chain([&*node]).collect();
        let document = trial.unmoor_json(3, &words)?;
        let it = &document["targets"][0];
        ensure!(it["error"]["kind"] == "held", "{it}");
        ensure!(it["blockers"][0]["kind"] == "swap", "{it}");
    }
    trial.expect_untouched(mark, &STICK)?;
    trial.sh(&format!("grep -q {part} /proc/swaps")).map(drop)
}

fn not_permitted(trial: &mut Trial) -> Result<()> {
    let node = trial.node(&CD)?;
    let mark = trial.machine.qmp.mark();
    let mut program = unmoor(&["eject", "--json", &node]);
    program.user = Some(NOBODY);
    let ended = trial.run(program)?;
    expect_code(&ended, 5)?;
    let document = document(&ended, 5)?;
    let target = &document["targets"][0];
    ensure!(target["outcome"] == "not-permitted", "{target}");
    ensure!(target["help"].as_str().is_some_and(|help| !help.is_empty()), "no help: {target}");
    trial.expect_untouched(mark, &CD)
}
