//! Users that no process shows: character devices, targets, gadgets, zram, NFS clients, levels above several drives.

use anyhow::{Context, Result, bail, ensure};

use super::{ExpectedBlocker, TOOLS, blocked, refused, remedies};
use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Skip, Test};
use unmoor_rig::drives::{CD, Drive, STICK, STICK2};
use unmoor_rig::nfs;

macro_rules! row {
    ($name:literal, $drives:expr, $promise:literal, $run:expr) => {
        Test {
            name: concat!("who.kernel-", $name),
            promise: $promise,
            drives: $drives,
            machine: &STANDARD,
            run: $run,
        }
    };
}

const ONE: &[&Drive] = &[&STICK];
const TWO: &[&Drive] = &[&STICK, &STICK2];

pub const TESTS: &[Test] = &[
    row!("sg", ONE, "a program that has /dev/sg of a stick open for writing is named", sg),
    row!("sg-disc", &[&CD], "so is a burner of a disc, which stays in", sg_disc),
    row!("bsg", ONE, "so is a program that has /dev/bsg of it open", bsg),
    row!("target-file", ONE, "a file that a SCSI target has open is named", target_file),
    row!("target-device", ONE, "a partition that a SCSI target has open is named", target_device),
    row!(
        "nvme-target",
        ONE,
        "a file and a partition that an NVMe target has open are named",
        nvme_target
    ),
    row!("bitmap", ONE, "a file that has the bitmap of an array is named", bitmap),
    row!("target-scsi", ONE, "a stick that a SCSI target passes commands to is named", target_scsi),
    row!("gadget", ONE, "a file that a USB gadget has open is named", gadget),
    row!("zram", ONE, "the backing device of zram is named", zram),
    row!("bcache", ONE, "a bcache device on a partition is named, and no mapping", bcache),
    row!("bcache-mounted", ONE, "so is a mounted one, which is unmounted first", bcache_mounted),
    row!("lvm-mounted", TWO, "a mounted volume over two drives is unmounted first", lvm_mounted),
    row!("lvm-luks", TWO, "so is what lies on a volume over two drives", lvm_luks),
    row!("crossmnt", ONE, "an export of the directory above it is ended", crossmnt),
    row!("nfs-client", ONE, "an NFS client with an open file is named and expired", nfs_client),
];

/// Runs the printed remedies, round after round, until the release succeeds.
fn released_in_rounds(ctx: &mut TestContext, target: &str, most: u32) -> Result<()> {
    for _ in 0..most {
        let ended = ctx.run(crate::test_context::unmoor(&["eject", "--wait", "5s", target]))?;
        if ended.code == Some(0) {
            return Ok(());
        }
        ensure!(ended.code == Some(3), "exit code {:?}", ended.code);
        let printed = ctx.unmoor(3, &["who", target])?.stdout;
        let document = ctx.unmoor_json(3, &["who", target])?;
        for command in remedies(&printed, &document["targets"][0])? {
            ctx.sh(&format!("PATH={TOOLS}:$PATH:{}\n{command}", nfs::PROGRAMS))?;
        }
    }
    bail!("still busy after {most} rounds")
}

/// Returns the node below this class of the drive's SCSI device: `/dev/sg1`.
fn character_device(ctx: &mut TestContext, drive: &Drive, class: &str) -> Result<String> {
    let node = ctx.node(drive)?;
    let name = node.trim_start_matches("/dev/").to_string();
    ctx.sh("modprobe sg; modprobe bsg; true")?;
    let entry = ctx.sh(&format!("ls /sys/block/{name}/device/{class}"))?;
    let path = match class {
        "bsg" => format!("/dev/bsg/{entry}"),
        _ => format!("/dev/{entry}"),
    };
    // The guest has no udev, which would make the node.
    ctx.sh(&format!(
        "mkdir -p /dev/bsg; test -e {path} || \
         mknod {path} c $(tr : ' ' </sys/block/{name}/device/{class}/{entry}/dev)"
    ))?;
    Ok(path)
}

