//! Scans of a loop device that the kernel uses, or a process uses without an open descriptor.

use std::path::{Path, PathBuf};
use std::process::Command;
use unmoor::platform::linux::Linux;
use unmoor::{Blocker, BlockerKind, BlockerScan, ErrorKind, Options, UsageKind, release};
use unmoor_test_support::{
    Attached, BINFMT_MISC, Holder, IO_URING_PATHS, LOOP_DEVICES, LoopImage, PYTHON, Test, UPROBES,
    USER_NAMESPACES, XFS, ok, test,
};

use crate::linux::{blocker_of, image, only_usage, run_remedy, scan_image, unmounts};

/// Returns the only blocker of the kernel on this path.
fn kernel_user<'s>(scan: &'s BlockerScan, path: &Path) -> &'s Blocker {
    let uses_path = |b: &&Blocker| {
        b.process.is_none()
            && b.uses.iter().any(|u| u.kind == UsageKind::Kernel && u.path.as_deref() == Some(path))
    };
    let found: Vec<_> = scan.blockers.iter().filter(uses_path).collect();
    let [blocker] = found[..] else { panic!("not one blocker: {scan:#?}") };
    blocker
}

/// File system of the kernel that is mounted for one test, unless it was mounted before.
struct KernelFs {
    path: &'static str,
    mounted_here: bool,
}

impl KernelFs {
    fn mount(file_system: &str, path: &'static str, entry: &str) -> KernelFs {
        let exists = || Path::new(path).join(entry).exists();
        let mounted_here = !exists();
        if mounted_here {
            assert!(ok(Command::new("mount").args(["-t", file_system, "none", path])));
        }
        KernelFs { path, mounted_here }
    }
}

impl Drop for KernelFs {
    fn drop(&mut self) {
        if self.mounted_here {
            ok(Command::new("umount").args(["-l", self.path]));
        }
    }
}

fn sh(script: &str) -> bool {
    ok(Command::new("sh").args(["-c", script]))
}

fn program_on(image: &LoopImage) -> PathBuf {
    let program = image.mount.join("a program");
    assert!(ok(Command::new("cp").arg("/bin/true").arg(&program)));
    program
}

/// Python code that maps `keep` and closes the descriptor.
fn map_and_close(protection: u32) -> String {
    format!(
        "libc.mmap.restype = ctypes.c_void_p
file = os.open(keep, os.O_RDWR)
assert libc.mmap(None, ctypes.c_size_t(4096), {protection}, 1, file, ctypes.c_long(0)) != 2**64 - 1
os.close(file)
ready()"
    )
}

fn a_shared_writable_mapping_of_the_device_is_named_though_its_descriptor_is_closed() {
    let image = image();
    let holder = Holder::python(&map_and_close(3), Path::new(&image.device));
    let scan = scan_image(&image);
    let usage = only_usage(blocker_of(&scan, &holder));
    assert_eq!((usage.kind, usage.writing, usage.fd), (UsageKind::Device, true, None));
    assert_eq!(usage.path.as_deref(), Some(Path::new(&image.device)));
}

fn a_mapping_through_another_node_of_the_device_is_named() {
    let image = image();
    let node = image.beside("nodes").join("node");
    assert!(ok(Command::new("cp").arg("-a").arg(&image.device).arg(&node)));
    let holder = Holder::python(&map_and_close(3), &node);
    let scan = scan_image(&image);
    assert_eq!(only_usage(blocker_of(&scan, &holder)).path, Some(node));
}

fn an_interpreter_that_binfmt_misc_has_open_is_named_and_the_command_closes_it() {
    let image = image();
    let dir = "/proc/sys/fs/binfmt_misc";
    let _mount = KernelFs::mount("binfmt_misc", dir, "register");
    let program = program_on(&image);
    let link = image.beside("links").join("interpreter");
    std::os::unix::fs::symlink(&program, &link).unwrap();
    let name = format!("unmoor-test-{}", std::process::id());
    let rule = format!(":{name}:M::unmoorUNMOOR::{}:F", link.display());
    std::fs::write(format!("{dir}/register"), rule).unwrap();
    assert!(!ok(Command::new("umount").arg(&image.mount)), "it is busy");
    let scan = scan_image(&image);
    run_remedy(kernel_user(&scan, &link));
    assert!(unmounts(&image.mount));
}

