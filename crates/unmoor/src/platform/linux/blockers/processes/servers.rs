//! Blockers that serve a file system or a block device: left out if a release takes that down, else never ended.

use crate::model::blocker::{Blocker, BlockerKind, Role};
use crate::model::drive::Drive;
use crate::platform::linux::blockers::shell_quote::{command_on, shell_command};
use crate::platform::linux::inventory::servers::{self, Served, Server};
use crate::platform::linux::sys::mount_table::MountTable;
use std::ffi::OsStr;
use std::path::Path;

/// Removes the servers of these drives' own levels, and marks the other servers.
///
/// The uses of such a level are uses of the drive, and remain.
pub(crate) fn mark(drives: &[Drive], blockers: &mut Vec<Blocker>) {
    let pid = |blocker: &Blocker| blocker.process.as_ref().map(|process| process.pid);
    let is_process = |blocker: &Blocker| blocker.kind == BlockerKind::Process;
    let of_level = |pid: u32| {
        drives.iter().flat_map(|drive| &drive.volumes).any(|volume| volume.servers.contains(&pid))
    };
    blockers.retain(|blocker| !(is_process(blocker) && pid(blocker).is_some_and(of_level)));
    if !blockers.iter().any(is_process) {
        return;
    }
    let Ok(table) = MountTable::read_self() else { return };
    let pids = blockers.iter().filter(|b| is_process(b)).filter_map(pid).collect();
    for server in servers::find_among(&table, pids).unwrap_or_default() {
        let of_server = |b: &&mut Blocker| is_process(b) && pid(b) == Some(server.pid);
        if let Some(blocker) = blockers.iter_mut().find(of_server) {
            mark_server(blocker, &server, &table);
        }
    }
}

/// Gives the blocker the role of a server, and the command that takes down what it serves.
fn mark_server(blocker: &mut Blocker, server: &Server, table: &MountTable) {
    if blocker.role == Role::Program {
        blocker.role = Role::Server;
    }
    let names: Vec<String> = server.serves.iter().map(name).collect();
    let (may, end) = match server.certain {
        true => ("", "and it ends"),
        false => ("may ", "if it is served by it"),
    };
    let verb = if server.certain { "serves" } else { "serve" };
    let commands: Option<Vec<String>> = server
        .serves
        .iter()
        .filter(|served| place_is_known(served))
        .map(|served| command(served, server, table))
        .collect();
    let commands = commands.filter(|commands| !commands.is_empty());
    blocker.remedy = Some(format!("it {may}{verb} {}: unmount that, {end}", names.join(", ")));
    blocker.command = commands.map(|commands| commands.join(" && "));
}

fn place_is_known(served: &Served) -> bool {
    !matches!(served, Served::FileSystem(_, place) if place.path.is_none())
}

fn name(served: &Served) -> String {
    match served {
        Served::FileSystem(device, place) => match &place.path {
            Some(path) => path.display().to_string(),
            None => format!("FUSE connection {device} in another mount namespace"),
        },
        Served::Device(name) => format!("/dev/{name}"),
    }
}

/// Returns the command that takes this down, after the mounts of a device.
fn command(served: &Served, server: &Server, table: &MountTable) -> Option<String> {
    match served {
        Served::FileSystem(_, place) => {
            let path = place.path.as_deref()?;
            let namespace = format!("/proc/{}/ns/mnt", server.pid);
            match place.elsewhere {
                true => command_on(&["umount", "--namespace", &namespace], path),
                false => command_on(&["umount"], path),
            }
        }
        Served::Device(name) => {
            let node = Path::new("/dev").join(name);
            let is_of_device = |source: &Path| source == node || is_partition_of(source, &node);
            let mounts = table.iter().rev().filter(|line| is_of_device(Path::new(&line.source)));
            let unmount = mounts.map(|line| command_on(&["umount"], &line.path));
            let detach = match name.strip_prefix("ublkb") {
                Some(number) => shell_command(["ublk", "del", "-n", number].map(OsStr::new)),
                None => command_on(&["nbd-client", "-d"], &node),
            };
            let commands: Option<Vec<String>> = unmount.chain([detach]).collect();
            commands.map(|commands| commands.join(" && "))
        }
    }
}

/// Returns true for `/dev/nbd0p1` of `/dev/nbd0`.
fn is_partition_of(source: &Path, node: &Path) -> bool {
    let names = source.to_str().zip(node.to_str());
    names.and_then(|(source, node)| source.strip_prefix(node)).is_some_and(|rest| {
        rest.strip_prefix('p').is_some_and(|number| number.parse::<u32>().is_ok())
    })
}