fn writer<'a>(path: &'a str, pid: &'a str) -> ExpectedBlocker<'a> {
    ExpectedBlocker {
        kind: "process",
        usage: "device",
        path,
        fd: Some(7),
        process: Some((pid, "sleep")),
        ..ExpectedBlocker::default()
    }
}

fn character_device_is_named(ctx: &mut TestContext, class: &str) -> Result<()> {
    let node = ctx.node(&STICK)?;
    let path = character_device(ctx, &STICK, class)?;
    let pid = ctx.hold(&format!("exec 7<>{path}; echo held $$; exec sleep 1000"))?;
    blocked(ctx, &node, &[writer(&path, &pid)])
}

fn sg(ctx: &mut TestContext) -> Result<()> {
    character_device_is_named(ctx, "scsi_generic")
}

fn bsg(ctx: &mut TestContext) -> Result<()> {
    character_device_is_named(ctx, "bsg")
}

fn sg_disc(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&CD)?;
    let path = character_device(ctx, &CD, "scsi_generic")?;
    let pid = ctx.hold(&format!("exec 7<>{path}; echo held $$; exec sleep 1000"))?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(3, &["eject", &node])?;
    ctx.expect_untouched(mark, &CD)?;
    let blockers = document["targets"][0]["blockers"].as_array().context("blockers")?;
    let expected = writer(&path, &pid);
    ensure!(blockers.len() == 1 && expected.is(&blockers[0]), "{blockers:#?}");
    released_in_rounds(ctx, &node, 3)?;
    ctx.expect_tray(mark, &CD, true)
}

const CONFIGFS: &str = "modprobe configfs; mountpoint -q /sys/kernel/config || \
                        mount -t configfs configfs /sys/kernel/config";

fn image(ctx: &mut TestContext) -> Result<String> {
    let node = ctx.partition(&STICK, 1)?;
    ctx.mount(&node, "/mnt/ext")?;
    ctx.sh("truncate -s 8M '/mnt/ext/an image'")?;
    Ok(node)
}

fn kernel<'a>(kind: &'a str, path: &'a str) -> ExpectedBlocker<'a> {
    ExpectedBlocker { kind, usage: "kernel", path, ..ExpectedBlocker::default() }
}

/// Makes a backing store and gives it to a loopback target.
fn target(ctx: &mut TestContext, adapter: &str, control: &str) -> Result<()> {
    ctx.sh(&format!(
        "{CONFIGFS}
         modprobe target_core_mod && modprobe target_core_{} && modprobe tcm_loop || exit 9
         cd /sys/kernel/config/target && mkdir -p core/{adapter}_0/disk && \
         echo '{control}' >core/{adapter}_0/disk/control && echo 1 >core/{adapter}_0/disk/enable && \
         mkdir -p loopback/naa.5001405000000001/tpgt_1/lun/lun_0 && \
         ln -s $PWD/core/{adapter}_0/disk loopback/naa.5001405000000001/tpgt_1/lun/lun_0/link && \
         cat core/{adapter}_0/disk/info",
        if adapter == "fileio" { "file" } else { "iblock" },
    ))
    .map(drop)
}

fn target_file(ctx: &mut TestContext) -> Result<()> {
    let node = image(ctx)?;
    target(ctx, "fileio", "fd_dev_name=/mnt/ext/an image,fd_dev_size=8388608")?;
    blocked(ctx, &node, &[kernel("kernel", "/mnt/ext/an image")])
}

fn target_device(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&STICK, 2)?;
    target(ctx, "iblock", &format!("udev_path={node}"))?;
    blocked(ctx, &node, &[kernel("kernel", "/sys/kernel/config/target/core/iblock_0/disk")])
}

