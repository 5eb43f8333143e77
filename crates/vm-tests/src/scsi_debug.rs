//! Drives that the guest's kernel emulates itself, with its `scsi_debug` driver.

use std::time::Duration;

use anyhow::Result;

use crate::test_context::TestContext;

/// Creates drives with the kernel's `scsi_debug`, each with its own store, and returns their nodes.
pub fn make_drives(ctx: &mut TestContext, count: usize) -> Result<String> {
    // All its drives share queues of 192 commands, one for each processor at most; what finds them full
    // fails as if the medium had left.
    ctx.sh(&format!(
        "modprobe scsi_debug removable=1 add_host={count} per_host_store=1 dev_size_mb=8 delay=0 \
         submit_queues=2"
    ))?;
    let list = "for model in /sys/block/sd*/device/model; do grep -q scsi_debug $model && \
                node=${model%/device/model} && echo -n \"/dev/${node##*/} \"; done; true";
    for _ in 0..240 {
        let nodes = ctx.sh(list)?;
        if nodes.split_whitespace().count() == count {
            return Ok(nodes.trim().to_owned());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    anyhow::bail!("the drives did not appear")
}
