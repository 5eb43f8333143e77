//! A desktop for tests: real dbus-daemon, polkitd and udisksd, in namespaces of their own.
//!
//! Mounts, network and processes are private. `/dev` has the test's own loop devices and no disk of this machine.
//! Without logind there is no active session, so a polkit rule permits what the test names.

mod udev_echo;

use crate::loop_image::{Attached, alone};
use crate::{Holder, ok};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Word after the name of the test program that makes it answer in place of udevd.
const ECHO: &str = "--answer-as-udev";

/// User id of the person at the desk: `games`, which every Debian has.
pub const USER: u32 = 5;

/// Permissions of polkit that an active local session has, as far as they are used.
pub const AT_THE_DESK: &[&str] =
    &["filesystem-mount", "loop-setup", "eject-media", "power-off-drive"];

/// Services and a user in namespaces of their own. Everything ends when it is dropped.
pub struct Desktop {
    _init: Holder,
    /// First process of the namespaces, as seen from here.
    pid: u32,
}

/// File system on one of the test's loop devices, or on a part of it.
pub struct Part {
    /// `/dev/loop1000p1`
    pub device: String,
    pub label: String,
}

/// Runs the test program as udevd's stand-in if it was started for that.
pub fn answer_as_udev_if_asked() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, names @ ..] = &*words
        && first == ECHO
    {
        udev_echo::run(names).expect("netlink works");
    }
}

/// Returns true if the programs are installed.
pub(crate) fn is_installed() -> bool {
    let services = ["/usr/libexec/udisks2/udisksd", "/usr/lib/polkit-1/polkitd"];
    services.iter().all(|path| Path::new(path).exists())
        && ok(Command::new("dbus-daemon").arg("--version"))
        && ok(Command::new("unshare").args(["--mount", "--net", "--pid", "--fork", "true"]))
}

impl Desktop {
    /// Starts the services. The user has these permissions of polkit (`filesystem-mount`) without a password.
    pub fn start(parts: &[Part], drive: &Attached, permissions: &[&str]) -> Desktop {
        // The namespace has a copy of every mount: those of other tests would keep their drives busy.
        let _alone = alone();
        let script = script(parts, drive, permissions);
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        let init = Holder::ready(unshare.args(["bash", "-c", &script]));
        let children = format!("/proc/{0}/task/{0}/children", init.pid());
        let children = std::fs::read_to_string(children).expect("unshare has a child");
        let pid = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        Desktop { _init: init, pid: pid.expect("unshare has a child") }
    }

    /// Returns a command that runs a program in the namespaces, as root.
    pub fn as_root(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--mount", "--net", "--pid"]);
        command.args(["--wdns=/", "--"]).args(words).stdin(Stdio::null());
        command
    }

    /// Returns a command that runs a program in the namespaces, as the user.
    pub fn as_user(&self, words: &[&str]) -> Command {
        let id = USER.to_string();
        let setpriv = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"];
        self.as_root(&[&setpriv, words].concat())
    }

    /// Mounts the device as a file manager does, and returns the mount point.
    pub fn mount(&self, device: &str) -> String {
        let mut command =
            self.as_user(&["udisksctl", "mount", "--no-user-interaction", "-b", device]);
        let output = command.output().expect("udisksctl starts");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let place = said.split_once(" at ").map(|(_, place)| place.trim().trim_end_matches('.'));
        place.unwrap_or_else(|| panic!("udisksctl mount {device}: {said}")).to_string()
    }

    /// Returns the lines of mountinfo with this device, as the user sees them.
    pub fn mounts_of(&self, device: &str) -> Vec<String> {
        let output = self.as_root(&["cat", "/proc/self/mountinfo"]).output().expect("cat starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let source = format!(" {device} ");
        text.lines().filter(|line| line.contains(&source)).map(str::to_string).collect()
    }
}

fn script(parts: &[Part], drive: &Attached, permissions: &[&str]) -> String {
    let devices: BTreeSet<&str> =
        parts.iter().map(|part| &*part.device).chain([&*drive.device]).collect();
    let names: Vec<&str> =
        devices.into_iter().filter_map(|device| device.strip_prefix("/dev/")).collect();
    let mut script = String::from(
        "set -e
         mount --make-rprivate /
         for place in /run /media /var/lib/udisks2 /etc/polkit-1/rules.d /usr/share/dbus-1/system-services; do
             mkdir -p $place; mount -t tmpfs -o mode=755 none $place
         done
         mkdir -p /run/mount /run/dbus /run/udev/data /run/lock; touch /run/udev/control
         mount -t tmpfs -o mode=755 none /dev; ln -s /proc/self/fd /dev/fd
         mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5; mknod -m 666 /dev/urandom c 1 9
         mknod -m 660 /dev/loop-control c 10 237\n",
    );
    for name in &names {
        let label = parts.iter().find(|part| part.device.ends_with(&format!("/{name}")));
        let label = label.map_or("", |part| &part.label);
        let usage = match label {
            "" => String::new(),
            _ => format!(
                "E:ID_FS_TYPE=ext4\\nE:ID_FS_USAGE=filesystem\\nE:ID_FS_LABEL={label}\\nE:ID_FS_LABEL_ENC={label}\\n"
            ),
        };
        _ = writeln!(
            script,
            "number=$(cat /sys/class/block/{name}/dev)
             mknod -m 660 /dev/{name} b ${{number%:*}} ${{number#*:}}
             printf 'I:1\\n{usage}E:UDISKS_SYSTEM=0\\nG:systemd\\nV:1\\n' >/run/udev/data/b$number"
        );
    }
    let permitted: String =
        permissions.iter().map(|name| format!("\"org.freedesktop.udisks2.{name}\",")).collect();
    let program = std::env::current_exe().expect("a program has a path");
    _ = write!(
        script,
        "cat >/etc/polkit-1/rules.d/10-test.rules <<'END'
polkit.addRule(function(action, subject) {{
    if (subject.user == \"games\" && [{permitted}].indexOf(action.id) >= 0) return polkit.Result.YES;
}});
END
         '{}' {ECHO} {} &
         dbus-daemon --system --fork --nopidfile
         /usr/lib/polkit-1/polkitd --no-debug >/run/polkitd.log 2>&1 &
         /usr/libexec/udisks2/udisksd >/run/udisksd.log 2>&1 &
         for i in $(seq 200); do
             busctl --system status org.freedesktop.UDisks2 >/dev/null 2>&1 && break; sleep 0.05
         done
         echo ready; read forever; exit 0",
        program.display(),
        names.join(" ")
    );
    script
}
