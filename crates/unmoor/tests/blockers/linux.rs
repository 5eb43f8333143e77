//! Scans of a loop device with each kind of blocker that a host can have.

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use unmoor::platform::Platform;
use unmoor::platform::linux::Linux;
use unmoor::{Blocker, BlockerKind, BlockerScan, Cancel, Clock, Deadline, Usage, UsageKind};
use unmoor_test_support::{
    BTRFS, C_COMPILER, CGROUP2, Holder, LOOP_DEVICES, LoopImage, PYTHON, STATIC_C, Test, ok, test,
};

pub(crate) fn image() -> LoopImage {
    LoopImage::new("unmoor-scan")
}

pub(crate) fn scan_image(image: &LoopImage) -> BlockerScan {
    let (platform, cancel) = (Linux::new(), Cancel::new());
    let mut watch = |_| {};
    let end = platform.now() + Duration::from_secs(60);
    let mut deadline = Deadline::until(&platform, end, &cancel, &mut watch);
    let drive = platform.resolve(&image.device.parse().unwrap()).unwrap();
    platform.open(&drive, &mut deadline).unwrap().blockers(&mut deadline)
}

/// Returns the blocker for this process.
pub(crate) fn blocker_of<'s>(scan: &'s BlockerScan, holder: &Holder) -> &'s Blocker {
    let mut found = scan.blockers.iter().filter(|b| {
        b.kind == BlockerKind::Process && b.process.as_ref().is_some_and(|p| p.pid == holder.pid())
    });
    let blocker = found.next().unwrap_or_else(|| panic!("not found: {scan:#?}"));
    assert!(found.next().is_none(), "named once");
    blocker
}

pub(crate) fn only_usage(blocker: &Blocker) -> &Usage {
    let [usage] = &*blocker.uses else { panic!("not one use: {blocker:#?}") };
    usage
}

fn of_kind(scan: &BlockerScan, kind: BlockerKind) -> Vec<&Blocker> {
    scan.blockers.iter().filter(|b| b.kind == kind).collect()
}

pub(crate) fn run_remedy(blocker: &Blocker) {
    let command = blocker.command.as_deref().expect("the blocker has a command");
    let shell = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(shell.status.success(), "{command}: {}", String::from_utf8_lossy(&shell.stderr));
}

pub(crate) fn unmounts(path: &Path) -> bool {
    // A killed process exits after a delay.
    (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        ok(Command::new("umount").arg(path))
    })
}

fn an_idle_drive_has_no_blockers() {
    let image = image();
    let scan = scan_image(&image);
    let found: Vec<_> = scan.blockers.iter().filter(|b| b.kind != BlockerKind::Namespace).collect();
    assert!(found.is_empty(), "{found:#?}");
}

fn a_file_open_for_writing_is_named_and_kill_closes_it() {
    let image = image();
    let holder = Holder::shell("exec 7>\"$1/a b\nc\"", &image.mount);
    let scan = scan_image(&image);
    let blocker = blocker_of(&scan, &holder);
    let usage = only_usage(blocker);
    assert_eq!((usage.kind, usage.fd, usage.writing), (UsageKind::OpenForWriting, Some(7), true));
    assert_eq!(usage.path, Some(image.mount.join("a b\nc")));
    assert_eq!(usage.volume, image.device.trim_start_matches("/dev/"));
    let process = blocker.process.as_ref().unwrap();
    assert_eq!(process.name, "bash");
    assert_eq!(process.command_line[0], "bash");
    assert_eq!(process.user.as_deref(), Some("root"));
    assert!(!ok(Command::new("umount").arg(&image.mount)), "it is busy");
    run_remedy(blocker);
    let mut holder = holder;
    holder.0.wait().unwrap();
    assert!(unmounts(&image.mount));
}

