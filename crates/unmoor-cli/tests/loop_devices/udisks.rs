//! Releases by a user who is not root, through real udisks2, polkit and D-Bus.

use crate::command::{Run, answer};
use std::path::{Path, PathBuf};
use std::process::Command;
use unmoor_test_support::{
    AT_THE_DESK, Attached, Desktop, FUSE, Holder, PYTHON, Part, Test, UDISKS, USER, ok, test,
};

/// Sector at which each of two partitions begins, and its length.
const PARTITIONS: [(&str, &str); 2] = [("2048", "61440"), ("65536", "61440")];

/// An image on a loop device, with a file system on it or on each of two partitions.
struct Stick {
    // Detached before its file goes: fields are dropped in this order.
    attached: Attached,
    dir: tempfile::TempDir,
    parts: Vec<Part>,
}

impl Stick {
    fn new(labels: &[&str]) -> Stick {
        let dir = tempfile::Builder::new().prefix("unmoor-test-").tempdir().unwrap();
        assert!(ok(Command::new("chmod").arg("755").arg(dir.path())));
        let file = dir.path().join("image");
        std::fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
        let attached = Attached::new(&file, &[]);
        let mut parts = Vec::new();
        for (number, label) in labels.iter().enumerate() {
            let mut device = attached.device.clone();
            if labels.len() > 1 {
                let (start, length) = PARTITIONS[number];
                let number = (number + 1).to_string();
                let mut addpart = Command::new("addpart");
                assert!(ok(addpart.args([&device, &*number, start, length])));
                device = format!("{device}p{number}");
            }
            let owner = format!("root_owner={USER}:{USER}");
            let mkfs = ["-q", "-F", "-L", label, "-E", &owner, &device];
            assert!(ok(Command::new("mkfs.ext4").args(mkfs)), "mkfs.ext4 {device}");
            parts.push(Part { device, label: (*label).to_string() });
        }
        std::fs::copy(env!("CARGO_BIN_EXE_unmoor"), dir.path().join("unmoor")).unwrap();
        Stick { attached, dir, parts }
    }

    fn desktop(&self, permissions: &[&str]) -> Desktop {
        Desktop::start(&self.parts, &self.attached, permissions)
    }

    fn unmoor(&self, desktop: &Desktop, words: &[&str]) -> Run {
        let program = self.dir.path().join("unmoor");
        answer(&mut desktop.as_user(&[&[program.to_str().unwrap()], words].concat()))
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Returns the bytes of a file on the image, which is attached to nothing any more.
    fn read(&self, name: &str) -> Vec<u8> {
        let output = Command::new("debugfs")
            .args(["-R", &format!("cat {name}")])
            .arg(self.image())
            .output()
            .expect("debugfs starts");
        output.stdout
    }
}

/// Permissions of a person at the desk, and the one to detach an image that root has attached.
fn owner_of_the_image() -> Vec<&'static str> {
    [AT_THE_DESK, &["loop-delete-others"]].concat()
}

fn write(desktop: &Desktop, place: &str) {
    let file = format!("{place}/file");
    let script = ["sh", "-c", "seq 100000 >\"$1\"", "sh", &file];
    assert!(ok(&mut desktop.as_user(&script)), "write {file}");
}

fn written() -> Vec<u8> {
    (1..=100_000).map(|n| format!("{n}\n")).collect::<String>().into_bytes()
}

/// Starts a process that uses the directory, as root or as the user.
fn holder(desktop: &Desktop, root: bool, place: &str) -> Holder {
    let words = ["sh", "-c", "cd \"$1\" && echo ready && exec sleep 600", "sh", place];
    Holder::ready(&mut if root { desktop.as_root(&words) } else { desktop.as_user(&words) })
}

