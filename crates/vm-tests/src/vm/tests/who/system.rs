//! Blockers other than processes: mounts, other namespaces, the kernel itself.

use anyhow::{Context, Result};

use super::{ExpectedBlocker, TOOLS, blocked, who};
use crate::test_context::TestContext;
use crate::vm::test_case::{STANDARD, Skip, Test};
use unmoor_rig::drives::{STICK, STICK2};
use unmoor_rig::machine::GUEST_TOOLS;
use unmoor_rig::nfs;

macro_rules! row {
    ($name:literal, $drives:expr, $promise:literal, $run:expr) => {
        Test {
            name: concat!("who.", $name),
            promise: $promise,
            drives: $drives,
            machine: &STANDARD,
            run: $run,
        }
    };
}

const ONE: &[&unmoor_rig::drives::Drive] = &[&STICK];
const TWO: &[&unmoor_rig::drives::Drive] = &[&STICK, &STICK2];

pub const TESTS: &[Test] = &[
    row!("nested", ONE, "mounts within mounts within it are named, the innermost first", nested),
    row!("namespace", ONE, "a mount in another namespace is named with who lives there", namespace),
    row!(
        "namespace-rooted",
        ONE,
        "so is one whose only process has a root of its own, below which nothing of the stick is",
        rooted
    ),
    row!(
        "namespace-several",
        ONE,
        "several mounts of it in another namespace are named, and one command takes them away",
        several
    ),
    row!(
        "service",
        ONE,
        "a mount in the namespace of a service is named with the service, which is stopped properly",
        service
    ),
    row!(
        "container",
        ONE,
        "a file open in a container is named with the container, which is stopped properly",
        container
    ),
    row!("kept", ONE, "a mount in a namespace in which no process lives any more is named", kept),
    row!(
        "overlay",
        ONE,
        "an overlay in another namespace with a layer on the stick is named",
        overlay
    ),
    row!("overlay-relative", ONE, "so is one whose layers were given by relative paths", relative),
    row!(
        "overlay-stack",
        ONE,
        "a mount in an overlay over an overlay over it is named; the overlays go with the stick",
        stack
    ),
    row!("image", ONE, "a file open in an image on the stick is named", image),
    row!(
        "image-on-subvolume",
        ONE,
        "so is one in an image on a subvolume of btrfs, and the image goes with the release",
        subvolume
    ),
    row!("idle-luks", ONE, "an idle LUKS volume that a release closes does not block", idle),
    row!("luks", ONE, "a program that has a LUKS mapping open is named", luks),
    row!("lvm", TWO, "a logical volume on another drive too is named", lvm),
    row!("md", TWO, "an md array on another drive too is named", md),
    row!("btrfs", TWO, "a btrfs over another drive too is named", btrfs),
    row!("swap", ONE, "a swap partition is named", swap),
    row!("swap-file", ONE, "a swap file is named", swap_file),
    row!("export", ONE, "an NFS export is named, and the command printed ends it", export),
];

fn mounted(ctx: &mut TestContext) -> Result<String> {
    let node = ctx.partition(&STICK, 1)?;
    ctx.mount(&node, "/mnt/ext")?;
    Ok(node)
}

/// Returns an expected mount point.
fn mount<'a>(kind: &'a str, path: &'a str) -> ExpectedBlocker<'a> {
    ExpectedBlocker { kind, usage: "mount", path, ..ExpectedBlocker::default() }
}

/// Returns an expected usage by the kernel.
fn kernel<'a>(kind: &'a str, path: &'a str) -> ExpectedBlocker<'a> {
    ExpectedBlocker { kind, usage: "kernel", path, ..ExpectedBlocker::default() }
}

fn nested(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    ctx.sh("mkdir '/mnt/ext/a b' && mount -t tmpfs tmpfs '/mnt/ext/a b' && \
         mkdir '/mnt/ext/a b/c' && mount -t tmpfs tmpfs '/mnt/ext/a b/c'")?;
    blocked(ctx, &node, &[mount("mount", "/mnt/ext/a b"), mount("mount", "/mnt/ext/a b/c")])
}

const UNSHARE: &str = "exec unshare -m --propagation private sh -c 'echo held $$; exec sleep 1000'";

