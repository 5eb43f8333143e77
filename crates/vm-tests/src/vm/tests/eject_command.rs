//! The command called as `eject`, beside util-linux's on the same drive: exit code, standard output, tray, mounts.

use anyhow::{Result, ensure};

use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::agent::protocol::Output;
use unmoor_rig::drives::{CD, Drive, EMPTY, OWN, STICK};

pub const TESTS: &[Test] = &[
    Test {
        name: "eject-command.optical",
        promise: "called as eject, it does to a CD what util-linux's does: exit code, output, tray",
        drives: &[&CD],
        machine: &STANDARD,
        run: optical,
    },
    Test {
        name: "eject-command.mounts",
        promise: "called as eject, it treats a mounted disc, a busy one and an open tray as util-linux's does",
        drives: &[&CD, &EMPTY],
        machine: &STANDARD,
        run: mounts,
    },
    Test {
        name: "eject-command.options",
        promise: "called as eject, button, auto-eject, speed, changer and wrong words are as with util-linux's",
        drives: &[&CD],
        machine: &STANDARD,
        run: options,
    },
    Test {
        name: "eject-command.disks",
        promise: "called as eject, sticks are treated as util-linux's eject treats them",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| disks(ctx, DISKS),
    },
    Test {
        name: "eject-command.partitions",
        promise: "called as eject, one partition alone and built-in disks are treated as by util-linux's eject",
        drives: &[&STICK, &OWN],
        machine: &STANDARD,
        run: |ctx| disks(ctx, PARTITIONS),
    },
    Test {
        name: "eject-command.scsi-debug",
        promise: "util-linux's own test: eject --force by disk, by partition, by mount, then the module unloads",
        drives: &[],
        machine: &STANDARD,
        run: scsi_debug,
    },
];

/// util-linux's program, and ours.
const PROGRAMS: [&str; 2] = ["/usr/bin/eject", "/tmp/unmoor-as/eject"];

/// One call, from the same state by each program.
struct Call {
    /// State before: shell commands.
    before: &'static str,
    /// Arguments. `CD`, `EMPTY`, `STICK` and `FIXED` stand for devices.
    arguments: &'static str,
    /// Why standard output need not be the same.
    other_output: Option<&'static str>,
    /// Why the mounts need not be the same.
    other_mounts: Option<&'static str>,
}

const fn call(before: &'static str, arguments: &'static str) -> Call {
    Call { before, arguments, other_output: None, other_mounts: None }
}

const CLOSED: &str = "eject -t CD; umount -q /mnt/disc; true";
const OPEN: &str = "umount -q /mnt/disc; eject CD";
const MOUNTED: &str = "eject -t CD; umount -q /mnt/disc; mkdir -p /mnt/disc; blockdev --getsize64 CD; mount -o ro CD /mnt/disc";
const BUSY: &str = "eject -t CD; umount -q /mnt/disc; mkdir -p /mnt/disc; blockdev --getsize64 CD; mount -o ro CD /mnt/disc && { sleep 30 </mnt/disc/hello.txt & }";

/// Options of the drive, and what is refused.
const OPTIONS: &[Call] = &[
    call(CLOSED, "-i on CD"),
    call(CLOSED, "-i off CD"),
    call(CLOSED, "-v -a on CD"),
    call(CLOSED, "-a off CD"),
    call(CLOSED, "-x 8 CD"),
    call(CLOSED, "-x abc CD"),
    call(CLOSED, "-X CD"),
    call(CLOSED, "-c 1 CD"),
    call(CLOSED, "-f CD"),
    call(CLOSED, "-q CD"),
    call(CLOSED, "-i maybe CD"),
    call(CLOSED, "CD CD"),
    call(CLOSED, "--bogus CD"),
    call(CLOSED, "nosuch"),
    call(CLOSED, "/dev/nosuch"),
    call(CLOSED, "/etc/passwd"),
    call(CLOSED, "/mnt/disc"),
    call(CLOSED, ""),
];

const OPTICAL: &[Call] = &[
    call(CLOSED, "CD"),
    call(CLOSED, "-p CD"),
    call(CLOSED, "-r CD"),
    call(CLOSED, "-s CD"),
    call(CLOSED, "-F CD"),
    call(CLOSED, "--force CD"),
    call(CLOSED, "-d CD"),
    call(CLOSED, "-n CD"),
    call(CLOSED, "--noop CD"),
    call(CLOSED, "-v CD"),
    call(CLOSED, "-v -n CD"),
    call(CLOSED, "-t CD"),
    call(CLOSED, "-v -t CD"),
    call(CLOSED, "-T CD"),
];

