//! Drives that must never be released, or not by this user.

use anyhow::{Result, ensure};

use crate::test_context::{TestContext, document, expect_code, unmoor};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{CD, OWN, STICK};

/// User ID of Debian's unprivileged user.
const NOBODY: u32 = 65534;

pub const TESTS: &[Test] = &[
    Test {
        name: "refused.root",
        promise: "/ is refused",
        drives: &[],
        machine: &STANDARD,
        run: |ctx| refused(ctx, "/"),
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
        name: "refused.live-root",
        promise: "the stick that a live system runs from, its layers' paths gone: refused, not planned by --all-removable",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| live_root(ctx, Medium::Image),
    },
    Test {
        name: "refused.live-partition",
        promise: "the same with a partition as the lower layer",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| live_root(ctx, Medium::Partition),
    },
    Test {
        name: "refused.first-process",
        promise: "the stick that the first process of this PID namespace runs from, seen from another root",
        drives: &[&STICK],
        machine: &STANDARD,
        run: first_process,
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

fn refused(ctx: &mut TestContext, target: &str) -> Result<()> {
    let document = ctx.unmoor_json(1, &["eject", target])?;
    ensure!(document["targets"][0]["outcome"] == "refused", "{document}");
    Ok(())
}

fn boot(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&OWN)?;
    // A namespace of its own, so that only this test sees the guest booted from there.
    for target in [node.as_str(), "/boot"] {
        let script = format!("mount {node} /boot && exec unmoor eject --json {target}");
        let output = ctx.run(in_namespace(&script))?;
        expect_code(&output, 1)?;
        let document = document(&output, 1)?;
        ensure!(document["targets"][0]["outcome"] == "refused", "{document}");
    }
    Ok(())
}

fn root_disk(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&OWN)?;
    let script = format!(
        "mkdir -p /mnt/own && mount {node} /mnt/own && cd /mnt/own && mkdir -p proc sys dev bin && \
         cp $(command -v unmoor) bin && \
         for f in $(ldd bin/unmoor | grep -o '/[^ ]*'); do mkdir -p .${{f%/*}}; cp -L $f .$f; done; \
         for d in proc sys dev; do mount --rbind /$d $d; done; exec chroot . /bin/unmoor eject --json /"
    );
    let output = ctx.run(in_namespace(&script))?;
    expect_code(&output, 1)?;
    let document = document(&output, 1)?;
    ensure!(document["targets"][0]["outcome"] == "refused", "{document}");
    Ok(())
}

/// Device below a live system's root.
#[derive(Clone, Copy, PartialEq)]
enum Medium {
    /// A loop device over an image on the stick.
    Image,
    /// A partition of the stick.
    Partition,
}

/// Copies `unmoor`, `busybox` and their libraries to the working directory.
const POPULATE: &str = "mkdir -p proc sys dev bin old tmp && cp /bin/busybox $(command -v unmoor) bin && \
     ln -s busybox bin/sh; for f in $(ldd bin/unmoor | grep -o '/[^ ]*'); do mkdir -p .${f%/*}; cp -L $f .$f; done";

