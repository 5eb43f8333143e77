//! The Ansible module, run by ansible-core against this machine: on simulated drives, and on a loop device.
#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Returns the program `ansible`, installed from PyPI into a folder of the build if it is not there.
fn ansible() -> PathBuf {
    static LOCK: Mutex<()> = Mutex::new(());
    let _lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ansible");
    let program = folder.join("bin/ansible");
    if !program.exists() {
        let run = |words: &[&str], program: &Path| {
            let done = Command::new(program).args(words).output().expect("it starts");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        run(&["-m", "venv", &folder.to_string_lossy()], Path::new("python3"));
        run(&["install", "--quiet", "ansible-core"], &folder.join("bin/pip"));
    }
    program
}

/// Runs the module with these parameters and returns its result.
fn module(mut parameters: Value, check: bool) -> Value {
    parameters["executable"] = env!("CARGO_BIN_EXE_unmoor").into();
    let home = tempfile::tempdir().expect("a temporary directory");
    let run = Command::new(ansible())
        .args(["localhost", "--connection", "local", "--one-line", "-i", "localhost,"])
        .args(["-e", "ansible_python_interpreter=python3", "--module-name", "unmoor"])
        .args(["--module-path", &format!("{REPOSITORY}/contrib/ansible/library")])
        .args(["--args", &parameters.to_string()])
        .args(check.then_some("--check"))
        .env("HOME", home.path())
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("ansible starts");
    let out = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    let (status, document) = out.split_once("=> ").unwrap_or_else(|| panic!("{out}{errors}"));
    let mut result: Value =
        serde_json::from_str(document).unwrap_or_else(|error| panic!("{error}: {out}"));
    // The callback prints it as a word.
    result["failed"] = status.contains("FAILED").into();
    result
}

#[test]
#[ignore = "needs ansible-core from PyPI"]
fn a_drive_is_released_once_and_check_mode_only_plans() {
    let planned = module(json!({ "targets": ["sim:stick"] }), true);
    assert_eq!(
        (&planned["changed"], &planned["results"][0]["outcome"]),
        (&json!(true), &json!("planned"))
    );
    let released = module(json!({ "targets": ["sim:stick"], "state": "powered_off" }), false);
    assert_eq!(
        (&released["changed"], &released["results"][0]["outcome"]),
        (&json!(true), &json!("released"))
    );
    for already in ["sim:empty", "sim:tray", "/dev/nosuch", "LABEL=NOSUCH"] {
        let result = module(json!({ "targets": [already] }), false);
        assert_eq!(result["changed"], json!(false), "{already}: {result}");
        assert_eq!(result["failed"], json!(false), "{already}: {result}");
    }
}

#[test]
#[ignore = "needs ansible-core from PyPI"]
fn a_drive_in_use_fails_with_what_uses_it() {
    let result = module(json!({ "targets": ["sim:stick", "sim:busy"] }), false);
    assert_eq!((&result["failed"], &result["rc"]), (&json!(true), &json!(3)), "{result}");
    assert!(
        result["msg"].as_str().is_some_and(|text| text.contains("sim:busy2: is in use")),
        "{result}"
    );
    assert_eq!(result["results"][1]["blockers"][0]["process"]["name"], json!("editor"), "{result}");
    let ended = module(json!({ "targets": ["sim:busy"], "kill": true }), false);
    assert_eq!(ended["changed"], json!(true), "{ended}");
}

#[test]
#[ignore = "needs ansible-core from PyPI"]
fn a_tray_is_closed_and_a_missing_drive_cannot_be() {
    let loaded = module(json!({ "targets": ["sim:tray"], "state": "loaded" }), false);
    assert_eq!(loaded["changed"], json!(true), "{loaded}");
    let again = module(json!({ "targets": ["sim:cd"], "state": "loaded" }), false);
    assert_eq!(again["changed"], json!(false), "{again}");
    let missing = module(json!({ "targets": ["/dev/nosuch"], "state": "loaded" }), false);
    assert_eq!((&missing["failed"], &missing["rc"]), (&json!(true), &json!(6)), "{missing}");
}

/// The second run finds the drive as the first has left it.
#[test]
#[ignore = "needs ansible-core from PyPI, root and loop devices"]
fn a_second_run_on_a_real_drive_changes_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = directory.path().join("image");
    fs::File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("an image");
    let sh = |script: &str| {
        let run = Command::new("sh").args(["-ec", script]).current_dir(directory.path()).output();
        let run = run.expect("sh is there");
        assert!(run.status.success(), "{script}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8_lossy(&run.stdout).trim().to_owned()
    };
    let device = sh("mkfs.ext4 -q image; mkdir mnt; device=$(losetup -f --show image)
        mount $device mnt || { losetup -d $device; exit 1; }; echo $device");
    let dismounted = json!({ "targets": [device], "state": "dismounted" });
    let results = [
        module(dismounted.clone(), true),
        module(dismounted.clone(), false),
        module(dismounted, false),
        module(json!({ "targets": [device] }), false),
        module(json!({ "targets": [device] }), false),
    ];
    sh(
        "umount mnt 2>/dev/null || true; for d in $(losetup -j image -O NAME -n); do losetup -d $d; done; true",
    );
    let changed: Vec<_> = results.iter().map(|result| result["changed"] == json!(true)).collect();
    assert_eq!(changed, [true, true, false, true, false], "{results:#?}");
    assert!(results.iter().all(|result| result["failed"] == json!(false)), "{results:#?}");
}
