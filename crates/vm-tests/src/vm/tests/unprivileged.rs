//! Users who are not root: members of the group `disk`, and a person at a desktop with udisks2.

use anyhow::{Context, Result, ensure};

use crate::stick_files::write_both;
use crate::test_context::{TestContext, expect_code, words};
use crate::vm::test_case::{DESKTOP, STANDARD, Test};
use unmoor_rig::drives::STICK;

pub const TESTS: &[Test] = &[
    Test {
        name: "unprivileged.disk-group",
        promise: "a member of the group disk ejects a stick that is not mounted",
        drives: &[&STICK],
        machine: &STANDARD,
        run: disk_group,
    },
    Test {
        name: "unprivileged.desktop",
        promise: "through real udisks2: one busy partition keeps both mounted; ejected, with every byte on the image",
        drives: &[&STICK],
        machine: &DESKTOP,
        run: desktop,
    },
    Test {
        name: "unprivileged.desktop-power-off",
        promise: "through real udisks2: --power-off takes the device off the bus, with every byte on the image",
        drives: &[&STICK],
        machine: &DESKTOP,
        run: desktop_power_off,
    },
    Test {
        name: "unprivileged.desktop-luks",
        promise: "through real udisks2: a LUKS stick that its user has unlocked is locked and ejected, every byte there",
        drives: &[&STICK],
        machine: &DESKTOP,
        run: desktop_luks,
    },
];

fn disk_group(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    // udev gives every disk to this group.
    ctx.sh(&format!("chgrp 6 {node}* && chmod 660 {node}*"))?;
    let mark = ctx.machine.qmp.mark();
    let member = ["setpriv", "--reuid", "1000", "--regid", "6", "--clear-groups"];
    let output = ctx.run(words(&[&member[..], &["unmoor", "eject", "-v", &node]].concat()))?;
    expect_code(&output, 0)?;
    ctx.expect_tray(mark, &STICK, true)
}

/// User id of the person at the desk: `games`.
const USER: &str = "5";

/// Starts udevd, D-Bus, polkitd and udisksd. Without logind, a polkit rule stands for an active session.
const SERVICES: &str = r#"
mkdir -p /run/dbus /run/mount /run/udev /run/lock /etc/polkit-1/rules.d
rm -f /usr/share/dbus-1/system-services/org.freedesktop.login1.service
cat >/etc/polkit-1/rules.d/10-desk.rules <<'END'
polkit.addRule(function(a, s) {
    if (s.user == "games" && /udisks2\.(filesystem-mount|encrypted-unlock|eject-media|power-off-drive)$/.test(a.id)) return polkit.Result.YES;
});
END
exec >/run/services.log 2>&1
/lib/systemd/systemd-udevd --daemon && udevadm trigger -c add -s block -s usb -s scsi && udevadm settle
dbus-daemon --system --fork --nopidfile
setsid /usr/lib/polkit-1/polkitd --no-debug </dev/null &
setsid /usr/libexec/udisks2/udisksd </dev/null &
for i in $(seq 300); do
    busctl --timeout=5 call org.freedesktop.UDisks2 /org/freedesktop/UDisks2/Manager org.freedesktop.DBus.Peer Ping && exit 0
    sleep 0.2
done
exit 1"#;

/// Returns the words that run a program as the user.
fn as_user<'w>(program: &[&'w str]) -> Vec<&'w str> {
    let setpriv = ["setpriv", "--reuid", USER, "--regid", "60", "--clear-groups"];
    [&setpriv[..], program].concat()
}

/// Mounts both partitions as a file manager does, below names that other helpers of the rig use.
fn mount_as_user(ctx: &mut TestContext) -> Result<[String; 2]> {
    let mut places = [String::new(), String::new()];
    for (number, name) in [(1, "ext"), (2, "fat")] {
        let device = ctx.partition(&STICK, number)?;
        ctx.sh("udevadm settle")?;
        let mount = as_user(&["udisksctl", "mount", "--no-user-interaction", "-b", &device]);
        let output = ctx.run(words(&mount))?;
        expect_code(&output, 0)?;
        let place = output.stdout.split_once(" at ").map(|(_, place)| place.trim());
        let place = place.context("udisksctl names the mount point")?.trim_end_matches('.');
        ctx.sh(&format!("mkdir -p /mnt && ln -sfn '{place}' /mnt/{name}"))?;
        places[number as usize - 1] = place.to_owned();
    }
    Ok(places)
}