fn target_scsi(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&STICK)?;
    ctx.sh(&format!(
        "{CONFIGFS}
         modprobe target_core_mod && modprobe target_core_pscsi || exit 9
         IFS=: read h c i l <<END\n$(basename $(readlink /sys/block/{}/device))\nEND
         cd /sys/kernel/config/target/core && mkdir -p pscsi_0/disk && \
         echo \"scsi_host_id=$h,scsi_channel_id=$c,scsi_target_id=$i,scsi_lun_id=$l\" >pscsi_0/disk/control && \
         echo {node} >pscsi_0/disk/udev_path && echo 1 >pscsi_0/disk/enable",
        node.trim_start_matches("/dev/")
    ))?;
    blocked(ctx, &node, &[kernel("kernel", "/sys/kernel/config/target/core/pscsi_0/disk")])
}

fn nvme_target(ctx: &mut TestContext) -> Result<()> {
    let (node, second) = (image(ctx)?, ctx.partition(&STICK, 2)?);
    ctx.sh(&format!(
        "{CONFIGFS}
         modprobe nvmet || exit 9
         cd /sys/kernel/config/nvmet/subsystems && mkdir -p rig/namespaces/1 rig/namespaces/2 && \
         printf '/mnt/ext/an image' >rig/namespaces/1/device_path && \
         printf {second} >rig/namespaces/2/device_path && \
         echo 1 >rig/namespaces/1/enable && echo 1 >rig/namespaces/2/enable"
    ))?;
    let ended =
        blocked(ctx, &node, &[kernel("kernel", "/mnt/ext/an image"), kernel("kernel", &second)]);
    ctx.try_sh("cd /sys/kernel/config/nvmet/subsystems && rmdir rig/namespaces/* rig")?;
    ended
}

fn bitmap(ctx: &mut TestContext) -> Result<()> {
    let node = image(ctx)?;
    ctx.sh(
        "modprobe raid1; modprobe md-mod; modprobe loop; truncate -s 16M /tmp/one /tmp/two
         losetup /dev/loop6 /tmp/one && losetup /dev/loop7 /tmp/two && \
         mdadm --create /dev/md77 --run --level=1 --raid-devices=2 --assume-clean \
         --metadata=1.2 --bitmap='/mnt/ext/the bitmap' --force /dev/loop6 /dev/loop7 && cat /proc/mdstat",
    )?;
    blocked(ctx, &node, &[kernel("kernel", "/mnt/ext/the bitmap")])
}

fn gadget(ctx: &mut TestContext) -> Result<()> {
    let node = image(ctx)?;
    ctx.sh(&format!(
        "{CONFIGFS}
         modprobe libcomposite && modprobe usb_f_mass_storage || exit 9
         cd /sys/kernel/config/usb_gadget && mkdir -p g/functions/mass_storage.0 && \
         echo '/mnt/ext/an image' >g/functions/mass_storage.0/lun.0/file"
    ))?;
    blocked(ctx, &node, &[kernel("kernel", "/mnt/ext/an image")])
}

fn zram(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&STICK, 2)?;
    ctx.sh("modprobe zram")?;
    if ctx.try_sh("test -e /sys/block/zram0/backing_dev")?.code != Some(0) {
        return Err(Skip("this kernel's zram has no backing devices".into()).into());
    }
    ctx.sh(&format!(
        "echo {node} >/sys/block/zram0/backing_dev && echo 8M >/sys/block/zram0/disksize && \
         mkswap /dev/zram0 && swapon /dev/zram0"
    ))?;
    blocked(ctx, &node, &[kernel("kernel", &node)])
}