fn open_directories_and_deleted_files_are_distinguished() {
    let image = image();
    let script = "echo x > \"$1/f\"; echo x > \"$1/g\"; echo x > \"$1/h (deleted)\"
        exec 5<\"$1/f\" 6<\"$1\" 8<>\"$1/g\" 9<\"$1/h (deleted)\"; rm \"$1/g\"";
    let holder = Holder::shell(script, &image.mount);
    let scan = scan_image(&image);
    let uses = &blocker_of(&scan, &holder).uses;
    let at = |fd| uses.iter().find(|u| u.fd == Some(fd)).unwrap();
    assert_eq!((at(5).kind, at(5).writing), (UsageKind::OpenFile, false));
    assert_eq!(at(6).kind, UsageKind::Directory);
    assert_eq!((at(8).kind, at(8).deleted, at(8).writing), (UsageKind::DeletedFile, true, true));
    assert_eq!(at(8).path, Some(image.mount.join("g")), "the former name");
    assert_eq!((at(9).kind, at(9).deleted), (UsageKind::OpenFile, false));
    assert_eq!(at(9).path, Some(image.mount.join("h (deleted)")));
    assert_eq!(uses[0].fd, Some(8), "writers come first");
}

fn a_working_directory_is_named() {
    let image = image();
    let holder = Holder::shell("cd \"$1\"", &image.mount);
    let scan = scan_image(&image);
    let usage = only_usage(blocker_of(&scan, &holder));
    assert_eq!(usage.kind, UsageKind::WorkingDirectory);
    assert_eq!(usage.path.as_deref(), Some(&*image.mount));
}

fn programs_roots_and_mapped_files_are_named() {
    let image = image();
    // A static program needs nothing else in its root.
    let program = image.mount.join("program");
    let source = image.beside("source").join("p.c");
    let text = r#"
        #include <fcntl.h>
        #include <sys/mman.h>
        #include <unistd.h>
        int main(int n, char **a) {
            int kept = open(a[1], O_RDWR | O_CREAT, 0600), gone = open(a[2], O_RDWR | O_CREAT, 0600);
            ftruncate(kept, 4096), ftruncate(gone, 4096);
            mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, kept, 0);
            mmap(0, 4096, PROT_READ, MAP_PRIVATE, gone, 0);
            close(kept), close(gone), unlink(a[2]);
            if (n > 3 && chroot(a[3])) return 1;
            write(1, "ready\n", 6);
            for (;;) pause();
        }"#;
    std::fs::write(&source, text).unwrap();
    assert!(ok(Command::new("cc").args(["-static", "-o"]).arg(&program).arg(&source)));
    let (kept, gone) = (image.mount.join("kept"), image.mount.join("gone"));
    let holder = Holder::ready(Command::new(&program).args([&kept, &gone, &image.mount]));
    let scan = scan_image(&image);
    let uses = &blocker_of(&scan, &holder).uses;
    let at = |kind, path: &Path| {
        uses.iter()
            .find(|u| u.kind == kind && u.path.as_deref() == Some(path))
            .unwrap_or_else(|| panic!("{kind:?} {path:?}: {uses:#?}"))
    };
    at(UsageKind::Executable, &program);
    at(UsageKind::Root, &image.mount);
    assert!(at(UsageKind::MappedFile, &kept).writing);
    let gone = at(UsageKind::MappedFile, &gone);
    assert!(gone.deleted && !gone.writing);
    assert_eq!(uses.len(), 4, "the program is not named as its own mapping: {uses:#?}");
}

fn a_thread_with_a_directory_and_files_of_its_own_is_named() {
    let image = image();
    let script = r#"
import ctypes, os, sys, threading, time
def own():
    assert ctypes.CDLL(None).unshare(0x200 | 0x400) == 0
    os.chdir(sys.argv[1])
    os.open("file", os.O_RDWR | os.O_CREAT)
    print("ready", threading.get_native_id(), flush=True)
    time.sleep(1000)
threading.Thread(target=own, daemon=True).start()
time.sleep(1000)
"#;
    let holder = Holder::ready(Command::new("python3").args(["-c", script]).arg(&image.mount));
    let scan = scan_image(&image);
    let uses = &blocker_of(&scan, &holder).uses;
    let kinds: Vec<_> = uses.iter().map(|u| u.kind).collect();
    assert_eq!(kinds, [UsageKind::OpenForWriting, UsageKind::WorkingDirectory]);
    assert!(uses.iter().all(|u| u.thread.is_some_and(|tid| tid != holder.pid())), "{uses:#?}");
}

