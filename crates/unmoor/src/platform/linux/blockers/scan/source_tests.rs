//! The programs in the kernel and /proc find the same users on the same scene.

use super::*;
use crate::model::blocker::UsageKind;
use crate::platform::linux::blockers::processes::bpf_scan;
use crate::platform::linux::blockers::test_support::{Holder, LoopImage, drive, image, ok};
use proptest::prelude::ProptestConfig;
use proptest::test_runner::TestRunner;
use std::path::Path;
use std::process::Command;

/// User of a drive: a name for messages, the kind of use that has to be found, and how to make one.
struct User {
    name: &'static str,
    found: UsageKind,
    start: fn(&LoopImage) -> Holder,
}

const fn user(name: &'static str, found: UsageKind, start: fn(&LoopImage) -> Holder) -> User {
    User { name, found, start }
}

fn shell(script: &str, path: impl AsRef<Path>) -> Holder {
    Holder::shell(script, path.as_ref())
}

fn python(script: &str, stick: &LoopImage) -> Holder {
    let script = format!(
        "import mmap, socket, subprocess\nfile, device = keep + '/there', {:?}\nopen(file, 'a').write('x' * 4096)\n{script}",
        stick.device
    );
    Holder::python(&script, &stick.mount)
}

/// Script that maps what the descriptor `fd` stands for, and closes the descriptor. Python's own mmap keeps it open.
const MAP: &str = "libc.mmap.restype = ctypes.c_void_p\n\
                   assert libc.mmap(None, ctypes.c_size_t(4096), 3, SHARING, fd, ctypes.c_long(0)) != 2**64 - 1\n\
                   os.close(fd)\nready()";

fn map(open: &str, sharing: &str, stick: &LoopImage) -> Holder {
    python(&format!("fd = os.open({open}, os.O_RDWR)\n{}", MAP.replace("SHARING", sharing)), stick)
}

/// Script for a thread that stays in `then` after it has unshared a table of its process.
fn thread(unshare: &str, then: &str, stick: &LoopImage) -> Holder {
    let script = format!(
        "def own():\n    assert libc.unshare({unshare}) == 0\n    {then}\n    ready()\n\
         threading.Thread(target=own, daemon=True).start()\ntime.sleep(1000)"
    );
    python(&script, stick)
}

const USERS: &[User] = &[
    user("file for reading", UsageKind::OpenFile, |s| shell("touch $1/r; exec 7<$1/r", &s.mount)),
    user("file for writing", UsageKind::OpenForWriting, |s| shell("exec 7>$1/w", &s.mount)),
    user("high descriptor", UsageKind::OpenForWriting, |s| {
        python("os.dup2(os.open(file, os.O_WRONLY), 900)\nos.closerange(3, 900)\nready()", s)
    }),
    user("deleted file", UsageKind::DeletedFile, |s| shell("exec 7>$1/d; rm $1/d", &s.mount)),
    user("directory", UsageKind::Directory, |s| shell("exec 7<$1", &s.mount)),
    user("working directory", UsageKind::WorkingDirectory, |s| shell("cd $1", &s.mount)),
    user("root", UsageKind::Root, |s| python("os.chroot(keep)\nready()", s)),
    user("program", UsageKind::Executable, |s| {
        let copied = ok(Command::new("cp").arg("/bin/sleep").arg(s.mount.join("sleep")));
        assert!(copied, "the program is copied");
        let script = "end = lambda: libc.prctl(1, 9)\n\
                      none = subprocess.DEVNULL\n\
                      command = [keep + '/sleep', '1000']\n\
                      subprocess.Popen(command, stdout=none, stderr=none, preexec_fn=end)\nready()";
        python(script, s)
    }),
    user("mapped file", UsageKind::MappedFile, |s| map("file", "2", s)),
    user("file mapped for writing", UsageKind::MappedFile, |s| map("file", "1", s)),
    user("mapped device", UsageKind::Device, |s| map("device", "1", s)),
    user("device for reading", UsageKind::Device, |s| shell("exec 7<$1", &s.device)),
    user("device for writing", UsageKind::Device, |s| shell("exec 7<>$1", &s.device)),
    user("file of a thread", UsageKind::OpenFile, |s| {
        thread("0x400", "os.open(file, os.O_RDONLY)", s)
    }),
    user("directory of a thread", UsageKind::WorkingDirectory, |s| {
        thread("0x200", "os.chdir(keep)", s)
    }),
    user("thread without a process", UsageKind::OpenFile, |s| {
        let script = "fd = os.open(file, os.O_RDONLY)\n\
                      threading.Thread(target=lambda: (time.sleep(0.3), ready())).start()\n\
                      libc.pthread_exit(None)";
        python(script, s)
    }),
    user("bound socket", UsageKind::OpenFile, |s| {
        python("one = socket.socket(socket.AF_UNIX)\none.bind(keep + '/socket')\nready()", s)
    }),
    user("file registered with io_uring", UsageKind::OpenFile, |s| {
        let script = "ring = libc.syscall(425, 1, ctypes.create_string_buffer(120))\n\
                      fd = os.open(file, os.O_RDWR)\n\
                      assert ring >= 0 and libc.syscall(427, ring, 2, ctypes.byref(ctypes.c_int(fd)), 1) == 0\n\
                      os.close(fd)\nready()";
        python(script, s)
    }),
    user("mount on the drive", UsageKind::OpenForWriting, |s| {
        let inside = s.mount.join("inside");
        std::fs::create_dir_all(&inside).unwrap();
        assert!(ok(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inside)));
        shell("exec 7>$1/there", &inside)
    }),
    user("mount namespace", UsageKind::MountPoint, |s| {
        Holder::in_a_namespace("private", "", &s.mount)
    }),
    user("mount namespace of a thread", UsageKind::MountPoint, |s| {
        python(
            "threading.Thread(target=lambda: (apart(), ready()), daemon=True).start()\ntime.sleep(1000)",
            s,
        )
    }),
    user("eventfd alone", UsageKind::WorkingDirectory, |s| {
        python("os.eventfd(0)\nos.chdir(keep)\nready()", s)
    }),
];