/// A disc that is mounted, in use, or under another name; an open tray.
const MOUNTS: &[Call] = &[
    call("ln -sf CD /dev/cdrom; eject -t CD; umount -q /mnt/disc; true", ""),
    call("ln -sf CD /dev/cdrom; eject -t CD", "cdrom"),
    call(OPEN, "CD"),
    call(OPEN, "-t CD"),
    call(OPEN, "-T CD"),
    call(MOUNTED, "CD"),
    call(MOUNTED, "/mnt/disc"),
    call(MOUNTED, "/mnt/disc/"),
    call("cd /; eject -t CD; umount -q /mnt/disc; mount -o ro CD /mnt/disc", "mnt/disc"),
    call(MOUNTED, "-n /mnt/disc"),
    call(MOUNTED, "-v /mnt/disc"),
    call(MOUNTED, "-M CD"),
    call(MOUNTED, "-m CD"),
    Call {
        other_mounts: Some("the tray of a mounted disc is opened after the disc was unmounted"),
        ..call(MOUNTED, "-T CD")
    },
    call(MOUNTED, "/mnt/disc/hello.txt"),
    call(BUSY, "CD"),
    call(BUSY, "-F /mnt/disc"),
    call("pkill -x sleep; true", "EMPTY"),
    call("true", "-t EMPTY"),
];

const UNMOUNTED: &str = "umount -qA STICK1; umount -qA STICK2; eject -t STICK; for try in 1 2 3 4 5 6 7 8; do blockdev --rereadpt STICK; test -b STICK2 && break; sleep 0.3; done; mkdir -p /mnt/1 /mnt/2";
const BOTH: &str = "umount -qA STICK1; umount -qA STICK2; eject -t STICK; for try in 1 2 3 4 5 6 7 8; do blockdev --rereadpt STICK; test -b STICK2 && break; sleep 0.3; done; mkdir -p /mnt/1 /mnt/2; mount STICK1 /mnt/1 && mount STICK2 /mnt/2";
const FIRST: &str = "umount -qA STICK1; umount -qA STICK2; eject -t STICK; for try in 1 2 3 4 5 6 7 8; do blockdev --rereadpt STICK; test -b STICK2 && break; sleep 0.3; done; mkdir -p /mnt/1 /mnt/2; mount STICK1 /mnt/1";

const METHODS: Option<&str> = Some("one method suits the drive, and it alone is tried and named");

const DISKS: &[Call] = &[
    call(UNMOUNTED, "STICK"),
    call(UNMOUNTED, "STICK1"),
    call(UNMOUNTED, "-s STICK"),
    call(UNMOUNTED, "-n STICK2"),
    Call { other_output: METHODS, ..call(UNMOUNTED, "-v STICK") },
    call(BOTH, "STICK"),
    call(BOTH, "STICK2"),
    call(BOTH, "/mnt/2"),
];

/// One partition alone, and a disk that is built in.
const PARTITIONS: &[Call] = &[
    call(BOTH, "-M STICK"),
    call(BOTH, "-M STICK1"),
    call(FIRST, "-M STICK1"),
    call(FIRST, "-M /mnt/1"),
    call(FIRST, "-M STICK"),
    call(FIRST, "--force STICK1"),
    call("true", "FIXED"),
    call("true", "-n FIXED"),
    call("true", "-n -F FIXED"),
];

fn optical(ctx: &mut TestContext) -> Result<()> {
    let names = [("CD", ctx.node(&CD)?)];
    compare(ctx, OPTICAL, &names, &CD, &["/mnt/disc"])
}

fn mounts(ctx: &mut TestContext) -> Result<()> {
    let names = [("CD", ctx.node(&CD)?), ("EMPTY", ctx.node(&EMPTY)?)];
    compare(ctx, MOUNTS, &names, &CD, &["/mnt/disc"])
}

fn options(ctx: &mut TestContext) -> Result<()> {
    let names = [("CD", ctx.node(&CD)?)];
    compare(ctx, OPTIONS, &names, &CD, &["/mnt/disc"])
}

