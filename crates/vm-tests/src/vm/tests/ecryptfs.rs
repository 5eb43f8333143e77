//! eCryptfs (Documentation/filesystems/ecryptfs.rst) whose lower directory is on a stick.
//!
//! Its mount is elsewhere, and keeps the stick's file system busy as an overlay does.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::test_context::{TestContext, unmoor};
use crate::vm::test_case::Test;
use unmoor_rig::drives::STICK;
use unmoor_rig::media::{FileSystem, STICK_EXT4, checksum, recover};

pub const TESTS: &[Test] = &[
    Test::with_stick(
        "stack.ecryptfs",
        "eCryptfs over a directory of the stick, an image in it: unmounted first, every byte there afterwards",
        level,
    ),
    Test::with_stick(
        "stack.ecryptfs-busy",
        "a file open in it: exit 3, its program alone is named and ended, every byte there afterwards",
        busy,
    ),
    Test::with_stick(
        "force.ecryptfs",
        "--force: a program that writes through it is cut off, and every byte from before is there",
        forced,
    ),
    Test::with_stick(
        "who.ecryptfs-namespace",
        "eCryptfs in another mount namespace is named, and the printed commands release the stick",
        elsewhere,
    ),
    Test::with_stick(
        "who.ecryptfs-relative",
        "so is one whose lower directory was given by a relative path",
        relative,
    ),
    Test::with_stick(
        "unseen.ecryptfs",
        "flush writes what a program has mapped through eCryptfs in another mount namespace",
        mapped_elsewhere,
    ),
];