/// Makes a backing device of bcache on the second partition. Returns the partition.
///
/// Writes its superblock (`struct cache_sb_disk`, drivers/md/bcache/bcache_ondisk.h) with the checksum of these fields.
fn make_bcache(ctx: &mut TestContext) -> Result<String> {
    let node = ctx.partition(&STICK, 2)?;
    ctx.sh("modprobe bcache")?;
    let fields = [
        r"\342\015\260\020\005\312\323\365",     // checksum
        r"\010\0\0\0\0\0\0\0\001\0\0\0\0\0\0\0", // offset in sectors, version
        r"\306\205\163\366\116\032\105\312\202\145\365\177\110\272\155\201", // magic
        r"\001\002\003\004\005\006\007\010\011\012\013\014\015\016\017\020",
        r"\021\022\023\024\025\026\027\030\031\032\033\034\035\036\037\040",
    ];
    // Label, flags, sequence and features are zeros; the data begin at sector 16, a block is one sector.
    ctx.sh(&format!(
        "{{ printf '{}'; head -c 112 /dev/zero; printf '\\020\\0\\0\\0\\0\\0\\0\\0\\001\\0'; head -c 4000 /dev/zero; }} >/tmp/sb && \
         dd if=/tmp/sb of={node} bs=4096 seek=1 count=1 conv=fsync,sync status=none && \
         echo {node} >/sys/fs/bcache/register && \
         for i in $(seq 50); do test -b /dev/bcache0 && break; sleep 0.1; done; test -b /dev/bcache0",
        fields.concat()
    ))?;
    Ok(node)
}

fn bcache(ctx: &mut TestContext) -> Result<()> {
    let node = make_bcache(ctx)?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(3, &["eject", "--force", &node])?;
    ctx.expect_untouched(mark, &STICK)?;
    blocked(ctx, &node, &[kernel("mapping", "/dev/bcache0")])
}

fn bcache_mounted(ctx: &mut TestContext) -> Result<()> {
    let node = make_bcache(ctx)?;
    ctx.sh("mkfs.ext4 -q /dev/bcache0")?;
    ctx.mount("/dev/bcache0", "/mnt/bcache")?;
    let mark = ctx.machine.qmp.mark();
    for options in [&["eject"][..], &["eject", "--force"]] {
        let words: Vec<&str> = options.iter().copied().chain([&*node]).collect();
        ctx.unmoor(3, &words)?;
    }
    ctx.expect_untouched(mark, &STICK)?;
    ctx.expect_mounted("/mnt/bcache", true)?;
    released_in_rounds(ctx, &node, 3)
}

/// Makes a logical volume over both sticks.
fn spanning_volume(ctx: &mut TestContext) -> Result<String> {
    let (node, other) = (ctx.partition(&STICK, 2)?, ctx.partition(&STICK2, 1)?);
    ctx.sh("modprobe dm-mod")?;
    ctx.sh(&format!(
        "pvcreate -qff -y {node} {other} && vgcreate -q unmoor-vg {node} {other} && \
         lvcreate -q -y -Zn -l 100%FREE -n lv unmoor-vg"
    ))?;
    Ok(node)
}

fn lvm_mounted(ctx: &mut TestContext) -> Result<()> {
    let node = spanning_volume(ctx)?;
    ctx.sh("mkfs.ext4 -q /dev/dm-0 && mkdir -p /mnt/lv && mount /dev/dm-0 /mnt/lv")?;
    let mounted =
        ExpectedBlocker { kind: "raid", usage: "mount", path: "/mnt/lv", ..Default::default() };
    let mark = ctx.machine.qmp.mark();
    refused(ctx, &node, &[mounted, kernel("mapping", "/dev/dm-0")])?;
    released_in_rounds(ctx, &node, 2)?;
    ctx.expect_tray(mark, &STICK, true)
}

fn lvm_luks(ctx: &mut TestContext) -> Result<()> {
    let node = spanning_volume(ctx)?;
    ctx.sh("modprobe dm-crypt")?;
    ctx.sh(
        "printf key | cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 /dev/dm-0 -
         printf key | cryptsetup open --key-file - /dev/dm-0 unmoor-secret
         mkfs.ext4 -q /dev/mapper/unmoor-secret && mkdir -p /mnt/lv && \
         mount /dev/mapper/unmoor-secret /mnt/lv",
    )?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(3, &["eject", &node])?;
    ctx.expect_untouched(mark, &STICK)?;
    released_in_rounds(ctx, &node, 2)?;
    ctx.expect_tray(mark, &STICK, true)
}