fn a_bound_socket_and_its_connections_are_named() {
    let image = image();
    let script = "
import socket
os.chdir(keep)
listener = socket.socket(socket.AF_UNIX)
listener.bind('socket')
listener.listen()
os.chdir('/')
client = socket.socket(socket.AF_UNIX)
client.connect(keep + '/socket')
accepted = listener.accept()[0]
listener.close()
ready()
";
    let holder = Holder::python(script, &image.mount);
    assert!(!ok(Command::new("umount").arg(&image.mount)), "it is busy");
    let scan = scan_image(&image);
    let blocker = blocker_of(&scan, &holder);
    let usage = only_usage(blocker);
    assert_eq!((usage.kind, usage.writing), (UsageKind::OpenFile, false));
    assert_eq!(usage.path.as_deref(), Some(Path::new("socket")), "the name given to bind(2)");
    run_remedy(blocker);
    let mut holder = holder;
    holder.0.wait().unwrap();
    assert!(unmounts(&image.mount));
}

/// Returns the command for the only process that uses the drive.
fn command_of_only_process(scan: &BlockerScan) -> &str {
    let [blocker] = of_kind(scan, BlockerKind::Process)[..] else { panic!("not one: {scan:#?}") };
    blocker.command.as_deref().unwrap()
}

/// A signal that is not SIGKILL goes to the debugger.
fn a_process_that_a_debugger_holds_gets_sigkill() {
    let image = image();
    let script = "
child = os.fork()
if child == 0:
    os.open(keep + '/file', os.O_WRONLY | os.O_CREAT)
    libc.ptrace(0, 0, 0, 0)
    os.kill(os.getpid(), 19)
os.waitpid(child, 2)
ready()
";
    let _holder = Holder::python(script, &image.mount);
    let scan = scan_image(&image);
    assert!(command_of_only_process(&scan).starts_with("kill -KILL "), "{scan:#?}");
    run_remedy(of_kind(&scan, BlockerKind::Process)[0]);
    assert!(unmounts(&image.mount));
}

/// A process of a frozen control group gets no other signal (cgroup-v2.rst, "cgroup.freeze").
fn a_process_of_a_frozen_group_gets_sigkill() {
    let image = image();
    let mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(|mount| Path::new(mount).join("cgroup.controllers").exists())
        .unwrap();
    let group = Path::new(mount).join(format!("unmoor-test-{}", std::process::id()));
    std::fs::create_dir(&group).unwrap();
    let mut holder = Holder::shell("trap exit TERM; exec 7>$1/file", &image.mount);
    std::fs::write(group.join("cgroup.procs"), holder.pid().to_string()).unwrap();
    std::fs::write(group.join("cgroup.freeze"), "1").unwrap();
    let is_frozen =
        || std::fs::read_to_string(group.join("cgroup.events")).unwrap().contains("frozen 1");
    while !is_frozen() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let scan = scan_image(&image);
    let command = command_of_only_process(&scan).to_owned();
    run_remedy(of_kind(&scan, BlockerKind::Process)[0]);
    let ended = unmounts(&image.mount);
    std::fs::write(group.join("cgroup.freeze"), "0").unwrap();
    holder.0.wait().unwrap();
    let _ = std::fs::remove_dir(&group);
    assert!(ended, "{command} did not end it");
}

const BIND_RELATIVE: &str = "
import socket
os.chdir(keep)
bound = socket.socket(socket.AF_UNIX)
bound.bind('socket')
os.chdir('/')
ready()
";

/// A file system that is mounted within the drive's mount alone has its sockets there, whatever their names.
fn a_socket_on_a_nested_mount_is_named_by_its_device() {
    let image = image();
    let nested = image.mount.join("nested");
    std::fs::create_dir(&nested).unwrap();
    assert!(ok(Command::new("mount").args(["-t", "tmpfs", "unmoor"]).arg(&nested)));
    let mut holder = Holder::python(BIND_RELATIVE, &nested);
    let scan = scan_image(&image);
    let blocker = blocker_of(&scan, &holder);
    assert_eq!(only_usage(blocker).path.as_deref(), Some(Path::new("socket")));
    run_remedy(blocker);
    holder.0.wait().unwrap();
    run_remedy(of_kind(&scan, BlockerKind::Mount)[0]);
    assert!(unmounts(&image.mount));
}