/// Adds the key with this signature to the root user's keyring: a trusted key that the kernel makes (encrypted.rst).
const ADD_KEY: &str = "modprobe ecryptfs; modprobe encrypted_keys; perl -e '
    sub add { my ($type, $name, $data) = @_; syscall(248, $type, $name, $data, length $data, -4) >= 0 or die \"$name: $!\"; }
    my ($type, $name) = (\"encrypted\", \"0123456789abcdef\");
    exit if syscall(249, $type, $name, 0, 0) >= 0;
    add(\"user\", \"rig\", \"k\" x 32); add($type, $name, \"new ecryptfs user:rig 64\");'";

const OPTIONS: &str = "ecryptfs_sig=0123456789abcdef,ecryptfs_cipher=aes,ecryptfs_key_bytes=16";

/// Returns the command that mounts a directory, also by a relative path, at `/mnt/clear`.
fn mount_command(lower: &str) -> String {
    format!(
        "perl -e '$o = \"{OPTIONS}\"; ($s, $d, $t) = (\"{lower}\", \"/mnt/clear\", \"ecryptfs\"); \
         syscall(165, $s, $d, $t, 0, $o) == 0 or die \"mount: $!\"'"
    )
}

/// Mounts the first partition, and makes the lower directory and the key.
fn stick(ctx: &mut TestContext) -> Result<String> {
    let part = ctx.partition(&STICK, 1)?;
    ctx.mount(&part, "/mnt/ext")?;
    ctx.sh(&format!("mkdir -p /mnt/ext/secret /mnt/clear && {ADD_KEY}"))?;
    Ok(part)
}

fn mount(ctx: &mut TestContext) -> Result<()> {
    ctx.sh(&mount_command("/mnt/ext/secret")).map(drop)
}

const WRITE: &str = "head -c 6000000 /dev/urandom >/tmp/data && cp /tmp/data";

/// Ejects the stick, loads it again, and compares the file in it.
fn expect_written(ctx: &mut TestContext, part: &str) -> Result<()> {
    let node = ctx.node(&STICK)?;
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)?;
    ctx.mount(part, "/mnt/ext")?;
    mount(ctx)?;
    ctx.sh("cmp /tmp/data /mnt/clear/data && ! cmp /tmp/data /mnt/ext/secret/data").map(drop)
}

fn level(ctx: &mut TestContext) -> Result<()> {
    let part = stick(ctx)?;
    mount(ctx)?;
    ctx.sh(&format!(
        "{WRITE} /mnt/clear/data && truncate -s 4M /mnt/clear/image && mkdir -p /mnt/image && \
         mkfs.ext4 -q /mnt/clear/image && mount -o loop /mnt/clear/image /mnt/image"
    ))?;
    ctx.unmoor(0, &["who", &part])?;
    let plan = ctx.unmoor(0, &["eject", "--dry-run", &part])?.stdout;
    let dismounted = plan.lines().find(|line| line.contains(". dismount")).context("dismount")?;
    let order = ["/mnt/image", "loop", "/mnt/clear", "/mnt/ext"].map(|m| dismounted.find(m));
    ensure!(order.iter().all(Option::is_some) && order.is_sorted(), "{dismounted}");
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", &part])?;
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.expect_mounted("/mnt/clear", false)?;
    expect_written(ctx, &part)
}

fn blockers(ctx: &mut TestContext, part: &str) -> Result<Vec<Value>> {
    let document = ctx.unmoor_json(3, &["who", part])?;
    Ok(document["targets"][0]["blockers"].as_array().context("blockers")?.clone())
}

fn busy(ctx: &mut TestContext) -> Result<()> {
    let part = stick(ctx)?;
    mount(ctx)?;
    ctx.sh(&format!("{WRITE} /mnt/clear/data"))?;
    let pid = ctx.hold("exec 7>/mnt/clear/open; echo held $$; exec sleep 1000")?;
    let named = blockers(ctx, &part)?;
    ensure!(named.len() == 1, "{named:#?}");
    ensure!(named[0]["process"]["pid"].as_u64() == pid.parse().ok(), "{named:#?}");
    ensure!(named[0]["uses"][0]["path"] == "/mnt/clear/open", "{named:#?}");
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(3, &["eject", &part])?;
    ctx.expect_mounted("/mnt/clear", true)?;
    ctx.expect_untouched(mark, &STICK)?;
    ctx.unmoor(0, &["eject", "--kill", "--yes", &part])?;
    ctx.expect_tray(mark, &STICK, true)?;
    expect_written(ctx, &part)
}

fn forced(ctx: &mut TestContext) -> Result<()> {
    let (part, node) = (stick(ctx)?, ctx.node(&STICK)?);
    mount(ctx)?;
    ctx.sh(&format!("{WRITE} /mnt/clear/data"))?;
    let pid = ctx.hold(
        "exec 7>/mnt/clear/open; echo held $$; while echo more >&7; do :; done; exec sleep 1000",
    )?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(0, &["eject", "--force", &part])?;
    ctx.expect_tray(mark, &STICK, true)?;
    ctx.expect_mounted("/mnt/clear", false)?;
    ctx.sh(&format!("kill {pid}; while test -e /proc/{pid}/exe; do sleep 0.1; done"))?;
    ctx.unmoor(0, &["load", &node])?;
    ctx.await_partitions(&STICK, 2)?;
    ctx.sh(&format!("blockdev --rereadpt {node}; fsck.ext4 -fp {part}; test $? -le 1"))?;
    ctx.mount(&part, "/mnt/ext")?;
    mount(ctx)?;
    ctx.sh("cmp /tmp/data /mnt/clear/data").map(drop)
}

/// Runs the printed commands, round after round, until the release succeeds.
fn released_in_rounds(ctx: &mut TestContext, part: &str) -> Result<()> {
    for _ in 0..4 {
        let ended = ctx.run(unmoor(&["eject", "--wait", "2s", part]))?;
        if ended.code == Some(0) {
            return Ok(());
        }
        ensure!(ended.code == Some(3), "exit code {:?}", ended.code);
        let commands: Vec<String> = blockers(ctx, part)?
            .iter()
            .filter_map(|blocker| Some(blocker["command"].as_str()?.to_owned()))
            .collect();
        ensure!(!commands.is_empty(), "no command is printed");
        for command in commands {
            ctx.try_sh(&command)?;
        }
    }
    bail!("the printed commands do not release it")
}

fn named(ctx: &mut TestContext, part: &str) -> Result<()> {
    let named = blockers(ctx, part)?;
    let is = |b: &Value| b["kind"] == "overlay" && b["uses"][0]["path"] == "/mnt/clear";
    ensure!(named.iter().any(is), "{named:#?}");
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(3, &["eject", part])?;
    ctx.unmoor(3, &["eject", "--force", part])?;
    ctx.expect_untouched(mark, &STICK)?;
    ctx.expect_mounted("/mnt/ext", true)
}

fn elsewhere(ctx: &mut TestContext) -> Result<()> {
    let part = stick(ctx)?;
    ctx.sh(&format!(
        "cat >/tmp/mount.sh <<'END'\n{} || exit 1\n{WRITE} /mnt/clear/data\nEND",
        mount_command("/mnt/ext/secret")
    ))?;
    ctx.hold("exec unshare -m --propagation private sh -c '. /tmp/mount.sh && echo held $$ && exec sleep 1000'")?;
    named(ctx, &part)?;
    released_in_rounds(ctx, &part)?;
    expect_written(ctx, &part)
}

fn relative(ctx: &mut TestContext) -> Result<()> {
    let part = stick(ctx)?;
    ctx.sh(&format!("cd /mnt/ext && {} && {WRITE} /mnt/clear/data", mount_command("secret")))?;
    named(ctx, &part)?;
    released_in_rounds(ctx, &part)?;
    expect_written(ctx, &part)
}

const MAP: &str = "import mmap, os, time
fd = os.open('/mnt/clear/mapped', os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 1 << 20)
os.fsync(fd)
mapped = mmap.mmap(fd, 1 << 20)
mapped[:] = b'm' * (1 << 20)
print('held', os.getpid(), flush=True)
time.sleep(1000)";

fn mapped_elsewhere(ctx: &mut TestContext) -> Result<()> {
    let part = stick(ctx)?;
    ctx.sh(&format!(
        "echo 360000 >/proc/sys/vm/dirty_writeback_centisecs
         echo 360000 >/proc/sys/vm/dirty_expire_centisecs
         cat >/tmp/map.py <<'END'\n{MAP}\nEND\ncat >/tmp/mount.sh <<'END'\n{}\nEND",
        mount_command("/mnt/ext/secret")
    ))?;
    let pid = ctx.hold(
        "exec unshare -m --propagation private sh -c '. /tmp/mount.sh && exec python3 /tmp/map.py'",
    )?;
    ctx.unmoor(0, &["flush", &part])?;
    let image = ctx.snapshot(&STICK)?.partition(STICK_EXT4)?;
    recover(&image)?;
    let found = checksum(FileSystem::Ext4, &image, "secret/mapped")?;
    ctx.sh(&format!("kill {pid}; while test -e /proc/{pid}/exe; do sleep 0.1; done"))?;
    let expected = ctx.sh("sha256sum </mnt/ext/secret/mapped | cut -d' ' -f1")?;
    ensure!(found == expected, "the bytes are not on the medium");
    ctx.unmoor(0, &["eject", &part]).map(drop)
}