const FAR: &str = "2147483647";

/// Starts the part of the NFS server that tests need, with this export in the table of exportfs.
fn nfs_server(ctx: &mut TestContext, export: &str) -> Result<()> {
    nfs::ensure().map_err(|error| Skip(format!("{error:#}")))?;
    ctx.sh(&format!(
        "modprobe nfsd && {{ mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd; }} && \
         mkdir -p /var/lib/nfs/v4recovery /run/nfs && touch /var/lib/nfs/etab /etc/exports && \
         {}/exportfs {export}",
        nfs::PROGRAMS
    ))
    .map(drop)
}

/// The kernel's table of exports is filled as its helper, `rpc.mountd`, would when a client comes.
fn crossmnt(ctx: &mut TestContext) -> Result<()> {
    let node = image(ctx)?;
    nfs_server(ctx, "-o fsid=8,rw,no_subtree_check,insecure,crossmnt '*:/mnt'")?;
    ctx.sh(&format!(
        "echo 'nfsd 127.0.0.1 {FAR} *' >/proc/net/rpc/auth.unix.ip/channel && \
         echo '* /mnt/ext {FAR} 0 65534 65534 9' >/proc/net/rpc/nfsd.export/channel && \
         cat /proc/fs/nfsd/exports"
    ))?;
    let command = "exportfs -u '*:/mnt' && exportfs -f";
    let named = ExpectedBlocker { command: Some(command), ..kernel("export", "/mnt/ext") };
    blocked(ctx, &node, &[named])
}

/// The kernel's tables are filled as `rpc.mountd` would, with the stick as the root of all exports.
fn nfs_client(ctx: &mut TestContext) -> Result<()> {
    let node = image(ctx)?;
    nfs_server(ctx, "-o fsid=0,rw,no_subtree_check,insecure,no_root_squash '*:/mnt/ext'")?;
    ctx.sh(&format!(
        "busybox ip addr add 127.0.0.1/8 dev lo; busybox ip link set lo up
         modprobe nfsv4 && cd /proc/net/rpc && \
         printf '%s\\n' 'nfsd 127.0.0.1 {FAR} *' >auth.unix.ip/channel && \
         printf '%s\\n' '* /mnt/ext {FAR} 9218 65534 65534 0' >nfsd.export/channel && \
         printf '%s\\n' '* 1 \\x00000000 {FAR} /mnt/ext' >nfsd.fh/channel && \
         echo '-2 -3 +4' >/proc/fs/nfsd/versions; echo 'tcp 2049' >/proc/fs/nfsd/portlist && \
         echo 2 >/proc/fs/nfsd/threads; cat /proc/fs/nfsd/portlist /proc/fs/nfsd/threads
         timeout 5 sh -c 'echo Y >/proc/fs/nfsd/v4_end_grace'
         mkdir -p /mnt/nfs && timeout 30 mount -i -t nfs4 \
         -o vers=4.2,addr=127.0.0.1,clientaddr=127.0.0.1,soft,timeo=50 127.0.0.1:/ /mnt/nfs"
    ))?;
    ctx.hold("exec 7>/mnt/nfs/opened; echo held $$; exec sleep 1000")?;
    // The client keeps its file although the export is ended.
    ctx.sh(&format!("{0}/exportfs -u '*:/mnt/ext'; {0}/exportfs -f", nfs::PROGRAMS))?;
    let document = ctx.unmoor_json(3, &["who", &node])?;
    let text = document.to_string();
    ensure!(text.contains("127.0.0.1") && text.contains("expire"), "no client is named: {text}");
    let mark = ctx.machine.qmp.mark();
    let released = released_in_rounds(ctx, &node, 4);
    ctx.try_sh("timeout 20 umount -f -l /mnt/nfs; echo 0 >/proc/fs/nfsd/threads")?;
    released?;
    ctx.expect_tray(mark, &STICK, true)
}