/// The socket may be anywhere on it: its program is not named, and is not ended. The mount is.
fn a_socket_on_a_file_system_that_is_mounted_elsewhere_too_is_not_named() {
    let image = image();
    let (nested, beside) = (image.mount.join("nested"), image.beside("beside"));
    std::fs::create_dir(&nested).unwrap();
    assert!(ok(Command::new("mount").args(["-t", "tmpfs", "unmoor"]).arg(&beside)));
    assert!(ok(Command::new("mount").arg("--bind").arg(&beside).arg(&nested)));
    let holder = Holder::python(BIND_RELATIVE, &beside);
    let scan = scan_image(&image);
    let named = |b: &&Blocker| b.process.as_ref().is_some_and(|p| p.pid == holder.pid());
    assert!(scan.blockers.iter().find(named).is_none(), "{scan:#?}");
    run_remedy(of_kind(&scan, BlockerKind::Mount)[0]);
    assert!(unmounts(&image.mount));
    drop(holder);
    assert!(ok(Command::new("umount").arg(&beside)));
}

fn a_program_whose_first_thread_has_ended_is_named() {
    let image = image();
    let program = image.mount.join("program");
    let source = image.beside("source").join("p.c");
    let text = r#"
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <pthread.h>
        #include <sys/mman.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        static void *rest(void *path) {
            int kept = open(path, O_RDWR | O_CREAT, 0600);
            ftruncate(kept, 4096);
            mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, kept, 0);
            close(kept);
            usleep(200000);
            write(1, "ready\n", 6);
            for (;;) pause();
        }
        int main(int n, char **a) {
            pthread_t thread;
            pthread_create(&thread, 0, rest, a[1]);
            syscall(SYS_exit, 0);
        }"#;
    std::fs::write(&source, text).unwrap();
    assert!(ok(Command::new("cc").args(["-pthread", "-o"]).arg(&program).arg(&source)));
    let kept = image.mount.join("kept");
    let holder = Holder::ready(Command::new(&program).arg(&kept));
    let scan = scan_image(&image);
    let uses = &blocker_of(&scan, &holder).uses;
    let found: Vec<_> = uses.iter().map(|usage| (usage.kind, usage.path.as_deref())).collect();
    let expected =
        [(UsageKind::MappedFile, Some(&*kept)), (UsageKind::Executable, Some(&*program))];
    assert_eq!(found, expected);
}

fn an_open_device_is_named() {
    let image = image();
    let holder = Holder::shell("exec 7<>\"$1\"", &image.device);
    let scan = scan_image(&image);
    let usage = only_usage(blocker_of(&scan, &holder));
    assert_eq!((usage.kind, usage.fd, usage.writing), (UsageKind::Device, Some(7), true));
    assert_eq!(usage.path.as_deref(), Some(Path::new(&image.device)));
}

fn a_nested_mount_and_its_users_are_named_and_the_command_unmounts_it() {
    let image = image();
    let nested = image.mount.join("it's nested");
    std::fs::create_dir(&nested).unwrap();
    assert!(ok(Command::new("mount").args(["-t", "tmpfs", "unmoor"]).arg(&nested)));
    let holder = Holder::shell("exec 7>\"$1/file\"", &nested);
    let scan = scan_image(&image);
    let mounts = of_kind(&scan, BlockerKind::Mount);
    assert_eq!(mounts.len(), 1, "{scan:#?}");
    assert_eq!(only_usage(mounts[0]).path.as_deref(), Some(&*nested));
    assert_eq!(only_usage(blocker_of(&scan, &holder)).path, Some(nested.join("file")));
    assert!(!ok(Command::new("umount").arg(&image.mount)), "it is busy");
    drop(holder);
    run_remedy(mounts[0]);
    assert!(unmounts(&image.mount));
}

