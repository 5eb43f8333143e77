//! Situations and commands as data: where the user is, what is mounted, what is typed, and what follows.

use anyhow::{Result, ensure};

use super::seat::Seat::{self, Desk, Far, FarIn};
use super::seat::{expect, is_mounted, mount, names, volume, with_services};
use crate::test_context::TestContext;
use crate::vm::test_case::{SESSIONS, Test};
use unmoor_rig::drives::{CARD, CD, Drive, STICK};

/// One situation and one command.
struct Row {
    seat: Seat,
    /// Drives that the user at the desk has mounted; of the stick both partitions, `$ext` and `$fat`.
    mounted: &'static [&'static Drive],
    /// Root's part, beforehand, with the names of [`names`].
    root: &'static str,
    /// Bash script of the user, with the names of [`names`] and of the mounts.
    script: &'static str,
    code: i32,
    /// Words that are printed.
    says: &'static [&'static str],
    then: Then,
}

/// State afterwards.
enum Then {
    /// Nothing was unmounted, and no tray has moved.
    Untouched,
    /// These drives' trays are open, and nothing of theirs is mounted.
    Open(&'static [&'static Drive]),
    /// The drive is off the bus.
    Gone(&'static Drive),
    /// Nothing is mounted, and no tray has moved.
    Dismounted,
    /// The script has checked the mounts, and no tray has moved.
    Checked,
}
use Then::{Checked, Dismounted, Gone, Open, Untouched};

/// Functions of the scripts. `held PLACE COMMAND…` runs a command while a process of the user is in a place.
const FUNCTIONS: &str = r#"
held() {
    (cd "$1" && exec sleep 600) & held=$!
    until [ "$(readlink /proc/$held/cwd)" = "$1" ]; do sleep 0.1; done
    shift; "$@"; code=$?; kill $held; return $code
}
"#;

/// Root's part that keeps a place busy: a process in the namespace of the services.
const ROOT_HOLDS: &str = "
    setsid nsenter -t $(pgrep -o -x systemd) -m sh -c \"cd $fat && exec sleep 601\" </dev/null >/dev/null 2>&1 &
    until pgrep -x sleep >/dev/null; do sleep 0.1; done";

/// Root's part that locks the door of the CD drive, and has the drive open.
const ROOT_LOCKS: &str = "
    python3 -c \"import fcntl, os; fcntl.ioctl(os.open('$cd', os.O_RDONLY | os.O_NONBLOCK), 0x5329, 1)\"
    setsid sh -c \"exec 7<$cd; exec sleep 602\" </dev/null >/dev/null 2>&1 &
    until pgrep -x sleep >/dev/null; do sleep 0.1; done";

/// Ejects a CD again and again as soon as it is in: udev has the drive open then, and has locked its door.
const IN_AND_OUT: &str =
    "for i in 1 2 3 4; do unmoor $cd && unmoor load $cd || exit; done; unmoor $cd";

/// Root's part that lists the first partition with the option `user`.
const FSTAB: &str = "
    mkdir -p /mnt/user
    echo ${stick}1 /mnt/user ext4 noauto,user 0 0 >/etc/fstab";

const BOTH: &[&Drive] = &[&STICK];
const ALL: &[&Drive] = &[&STICK, &CD, &CARD];

macro_rules! rows {
    ($($name:literal: $promise:literal, $row:expr;)*) => {
        pub const TESTS: &[Test] = &[$(Test {
            name: $name,
            promise: $promise,
            drives: ALL,
            machine: &SESSIONS,
            run: |ctx| {
                const ROW: Row = $row;
                with_services(ctx, |ctx| check(ctx, &ROW))
            },
        }),*];
    };
}

/// Returns a row in which nothing is mounted and nothing is printed that matters.
const fn row(seat: Seat, script: &'static str, code: i32, then: Then) -> Row {
    Row { seat, mounted: &[], root: "", script, code, says: &[], then }
}