fn disks(ctx: &mut TestContext, calls: &[Call]) -> Result<()> {
    let names = [
        ("STICK1", ctx.partition(&STICK, 1)?),
        ("STICK2", ctx.partition(&STICK, 2)?),
        ("STICK", ctx.node(&STICK)?),
        ("FIXED", ctx.node(&OWN)?),
    ];
    compare(ctx, calls, &names, &STICK, &["/mnt/1", "/mnt/2"])
}

/// Makes each call with both programs, and collects what differs.
fn compare(
    ctx: &mut TestContext,
    calls: &[Call],
    names: &[(&str, String)],
    drive: &Drive,
    mount_points: &[&str],
) -> Result<()> {
    ctx.sh("mkdir -p /tmp/unmoor-as && ln -sf $(command -v unmoor) /tmp/unmoor-as/eject")?;
    let with_names = |text: &str| {
        names.iter().fold(text.to_owned(), |text, (name, node)| text.replace(name, node))
    };
    let mut differences = Vec::new();
    for call in calls {
        let mut results = Vec::new();
        for program in PROGRAMS {
            let script = script(program, call, mount_points);
            let output = ctx.try_sh(&with_names(&script))?;
            results.push((output, ctx.tray_is_open(drive)?));
        }
        let [theirs, ours] = &results[..] else { unreachable!("there are two programs") };
        let same_output = call.other_output.is_some() || theirs.0.stdout == ours.0.stdout;
        if theirs.0.code != ours.0.code || !same_output || theirs.1 != ours.1 {
            let told = |(output, open): &(Output, bool)| {
                let Output { code, stdout, stderr, .. } = output;
                format!("{code:?}, open: {open}, {stdout:?}, {stderr:?}")
            };
            differences.push(format!(
                "eject {}:\n  theirs: {}\n  ours:   {}",
                call.arguments,
                told(theirs),
                told(ours)
            ));
        }
        let is_silent = ours.0.code != Some(0) || ours.0.stderr.is_empty();
        ensure!(is_silent, "eject {}: {}", call.arguments, ours.0.stderr);
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

/// Returns a script that makes the state, calls the program, and prints what is mounted after that. Its exit code
/// is the program's.
fn script(program: &str, call: &Call, mount_points: &[&str]) -> String {
    let Call { before, arguments, .. } = call;
    let mounts = match call.other_mounts {
        Some(_) => String::new(),
        None => format!("grep -o ' {} ' /proc/self/mounts;", mount_points.join(" \\| ")),
    };
    format!(
        "{{ {before}; }} >/dev/null 2>&1; {program} {arguments}; code=$?; {mounts} pkill -x sleep; exit $code"
    )
}

/// As tests/ts/eject/umount of util-linux: a disk that reports itself as fixed, with two partitions.
fn scsi_debug(ctx: &mut TestContext) -> Result<()> {
    ctx.sh("mkdir -p /tmp/unmoor-as && ln -sf $(command -v unmoor) /tmp/unmoor-as/eject")?;
    for target in ["DISK", "DISK mounted", "PART1 mounted", "PART1", "/mnt/eject mounted"] {
        let (target, mounted) = match target.strip_suffix(" mounted") {
            Some(target) => (target, true),
            None => (target, false),
        };
        let script = format!(
            r#"set -e
modprobe scsi_debug dev_size_mb=100
for try in $(seq 40); do
    name=$(ls /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*:*/block 2>/dev/null) && break
    sleep 0.25
done
DISK=/dev/$name
printf '%s\n' '2048,20480' '22528,' | sfdisk -q $DISK
for try in $(seq 40); do test -b ${{DISK}}2 && break; blockdev --rereadpt $DISK; sleep 0.25; done
mkfs.ext2 -q ${{DISK}}1
mkfs.ext2 -q ${{DISK}}2
mkdir -p /mnt/eject /mnt/eject2
{mount}
/tmp/unmoor-as/eject --force {target} >/tmp/out 2>&1 || {{ echo "exit code $?"; cat /tmp/out; exit 1; }}
test ! -s /tmp/out
if grep -q " /mnt/eject2\? " /proc/mounts; then echo "still mounted"; exit 1; fi
for try in $(seq 4); do modprobe -r scsi_debug && exit 0; sleep 0.25; done
echo "the module stays"
exit 1"#,
            target = target.replace("DISK", "$DISK").replace("PART1", "${DISK}1"),
            mount = if mounted {
                "mount ${DISK}1 /mnt/eject && mount ${DISK}2 /mnt/eject2"
            } else {
                "true"
            },
        );
        ctx.sh(&script)?;
    }
    Ok(())
}
