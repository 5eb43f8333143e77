//! Unit or container of a process, from its control group (cgroups(7)).

use std::fmt;

/// Unit or container that a control group belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// System service.
    Service(String),
    /// Service of a user's own manager.
    UserService {
        /// User ID.
        uid: String,
        /// Name of the service.
        unit: String,
    },
    /// Scope: a session, or a program that a desktop has started.
    Scope(String),
    /// Container.
    Container {
        /// Engine: `docker`, `podman`, …
        engine: &'static str,
        /// ID or name of the container.
        id: String,
    },
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Service(unit) | Owner::Scope(unit) | Owner::UserService { unit, .. } => {
                f.write_str(unit)
            }
            Owner::Container { engine, id } => write!(f, "{engine}:{id}"),
        }
    }
}

impl Owner {
    /// Parses `/proc/PID/cgroup`.
    pub fn parse(text: &[u8]) -> Option<Owner> {
        let text = String::from_utf8_lossy(text);
        // The unified hierarchy and systemd's own have the units, so they come first.
        let (of_systemd, others): (Vec<_>, Vec<_>) = text
            .lines()
            .filter_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                Some((controllers, path))
            })
            .partition(|(controllers, _)| matches!(*controllers, "" | "name=systemd"));
        let paths = || of_systemd.iter().chain(&others).map(|(_, path)| *path);
        paths().find_map(container).or_else(|| paths().find_map(unit))
    }

    /// Returns the words of the command that stops it.
    ///
    /// `None` if its name would be read as an option. A user who may create a control group chooses its name, and the
    /// command may be run by root.
    pub fn stop(&self) -> Option<Vec<String>> {
        let names = match self {
            Owner::Service(unit) | Owner::Scope(unit) => [unit, ""],
            Owner::UserService { uid, unit } => [unit, uid.as_str()],
            Owner::Container { id, .. } => [id, ""],
        };
        if names.iter().any(|name| name.starts_with('-')) {
            return None;
        }
        let words = |words: &[&str]| Some(words.iter().map(|w| w.to_string()).collect());
        match self {
            Owner::Service(unit) => words(&["systemctl", "stop", unit]),
            Owner::UserService { uid, unit } => {
                words(&["systemctl", "--user", "--machine", &format!("{uid}@"), "stop", unit])
            }
            Owner::Scope(_) => None,
            Owner::Container { engine, id } => match *engine {
                "docker" | "podman" => words(&[engine, "stop", id]),
                "containerd" | "cri-o" => words(&["crictl", "stop", id]),
                "lxc" => words(&["lxc-stop", "-n", id]),
                "machine" => words(&["machinectl", "terminate", id]),
                _ => None,
            },
        }
    }

    /// Returns true for the service manager of the system or of a user.
    pub(crate) fn is_manager(&self) -> bool {
        matches!(self, Owner::Scope(unit) if unit == "init.scope" || unit.starts_with("user@"))
    }

    /// Returns a scope in place of a service that only starts programs for users.
    ///
    /// Such services start logins over the network, jobs of cron, programs called over D-Bus. Stopping the service
    /// does not stop those (`KillMode=process`). With systemd-logind, a login has a scope of its own anyway.
    pub(crate) fn user_owned(self) -> Owner {
        match self {
            Owner::Service(unit) | Owner::UserService { unit, .. } if is_login_service(&unit) => {
                Owner::Scope(unit)
            }
            other => other,
        }
    }

    /// Returns the noun for messages: `service`, `session`, `container`.
    pub fn noun(&self) -> &'static str {
        match self {
            Owner::Service(_) | Owner::UserService { .. } => "service",
            Owner::Scope(_) => "session",
            Owner::Container { .. } => "container",
        }
    }
}

/// Returns true for a service that starts programs for users ([`Owner::user_owned`]).
fn is_login_service(unit: &str) -> bool {
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    let template = name.split('@').next().unwrap_or(name);
    ["ssh", "sshd", "getty", "serial-getty", "console-getty", "container-getty", "cron", "crond"]
        .contains(&template)
        || ["atd", "anacron", "xrdp-sesman", "dbus", "dbus-broker"].contains(&template)
}

/// Returns true for the unit of a program that a desktop started.
///
/// Desktop environments name such units `app-…`; programs called over D-Bus are `dbus-:…`.
fn is_desktop_program(unit: &str) -> bool {
    unit.starts_with("app-") || unit.starts_with("dbus-:")
}

fn container(path: &str) -> Option<Owner> {
    let of = |engine, id: &str| Some(Owner::Container { engine, id: id.to_string() });
    let mut kubernetes = false;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        kubernetes |= part.starts_with("kubepods");
        let name = part.strip_suffix(".scope").unwrap_or(part);
        for (prefix, engine) in [
            ("docker-", "docker"),
            ("libpod-", "podman"),
            ("cri-containerd-", "containerd"),
            ("crio-", "cri-o"),
        ] {
            if let Some(id) = name.strip_prefix(prefix).and_then(short) {
                return of(engine, id);
            }
        }
        if let Some(name) = part.strip_prefix("lxc.payload.") {
            return of("lxc", name);
        }
        if let Some(name) = name.strip_prefix("machine-").filter(|_| part.ends_with(".scope")) {
            return of("machine", &unescape(name));
        }
        if let Some(name) = part.strip_prefix("systemd-nspawn@") {
            return of("machine", &unescape(name.strip_suffix(".service").unwrap_or(name)));
        }
        match (part, parts.peek()) {
            ("docker", Some(id)) if short(id).is_some() => return of("docker", short(id)?),
            ("lxc", Some(name)) => return of("lxc", name),
            _ => {}
        }
        if let (true, Some(id)) = (kubernetes, short(part)) {
            return of("containerd", id);
        }
    }
    None
}