rows! {
    "session.list": "at the desk, list, status and --dry-run say everything",
        Row { mounted: BOTH, says: &["/media/ann/RIGFAT", "RIGEXT"], ..row(Desk,
            "unmoor list $stick && unmoor status $stick && unmoor eject --dry-run $stick", 0, Untouched) };
    "session.list-far": "far away, list and status say everything; --dry-run names what is missing",
        Row { mounted: BOTH, says: &["/media/ann/RIGFAT", "RIGEXT"], ..row(Far,
            "unmoor list $stick && unmoor status $stick", 0, Untouched) };
    "session.eject": "at the desk, a mounted stick is ejected by its device",
        Row { mounted: BOTH, says: &["through udisks2"], ..row(Desk, "unmoor $stick", 0, Open(BOTH)) };
    "session.eject-far": "far away, a mounted stick is refused before anything is unmounted",
        Row { mounted: BOTH, says: &["nothing was done", "run it as root: "], ..row(Far,
            "unmoor $stick", 5, Untouched) };
    "session.eject-path": "at the desk, a mounted stick is ejected by its mount point",
        Row { mounted: BOTH, ..row(Desk, "unmoor $fat", 0, Open(BOTH)) };
    "session.eject-path-far": "far away, a mount point is refused before anything is unmounted",
        Row { mounted: BOTH, ..row(Far, "unmoor $fat", 5, Untouched) };
    "session.eject-label": "at the desk, a mounted stick is ejected by LABEL= of one partition",
        Row { mounted: BOTH, ..row(Desk, "unmoor LABEL=RIGFAT", 0, Open(BOTH)) };
    "session.eject-label-far": "far away, LABEL= is refused before anything is unmounted",
        Row { mounted: BOTH, ..row(Far, "unmoor LABEL=RIGFAT", 5, Untouched) };
    "session.force": "at the desk, --force needs root, and its error ends in the command for it",
        Row { mounted: BOTH, says: &["run it as root: ", "eject --force"], ..row(Desk,
            "held $fat unmoor eject --force $stick", 5, Untouched) };
    "session.force-far": "far away, --force needs root",
        Row { mounted: BOTH, ..row(Far, "unmoor eject --force $stick", 5, Untouched) };
    "session.kill": "at the desk, --kill --yes ends the user's own process and ejects",
        Row { mounted: BOTH, says: &["sleep"], ..row(Desk,
            "held $fat unmoor eject --kill --yes $stick", 0, Open(BOTH)) };
    "session.kill-far": "far away, --kill --yes is refused before a process is ended",
        Row { mounted: BOTH, ..row(Far,
            "cd $fat && unmoor eject --kill --yes $stick; code=$?; [ $PWD = $fat ] && exit $code", 5, Untouched) };
    "session.power-off": "at the desk, --power-off takes the stick off the bus",
        Row { mounted: BOTH, ..row(Desk, "unmoor eject --power-off $stick", 0, Gone(&STICK)) };
    "session.power-off-far": "far away, --power-off is refused before anything is unmounted",
        Row { mounted: BOTH, ..row(Far, "unmoor eject --power-off $stick", 5, Untouched) };
    "session.wait": "at the desk, --wait ejects once the user's process has left",
        Row { mounted: BOTH, ..row(Desk,
            "(cd $fat && exec sleep 3) & unmoor eject --wait 60s $stick", 0, Open(BOTH)) };
    "session.wait-far": "far away, --wait is refused at once",
        Row { mounted: BOTH, ..row(Far, "unmoor eject --wait 3s $stick", 5, Untouched) };
    "session.flush": "at the desk, flush writes everything by device and by mount point",
        Row { mounted: BOTH, says: &["flushed"], ..row(Desk,
            "unmoor flush $stick && unmoor flush $fat", 0, Untouched) };
    "session.flush-far": "far away, flush writes everything",
        Row { mounted: BOTH, says: &["flushed"], ..row(Far,
            "unmoor flush $stick && unmoor flush $fat", 0, Untouched) };
    "session.who-idle": "at the desk, who finds no user, and says that services of the system could be unseen",
        Row { mounted: BOTH, says: &["no user was found", "only a service of the system"], ..row(Desk, "unmoor who $stick", 5, Untouched) };
    "session.who-idle-far": "far away, who finds no user, and says the same",
        Row { mounted: BOTH, says: &["no user was found", "only a service of the system"], ..row(Far, "unmoor who $stick", 5, Untouched) };
    "session.who-own": "at the desk, who names the user's own process",
        Row { mounted: BOTH, says: &["sleep (pid", "kill "], ..row(Desk, "held $fat unmoor who $stick", 3, Untouched) };
    "session.who-own-far": "far away, who names the user's own process",
        Row { mounted: BOTH, says: &["sleep (pid"], ..row(Far, "held $fat unmoor who $stick", 3, Untouched) };
    "session.who-root": "at the desk, a process of root is not seen: who says that it may be there",
        Row { mounted: BOTH, root: ROOT_HOLDS, says: &["no user was found", "only a service of the system"], ..row(Desk,
            "unmoor who $stick", 5, Untouched) };
    "session.who-root-far": "far away, a process of root is not seen: who says that it may be there",
        Row { mounted: BOTH, root: ROOT_HOLDS, says: &["no user was found", "only a service of the system"], ..row(Far,
            "unmoor who $stick", 5, Untouched) };
    "session.busy-own": "at the desk, a partition in use by the user: both stay mounted, and the process is named",
        Row { mounted: BOTH, says: &["sleep (pid"], ..row(Desk, "held $fat unmoor $stick", 3, Untouched) };
    "session.busy-root": "at the desk, the second partition in use by root: both are mounted as before",
        Row { mounted: BOTH, root: ROOT_HOLDS, ..row(Desk, "unmoor $stick", 3, Untouched) };
    "session.volume": "at the desk, -u --volume dismounts one partition, and the other stays",
        Row { mounted: BOTH, says: &["the other volumes of the drive were left alone"], ..row(Desk,
            "unmoor eject -u --volume $fat && ! mountpoint -q $fat && mountpoint -q $ext", 0, Checked) };
    "session.volume-far": "far away, one's own mount is dismounted by -u --volume",
        Row { mounted: BOTH, says: &["the other volumes of the drive were left alone"], ..row(Far,
            "unmoor eject -u --volume $fat && ! mountpoint -q $fat && mountpoint -q $ext", 0, Checked) };
    "session.cd": "at the desk, a CD that is not mounted comes out, and goes in again",
        row(Desk, IN_AND_OUT, 0, Open(&[&CD]));
    "session.cd-far": "far away, a CD that is not mounted is refused",
        row(Far, "unmoor $cd", 5, Untouched);
    "session.cd-mounted": "at the desk, a CD that udisks2 has mounted comes out",
        Row { mounted: &[&CD], ..row(Desk, "unmoor $cd", 0, Open(&[&CD])) };
    "session.cd-mounted-far": "far away, a mounted CD is refused before it is unmounted",
        Row { mounted: &[&CD], ..row(Far, "unmoor $cd", 5, Untouched) };
    "session.all-removable": "at the desk, --all-removable releases CD, stick and card",
        Row { mounted: ALL, ..row(Desk,
            "unmoor eject --all-removable; code=$?; ! grep ' /media/ann/' /proc/mounts && exit $code", 0,
            Open(&[&STICK, &CD])) };
    "session.all-removable-far": "far away, --all-removable leaves CD and stick as they are, and releases one's own card",
        Row { mounted: ALL, ..row(Far,
            "unmoor eject --all-removable; [ $? = 5 ] && mountpoint -q $ext && mountpoint -q $fat &&
             mountpoint -q /media/ann/RIGCD && ! mountpoint -q /media/ann/RIGCARD", 0, Checked) };
    "session.card-far": "far away, one's own mounted SD card is released: it has no eject that could be refused",
        Row { mounted: &[&CARD], ..row(Far, "unmoor $card", 0, Dismounted) };
    "session.card": "at the desk, a mounted SD card is released",
        Row { mounted: &[&CARD], ..row(Desk, "unmoor $card", 0, Dismounted) };
    "session.attach": "at the desk, attach needs root",
        row(Desk, "unmoor attach", 5, Untouched);
    "session.attach-far": "far away, attach needs root",
        row(Far, "unmoor attach", 5, Untouched);
    "session.fstab": "at the desk, a mount of fstab's option `user` is unmounted and the stick ejected",
        Row { root: FSTAB, ..row(Desk, "mount /mnt/user && unmoor $stick && ! mountpoint -q /mnt/user", 0, Open(BOTH)) };
    "session.fstab-far": "far away, a mount of fstab's option `user` is unmounted alone, and ejecting is refused before",
        Row { root: FSTAB, ..row(Far,
            "mount /mnt/user && { unmoor $stick; [ $? = 5 ] && mountpoint -q /mnt/user; } &&
             unmoor eject -u --volume /mnt/user && ! mountpoint -q /mnt/user", 0, Dismounted) };
    "session.disk-card": "a member of the group disk, far away, releases a card that is not mounted",
        row(FarIn("disk"), "unmoor $card", 0, Dismounted);
    "session.disk-stick": "a member of the group disk, far away, ejects a stick that is not mounted",
        row(FarIn("disk"), "unmoor $stick", 0, Open(BOTH));
    "session.disk-flush": "a member of the group disk, far away, flushes",
        Row { mounted: BOTH, says: &["flushed"], ..row(FarIn("disk"), "unmoor flush $stick", 0, Untouched) };
    "session.disk-mounted": "a member of the group disk, far away, ejects a stick with one mount of their own",
        Row { mounted: BOTH, ..row(FarIn("disk"), "unmoor eject -u --volume $ext && unmoor $stick", 0, Open(BOTH)) };
    "session.disk-two-mounts": "of two mounts, one could not be mounted again far away: refused before anything is unmounted",
        Row { mounted: BOTH, says: &["filesystem-mount", "nothing was done"], ..row(FarIn("disk"),
            "unmoor $stick", 5, Untouched) };
    "session.disk-power-off": "a member of the group disk, far away, is refused --power-off before anything is done",
        row(FarIn("disk"), "unmoor eject --power-off $stick", 5, Untouched);
    "session.cdrom": "a member of the group cdrom, far away, ejects and loads a CD that is not mounted",
        row(FarIn("cdrom"), IN_AND_OUT, 0, Open(&[&CD]));
    "session.cdrom-held": "a CD stays in while its door is locked and another program has the drive open, and the message says so",
        Row { root: ROOT_LOCKS, says: &["its door is locked, and another program has the drive open"],
            ..row(FarIn("cdrom"), "unmoor $cd", 3, Untouched) };
    "session.cdrom-mounted": "a member of the group cdrom, far away, ejects a CD that they have mounted",
        Row { mounted: &[&CD], ..row(FarIn("cdrom"), "unmoor $cd", 0, Open(&[&CD])) };
    "session.plugdev": "the group plugdev gives nothing: a stick is refused before anything is unmounted",
        Row { mounted: BOTH, ..row(FarIn("plugdev"), "unmoor $stick", 5, Untouched) };
}

fn check(ctx: &mut TestContext, row: &Row) -> Result<()> {
    let mut names = names(ctx)?;
    let mut places = Vec::new();
    for drive in row.mounted {
        let device = volume(ctx, drive)?;
        places.push(mount(ctx, &device)?);
        if drive.id == STICK.id {
            let device = ctx.partition(drive, 2)?;
            let fat = mount(ctx, &device)?;
            names += &format!("ext={} fat={fat}\n", places[places.len() - 1]);
            places.push(fat);
        }
    }
    ctx.sh(&format!("{names}{}", row.root))?;
    let mark = ctx.machine.qmp.mark();
    expect(ctx, row.seat, &format!("{names}{FUNCTIONS}{}", row.script), row.code, row.says)?;
    let (mounted, open): (Option<bool>, &[&Drive]) = match &row.then {
        Checked => (None, &[]),
        Untouched => (Some(true), &[]),
        Open(drives) => (Some(false), drives),
        Dismounted | Gone(_) => (Some(false), &[]),
    };
    for (place, mounted) in places.iter().filter_map(|place| Some((place, mounted?))) {
        ensure!(is_mounted(ctx, place)? == mounted, "{place}: mounted should be {mounted}");
    }
    if let Gone(drive) = row.then {
        ensure!(ctx.machine.guest.find(drive.sysfs_parts)?.is_none(), "{} is there", drive.id);
    }
    for drive in [&STICK, &CD] {
        match open.iter().any(|one| one.id == drive.id) {
            true => ctx.expect_tray(mark, drive, true)?,
            false if matches!(&row.then, Gone(gone) if gone.id == drive.id) => {}
            false => ctx.expect_untouched(mark, drive)?,
        }
    }
    Ok(())
}
