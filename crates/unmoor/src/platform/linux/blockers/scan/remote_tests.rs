//! Users of a drive in namespaces that the first scan does not look into.

use super::*;
use crate::platform::linux::blockers::test_support::{Holder, LoopImage, drive, image, ok};
use std::process::Command;

fn find(stick: &LoopImage, scope: Scope) -> Vec<Blocker> {
    let deadline = ScanDeadline::of(Duration::from_secs(60));
    let search = Search::new(&[drive(stick)], scope, deadline).unwrap();
    search.run(&Arc::default());
    search.result(&[]).blockers
}

/// Starts a program that binds a socket on the drive, and knows the drive by nothing else.
fn bind(name: &str, before: &str, stick: &LoopImage) -> Holder {
    let script = format!(
        "import socket\n{before}\nos.chdir(keep)\none = socket.socket(socket.AF_UNIX)\n\
         one.bind({name})\nos.chdir('/')\nready()"
    );
    Holder::python(&script, &stick.mount)
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_socket_of_another_network_namespace_is_found() {
    const CLONE_NEWNET: &str = "assert libc.unshare(0x40000000) == 0";
    for name in ["keep + '/socket'", "'relative'"] {
        let stick = image();
        let holder = bind(name, CLONE_NEWNET, &stick);
        let busy = !ok(Command::new("umount").arg(&stick.mount));
        assert!(busy, "the socket keeps the mount busy");
        assert!(find(&stick, Scope::Everything).is_empty());
        let found = find(&stick, Scope::EveryNamespace);
        let pids: Vec<_> = found.iter().filter_map(|b| Some(b.process.as_ref()?.pid)).collect();
        assert_eq!(pids, [holder.pid()], "{found:#?}");
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_socket_on_a_mount_inside_the_drives_mount_is_found() {
    let stick = image();
    let inside = stick.mount.join("inside");
    std::fs::create_dir(&inside).unwrap();
    assert!(ok(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inside)));
    let holder = bind("keep + '/inside/socket'", "", &stick);
    let found = find(&stick, Scope::Everything);
    assert!(
        found.iter().any(|b| b.process.as_ref().is_some_and(|p| p.pid == holder.pid())),
        "{found:#?}"
    );
    drop(holder);
    assert!(ok(Command::new("umount").arg(&inside)));
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_mount_namespace_that_only_a_descriptor_keeps_is_found_and_its_command_helps() {
    let stick = image();
    let script = "ready_end, go_end = os.pipe()\n\
                  child = os.fork()\n\
                  if child == 0:\n    apart()\n    os.write(go_end, b'x')\n    time.sleep(1000)\n\
                  os.read(ready_end, 1)\n\
                  kept = os.open('/proc/%d/ns/mnt' % child, os.O_RDONLY)\n\
                  os.kill(child, 9)\nos.waitpid(child, 0)\nready()";
    let holder = Holder::python(script, &stick.mount);
    assert!(ok(Command::new("umount").arg(&stick.mount)));
    let found = find(&stick, Scope::EveryNamespace);
    let mounts = |b: &&Blocker| b.kind == BlockerKind::Namespace;
    let kept = found.iter().find(mounts).unwrap_or_else(|| panic!("{found:#?}"));
    let descriptor = format!("/proc/{}/fd/", holder.pid());
    assert!(kept.description.contains(&descriptor), "{}", kept.description);
    let command = kept.command.as_deref().unwrap();
    assert!(ok(Command::new("sh").args(["-c", command])), "{command}");
    assert!(!find(&stick, Scope::EveryNamespace).iter().any(|b| mounts(&b)));
}