/// Users that were found: kind of blocker, process, uses.
type FoundUsers = Vec<(BlockerKind, u32, Vec<String>)>;

fn search(stick: &LoopImage, scope: Scope, source: Source) -> (FoundUsers, BlockerScan) {
    let deadline = ScanDeadline::of(Duration::from_secs(60));
    let mut search = Search::new(&[drive(stick)], scope, deadline).unwrap();
    search.source = source;
    let search = Arc::new(search);
    search.run(&Arc::default());
    assert_eq!(search.suspects.get().is_some(), source == Source::Kernel, "{source:?} was used");
    let scan = search.result(&[]);
    let all = scan.blockers.iter().chain(&scan.readers);
    let mut found: FoundUsers = all
        .filter_map(|blocker| {
            let mut uses: Vec<String> = blocker.uses.iter().map(|u| format!("{u:?}")).collect();
            uses.sort();
            Some((blocker.kind, blocker.process.as_ref()?.pid, uses))
        })
        .collect();
    found.sort();
    (found, scan)
}

fn compare(stick: &LoopImage, users: &[&User]) {
    let names: Vec<&str> = users.iter().map(|user| user.name).collect();
    let holders: Vec<Holder> = users.iter().map(|user| (user.start)(stick)).collect();
    for scope in [Scope::Everything, Scope::Open, Scope::Hidden] {
        let (by_kernel, scan) = search(stick, scope, Source::Kernel);
        let (by_proc, _) = search(stick, scope, Source::Proc);
        // Other tests copy every mount into namespaces of their own, which come and go.
        let lasting = |found: &FoundUsers| -> FoundUsers {
            found.iter().filter(|user| user.0 != BlockerKind::Namespace).cloned().collect()
        };
        assert_eq!(lasting(&by_kernel), lasting(&by_proc), "{scope:?}: {names:?}");
        assert!(scan.complete, "the kernel shows every process: {:?}", scan.notes);
        if scope == Scope::Everything {
            for user in users {
                let kind = format!("kind: {:?}", user.found);
                let is_found = by_kernel.iter().any(|f| f.2.iter().any(|u| u.contains(&kind)));
                assert!(is_found, "{}: {by_kernel:#?}", user.name);
            }
        }
    }
    drop(holders);
}

#[test]
#[ignore = "needs root, loop devices, Python and a kernel with BTF"]
fn each_kind_of_user_is_found_by_the_kernel_and_in_proc() {
    for user in USERS {
        compare(&image(), &[user]);
    }
}

/// `PROPTEST_CASES` does not count here: a case starts up to eight programs.
#[test]
#[ignore = "needs root, loop devices, Python and a kernel with BTF"]
fn any_users_are_found_by_the_kernel_and_in_proc() {
    let config =
        ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() };
    let sets = proptest::sample::subsequence((0..USERS.len()).collect::<Vec<_>>(), 2..8);
    let compared = TestRunner::new(config).run(&sets, |users| {
        let users: Vec<&User> = users.into_iter().map(|at| &USERS[at]).collect();
        compare(&image(), &users);
        Ok(())
    });
    compared.unwrap_or_else(|failed| panic!("{failed}"));
}

/// A process that /proc keeps closed is named by what the programs report.
#[test]
#[ignore = "needs root and loop devices"]
fn a_closed_process_is_described_by_its_records() {
    let stick = image();
    let deadline = ScanDeadline::of(Duration::from_secs(60));
    let search = Search::new(&[drive(&stick)], Scope::Open, deadline).unwrap();
    search.prepare(&search.deadline);
    let filter = search.filter.get().unwrap();
    let number = drive(&stick).id.device;
    let device = ((number >> 32) << 20 | number & 0xf_ffff) as u32;
    let uses = |kind, number| {
        let record = bpf_scan::Record { pid: 1, tid: 1, kind, number };
        bpf_scan::recorded_uses(filter, &search.names, &[record])
    };
    let known = uses(bpf_scan::Kind::File, device).unwrap();
    assert_eq!((known[0].kind, &*known[0].volume), (UsageKind::OpenFile, &*search.names[0]));
    assert_eq!(uses(bpf_scan::Kind::Node, device).unwrap()[0].kind, UsageKind::Device);
    assert_eq!(uses(bpf_scan::Kind::File, device + 1), None, "another device: it may be or not");
    assert_eq!(uses(bpf_scan::Kind::MappingsUnseen, 0), None);
}