/// Makes a file beside the image that has this size, and a loop device of it.
fn disk(image: &LoopImage, name: &str, size: u64) -> Attached {
    let path = image.file().with_file_name(name);
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    Attached::new(&path, &[])
}

fn a_file_system_with_its_log_on_the_drive_is_named(make: &str) {
    let image = image();
    assert!(ok(Command::new("umount").arg(&image.mount)));
    std::fs::OpenOptions::new().write(true).open(image.file()).unwrap().set_len(80 << 20).unwrap();
    assert!(ok(Command::new("losetup").args(["-c", &image.device])));
    let (other, place, bound) =
        (disk(&image, "other", 400 << 20), image.beside("other-fs"), image.beside("bound"));
    let shell = |script: &str| {
        let words = [&*image.device, &*other.device].map(String::from);
        let at = [&place, &bound].map(|path| path.display().to_string());
        ok(Command::new("sh").args(["-c", script, "sh"]).args(words).args(at))
    };
    assert!(shell(make), "{make}");
    assert!(shell("mount --bind $3 $4"));
    for mounted in [&bound, &place] {
        let scan = scan_image(&image);
        let blocker = kernel_user(&scan, mounted);
        assert_eq!(blocker.kind, BlockerKind::Mount, "{scan:#?}");
        run_remedy(blocker);
    }
    assert_eq!(scan_image(&image).blockers, []);
}

fn an_ext4_with_its_journal_on_the_drive_is_named() {
    a_file_system_with_its_log_on_the_drive_is_named(
        "mke2fs -q -F -O journal_dev -b 4096 $1 && mkfs.ext4 -q -b 4096 -J device=$1 $2 && mount $2 $3",
    );
}

fn an_xfs_with_its_log_on_the_drive_is_named() {
    a_file_system_with_its_log_on_the_drive_is_named(
        "mkfs.xfs -q -f -l logdev=$1,size=64m $2 && mount -o logdev=$1 $2 $3",
    );
}

fn a_program_with_an_uprobe_is_named_and_the_command_removes_the_probe() {
    let image = image();
    let dir = "/sys/kernel/tracing";
    let _mount = KernelFs::mount("tracefs", dir, "uprobe_events");
    let program = program_on(&image);
    let link = image.beside("links").join("program");
    std::os::unix::fs::symlink(&program, &link).unwrap();
    let name = format!("unmoor_test_{}", std::process::id());
    assert!(sh(&format!("echo 'p:{name} {}:0x1000' >>{dir}/uprobe_events", link.display())));
    assert!(!ok(Command::new("umount").arg(&image.mount)), "it is busy");
    let scan = scan_image(&image);
    run_remedy(kernel_user(&scan, &link));
    assert!(unmounts(&image.mount));
}

fn a_file_registered_with_io_uring_is_named_though_its_descriptor_is_closed() {
    let image = image();
    let script = "
params = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 1, params)
assert ring >= 0
file = os.open(keep + '/registered', os.O_RDWR | os.O_CREAT)
assert libc.syscall(427, ring, 2, ctypes.byref(ctypes.c_int(file)), 1) == 0
os.close(file)
ready()";
    let mut holder = Holder::python(script, &image.mount);
    assert!(!ok(Command::new("umount").arg(&image.mount)), "it is busy");
    let scan = scan_image(&image);
    let blocker = blocker_of(&scan, &holder);
    let usage = only_usage(blocker);
    assert_eq!(usage.kind, UsageKind::OpenFile);
    assert_eq!(usage.path, Some(image.mount.join("registered")));
    run_remedy(blocker);
    holder.0.wait().unwrap();
    assert!(unmounts(&image.mount));
}

