//! Users in real sessions of systemd-logind: at the desk (seat0, active), and far away, as over ssh.

use anyhow::{Context, Result, ensure};

use crate::test_context::TestContext;
use crate::vm::test_case::{DESKTOP, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[
    Test {
        name: "session.desk",
        promise: "by polkit's own rules, a person at the desk sees, flushes and ejects a stick, and who names its users",
        drives: &[&STICK],
        machine: &DESKTOP,
        run: desk,
    },
    Test {
        name: "session.far",
        promise: "without a seat, a stick is refused before anything is unmounted, and one volume alone is dismounted",
        drives: &[&STICK],
        machine: &DESKTOP,
        run: far,
    },
];

/// Starts systemd as the first process of a PID namespace, with udevd, dbus, logind, polkitd and udisksd.
///
/// Everything else that it would start is masked.
const SYSTEMD: &str = r#"
exec >/run/sessions.log 2>&1
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
units=/run/systemd/system
mkdir -p $units /run/systemd/system.conf.d /run/mount /run/lock
rm -f /.dockerenv
printf '[Manager]\nDefaultStandardOutput=null\nDefaultStandardError=null\n' >/run/systemd/system.conf.d/quiet.conf
udevd=' systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket '
wanted="$udevd dbus.service dbus.socket systemd-logind.service udisks2.service "
for unit in $(ls /usr/lib/systemd/system/*.target.wants /etc/systemd/system/*.wants | grep -v :) \
    systemd-journald.service systemd-remount-fs.service; do
    case "$wanted" in *" $unit "*) ;; *) ln -sf /dev/null "$units/$unit" ;; esac
done
cat >$units/test.target <<'END'
[Unit]
Requires=basic.target
Wants=dbus.socket systemd-logind.service polkit.service udisks2.service systemd-udevd.service
END
: >/etc/fstab
grep -q '^ann:' /etc/passwd || useradd -m -s /bin/bash ann
setsid unshare --pid --mount --fork --mount-proc env -i PATH=$PATH \
    /lib/systemd/systemd --unit=test.target --show-status=no </dev/null &
for i in $(seq 300); do
    init=$(pgrep -o -x systemd)
    [ -n "$init" ] && nsenter -t $init -a busctl --timeout=5 call org.freedesktop.UDisks2 \
        /org/freedesktop/UDisks2/Manager org.freedesktop.DBus.Peer Ping && break
    sleep 0.5
done
nsenter -t $init -a udevadm trigger -c add -s block -s usb -s scsi
nsenter -t $init -a udevadm settle
"#;

/// Where the user sits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seat {
    /// On the first console: seat0, active.
    Desk,
    /// Nowhere, as over ssh.
    Far,
}

fn start(ctx: &mut TestContext) -> Result<String> {
    let started = ctx.sh(SYSTEMD);
    ctx.try_sh("cat /run/sessions.log")?;
    started?;
    ctx.node(&STICK)
}

/// Runs a script as the user, in a session of its own. Returns exit code and output.
fn session(ctx: &mut TestContext, seat: Seat, script: &str) -> Result<(i32, String)> {
    let seat = if seat == Seat::Desk { "-p TTYPath=/dev/tty1" } else { "" };
    let output = ctx.try_sh(&format!(
        "cat >/run/script <<'END'\n{script}\nEND
         nsenter -t $(pgrep -o -x systemd) -a systemd-run -q --wait -p User=ann -p PAMName=login {seat} \
             -p StandardOutput=file:/run/out -p StandardError=file:/run/out \
             -p Environment=PATH=$PATH bash /run/script
         code=$?; cat /run/out; rm -f /run/out; exit $code"
    ))?;
    Ok((output.code.unwrap_or(-1), output.stdout))
}

/// Runs a script in a session, and fails unless it ends with this code and says this.
fn expect(ctx: &mut TestContext, seat: Seat, script: &str, code: i32, said: &str) -> Result<()> {
    let (ended, text) = session(ctx, seat, script)?;
    ensure!(ended == code, "{script}: exit {ended}, not {code}:\n{text}");
    ensure!(text.contains(said), "{script}: {said:?} is missing:\n{text}");
    Ok(())
}

/// Mounts the first partition as a file manager at the desk does.
fn mount(ctx: &mut TestContext, number: u32) -> Result<String> {
    let device = ctx.partition(&STICK, number)?;
    let command = format!("udisksctl mount --no-user-interaction -b {device}");
    let (code, text) = session(ctx, Seat::Desk, &command)?;
    let place = text.split_once(" at ").map(|(_, place)| place.trim().trim_end_matches('.'));
    place.map(str::to_owned).with_context(|| format!("{command}: exit {code}: {text}"))
}

fn desk(ctx: &mut TestContext) -> Result<()> {
    let node = start(ctx)?;
    let (ext, fat) = (mount(ctx, 1)?, mount(ctx, 2)?);
    let mark = ctx.machine.qmp.mark();
    for command in ["list", "status", "eject --dry-run"] {
        expect(ctx, Seat::Desk, &format!("unmoor {command} {node}"), 0, &fat)?;
    }
    let written = "head -c 4000000 /dev/urandom >/tmp/data";
    expect(ctx, Seat::Desk, &format!("{written} && cp /tmp/data {fat}/data.bin"), 0, "")?;
    for target in [&node, &fat] {
        expect(ctx, Seat::Desk, &format!("unmoor flush {target}"), 0, "flushed")?;
    }
    // Only services of the system could use it unseen.
    expect(ctx, Seat::Desk, &format!("unmoor who {node}"), 5, "")?;
    for (command, code) in [("who", 3), ("eject", 3), ("eject --force", 5)] {
        let held = format!(
            "(cd {fat} && exec sleep 600) & held=$!; sleep 1; unmoor {command} {node}; code=$?; kill $held; exit $code"
        );
        let said = if code == 3 { "sleep (pid" } else { "run it as root" };
        expect(ctx, Seat::Desk, &held, code, said)?;
    }
    expect(ctx, Seat::Desk, "unmoor attach", 5, "")?;
    for place in [&ext, &fat] {
        ctx.sh(&format!("nsenter -t $(pgrep -o -x systemd) -a mountpoint {place}"))?;
    }
    ctx.expect_untouched(mark, &STICK)?;
    expect(ctx, Seat::Desk, &format!("unmoor eject -v {fat}"), 0, "through udisks2")?;
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.unmoor(0, &["load", &node])?;
    let fat = ctx.partition(&STICK, 2)?;
    ctx.sh(&format!("mkdir -p /mnt/fat && mount {fat} /mnt/fat && cmp /tmp/data /mnt/fat/data.bin"))
        .map(drop)
}

fn far(ctx: &mut TestContext) -> Result<()> {
    let node = start(ctx)?;
    let (ext, fat) = (mount(ctx, 1)?, mount(ctx, 2)?);
    let mark = ctx.machine.qmp.mark();
    for options in ["", "--power-off", "--all-removable"] {
        let target = if options == "--all-removable" { "" } else { &node };
        expect(ctx, Seat::Far, &format!("unmoor eject {options} {target}"), 5, "nothing was done")?;
    }
    expect(ctx, Seat::Far, &format!("unmoor flush {fat}"), 0, "flushed")?;
    for place in [&ext, &fat] {
        ctx.sh(&format!("nsenter -t $(pgrep -o -x systemd) -a mountpoint {place}"))?;
    }
    // One's own mount may be unmounted from anywhere.
    let only = format!("unmoor eject -u --volume {fat}");
    expect(ctx, Seat::Far, &only, 0, "the other volumes of the drive were left alone")?;
    ctx.sh(&format!("nsenter -t $(pgrep -o -x systemd) -a mountpoint {ext}"))?;
    ctx.expect_untouched(mark, &STICK)
}
