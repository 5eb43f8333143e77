//! The command called as `eject`: util-linux's options, exit codes and silence, on simulated drives.
#![cfg(target_os = "linux")]

use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};

/// Runs the command as `eject` with the words of this line.
fn eject(line: &str) -> (i32, String, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let link = directory.path().join("eject");
    symlink(env!("CARGO_BIN_EXE_unmoor"), &link).expect("a link");
    let words = line.split(' ').filter(|word| !word.is_empty());
    let Output { status, stdout, stderr } = Command::new(&link)
        .args(words)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

#[test]
fn success_is_silent_and_zero() {
    for line in [
        "sim:cd",
        "sim:stick",
        "sim:disk",
        "sim:tray",
        "sim:empty",
        "-r sim:cd",
        "-s sim:cd",
        "-rs sim:stick",
        "-p sim:cd",
        "--proc sim:stick",
        "-m sim:cd",
        "-m sim:stick",
        "-t sim:tray",
        "-t sim:cd",
        "-t sim:empty",
        "--trayclose sim:tray",
        "-T sim:tray",
        "-T sim:empty",
        "-T sim:cd",
        "-F sim:stick",
        "--force sim:system2",
    ] {
        let expected = if line.contains("system") { 1 } else { 0 };
        let (code, out, err) = eject(line);
        assert_eq!(code, expected, "{line}: {err}");
        assert_eq!(out, "", "{line}");
        assert_eq!(err.is_empty(), code == 0, "{line}: {err}");
    }
}

#[test]
fn information_is_on_standard_output() {
    for (line, expected) in [
        ("-d", "eject: default device: `/dev/cdrom'\n"),
        ("--default nosuch", "eject: default device: `/dev/cdrom'\n"),
        ("-n sim:cd", "eject: device is `sim:cd'\n"),
        ("--noop sim:stick", "eject: device is `sim:stick'\n"),
        (
            "-v sim:cd",
            "eject: device name is `sim:cd'\n\
             eject: sim:cd: mounted on /media/music\n\
             eject: sim:cd: is whole-disk device\n\
             eject: /media/music: unmounting\n\
             eject: sim:cd: trying to eject using CD-ROM eject command\n\
             eject: CD-ROM eject command succeeded\n",
        ),
    ] {
        let (code, out, err) = eject(line);
        assert_eq!((code, &*out, &*err), (0, expected, ""), "{line}");
    }
    let (code, out, err) = eject("-V");
    assert_eq!((code, &*err), (0, ""));
    assert!(out.starts_with("eject from unmoor "), "{out}");
    let (code, out, err) = eject("--help");
    assert_eq!((code, &*err), (0, ""));
    for option in ["--auto", "--changerslot", "--no-partitions-unmount", "--traytoggle", "-X,"] {
        assert!(out.contains(option), "{option}: {out}");
    }
}

#[test]
fn every_failure_is_one_with_a_reason_on_standard_error() {
    for (line, expected) in [
        ("", "eject: /dev/cdrom: not found mountpoint or device with the given name\n"),
        ("nosuch", "not found mountpoint or device with the given name\n"),
        ("HOLIDAY", "not found mountpoint or device with the given name\n"),
        ("/dev/nosuch", "eject: /dev/nosuch: not found mountpoint or device with the given name\n"),
        ("/etc/passwd", "eject: /etc/passwd: not found mountpoint or device with the given name\n"),
        ("usb:1-1", "not found mountpoint or device with the given name\n"),
        ("sim:system", "eject: sim:system: is not hot-pluggable device\n"),
        ("-n sim:system", "eject: sim:system: is not hot-pluggable device\n"),
        ("-f sim:cd", "eject: unable to eject\n"),
        ("-q sim:stick", "eject: unable to eject\n"),
        ("-fq sim:cd", "eject: unable to eject\n"),
        ("-M sim:stick", "eject: error: sim:stick: device in use\n"),
        ("-i maybe sim:cd", "eject: argument error: 'maybe'\n"),
        ("-x abc sim:cd", "eject: invalid argument to --cdspeed/-x option: 'abc'\n"),
        (
            "-i on sim:cd",
            "eject: CD-ROM lock door command failed: sim:cd: settings of optical drives are not available on this system\n",
        ),
        ("sim:cd sim:stick", "eject: too many arguments\n"),
        ("--power-off sim:stick", "eject: unrecognized option '--power-off'\n"),
        ("-w 3s sim:stick", "eject: invalid option -- 'w'\n"),
        ("sim:liar", "eject: sim:liar: reported success, but the medium is still in it\n"),
        ("sim:broken", "data could not be written: input/output error\n"),
    ] {
        let (code, out, err) = eject(line);
        assert_eq!((code, &*out), (1, ""), "{line}: {err}");
        assert!(err.contains(expected), "{line}: {err}");
    }
}

#[test]
fn a_drive_in_use_is_refused_with_its_users_even_by_force() {
    for line in ["sim:busy", "-F sim:busy", "--force sim:busy", "-f -s sim:busy"] {
        let (code, out, err) = eject(line);
        assert_eq!((code, &*out), (1, ""), "{line}: {err}");
        assert!(err.contains("eject: unmount of `/media/busy-too' failed\n"), "{line}: {err}");
        assert!(err.contains("editor (pid 4312, user): /media/busy-too/letter.txt"), "{err}");
        assert!(!err.contains("--wait") && !err.contains("--force"), "{err}");
    }
}

#[test]
fn without_the_name_eject_the_options_are_those_of_unmoor() {
    let run = Command::new(env!("CARGO_BIN_EXE_unmoor")).args(["eject", "-n", "sim:cd"]).output();
    let out = String::from_utf8(run.expect("it starts").stdout).expect("it prints UTF-8");
    assert!(out.contains("nothing was touched"), "{out}");
}