fn a_mapped_file_counts_only_through_the_nested_mount() {
    let image = image();
    let (nested, beside) = (image.mount.join("nested"), image.beside("beside"));
    std::fs::create_dir(&nested).unwrap();
    assert!(ok(Command::new("mount").args(["-t", "tmpfs", "unmoor"]).arg(&beside)));
    assert!(ok(Command::new("mount").arg("--bind").args([&beside, &nested])));
    let script = "
def mapped(name):
    with open(name, 'w+b') as f:
        f.truncate(4096)
        libc.mmap(None, 4096, 3, 1, f.fileno(), 0)
mapped(keep)
ready()
";
    let inside = Holder::python(script, &nested.join("file"));
    let outside = Holder::python(script, &beside.join("other"));
    let scan = scan_image(&image);
    let usage = only_usage(blocker_of(&scan, &inside));
    assert_eq!(
        (usage.kind, usage.path.as_deref()),
        (UsageKind::MappedFile, Some(&*nested.join("file")))
    );
    let named =
        |pid| scan.blockers.iter().any(|b| b.process.as_ref().is_some_and(|p| p.pid == pid));
    assert!(!named(outside.pid()), "{scan:#?}");
}

fn another_mount_namespace_is_named_and_the_command_unmounts_it_there() {
    let image = image();
    let holder = Holder::in_a_namespace("private", "", &image.mount);
    let scan = scan_image(&image);
    let found = of_kind(&scan, BlockerKind::Namespace);
    let ours = |b: &&&Blocker| b.process.as_ref().is_some_and(|p| p.pid == holder.pid());
    let blocker = found.iter().find(ours).unwrap_or_else(|| panic!("{scan:#?}"));
    assert_eq!(only_usage(blocker).path.as_deref(), Some(&*image.mount));
    run_remedy(blocker);
    let again = scan_image(&image);
    assert!(!of_kind(&again, BlockerKind::Namespace).iter().any(|b| ours(&b)));
}

fn a_file_opened_in_another_mount_namespace_is_found() {
    let image = image();
    let holder = Holder::in_a_namespace("private", "exec 7>\"$1/there\"", &image.mount);
    let scan = scan_image(&image);
    assert_eq!(only_usage(blocker_of(&scan, &holder)).fd, Some(7));
}

/// Returns the blocker for the mount namespace of this process.
fn namespace_of<'s>(scan: &'s BlockerScan, holder: &Holder) -> &'s Blocker {
    let found = of_kind(scan, BlockerKind::Namespace);
    let by = |b: &&&Blocker| b.process.as_ref().is_some_and(|p| p.pid == holder.pid());
    found.iter().find(by).unwrap_or_else(|| panic!("{scan:#?}"))
}

fn a_thread_in_its_own_mount_namespace_is_named_and_the_command_unmounts_it_there() {
    let image = image();
    let script = "
def own():
    apart()
    ready()
threading.Thread(target=own, daemon=True).start()
time.sleep(1000)
";
    let holder = Holder::python(script, &image.mount);
    let scan = scan_image(&image);
    let blocker = namespace_of(&scan, &holder);
    assert!(blocker.description.contains("thread "), "{}", blocker.description);
    assert_eq!(only_usage(blocker).path.as_deref(), Some(&*image.mount));
    run_remedy(blocker);
    assert!(unmounts(&image.mount));
    let again = scan_image(&image);
    assert!(!of_kind(&again, BlockerKind::Namespace).iter().any(|b| b.process == blocker.process));
}

fn a_namespace_whose_only_process_is_in_a_chroot_is_read_from_its_root() {
    let image = image();
    // The first root shows no mount of the image; the second shows it under another path.
    for root in [image.beside("jail"), image.mount.parent().unwrap().to_path_buf()] {
        let script = format!("apart()\nos.chroot({root:?})\nos.chdir('/')\nready()\n");
        let holder = Holder::python(&script, &image.mount);
        let scan = scan_image(&image);
        let blocker = namespace_of(&scan, &holder);
        assert_eq!(only_usage(blocker).path.as_deref(), Some(&*image.mount));
        run_remedy(blocker);
        let again = scan_image(&image);
        assert!(
            !of_kind(&again, BlockerKind::Namespace).iter().any(|b| b.process == blocker.process)
        );
    }
    assert!(unmounts(&image.mount));
}