fn a_mount_of_another_user_namespace_is_moved_by_the_printed_command() {
    let image = image();
    // Mounts that a user namespace inherits cannot be unmounted in it (mount_namespaces(7)).
    let script = "exec unshare --user --map-root-user --mount bash -c 'echo ready; read forever'";
    let mut holder = Holder::in_a_namespace("private", script, &image.mount);
    for _ in 0..3 {
        let scan = scan_image(&image);
        let by_holder = |b: &&Blocker| b.process.as_ref().is_some_and(|p| p.pid == holder.pid());
        let Some(blocker) = scan.blockers.iter().find(by_holder) else { break };
        assert_eq!(blocker.kind, BlockerKind::Namespace);
        run_remedy(blocker);
        let _ = holder.0.try_wait();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(holder.0.try_wait().unwrap().is_some(), "its process was ended");
    assert!(unmounts(&image.mount));
}

fn a_mount_in_a_namespace_without_umount_is_moved_by_the_printed_command() {
    let image = image();
    let root = image.beside("root");
    let script = "
old = keep
assert libc.unshare(0x20000) == 0
assert libc.mount(None, b'/', None, 0x44000, None) == 0
assert libc.mount(b'none', ROOT, b'tmpfs', 0, None) == 0
os.mkdir(ROOT + b'/stick'); os.mkdir(ROOT + b'/old')
assert libc.mount(keep.encode(), ROOT + b'/stick', None, 4096, None) == 0
assert libc.syscall(155, ROOT, ROOT + b'/old') == 0
os.chdir('/')
assert libc.umount2(b'/old', 2) == 0
ready()";
    let script = script.replace("ROOT", &format!("b{:?}", root.display().to_string()));
    let _holder = Holder::python(&script, &image.mount);
    let scan = scan_image(&image);
    let found: Vec<_> = scan.blockers.iter().filter(|b| b.kind == BlockerKind::Namespace).collect();
    assert_eq!(found.len(), 1, "{scan:#?}");
    run_remedy(found[0]);
    assert!(unmounts(&image.mount));
}

fn a_drive_that_a_hidden_user_has_claimed_is_reported_busy() {
    let image = image();
    assert!(ok(Command::new("umount").arg(&image.mount)));
    // A descriptor on its way through a socket is in no table (unix(7), SCM_RIGHTS).
    let script = "
import array, socket
one, other = socket.socketpair()
file = os.open(keep, os.O_RDONLY | os.O_EXCL)
one.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [file]))])
os.close(file)
ready()";
    let holder = Holder::python(script, Path::new(&image.device));
    let scan = scan_image(&image);
    let [blocker] = &*scan.blockers else { panic!("{scan:#?}") };
    assert_eq!(blocker.kind, BlockerKind::Unknown);
    drop(holder);
    assert!(scan_image(&image).blockers.is_empty());
}

fn a_shared_writable_mapping_of_the_device_refuses_a_release() {
    let image = image();
    assert!(ok(Command::new("umount").arg(&image.mount)));
    let holder = Holder::python(&map_and_close(3), Path::new(&image.device));
    let target = image.device.parse().unwrap();
    let report = release(&Linux::new(), &target, &Options::default(), &mut |_| {});
    let error = report.error().expect("the release is refused");
    assert_eq!(error.kind(), ErrorKind::Busy);
    let scan = error.scan().unwrap();
    assert_eq!(only_usage(blocker_of(scan, &holder)).kind, UsageKind::Device);
}

pub const TESTS: &[Test] = &[
    test!(
        a_shared_writable_mapping_of_the_device_is_named_though_its_descriptor_is_closed,
        LOOP_DEVICES,
        PYTHON
    ),
    test!(a_mapping_through_another_node_of_the_device_is_named, LOOP_DEVICES, PYTHON),
    test!(an_ext4_with_its_journal_on_the_drive_is_named, LOOP_DEVICES),
    test!(an_xfs_with_its_log_on_the_drive_is_named, LOOP_DEVICES, XFS),
    test!(a_shared_writable_mapping_of_the_device_refuses_a_release, LOOP_DEVICES, PYTHON),
    test!(
        an_interpreter_that_binfmt_misc_has_open_is_named_and_the_command_closes_it,
        LOOP_DEVICES,
        BINFMT_MISC
    ),
    test!(
        a_program_with_an_uprobe_is_named_and_the_command_removes_the_probe,
        LOOP_DEVICES,
        UPROBES
    ),
    test!(
        a_file_registered_with_io_uring_is_named_though_its_descriptor_is_closed,
        LOOP_DEVICES,
        IO_URING_PATHS
    ),
    test!(
        a_mount_of_another_user_namespace_is_moved_by_the_printed_command,
        LOOP_DEVICES,
        USER_NAMESPACES
    ),
    test!(
        a_mount_in_a_namespace_without_umount_is_moved_by_the_printed_command,
        LOOP_DEVICES,
        PYTHON
    ),
    test!(a_drive_that_a_hidden_user_has_claimed_is_reported_busy, LOOP_DEVICES, PYTHON),
];
