//! The Debian package, installed and removed over a copy of this system that is thrown away.
#![cfg(target_os = "linux")]

use std::process::Command;

fn in_a_copy(script: &str) -> String {
    let package = unmoor_packaging::deb::find().expect("the package is built");
    unmoor_packaging::system_copy::run(&package, script).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Returns the line of the README that installs the package.
fn documented_line() -> &'static str {
    let readme = include_str!("../../../README.md");
    let line = readme.lines().map(str::trim).find(|line| line.starts_with("apt install "));
    line.expect("the README installs it with apt")
}

#[test]
#[ignore = "needs root and the package (cargo xtask package)"]
fn the_package_installs_works_and_is_removed_without_a_trace() {
    let out = in_a_copy(&format!(
        "find /usr /etc /var/lib/dpkg/alternatives /var/lib/dpkg/diversions -newer /tmp/unmoor.deb >/tmp/before
         md5sum /usr/bin/eject >/tmp/eject.before
         mkdir -p /tmp/repository/target/package; cd /tmp/repository
         cp /tmp/unmoor.deb target/package/unmoor_0.0.0-1_amd64.deb
         export DEBIAN_FRONTEND=noninteractive
         yes | {} >/dev/null 2>&1
         echo == files; dpkg -L unmoor
         echo == version; unmoor --version
         unmoor sim:stick
         echo == alternatives; update-alternatives --query eject
         echo == eject; eject -V; update-alternatives --set eject /usr/bin/eject.unmoor >/dev/null; eject -V; eject sim:cd
         echo == pages; man -w unmoor unmoor-eject eject.unmoor
         dpkg -r unmoor >/dev/null
         echo == removed; eject -V; md5sum -c --quiet /tmp/eject.before
         update-alternatives --query eject 2>&1 || true
         dpkg-divert --list '*eject*'
         ls /usr/bin/*unmoor* /usr/libexec/unmoor /usr/share/doc/unmoor 2>&1 || true",
        documented_line()
    ));
    for part in [
        "/usr/bin/unmoor\n",
        "/usr/bin/eject.unmoor\n",
        "/usr/share/man/man1/unmoor-eject.1.gz\n",
        "/usr/share/bash-completion/completions/unmoor\n",
        "/usr/share/zsh/vendor-completions/_unmoor\n",
        "/usr/share/fish/vendor_completions.d/unmoor.fish\n",
        "/usr/share/applications/unmoor.desktop\n",
        "/usr/share/kio/servicemenus/unmoor.desktop\n",
        "== version\nunmoor ",
        "released. You can take it out.",
        "Alternative: /usr/bin/eject.unmoor\n",
        "Alternative: /usr/bin/eject.util-linux\n",
        "Value: /usr/bin/eject.util-linux\n",
        "== eject\neject from util-linux",
        "\neject from unmoor ",
        "/usr/share/man/man1/eject.unmoor.1.gz\n",
        "== removed\neject from util-linux",
        "error: no alternatives for eject",
        "cannot access '/usr/bin/*unmoor*'",
        "cannot access '/usr/libexec/unmoor'",
    ] {
        assert!(out.contains(part), "{part:?} is missing:\n{out}");
    }
    let removed = out.split("== removed").nth(1).expect("it was checked");
    assert!(!removed.contains("diversion"), "{removed}");
}

/// Runs each action as its file manager does, on a session bus that is listened to.
#[test]
#[ignore = "needs root and the package (cargo xtask package)"]
fn the_actions_of_file_managers_release_and_notify() {
    let out = in_a_copy(
        r#"dpkg -i /tmp/unmoor.deb >/dev/null
         examples=/usr/share/doc/unmoor/examples
         dolphin=$(sed -n 's/^Exec=//p' /usr/share/kio/servicemenus/unmoor.desktop)
         thunar=$(sed -n 's|.*<command>\(.*\)</command>.*|\1|p' $examples/thunar.xml)
         export dolphin thunar examples
         dbus-run-session -- sh -e <<'BUS'
             dbus-monitor --session member=Notify >/tmp/monitor & monitor=$!
             until grep -q NameAcquired /tmp/monitor; do sleep 0.05; done
             echo == dolphin; sh -c "${dolphin%?F}sim:stick" | tail -1
             echo == thunar; sh -c "${thunar%?F}sim:cd" | tail -1
             echo == nautilus; NAUTILUS_SCRIPT_SELECTED_FILE_PATHS='sim:stick
sim:busy
' sh $examples/nautilus-script 2>&1 | grep released || true
             until [ $(grep -c member=Notify /tmp/monitor) -ge 4 ]; do sleep 0.05; done
             kill $monitor
BUS
         echo == shown; grep -E 'Safe to|In use' /tmp/monitor"#,
    );
    for action in ["dolphin", "thunar", "nautilus"] {
        let of_action = out.split(&format!("== {action}\n")).nth(1).expect("it was run");
        let of_action = of_action.split("==").next().unwrap_or_default();
        assert!(of_action.contains("released"), "{action}: {out}");
    }
    let shown = out.split("== shown").nth(1).expect("it was listened to");
    assert_eq!(shown.matches("\"Safe to take out\"").count(), 3, "{out}");
    assert_eq!(shown.matches("\"In use: not released\"").count(), 1, "{out}");
}

#[test]
#[ignore = "needs desktop-file-validate"]
fn desktop_files_are_valid() {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/files");
    for entry in std::fs::read_dir(files).expect("it is there") {
        let path = entry.expect("it is readable").path();
        if path.extension().is_some_and(|kind| kind == "desktop") {
            let run = Command::new("desktop-file-validate").arg(&path).output();
            let run = run.expect("desktop-file-utils is installed");
            let text = String::from_utf8_lossy(&run.stdout);
            // A service menu of KDE is of a type that the specification does not have.
            let errors: Vec<&str> = text
                .lines()
                .filter(|l| l.contains("error") && !l.contains("\"Service\""))
                .collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        }
    }
}