fn one_command_unmounts_several_mounts_of_a_namespace() {
    let image = image();
    let script = r#"mkdir "$1/a" "$1/b"; mount --bind "$1/a" "$1/b"; mount --bind "$1" "$1/a""#;
    let holder = Holder::in_a_namespace("private", script, &image.mount);
    let scan = scan_image(&image);
    let blocker = namespace_of(&scan, &holder);
    let paths: Vec<_> = blocker.uses.iter().filter_map(|usage| usage.path.clone()).collect();
    assert_eq!(paths, [image.mount.clone(), image.mount.join("b"), image.mount.join("a")]);
    run_remedy(blocker);
    let again = scan_image(&image);
    assert!(!of_kind(&again, BlockerKind::Namespace).iter().any(|b| b.process == blocker.process));
    assert!(unmounts(&image.mount));
}

fn files_on_a_btrfs_subvolume_are_named() {
    let image = LoopImage::with_mkfs(&["mkfs.btrfs", "-q", "-f"]);
    let sub = image.mount.join("sub");
    assert!(ok(Command::new("btrfs").args(["subvolume", "create"]).arg(&sub)));
    let holder = Holder::shell("exec 7>\"$1/file\"; cd \"$1\"", &sub);
    let scan = scan_image(&image);
    let kinds: Vec<_> = blocker_of(&scan, &holder).uses.iter().map(|u| u.kind).collect();
    assert_eq!(kinds, [UsageKind::OpenForWriting, UsageKind::WorkingDirectory]);
}

fn a_process_that_ignores_sigterm_gets_sighup() {
    let image = image();
    let holder = Holder::shell("trap '' TERM; exec 7>\"$1/file\"", &image.mount);
    let scan = scan_image(&image);
    let expected = format!("kill -HUP {}", holder.pid());
    assert_eq!(blocker_of(&scan, &holder).command, Some(expected));
}

/// Asserts that this is the printed command, with the number for PID, and that it ends the process.
fn assert_ends_by(image: &LoopImage, holder: Holder, command: &str) {
    let scan = scan_image(image);
    let blocker = blocker_of(&scan, &holder);
    let expected = command.replace("PID", &holder.pid().to_string());
    assert_eq!(blocker.command, Some(expected));
    run_remedy(blocker);
    let mut holder = holder;
    let ended = (0..300).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        holder.0.try_wait().unwrap().is_some()
    });
    assert!(ended, "{command}");
}

