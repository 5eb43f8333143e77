//! A blocked release: nothing is dismounted, everything stays usable, and waiting helps.

use anyhow::{Result, ensure};

use crate::stick_files::{mount_both, write_both};
use crate::test_context::{TestContext, document, expect_code, unmoor};
use crate::vm::test_case::{STANDARD, Test};
use unmoor_rig::drives::{CD, STICK};

pub const TESTS: &[Test] = &[
    Test {
        name: "busy.second-partition",
        promise: "a file held open on the second partition: exit 3, both still mounted and usable",
        drives: &[&STICK],
        machine: &STANDARD,
        run: second_partition,
    },
    Test {
        name: "busy.working-directory",
        promise: "a working directory on the stick: exit 3, and its process is not disturbed",
        drives: &[&STICK],
        machine: &STANDARD,
        run: working_directory,
    },
    Test {
        name: "busy.wait",
        promise: "--wait succeeds when the holder leaves after three seconds",
        drives: &[&STICK],
        machine: &STANDARD,
        run: wait,
    },
    Test {
        name: "busy.wait-in-vain",
        promise: "--wait that is not long enough: exit 3, nothing dismounted",
        drives: &[&STICK],
        machine: &STANDARD,
        run: wait_in_vain,
    },
    Test {
        name: "busy.interrupted",
        promise: "Ctrl-C while waiting: exit 130, everything still mounted and usable",
        drives: &[&STICK],
        machine: &STANDARD,
        run: interrupted,
    },
    Test {
        name: "busy.terminated",
        promise: "SIGTERM while waiting: exit 130, everything still mounted and usable",
        drives: &[&STICK],
        machine: &STANDARD,
        run: |ctx| signalled(ctx, libc::SIGTERM),
    },
    Test {
        name: "busy.device-held",
        promise: "a program that has the unmounted device open exclusively: exit 3, medium stays in",
        drives: &[&CD],
        machine: &STANDARD,
        run: device_held,
    },
    Test {
        name: "busy.other-namespace",
        promise: "a mount that lives on in another mount namespace: exit 3, the medium stays in",
        drives: &[&STICK],
        machine: &STANDARD,
        run: other_namespace,
    },
];

const HOLD: &str = "exec 9>/mnt/fat/held; echo held; exec sleep 1000";

fn hold(ctx: &mut TestContext, script: &str) -> Result<()> {
    let job = ctx.start_sh(script)?;
    while !ctx.machine.guest.peek(job)?.stdout.contains("held") {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    Ok(())
}

/// Fails unless both partitions are mounted and take new files.
fn expect_usable(ctx: &mut TestContext) -> Result<()> {
    for directory in ["/mnt/ext", "/mnt/fat"] {
        ctx.expect_mounted(directory, true)?;
        ctx.sh(&format!("echo on >{directory}/still && sync -f {directory}/still"))?;
    }
    Ok(())
}

fn second_partition(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    write_both(ctx)?;
    hold(ctx, HOLD)?;
    let mark = ctx.machine.qmp.mark();
    let document = ctx.unmoor_json(3, &["eject", "/mnt/ext"])?;
    ensure!(document["targets"][0]["outcome"] == "busy", "{document}");
    expect_usable(ctx)?;
    ctx.expect_untouched(mark, &STICK)
}

fn working_directory(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    hold(ctx, "cd /mnt/ext; echo held; exec sleep 1000")?;
    ctx.unmoor(3, &["eject", "/mnt/ext"])?;
    expect_usable(ctx)
}

fn wait(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    let written = write_both(ctx)?;
    hold(ctx, "exec 9>/mnt/fat/held; echo held; sleep 3")?;
    let mark = ctx.machine.qmp.mark();
    // 10 s is what a person would say; emulated, starting a program may take seconds by itself.
    ctx.unmoor(0, &["eject", "--wait", "60s", "/mnt/ext"])?;
    let image = ctx.snapshot(&STICK)?;
    ctx.expect_tray(mark, &STICK, true)?;
    written.expect_on(&image)
}

fn wait_in_vain(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    hold(ctx, HOLD)?;
    ctx.unmoor(3, &["eject", "--wait", "1s", "/mnt/ext"])?;
    expect_usable(ctx)
}

fn interrupted(ctx: &mut TestContext) -> Result<()> {
    signalled(ctx, libc::SIGINT)
}

fn signalled(ctx: &mut TestContext, signal: i32) -> Result<()> {
    mount_both(ctx)?;
    hold(ctx, HOLD)?;
    let job = ctx.start(unmoor(&["eject", "--wait", "120s", "--json", "/mnt/ext"]))?;
    std::thread::sleep(std::time::Duration::from_secs(3));
    ensure!(ctx.machine.guest.peek(job)?.running, "it did not wait");
    ctx.machine.guest.signal(job, signal)?;
    let output = ctx.wait(job)?;
    expect_code(&output, 130)?;
    let document = document(&output, 130)?;
    ensure!(document["targets"][0]["outcome"] == "interrupted", "{document}");
    expect_usable(ctx)
}

fn device_held(ctx: &mut TestContext) -> Result<()> {
    let node = ctx.node(&CD)?;
    // A mount in a namespace of its own claims the device as O_EXCL does, and needs no program for it.
    hold(
        ctx,
        &format!(
            "exec unshare -m sh -c 'mkdir -p /mnt/far; mount -o ro {node} /mnt/far; echo held; exec sleep 1000'"
        ),
    )?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(3, &["eject", &node])?;
    ctx.expect_untouched(mark, &CD)
}

fn other_namespace(ctx: &mut TestContext) -> Result<()> {
    mount_both(ctx)?;
    hold(ctx, "exec unshare -m --propagation private sh -c 'echo held; exec sleep 1000'")?;
    let mark = ctx.machine.qmp.mark();
    ctx.unmoor(3, &["eject", "/mnt/ext"])?;
    ctx.expect_untouched(mark, &STICK)
}