fn namespace(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    let pid = ctx.hold(UNSHARE)?;
    let by = Some((&*pid, "sleep"));
    blocked(ctx, &node, &[ExpectedBlocker { process: by, ..mount("namespace", "/mnt/ext") }])
}

fn several(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    let pid = ctx.hold(
        "mkdir /mnt/ext/a /mnt/else && exec unshare -m --propagation private sh -c \
         'mount --bind /mnt/ext/a /mnt/else; mount --bind /mnt/ext /mnt/ext/a; echo held $$; exec sleep 1000'",
    )?;
    let command = format!("umount --namespace /proc/{pid}/ns/mnt /mnt/ext/a /mnt/else /mnt/ext");
    let named = ExpectedBlocker {
        process: Some((&pid, "sleep")),
        command: Some(&command),
        ..mount("namespace", "/mnt/ext")
    };
    blocked(ctx, &node, &[named])
}

fn rooted(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    let pid = ctx.hold(
        "mkdir -p /mnt/jail && exec unshare -m --propagation private $AGENT hold root /mnt/jail",
    )?;
    let command = format!("umount --namespace /proc/{pid}/ns/mnt /mnt/ext");
    let named = ExpectedBlocker {
        process: Some((&pid, GUEST_TOOLS)),
        command: Some(&command),
        ..mount("namespace", "/mnt/ext")
    };
    blocked(ctx, &node, &[named])
}

/// Returns a script that enters this control group, as a service or container manager would.
fn in_group(group: &str, script: &str) -> String {
    format!(
        "mkdir -p /sys/fs/cgroup && {{ mountpoint -q /sys/fs/cgroup || \
         mount -t cgroup2 cgroup2 /sys/fs/cgroup; }} && mkdir -p /sys/fs/cgroup/{group} && \
         echo $$ >/sys/fs/cgroup/{group}/cgroup.procs && {script}"
    )
}

/// Installs a program that replaces systemd or a container engine in the guest.
fn stand_in(ctx: &mut TestContext, name: &str, script: &str) -> Result<()> {
    ctx
        .sh(&format!(
            "mkdir -p {TOOLS} && printf '#!/bin/sh\\n%s\\n' '{script}' >{TOOLS}/{name} && chmod 755 {TOOLS}/{name}"
        ))
        .map(drop)
}

fn service(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    stand_in(
        ctx,
        "systemctl",
        "test \"$1\" = stop && kill $(cat /sys/fs/cgroup/system.slice/\"$2\"/cgroup.procs)",
    )?;
    let pid = ctx.hold(&in_group("system.slice/backup.service", UNSHARE))?;
    let by = Some((&*pid, "sleep"));
    let named = ExpectedBlocker {
        process: by,
        unit: Some("backup.service"),
        command: Some("systemctl stop backup.service"),
        ..mount("namespace", "/mnt/ext")
    };
    blocked(ctx, &node, &[named])
}

const CONTAINER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn container(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    stand_in(
        ctx,
        "docker",
        "test \"$1\" = stop && kill $(cat /sys/fs/cgroup/docker/\"$2\"*/cgroup.procs)",
    )?;
    let script = "exec 7>/mnt/ext/file; echo held $$; exec sleep 1000";
    let pid = ctx.hold(&in_group(&format!("docker/{CONTAINER}"), script))?;
    let named = ExpectedBlocker {
        kind: "process",
        usage: "open-for-writing",
        path: "/mnt/ext/file",
        fd: Some(7),
        process: Some((&pid, "sleep")),
        unit: Some("docker:0123456789ab"),
        command: Some("docker stop 0123456789ab"),
    };
    blocked(ctx, &node, &[named])
}

fn kept(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    ctx.sh("mkdir /mnt/ns && mount -t tmpfs tmpfs /mnt/ns && mount --make-private /mnt/ns && \
         touch '/mnt/ns/a b' && unshare --mount='/mnt/ns/a b' --propagation private true")?;
    let command = "umount --namespace '/mnt/ns/a b' /mnt/ext";
    let named = ExpectedBlocker { command: Some(command), ..mount("namespace", "/mnt/ext") };
    blocked(ctx, &node, &[named])
}