fn a_stopped_process_gets_sigcont_too() {
    let image = image();
    let holder = Holder::shell("exec 7>\"$1/file\"", &image.mount);
    let pid = rustix::process::Pid::from_raw(holder.pid() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    while !std::fs::read_to_string(format!("/proc/{}/status", holder.pid()))
        .unwrap()
        .contains("T (stopped)")
    {}
    assert_ends_by(&image, holder, "kill PID && kill -CONT PID");
}

fn a_process_that_blocks_sigterm_gets_another_signal() {
    let image = image();
    let block = |signals: &str, more: &str| {
        let script = format!(
            "import signal\nopen(keep + '/f', 'w').close()\nF = open(keep + '/f')\n\
             signal.pthread_sigmask(signal.SIG_BLOCK, [{signals}])\n{more}\nready()"
        );
        Holder::python(&script, &image.mount)
    };
    let holder = block("15", "");
    assert_ends_by(&image, holder, "kill -HUP PID");
    assert_ends_by(&image, block("1, 15", ""), "kill -KILL PID");
    // A process that waits for signals with sigwait(3) or signalfd(2) ends in its own way.
    let waits = "threading.Thread(target=lambda: (signal.sigwait([15]), os._exit(0))).start()\ntime.sleep(0.2)";
    assert_ends_by(&image, block("1, 15", waits), "kill PID");
    let reads = "
set = ctypes.c_uint64(1 << 14)
fd = libc.signalfd(-1, ctypes.byref(set), 0)
threading.Thread(target=lambda: (os.read(fd, 128), os._exit(0))).start()";
    assert_ends_by(&image, block("1, 15", reads), "kill PID");
}

fn the_first_process_of_a_namespace_gets_sigkill() {
    let image = image();
    let script = "
assert libc.unshare(0x20000000) == 0
F = open(keep + '/f', 'w')
child = os.fork()
if child == 0:
    ready()
F.close()
os.waitpid(child, 0)
";
    let holder = Holder::python(script, &image.mount);
    let scan = scan_image(&image);
    let blocker = scan.blockers.iter().find(|b| b.kind == BlockerKind::Process).unwrap();
    let command = blocker.command.as_deref().unwrap();
    assert!(command.starts_with("kill -KILL "), "{command}");
    run_remedy(blocker);
    let mut holder = holder;
    assert!(holder.0.wait().unwrap().success());
    assert!(unmounts(&image.mount));
}

fn processes_that_exit_during_the_scan_are_no_error() {
    let image = image();
    let script = "for i in {1..1000}; do (:); done";
    let mut crowd = Holder::shell(&format!("echo ready; {script}; exit 0"), &image.mount);
    let idle = |scan: &BlockerScan| {
        assert!(of_kind(scan, BlockerKind::Process).is_empty(), "{scan:#?}");
        // On some hosts, even root may not inspect PID 1.
        let of_the_host = |n: &&String| n.contains("namespace") || n.contains("inspected");
        let notes: Vec<_> = scan.notes.iter().filter(|n| !of_the_host(n)).collect();
        assert!(notes.is_empty(), "{notes:?}");
    };
    let mut scans = 0;
    while crowd.0.try_wait().unwrap().is_none() {
        idle(&scan_image(&image));
        scans += 1;
    }
    assert!(scans > 0);
}

pub const TESTS: &[Test] = &[
    test!(an_idle_drive_has_no_blockers, LOOP_DEVICES),
    test!(a_file_open_for_writing_is_named_and_kill_closes_it, LOOP_DEVICES),
    test!(open_directories_and_deleted_files_are_distinguished, LOOP_DEVICES),
    test!(a_working_directory_is_named, LOOP_DEVICES),
    test!(programs_roots_and_mapped_files_are_named, LOOP_DEVICES, STATIC_C),
    test!(a_thread_with_a_directory_and_files_of_its_own_is_named, LOOP_DEVICES, PYTHON),
    test!(a_bound_socket_and_its_connections_are_named, LOOP_DEVICES, PYTHON),
    test!(a_process_that_a_debugger_holds_gets_sigkill, LOOP_DEVICES, PYTHON),
    test!(a_process_of_a_frozen_group_gets_sigkill, LOOP_DEVICES, CGROUP2),
    test!(a_socket_on_a_nested_mount_is_named_by_its_device, LOOP_DEVICES, PYTHON),
    test!(
        a_socket_on_a_file_system_that_is_mounted_elsewhere_too_is_not_named,
        LOOP_DEVICES,
        PYTHON
    ),
    test!(a_program_whose_first_thread_has_ended_is_named, LOOP_DEVICES, C_COMPILER),
    test!(an_open_device_is_named, LOOP_DEVICES),
    test!(a_nested_mount_and_its_users_are_named_and_the_command_unmounts_it, LOOP_DEVICES),
    test!(a_mapped_file_counts_only_through_the_nested_mount, LOOP_DEVICES, PYTHON),
    test!(another_mount_namespace_is_named_and_the_command_unmounts_it_there, LOOP_DEVICES),
    test!(a_file_opened_in_another_mount_namespace_is_found, LOOP_DEVICES),
    test!(
        a_thread_in_its_own_mount_namespace_is_named_and_the_command_unmounts_it_there,
        LOOP_DEVICES,
        PYTHON
    ),
    test!(
        a_namespace_whose_only_process_is_in_a_chroot_is_read_from_its_root,
        LOOP_DEVICES,
        PYTHON
    ),
    test!(one_command_unmounts_several_mounts_of_a_namespace, LOOP_DEVICES),
    test!(files_on_a_btrfs_subvolume_are_named, LOOP_DEVICES, BTRFS),
    test!(a_process_that_ignores_sigterm_gets_sighup, LOOP_DEVICES),
    test!(a_stopped_process_gets_sigcont_too, LOOP_DEVICES),
    test!(a_process_that_blocks_sigterm_gets_another_signal, LOOP_DEVICES, PYTHON),
    test!(the_first_process_of_a_namespace_gets_sigkill, LOOP_DEVICES, PYTHON),
    test!(processes_that_exit_during_the_scan_are_no_error, LOOP_DEVICES),
];