/// Runs `unmoor` in a root like that of a live system, which hides the mounts that it is made of.
fn live_root(ctx: &mut TestContext, medium: Medium) -> Result<()> {
    let (part, node) = (ctx.partition(&STICK, 1)?, ctx.node(&STICK)?);
    ctx.sh("modprobe loop; mkdir -p /mnt/ext /mnt/img /mnt/cow /mnt/new")?;
    let lower = match medium {
        Medium::Image => {
            "truncate -s 50M /mnt/ext/image && mkfs.ext4 -q /mnt/ext/image && \
             losetup /dev/loop7 /mnt/ext/image && mount /dev/loop7 /mnt/img"
        }
        Medium::Partition => "mount --bind /mnt/ext /mnt/img",
    };
    ctx.sh(&format!("mount {part} /mnt/ext && {lower} && cd /mnt/img && {POPULATE}; cd /"))?;
    let root = "mount --make-rprivate / && mount -t tmpfs cow /mnt/cow && mkdir /mnt/cow/up /mnt/cow/work && \
         mount -t overlay -o lowerdir=/mnt/img,upperdir=/mnt/cow/up,workdir=/mnt/cow/work overlay /mnt/new && \
         for d in proc sys dev; do mount --rbind /$d /mnt/new/$d; done; \
         cd /mnt/new && pivot_root . old && exec /bin/busybox chroot . /bin/sh -c \"/bin/busybox umount -l /old; $RUN\"";
    let mark = ctx.machine.qmp.mark();
    let run = format!("exec /bin/unmoor eject --force --json {node}");
    let output = ctx.run(in_namespace(&format!("RUN='{run}'; {root}")))?;
    ensure!(document(&output, 1)?["targets"][0]["outcome"] == "refused", "{}", output.stdout);
    ctx.expect_untouched(mark, &STICK)?;
    let run = "exec /bin/unmoor eject --all-removable --dry-run";
    let output = ctx.run(in_namespace(&format!("RUN='{run}'; {root}")))?;
    let name = node.trim_start_matches("/dev/").to_owned();
    let planned = output.stdout.lines().any(|line| line.contains(&name) && line.contains("eject"));
    ensure!(!planned, "it plans its own drive: {}", output.stdout);
    Ok(())
}

fn first_process(ctx: &mut TestContext) -> Result<()> {
    let (part, node) = (ctx.partition(&STICK, 1)?, ctx.node(&STICK)?);
    ctx.mount(&part, "/mnt/ext")?;
    ctx.sh(&format!("cd /mnt/ext && {POPULATE}"))?;
    // The first process has the stick as its root, and starts this one in another.
    let script = format!(
        "mount -t proc proc /proc && for d in proc sys dev; do mount --rbind /$d /mnt/ext/$d; done && \
         exec 9</ && exec chroot /mnt/ext /bin/sh -c \
         '/bin/busybox chroot /proc/self/fd/9 unmoor eject --force --json {node}; exit $?'"
    );
    let mark = ctx.machine.qmp.mark();
    let words = ["unshare", "-m", "-p", "-f", "sh", "-c", &script];
    let output = ctx.run(crate::test_context::words(&words))?;
    ensure!(document(&output, 1)?["targets"][0]["outcome"] == "refused", "{}", output.stdout);
    ctx.expect_untouched(mark, &STICK)
}

fn in_namespace(script: &str) -> unmoor_rig::agent::protocol::Program {
    crate::test_context::words(&["unshare", "-m", "sh", "-c", script])
}

fn swap(ctx: &mut TestContext) -> Result<()> {
    let part = ctx.partition(&STICK, 2)?;
    ctx.sh(&format!("mkswap -q {part} && swapon {part}"))?;
    let node = ctx.node(&STICK)?;
    let mark = ctx.machine.qmp.mark();
    for options in [&["eject"][..], &["eject", "--force"]] {
        let words: Vec<&str> = options.iter().copied().chain([&*node]).collect();
        let document = ctx.unmoor_json(3, &words)?;
        let it = &document["targets"][0];
        ensure!(it["error"]["kind"] == "held", "{it}");
        ensure!(it["blockers"][0]["kind"] == "swap", "{it}");
    }
    ctx.expect_untouched(mark, &STICK)?;
    ctx.sh(&format!("grep -q {part} /proc/swaps")).map(drop)
}

fn not_permitted(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&CD)?;
    let mark = ctx.machine.qmp.mark();
    let mut program = unmoor(&["eject", "--json", &node]);
    program.user = Some(NOBODY);
    let output = ctx.run(program)?;
    expect_code(&output, 5)?;
    let document = document(&output, 5)?;
    let target = &document["targets"][0];
    ensure!(target["outcome"] == "not-permitted", "{target}");
    ensure!(target["help"].as_str().is_some_and(|help| !help.is_empty()), "no help: {target}");
    ctx.expect_untouched(mark, &CD)
}
