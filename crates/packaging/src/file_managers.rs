//! The actions of the real file managers: each is chosen in the menu of a mounted drive, on a screen in memory.

use anyhow::{Context, Result, ensure};

use crate::{deb, system_copy};

/// Label of the action in every menu.
const ACTION: &str = "Eject the drive safely";

/// One file manager of Debian.
struct FileManager {
    /// Name of the program and of its package.
    name: &'static str,
    /// Shell script that installs the action, where the package does not.
    install: &'static str,
    /// Options of `menu.py`, and the menus that lead to the action.
    menu: &'static str,
}

const FILE_MANAGERS: &[FileManager] = &[
    FileManager {
        name: "thunar",
        install: "mkdir -p ~/.config/Thunar && cp $examples/thunar.xml ~/.config/Thunar/uca.xml",
        // Thunar's icons are not told to accessibility.
        menu: "--keyboard",
    },
    FileManager {
        name: "nautilus",
        install: "scripts=~/.local/share/nautilus/scripts
            mkdir -p $scripts && install $examples/nautilus-script \"$scripts/Eject the drive safely\"",
        menu: "Scripts",
    },
    // KDE gives each entry of a menu a key, here its first letter.
    FileManager { name: "dolphin", install: ":", menu: "--key e" },
];

/// Installs the package and each file manager in a copy of this system, and uses the action.
pub fn check() -> Result<()> {
    let package = deb::find()?;
    for manager in FILE_MANAGERS {
        let out = system_copy::run(&package, &script(manager)).context(manager.name)?;
        ensure!(out.contains("/media/desk/stick is not a mountpoint"), "{}: {out}", manager.name);
        ensure!(out.contains("\"Safe to take out\""), "{}: {out}", manager.name);
        println!("{}: the action released the drive, and its notification was shown", manager.name);
    }
    Ok(())
}

fn script(manager: &FileManager) -> String {
    let FileManager { name, install, menu } = manager;
    let (menu_py, session) =
        (include_str!("file_managers/menu.py"), include_str!("file_managers/session.sh"));
    format!(
        "export DEBIAN_FRONTEND=noninteractive HOME=/root XDG_RUNTIME_DIR=/run/user/0 DISPLAY=:77
         export QT_LINUX_ACCESSIBILITY_ALWAYS_ON=1 LIBGL_ALWAYS_SOFTWARE=1
         mkdir -p -m 700 $XDG_RUNTIME_DIR
         printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
         chmod +x /usr/sbin/policy-rc.d
         {{
             apt-get update -qq
             apt-get install -qq -y --no-install-recommends {name} xvfb xdotool at-spi2-core python3-pyatspi
             apt-get install -qq -y /tmp/unmoor.deb
         }} >/tmp/installed 2>&1 || {{ cat /tmp/installed; exit 1; }}
         examples=/usr/share/doc/unmoor/examples
         {install}
         cat >/tmp/menu.py <<'MENU'
{menu_py}MENU
         cat >/tmp/session.sh <<'SESSION'
{session}SESSION
         Xvfb $DISPLAY -screen 0 1000x700x24 >/dev/null 2>&1 & screen=$!
         until [ -e /tmp/.X11-unix/X77 ]; do sleep 0.1; done
         timeout 300 dbus-run-session -- sh -e /tmp/session.sh {name} {menu} '{ACTION}' >/tmp/log 2>&1 || cat /tmp/log
         kill $screen
         mountpoint /media/desk/stick || true
         umount /media/desk/stick 2>/dev/null || true
         grep -o '\"Safe to take out\"' /tmp/notified"
    )
}