fn overlay(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    let layers = "lowerdir=/mnt/ext/a,upperdir=/mnt/ext/b,workdir=/mnt/ext/c";
    ctx.sh("mkdir -p /mnt/ext/a /mnt/ext/b /mnt/ext/c /mnt/merged")?;
    // One of our own namespace is unmounted with the stick.
    ctx.hold(&format!(
        "exec unshare -m sh -c 'mount -t overlay overlay -o {layers} /mnt/merged && echo held $$ && \
         exec sleep 1000'"
    ))?;
    let named = [mount("overlay", "/mnt/merged"), mount("namespace", "/mnt/ext")];
    blocked(ctx, &node, &named)
}

fn relative(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    ctx.sh("mkdir -p /mnt/ext/a /mnt/ext/b /mnt/ext/c /mnt/merged")?;
    let layers = "lowerdir=a,upperdir=b,workdir=c";
    ctx.sh(&format!("cd /mnt/ext && mount -t overlay overlay -o {layers} /mnt/merged"))?;
    // Another one like it, which lies elsewhere: it stays, and is in nobody's way.
    ctx.sh("mkdir -p /mnt/own/a /mnt/own/b /mnt/own/c /mnt/own/merged")?;
    ctx.sh(&format!("cd /mnt/own && mount -t overlay overlay -o {layers} /mnt/own/merged"))?;
    blocked(ctx, &node, &[mount("overlay", "/mnt/merged")])?;
    ctx.expect_mounted("/mnt/own/merged", true)
}

fn stack(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    ctx.sh("mkdir -p /mnt/ext/a/sub /mnt/ext/b /mnt/over /mnt/one /mnt/two
         mount -t overlay overlay -o lowerdir=/mnt/ext/a:/mnt/ext/b /mnt/one
         mount -t overlay overlay -o lowerdir=/mnt/one:/mnt/over /mnt/two
         mount -t tmpfs tmpfs /mnt/two/sub")?;
    blocked(ctx, &node, &[mount("mount", "/mnt/two/sub")])
}

/// Mounts an image in this directory on `/mnt/image`, and opens a file in it.
fn open_in_image(ctx: &mut TestContext, directory: &str) -> Result<String> {
    ctx.sh(&format!(
        "truncate -s 8M {directory}/image && mkfs.ext4 -q {directory}/image && mkdir -p /mnt/image && \
         mount -o loop {directory}/image /mnt/image"
    ))?;
    ctx.hold("exec 7>/mnt/image/file; echo held $$; exec sleep 1000")
}

fn in_image(pid: &str) -> ExpectedBlocker<'_> {
    ExpectedBlocker {
        kind: "process",
        usage: "open-for-writing",
        path: "/mnt/image/file",
        fd: Some(7),
        process: Some((pid, "sleep")),
        ..ExpectedBlocker::default()
    }
}

fn image(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    let pid = open_in_image(ctx, "/mnt/ext")?;
    blocked(ctx, &node, &[in_image(&pid)])
}

fn subvolume(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&STICK, 2)?;
    ctx.sh(&format!("modprobe btrfs; umount {node} 2>/dev/null; mkfs.btrfs -q -f -M {node}"))?;
    ctx.mount(&node, "/mnt/btr")?;
    ctx.sh("btrfs -q subvolume create /mnt/btr/sub")?;
    let pid = open_in_image(ctx, "/mnt/btr/sub")?;
    blocked(ctx, &node, &[in_image(&pid)])
}

const LUKS: &str = "luksFormat -q --type luks1 --pbkdf-force-iterations 1000";

fn open_luks(ctx: &mut TestContext) -> Result<String> {
    let node = ctx.partition(&STICK, 2)?;
    ctx.sh("modprobe dm-crypt")?;
    ctx.sh(&format!(
        "printf key | cryptsetup {LUKS} {node} -
         printf key | cryptsetup open --key-file - {node} unmoor-who
         mkfs.ext4 -q /dev/mapper/unmoor-who"
    ))?;
    Ok(node)
}

fn idle(ctx: &mut TestContext) -> Result<()> {
    let node = open_luks(ctx)?;
    ctx.unmoor(0, &["who", &node]).map(drop)
}

