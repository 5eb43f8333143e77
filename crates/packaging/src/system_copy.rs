//! A copy of this system that is thrown away: its root under an overlay in memory.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

/// Runs a script as root of the copy, with the Debian package at `/tmp/unmoor.deb`, and returns its output.
pub fn run(package: &Path, script: &str) -> Result<String> {
    let script = format!(
        "set -e
         copy=$(mktemp -d)
         mount -t tmpfs tmpfs $copy
         mkdir $copy/upper $copy/work $copy/root
         mount -t overlay overlay -o lowerdir=/,upperdir=$copy/upper,workdir=$copy/work $copy/root
         for directory in proc sys dev; do mount --bind /$directory $copy/root/$directory; done
         mount -t tmpfs tmpfs $copy/root/run
         cp '{}' $copy/root/tmp/unmoor.deb
         cat > $copy/root/tmp/script <<'END'
{script}
END
         chroot $copy/root sh -e /tmp/script",
        package.display()
    );
    let run = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .env("LC_ALL", "C.UTF-8")
        .output()?;
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    ensure!(run.status.success(), "{out}\n{err}");
    Ok(out.into_owned())
}