/// Returns the first twelve of the 64 hexadecimal digits of a container ID.
fn short(id: &str) -> Option<&str> {
    let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| &id[..12])
}

/// Undoes systemd's escape `\x2d` for a dash in the name of a machine.
fn unescape(name: &str) -> String {
    name.replace("\\x2d", "-")
}

fn unit(path: &str) -> Option<Owner> {
    let units: Vec<&str> =
        path.split('/').filter(|p| p.ends_with(".service") || p.ends_with(".scope")).collect();
    let (last, above) = units.split_last()?;
    // The service manager itself: stopping it would stop everything.
    if *last == "init.scope" || last.starts_with("user@") {
        return Some(Owner::Scope((*last).to_string()));
    }
    let unit = (*last).to_string();
    if last.ends_with(".scope") {
        return Some(Owner::Scope(unit));
    }
    let manager = above.iter().find_map(|u| u.strip_prefix("user@")?.strip_suffix(".service"));
    Some(match manager {
        Some(_) if is_desktop_program(&unit) => Owner::Scope(unit),
        Some(uid) => Owner::UserService { uid: uid.to_string(), unit },
        None => Owner::Service(unit),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn owner(path: &str) -> Option<String> {
        Owner::parse(format!("0::{path}\n").as_bytes()).map(|o| o.to_string())
    }

    #[test]
    fn services_containers_and_sessions_are_recognised() {
        let user = "/user.slice/user-1000.slice";
        for (path, expected) in [
            ("/system.slice/cups.service".to_string(), "cups.service"),
            (format!("/system.slice/docker-{ID}.scope"), "docker:0123456789ab"),
            (format!("/docker/{ID}"), "docker:0123456789ab"),
            (format!("/machine.slice/libpod-{ID}.scope/container"), "podman:0123456789ab"),
            (format!("/kubepods/burstable/podx/{ID}"), "containerd:0123456789ab"),
            ("/lxc.payload.web/init.scope".into(), "lxc:web"),
            ("/machine.slice/machine-a\\x2db.scope".into(), "machine:a-b"),
            (format!("{user}/session-3.scope"), "session-3.scope"),
            (format!("{user}/user@1000.service/app.slice/gvfs.service"), "gvfs.service"),
            (format!("{user}/user@1000.service/init.scope"), "init.scope"),
        ] {
            assert_eq!(owner(&path).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(owner("/"), None);
    }

    #[test]
    fn stop_commands_match_the_manager() {
        let stop = |path: &str| {
            Owner::parse(format!("1:name=systemd:{path}\n0::/\n").as_bytes())?
                .stop()
                .map(|w| w.join(" "))
        };
        assert_eq!(stop("/system.slice/cups.service").unwrap(), "systemctl stop cups.service");
        assert_eq!(
            stop("/user.slice/user-7.slice/user@7.service/app.slice/gvfs.service").unwrap(),
            "systemctl --user --machine 7@ stop gvfs.service"
        );
        assert_eq!(stop("/user.slice/user-7.slice/user@7.service/init.scope"), None);
        assert_eq!(stop("/user.slice/user-7.slice/session-2.scope"), None);
    }

    #[test]
    fn a_name_like_an_option_gets_no_command() {
        for path in [
            "/system.slice/-Hevil.service",
            "/lxc.payload.-k/x",
            "/machine.slice/machine-\\x2dH.scope",
        ] {
            let owner = Owner::parse(format!("0::{path}\n").as_bytes()).unwrap();
            assert_eq!(owner.stop(), None, "{owner}");
        }
    }

    #[test]
    fn programs_that_a_service_starts_for_users_are_no_service() {
        let user = "/user.slice/user-7.slice/user@7.service";
        for path in [
            "/user.slice/user-7.slice/session-2.scope".to_string(),
            format!("{user}/app.slice/app-gnome-firefox-4312.scope"),
            format!("{user}/app.slice/app-org.kde.kate@0123.service"),
            format!("{user}/app.slice/dbus-:1.2-org.gnome.Nautilus@0.service"),
            format!("{user}/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope"),
        ] {
            let owner = Owner::parse(format!("0::{path}\n").as_bytes()).unwrap();
            assert!(matches!(owner, Owner::Scope(_)) && !owner.is_manager(), "{path}");
        }
        let owner = |path: &str| Owner::parse(format!("0::{path}\n").as_bytes()).unwrap();
        for (path, is_login) in [
            ("/system.slice/ssh.service", true),
            ("/system.slice/system-getty.slice/getty@tty1.service", true),
            ("/system.slice/cron.service", true),
            ("/system.slice/smbd.service", false),
        ] {
            let owned = owner(path).user_owned();
            assert_eq!(matches!(owned, Owner::Scope(_)), is_login, "{path}");
            assert!(matches!(owner(path), Owner::Service(_)), "the daemon itself");
        }
        for path in ["/init.scope".to_string(), format!("{user}/init.scope")] {
            assert!(owner(&path).is_manager(), "{path}");
        }
        assert!(!owner("/system.slice/smbd.service").is_manager());
    }

    proptest! {
        #[test]
        fn no_input_panics(text: Vec<u8>, path in "[a-z/.:@\\-]{0,60}") {
            Owner::parse(&text);
            owner(&path);
        }
    }
}
