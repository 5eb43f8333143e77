//! systemd, logind, polkitd and udisksd in the guest, and sessions of the user `ann`.

use anyhow::{Context, Result, ensure};

use crate::test_context::TestContext;
use unmoor_rig::drives::{CARD, CD, Drive, STICK};

/// Starts systemd as the first process of a PID namespace, with udevd, dbus, logind, polkitd and udisksd.
///
/// Everything else that it would start is masked. Where it runs already, udev reads the new media.
const SYSTEMD: &str = r#"
exec >/run/sessions.log 2>&1
answers() {
    init=$(pgrep -o -x systemd)
    [ -n "$init" ] && nsenter -t $init -a busctl --timeout=5 call org.freedesktop.UDisks2 \
        /org/freedesktop/UDisks2/Manager org.freedesktop.DBus.Peer Ping
}
start() {
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
    for i in $(seq 300); do answers && break; sleep 0.5; done
    nsenter -t $init -a udevadm trigger -c add -s block -s usb -s scsi -s mmc
}
answers || start
nsenter -t $init -a sh -c 'udevadm trigger -c change -s block; udevadm settle'
"#;

/// Ends the user's processes, and unmounts what they have mounted: the services run on for the next test.
const LEAVE: &str = r#"
pkill -KILL -u ann
pkill -KILL -x sleep
: >/etc/fstab
nsenter -t $(pgrep -o -x systemd) -a sh -c '
    for try in 1 2 3 4 5; do
        places=$(grep -E "^/dev/(sd|sr|mmcblk|dm-|loop|mapper)" /proc/self/mounts | cut -d" " -f2 | tac)
        [ -z "$places" ] && break
        for place in $places; do umount "$(printf "%b" "$place")"; done
    done
    udevadm settle'
for mapping in $(dmsetup ls | grep -v "^No " | cut -f1); do dmsetup remove --force $mapping; done
losetup -D
"#;

/// Place of a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// On the first console: seat0, active.
    Desk,
    /// On no seat, as over ssh.
    Far,
    /// On no seat, as a member of this group.
    FarIn(&'static str),
}

/// Runs a test with the services, and cleans up after it.
pub fn with_services(
    ctx: &mut TestContext,
    test: impl FnOnce(&mut TestContext) -> Result<()>,
) -> Result<()> {
    let started = ctx.sh(SYSTEMD);
    ctx.try_sh("cat /run/sessions.log")?;
    started?;
    let result = test(ctx);
    let left = ctx.try_sh(LEAVE);
    result?;
    left.map(drop)
}

/// Runs a script as the user, in a session of its own. Returns exit code and output.
pub fn session(ctx: &mut TestContext, seat: Seat, script: &str) -> Result<(i32, String)> {
    let place = match seat {
        Seat::Desk => "-p TTYPath=/dev/tty1".to_owned(),
        Seat::Far => String::new(),
        Seat::FarIn(group) => format!("-p SupplementaryGroups={group}"),
    };
    let output = ctx.try_sh(&format!(
        "cat >/run/script <<'END'\n{script}\nEND
         nsenter -t $(pgrep -o -x systemd) -a systemd-run -q --wait -p User=ann -p PAMName=login {place} \
             -p StandardOutput=file:/run/out -p StandardError=file:/run/out \
             -p Environment=PATH=$PATH bash /run/script
         code=$?; cat /run/out; rm -f /run/out; exit $code"
    ))?;
    Ok((output.code.unwrap_or(-1), output.stdout))
}

/// Runs a script in a session, and fails unless it ends with this code and prints each of these words.
pub fn expect(
    ctx: &mut TestContext,
    seat: Seat,
    script: &str,
    code: i32,
    words: &[&str],
) -> Result<()> {
    let (ended, text) = session(ctx, seat, script)?;
    ensure!(ended == code, "exit {ended}, not {code}:\n{text}");
    for word in words {
        ensure!(text.contains(word), "{word:?} is missing:\n{text}");
    }
    Ok(())
}

/// Mounts a device as a file manager at the desk does, and returns the mount point.
pub fn mount(ctx: &mut TestContext, device: &str) -> Result<String> {
    let command = format!("udisksctl mount --no-user-interaction -b {device}");
    let (code, text) = session(ctx, Seat::Desk, &command)?;
    let place = text.split_once(" at ").filter(|_| code == 0).map(|(_, place)| place.trim());
    let place = place.with_context(|| format!("{command}: exit {code}: {text}"))?;
    Ok(place.trim_end_matches('.').to_owned())
}

/// Returns true if this is a mount point where the user is.
pub fn is_mounted(ctx: &mut TestContext, place: &str) -> Result<bool> {
    let script = format!("nsenter -t $(pgrep -o -x systemd) -a mountpoint -q '{place}'");
    Ok(ctx.try_sh(&script)?.code == Some(0))
}

/// Returns the drive's first partition, or the drive itself if it has none.
pub fn volume(ctx: &mut TestContext, drive: &Drive) -> Result<String> {
    match drive.id {
        id if id == CD.id => ctx.node(drive),
        _ => ctx.partition(drive, 1),
    }
}

/// Returns a shell's assignments of the names that a script uses: `$stick`, `$cd` and `$card` are the drives.
pub fn names(ctx: &mut TestContext) -> Result<String> {
    let (stick, cd, card) = (ctx.node(&STICK)?, ctx.node(&CD)?, ctx.node(&CARD)?);
    Ok(format!("stick={stick} cd={cd} card={card}\n"))
}