fn desktop(ctx: &mut TestContext) -> Result<()> {
    ctx.sh(SERVICES)?;
    let node = ctx.node(&STICK)?;
    // One of the two is in use by root, which the user's own search does not see.
    let places = mount_as_user(ctx)?;
    let mark = ctx.machine.qmp.mark();
    let job = ctx.start_sh("cd /mnt/ext/. && echo held && exec sleep 600")?;
    ctx.sh("until pidof sleep; do :; done")?;
    let output = ctx.run(words(&as_user(&["unmoor", "eject", "-v", &node])))?;
    expect_code(&output, 3)?;
    for place in &places {
        ctx.expect_mounted(place, true)?;
    }
    ctx.expect_untouched(mark, &STICK)?;
    ctx.sh("kill $(pidof sleep)")?;
    ctx.wait(job)?;

    let written = write_both(ctx)?;
    let output = ctx.run(words(&as_user(&["unmoor", "eject", "-v", &node])))?;
    expect_code(&output, 0)?;
    ensure!(output.stdout.contains("through udisks2"), "the way is named");
    ctx.expect_tray(mark, &STICK, true)?;
    written.expect_on(&ctx.snapshot(&STICK)?)
}

fn desktop_power_off(ctx: &mut TestContext) -> Result<()> {
    ctx.sh(SERVICES)?;
    let node = ctx.node(&STICK)?;
    mount_as_user(ctx)?;
    let written = write_both(ctx)?;
    let output = ctx.run(words(&as_user(&["unmoor", "eject", "-v", "--power-off", &node])))?;
    expect_code(&output, 0)?;
    ensure!(ctx.try_sh(&format!("test -e {node}"))?.code == Some(1), "the device is still there");
    written.expect_on(&ctx.snapshot(&STICK)?)
}

fn desktop_luks(ctx: &mut TestContext) -> Result<()> {
    ctx.sh(SERVICES)?;
    let node = ctx.node(&STICK)?;
    let part = super::stacks::make_luks(ctx)?;
    ctx.sh(
        "mkfs.ext4 -q -E root_owner=5:60 /dev/mapper/rigluks && cryptsetup close rigluks && chmod 644 /tmp/key
         udevadm trigger -c change -s block; udevadm settle"
    )?;
    let unlock =
        ["udisksctl", "unlock", "--no-user-interaction", "-b", &part, "--key-file", "/tmp/key"];
    let output = ctx.run(words(&as_user(&unlock)))?;
    expect_code(&output, 0)?;
    let mapping = output.stdout.split_once(" as ").map(|(_, mapping)| mapping.trim());
    let mapping = mapping.context("udisksctl names the mapping")?.trim_end_matches('.').to_owned();
    let output =
        ctx.run(words(&as_user(&["udisksctl", "mount", "--no-user-interaction", "-b", &mapping])))?;
    expect_code(&output, 0)?;
    let place = output.stdout.split_once(" at ").map(|(_, place)| place.trim());
    let place = place.context("udisksctl names the mount point")?.trim_end_matches('.').to_owned();
    ctx.sh(&format!("head -c 8000000 /dev/urandom >/tmp/data && cp /tmp/data '{place}/data.bin'"))?;

    let mark = ctx.machine.qmp.mark();
    let job = ctx.start_sh(&format!("cd '{place}' && exec sleep 600"))?;
    ctx.sh("until pidof sleep; do :; done")?;
    expect_code(&ctx.run(words(&as_user(&["unmoor", "eject", &node])))?, 3)?;
    ctx.expect_mounted(&place, true)?;
    ctx.expect_untouched(mark, &STICK)?;
    ctx.sh("kill $(pidof sleep)")?;
    ctx.wait(job)?;

    let output = ctx.run(words(&as_user(&["unmoor", "eject", "-v", &node])))?;
    expect_code(&output, 0)?;
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.sh("! ls /sys/block | grep -q ^dm-")?;
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)?;
    ctx.sh(&format!(
        "set -e; export DM_DISABLE_UDEV=1; cryptsetup open -d /tmp/key {part} rigluks; fsck.ext4 -fn /dev/mapper/rigluks
         mkdir -p /mnt/luks; mount /dev/mapper/rigluks /mnt/luks; cmp /tmp/data /mnt/luks/data.bin"
    ))
    .map(drop)
}
