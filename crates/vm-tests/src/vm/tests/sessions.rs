//! Users in real sessions of systemd-logind: at the desk (seat0, active), and far away (as over ssh).

use anyhow::{Context, Result, ensure};

use crate::stick_files::write_both;
use crate::test_context::{TestContext, expect_code};
use crate::vm::test_case::{DESKTOP, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[Test {
    name: "session.desk",
    promise: "at the desk a stick is listed, flushed and ejected by polkit's own rules, with every byte on the image",
    drives: &[&STICK],
    machine: &DESKTOP,
    run: desk,
}];

/// Starts systemd as the first process of a PID namespace, with udevd, logind, polkitd and udisksd.
///
/// Everything else that it would start is masked.
const SYSTEMD: &str = r#"
exec >/run/sessions.log 2>&1
set -x
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
units=/run/systemd/system; mkdir -p $units /run/mount /run/lock
wanted=' systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket '
for unit in $(ls /usr/lib/systemd/system/sysinit.target.wants /usr/lib/systemd/system/sockets.target.wants \
    /usr/lib/systemd/system/multi-user.target.wants /usr/lib/systemd/system/timers.target.wants \
    /etc/systemd/system/*.wants /usr/lib/systemd/system/local-fs.target.wants 2>/dev/null | grep '\.'); do
    case "$wanted" in *" $unit "*) ;; *) ln -sf /dev/null $units/$unit ;; esac
done
rm -f $units/dbus.socket $units/systemd-journald*
for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket systemd-logind-varlink.socket; do
    ln -sf /dev/null $units/$unit
done
cat >$units/test.target <<'END'
[Unit]
Requires=basic.target
Wants=dbus.socket systemd-logind.service polkit.service udisks2.service systemd-udevd.service
END
touch /etc/fstab; : >/etc/fstab
grep -q '^ann:' /etc/passwd || useradd -m -s /bin/bash ann
setsid unshare --pid --mount --fork --mount-proc env -i PATH=$PATH \
    /lib/systemd/systemd --unit=test.target --log-target=console --show-status=no </dev/null &
for i in $(seq 600); do
    init=$(pgrep -x systemd | head -1)
    [ -n "$init" ] && nsenter -t $init -a busctl --timeout=5 call org.freedesktop.UDisks2 /org/freedesktop/UDisks2/Manager \
        org.freedesktop.DBus.Peer Ping && break
    sleep 0.5
done
nsenter -t $init -a udevadm trigger -c add -s block -s usb -s scsi
nsenter -t $init -a udevadm settle
nsenter -t $init -a loginctl
"#;

/// Runs a script as the user in a session: at the desk on the first console, or far away without a seat.
fn session(ctx: &mut TestContext, at_desk: bool, script: &str) -> Result<(i32, String)> {
    let seat = if at_desk { "-p TTYPath=/dev/tty1" } else { "" };
    let command = format!(
        "cat >/run/script <<'END'\n{script}\nEND\n\
         init=$(pgrep -x systemd | head -1)
         nsenter -t $init -a systemd-run -q --wait -p User=ann -p PAMName=login {seat} \
             -p StandardOutput=file:/run/out -p StandardError=file:/run/out \
             -p Environment=PATH=$PATH bash /run/script
         code=$?; cat /run/out; rm -f /run/out; exit $code"
    );
    let output = ctx.try_sh(&command)?;
    Ok((output.code.unwrap_or(-1), output.stdout))
}

fn desk(ctx: &mut TestContext) -> Result<()> {
    ctx.sh(SYSTEMD)?;
    let log = ctx.try_sh("cat /run/sessions.log")?;
    println!("{}", log.stdout);
    let (code, text) = session(
        ctx,
        true,
        "loginctl show-session $XDG_SESSION_ID; id; pkcheck -a org.freedesktop.udisks2.eject-media -p $$; echo $?; udisksctl status",
    )?;
    println!("{code} {text}");
    let (code, text) = session(
        ctx,
        false,
        "loginctl show-session $XDG_SESSION_ID; id; pkcheck -a org.freedesktop.udisks2.eject-media -p $$; echo $?",
    )?;
    println!("{code} {text}");
    Ok(())
}