fn luks(ctx: &mut TestContext) -> Result<()> {
    let node = open_luks(ctx)?;
    let script = "exec 7</dev/mapper/unmoor-who; echo held $$; exec sleep 1000";
    let pid = ctx.hold(script)?;
    let named = ExpectedBlocker {
        kind: "process",
        usage: "device",
        path: "/dev/mapper/unmoor-who",
        fd: Some(7),
        process: Some((&pid, "sleep")),
        ..ExpectedBlocker::default()
    };
    blocked(ctx, &node, &[named])
}

fn lvm(ctx: &mut TestContext) -> Result<()> {
    let (node, other) = (ctx.partition(&STICK, 2)?, ctx.partition(&STICK2, 1)?);
    ctx.sh("modprobe dm-mod")?;
    ctx.sh(&format!(
        "pvcreate -qff -y {node} {other} && vgcreate -q unmoor-vg {node} {other} && \
         lvcreate -q -y -Zn -l 100%FREE -n a-b unmoor-vg"
    ))?;
    blocked(ctx, &node, &[kernel("mapping", "/dev/dm-0")])
}

fn md(ctx: &mut TestContext) -> Result<()> {
    let (node, other) = (ctx.partition(&STICK, 2)?, ctx.partition(&STICK2, 1)?);
    ctx.sh("modprobe raid1; modprobe md-mod; true")?;
    ctx.sh(&format!(
        "wipefs -qa {node} {other}; mdadm --create /dev/md77 --run --level=1 --raid-devices=2 \
         --assume-clean --metadata=1.2 {node} {other}"
    ))?;
    blocked(ctx, &node, &[kernel("raid", "/dev/md77")])
}

fn btrfs(ctx: &mut TestContext) -> Result<()> {
    let (node, other) = (ctx.partition(&STICK, 2)?, ctx.partition(&STICK2, 1)?);
    ctx.sh(&format!(
        "modprobe btrfs; mkfs.btrfs -q -f -M -d single -m single {node} {other} && \
         btrfs device scan {node} {other}"
    ))?;
    ctx.mount(&other, "/mnt/both")?;
    blocked(ctx, &node, &[mount("raid", "/mnt/both")])
}

fn swap(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.partition(&STICK, 2)?;
    ctx.sh(&format!("mkswap {node} && swapon {node}"))?;
    blocked(ctx, &node, &[kernel("swap", &node)])
}

fn swap_file(ctx: &mut TestContext) -> Result<()> {
    let node = mounted(ctx)?;
    ctx.sh(
        "dd if=/dev/zero of='/mnt/ext/swap file' bs=1M count=8 && chmod 600 '/mnt/ext/swap file' && \
         mkswap '/mnt/ext/swap file' && swapon '/mnt/ext/swap file'",
    )?;
    blocked(ctx, &node, &[kernel("swap", "/mnt/ext/swap file")])
}

/// Fills the kernel's export table, as its helper `rpc.mountd` does for a client.
fn export(ctx: &mut TestContext) -> Result<()> {
    nfs::ensure().map_err(|error| Skip(format!("{error:#}")))?;
    let node = mounted(ctx)?;
    let far = "2147483647";
    ctx.sh(&format!(
        "modprobe nfsd && {{ mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd; }} && \
         mkdir -p /var/lib/nfs /run/nfs && touch /var/lib/nfs/etab /etc/exports && \
         {}/exportfs -o fsid=7,rw,no_subtree_check,insecure '*:/mnt/ext' && \
         echo 'nfsd 127.0.0.1 {far} *' >/proc/net/rpc/auth.unix.ip/channel && \
         echo '* /mnt/ext {far} 0 65534 65534 7' >/proc/net/rpc/nfsd.export/channel && \
         cat /proc/fs/nfsd/exports",
        nfs::PROGRAMS
    ))?;
    let command = "exportfs -u '*:/mnt/ext' && exportfs -f";
    let named = ExpectedBlocker { command: Some(command), ..kernel("export", "/mnt/ext") };
    let seen = who(ctx, &node, std::slice::from_ref(&named));
    seen.context("the table of exports")?;
    blocked(ctx, &node, &[named])
}