fn a_user_ejects_what_they_have_mounted_and_every_byte_is_on_it() {
    let stick = Stick::new(&["HOLIDAY"]);
    let desktop = stick.desktop(&owner_of_the_image());
    let device = &*stick.attached.device;
    let place = desktop.mount(device);
    write(&desktop, &place);
    let run = stick.unmoor(&desktop, &["-v", device]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert!(run.text.contains("through udisks"), "{}", run.text);
    assert!(run.text.contains("Filesystem.Unmount"), "{}", run.text);
    assert!(run.text.contains("Loop.Delete"), "{}", run.text);
    assert_eq!(desktop.mounts_of(device), Vec::<String>::new());
    assert!(!stick.attached.is_attached());
    assert!(stick.read("file") == written(), "the file differs");
    assert!(ok(Command::new("fsck.ext4").args(["-f", "-n"]).arg(stick.image())));
}

fn one_partition_goes_alone_with_permission_for_nothing_else() {
    let stick = Stick::new(&["ONE", "TWO"]);
    // Unmounting one's own mount needs none.
    let desktop = stick.desktop(&["filesystem-mount"]);
    let places = [desktop.mount(&stick.parts[0].device), desktop.mount(&stick.parts[1].device)];
    write(&desktop, &places[0]);
    let _busy = holder(&desktop, false, &places[1]);
    let run = stick.unmoor(&desktop, &["-u", "--volume", &stick.parts[1].device]);
    assert_eq!(run.code, 3, "{}", run.text);
    let run = stick.unmoor(&desktop, &["-u", "--volume", &places[0]]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert!(run.text.contains("through udisks2"), "{}", run.text);
    assert_eq!(desktop.mounts_of(&stick.parts[0].device), Vec::<String>::new());
    assert_eq!(desktop.mounts_of(&stick.parts[1].device).len(), 1);
    let place = desktop.mount(&stick.parts[0].device);
    let read = desktop.as_user(&["cat", &format!("{place}/file")]).output().unwrap();
    assert!(read.stdout == written(), "{} bytes", read.stdout.len());
}

fn one_busy_partition_keeps_both_mounted() {
    for (busy, root) in [(0, true), (1, true), (0, false)] {
        let stick = Stick::new(&["ONE", "TWO"]);
        let desktop = stick.desktop(&owner_of_the_image());
        let places: Vec<String> = stick.parts.iter().map(|p| desktop.mount(&p.device)).collect();
        places.iter().for_each(|place| write(&desktop, place));
        let _holder = holder(&desktop, root, &places[busy]);
        let run = stick.unmoor(&desktop, &["-v", &stick.attached.device]);
        let text = &run.text;
        assert_eq!(run.code, 3, "{text}");
        for (part, place) in stick.parts.iter().zip(&places) {
            let mounts = desktop.mounts_of(&part.device);
            assert!(mounts.len() == 1 && mounts[0].contains(&**place), "{mounts:?}\n{text}");
        }
        // The second is unmounted first.
        assert_eq!(text.contains("mounted again"), busy == 0 && root, "{text}");
        if !root {
            assert!(text.contains("sleep (pid"), "{text}");
        }
        assert!(stick.attached.is_attached());
    }
}

fn a_refusal_of_polkit_comes_before_the_first_unmount() {
    let stick = Stick::new(&["ONE", "TWO"]);
    // Their own mounts may be unmounted by anybody. Neither detaching nor mounting again is permitted.
    for permissions in [AT_THE_DESK, &["loop-delete-others"]] {
        let desktop = stick.desktop(permissions);
        let far = permissions != AT_THE_DESK;
        let places: Vec<String> = match far {
            true => stick.parts.iter().map(|part| mount_as_udisks_does(&desktop, part)).collect(),
            false => stick.parts.iter().map(|part| desktop.mount(&part.device)).collect(),
        };
        let mounts = || -> Vec<Vec<String>> {
            stick.parts.iter().map(|part| desktop.mounts_of(&part.device)).collect()
        };
        let before = mounts();
        let run = stick.unmoor(&desktop, &["-v", &stick.attached.device]);
        assert_eq!(run.code, 5, "{}", run.text);
        assert!(run.text.contains("polkit"), "{}", run.text);
        assert!(run.text.contains("nothing was done"), "{}", run.text);
        assert!(run.text.contains("unmoor"), "{}", run.text);
        // The identity of each mount is part of its line.
        assert_eq!(mounts(), before, "{places:?}");
    }
}

/// Mounts as udisks2 did before the person lost the permission to.
fn mount_as_udisks_does(desktop: &Desktop, part: &Part) -> String {
    let place = format!("/media/games/{}", part.label);
    let script = "mkdir -p \"$2\" /run/mount; chmod 755 /media/games; \
                  mount -o uhelper=udisks2 \"$1\" \"$2\"";
    assert!(ok(&mut desktop.as_root(&["bash", "-c", script, "bash", &part.device, &place])));
    place
}

fn without_udisks_the_error_names_what_would_help() {
    let stick = Stick::new(&["HOLIDAY"]);
    let desktop = stick.desktop(&owner_of_the_image());
    let device = &*stick.attached.device;
    let place = desktop.mount(device);
    let end = "kill $(pidof udisksd); while busctl --system status org.freedesktop.UDisks2; do sleep 0.05; done";
    assert!(ok(&mut desktop.as_root(&["bash", "-c", end])));
    let run = stick.unmoor(&desktop, &[device]);
    assert_eq!(run.code, 5, "{}", run.text);
    assert!(run.text.contains("udisks2 is not installed"), "{}", run.text);
    assert_eq!(desktop.mounts_of(device).len(), 1);
    assert!(Path::new(&place).is_absolute());
}

fn a_service_that_does_not_answer_costs_no_more_than_the_timeout() {
    let stick = Stick::new(&["HOLIDAY"]);
    let desktop = stick.desktop(&owner_of_the_image());
    let device = &*stick.attached.device;
    desktop.mount(device);
    for service in ["udisksd", "polkitd", "dbus-daemon"] {
        let signal = |name: &str| {
            let script = format!("kill -{name} $(pidof {service})");
            assert!(ok(&mut desktop.as_root(&["bash", "-c", &script])), "{script}");
        };
        signal("STOP");
        let run = stick.unmoor(&desktop, &["--timeout", "2s", device]);
        signal("CONT");
        assert_eq!(run.code, 1, "{service}: {}", run.text);
        assert!(run.text.contains("no answer"), "{service}: {}", run.text);
        assert_eq!(desktop.mounts_of(device).len(), 1, "{service}");
    }
}

fn unmoor_who_reports_when_only_services_of_the_system_stay_unseen() {
    let stick = Stick::new(&["HOLIDAY"]);
    let desktop = stick.desktop(&owner_of_the_image());
    let device = &*stick.attached.device;
    let place = desktop.mount(device);
    let of_root = "only a service of the system could use it unseen";
    // Some services of the desktop run as users of their own.
    let run = stick.unmoor(&desktop, &["who", device]);
    assert!(run.code == 5 && run.text.contains(of_root), "{}: {}", run.code, run.text);
    // Another user's program may hold a file of it.
    let words =
        ["setpriv", "--reuid", "1234", "--clear-groups", "sh", "-c", "echo ready; exec sleep 600"];
    let other = Holder::ready(&mut desktop.as_root(&words));
    let run = stick.unmoor(&desktop, &["who", device]);
    assert!(run.code == 5 && !run.text.contains(of_root), "{}: {}", run.code, run.text);
    drop(other);
    let _own = holder(&desktop, false, &place);
    let run = stick.unmoor(&desktop, &["who", device]);
    assert!(run.code == 3 && run.text.contains("sleep (pid"), "{}: {}", run.code, run.text);
}

fn flush_says_what_it_could_not_flush() {
    let stick = Stick::new(&["HOLIDAY"]);
    let desktop = stick.desktop(&owner_of_the_image());
    let place = desktop.mount(&stick.attached.device);
    write(&desktop, &place);
    let run = stick.unmoor(&desktop, &["flush", "-v", &place]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert!(run.text.contains("syncfs ok") && run.text.contains("warning"), "{}", run.text);
    assert_eq!(desktop.mounts_of(&stick.attached.device).len(), 1);
}

fn only_root_can_force() {
    let stick = Stick::new(&["HOLIDAY"]);
    let desktop = stick.desktop(&owner_of_the_image());
    let device = &*stick.attached.device;
    let place = desktop.mount(device);
    let busy = holder(&desktop, false, &place);
    let run = stick.unmoor(&desktop, &["--force", device]);
    assert_eq!(run.code, 5, "{}", run.text);
    assert!(run.text.contains("run it as root") && !run.text.contains("forced"), "{}", run.text);
    assert_eq!(desktop.mounts_of(device).len(), 1);
    // An idle one needs no force.
    drop(busy);
    let end = "kill $(pidof sleep); while pidof sleep; do :; done";
    assert!(ok(&mut desktop.as_root(&["bash", "-c", end])));
    let run = stick.unmoor(&desktop, &["--force", device]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert!(!stick.attached.is_attached());
}

fn a_mount_that_fstab_leaves_to_users_is_unmounted_by_umount() {
    let stick = Stick::new(&["HOLIDAY"]);
    let desktop = stick.desktop(&owner_of_the_image());
    let device = &*stick.attached.device;
    let place = "/run/stick";
    let fstab = "mkdir -p \"$2\" && echo \"$1 $2 ext4 noauto,user 0 0\" >/run/fstab && \
                 mount --bind /run/fstab /etc/fstab";
    assert!(ok(&mut desktop.as_root(&["bash", "-c", fstab, "bash", device, place])));
    assert!(ok(&mut desktop.as_user(&["mount", place])), "mount {place}");
    write(&desktop, place);
    let busy = holder(&desktop, true, place);
    let run = stick.unmoor(&desktop, &[device]);
    assert_eq!(run.code, 3, "{}", run.text);
    assert_eq!(desktop.mounts_of(device).len(), 1);
    drop(busy);
    let end = "kill $(pidof sleep); while pidof sleep; do :; done";
    assert!(ok(&mut desktop.as_root(&["bash", "-c", end])));
    let run = stick.unmoor(&desktop, &["-v", device]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert!(run.text.contains("umount ok") && run.text.contains("Loop.Delete"), "{}", run.text);
    assert!(!stick.attached.is_attached());
    assert!(stick.read("/file") == written());
}

/// A FUSE server that has a file open. It mounts with fusermount3, as a user does.
const FUSE_SERVER: &str = r#"
import array, os, socket, struct, subprocess, sys
held = open(sys.argv[1], "rb")
ours, theirs = socket.socketpair()
environment = {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}
subprocess.run(["fusermount3", "-o", "fsname=held,subtype=held", "--", sys.argv[2]], env=environment,
               pass_fds=[theirs.fileno()], check=True)
fuse = array.array("i", ours.recvmsg(1, socket.CMSG_SPACE(4))[1][0][2])[0]
# The first request comes with the mount.
ready = False
while True:
    try:
        request = os.read(fuse, 1 << 17)
    except OSError:
        sys.exit(0)
    kind, unique = struct.unpack("=4xIQ", request[:16])
    directory = struct.pack("=6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, os.getuid(), os.getgid(), 0, 512, 0)
    answers = {
        3: bytes(16) + directory,
        17: bytes(80),
        26: struct.pack("=4I2H2I", 7, 31, 1 << 16, 0, 12, 9, 4096, 1).ljust(64, bytes(1)),
        27: bytes(16),
        29: b"",
    }
    if kind not in (2, 36, 42):
        answer = answers.get(kind)
        error = 0 if answer is not None else -38
        os.write(fuse, struct.pack("=IiQ", 16 + len(answer or b""), error, unique) + (answer or b""))
    if not ready:
        ready = print("ready", flush=True) is None
"#;

fn a_fuse_mount_of_this_user_is_unmounted_by_fusermount() {
    let stick = Stick::new(&["HOLIDAY"]);
    let desktop = stick.desktop(&owner_of_the_image());
    let device = &*stick.attached.device;
    let place = desktop.mount(device);
    write(&desktop, &place);
    assert!(ok(&mut desktop.as_root(&["mknod", "-m", "666", "/dev/fuse", "c", "10", "229"])));
    let inside = "/run/held";
    let owner = format!("{USER}:{USER}");
    let make = "mkdir -p \"$1\" && chown \"$2\" \"$1\"";
    assert!(ok(&mut desktop.as_root(&["bash", "-c", make, "bash", inside, &owner])));
    let file = format!("{place}/file");
    let words = ["/usr/bin/python3", "-c", FUSE_SERVER, &file, inside];
    let server = Holder::ready(&mut desktop.as_user(&words));
    // The mount is a level of the stick, and so it is in use with it.
    let busy = holder(&desktop, false, inside);
    let run = stick.unmoor(&desktop, &[device]);
    assert_eq!(run.code, 3, "{}", run.text);
    assert_eq!(desktop.mounts_of(device).len(), 1);
    assert_eq!(desktop.mounts_of("held").len(), 1);
    drop(busy);
    let end = "kill $(pidof sleep); while pidof sleep; do :; done";
    assert!(ok(&mut desktop.as_root(&["bash", "-c", end])));
    let run = stick.unmoor(&desktop, &["-v", device]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert!(run.text.contains("fusermount3 -u ok"), "{}", run.text);
    assert_eq!(desktop.mounts_of("held"), Vec::<String>::new());
    assert!(!stick.attached.is_attached());
    assert!(stick.read("/file") == written());
    drop(server);
}

pub const TESTS: &[Test] = &[
    test!(a_user_ejects_what_they_have_mounted_and_every_byte_is_on_it, UDISKS),
    test!(one_partition_goes_alone_with_permission_for_nothing_else, UDISKS),
    test!(one_busy_partition_keeps_both_mounted, UDISKS),
    test!(a_refusal_of_polkit_comes_before_the_first_unmount, UDISKS),
    test!(without_udisks_the_error_names_what_would_help, UDISKS),
    test!(unmoor_who_reports_when_only_services_of_the_system_stay_unseen, UDISKS),
    test!(flush_says_what_it_could_not_flush, UDISKS),
    test!(only_root_can_force, UDISKS),
    test!(a_mount_that_fstab_leaves_to_users_is_unmounted_by_umount, UDISKS),
    test!(a_fuse_mount_of_this_user_is_unmounted_by_fusermount, UDISKS, FUSE, PYTHON),
    test!(a_service_that_does_not_answer_costs_no_more_than_the_timeout, UDISKS),
];
