//! Volumes that programs serve from files or devices of a drive: FUSE file systems and nbd devices.

use crate::model::drive::Drive;
use crate::model::volume::{Volume, VolumeKind};
use crate::platform::linux::inventory::servers::{Served, Server, is_of_the_desktop};
use crate::platform::linux::inventory::snapshot::{Snapshot, volume_of_mount};
use crate::platform::linux::sys::mountinfo::MountInfo;

/// A served volume, and the volumes of the drive that its server has open.
pub struct ServedVolume<'s> {
    /// The file system or device.
    pub served: &'s Served,
    /// Names of the volumes.
    pub parents: Vec<String>,
}

/// Returns a volume served from this drive that is not described yet.
pub fn next<'s>(snapshot: &'s Snapshot, drive: &Drive) -> Option<ServedVolume<'s>> {
    snapshot.servers.iter().find_map(|server| {
        let parents = volumes_below(snapshot, drive, server);
        let is_new = |served: &&Served| match served {
            Served::FileSystem(device, _) => is_on_no_drive(snapshot, drive, *device),
            Served::Device(name) => *name != drive.name && drive.volume(name).is_none(),
        };
        let served = server.serves.iter().filter(|s| server.is_level(s)).find(is_new)?;
        (!parents.is_empty()).then_some(ServedVolume { served, parents })
    })
}

/// Returns true if the file system is none of the drive's own, and none of the desktop's.
fn is_on_no_drive(snapshot: &Snapshot, drive: &Drive, device: u64) -> bool {
    let line = snapshot.mounts.iter().find(|line| line.device == device);
    device >> 32 == 0
        && drive.volumes.iter().all(|volume| volume.device != device)
        && line.is_some_and(|line| !is_of_the_desktop(&line.file_system))
}

/// Returns the names of the volumes that the program has files of, or itself, open.
fn volumes_below(snapshot: &Snapshot, drive: &Drive, server: &Server) -> Vec<String> {
    let mounts = server.open_mounts.iter().filter_map(|id| snapshot.behind_mount(*id));
    let on: Vec<u64> = mounts.chain(server.open_devices.iter().copied()).collect();
    let volumes = drive.volumes.iter().filter(|volume| on.contains(&volume.device));
    let mut names: Vec<String> = volumes.map(|volume| volume.name.clone()).collect();
    let whole = drive.volume(&drive.name).is_none() && on.contains(&drive.id.device);
    names.extend(whole.then(|| drive.name.clone()));
    names
}

/// Adds the programs that serve the mounts of the drive's own volumes (`fuseblk`).
pub fn add_servers_of_own_mounts(snapshot: &Snapshot, drive: &mut Drive) {
    for volume in drive.volumes.iter_mut().filter(|volume| volume.device >> 32 != 0) {
        let of_volume = |served: &Served| match served {
            Served::FileSystem(device, _) => *device == volume.device,
            Served::Device(_) => false,
        };
        let serving = snapshot.servers.iter().filter(|server| server.serves.iter().any(of_volume));
        let has_it_open = serving.filter(|server| server.open_devices.contains(&volume.device));
        volume.servers.extend(has_it_open.map(|server| server.pid));
    }
}

/// Returns the volume of a FUSE file system.
pub fn fuse_volume(snapshot: &Snapshot, device: u64, parents: Vec<String>) -> Option<Volume> {
    let line: &MountInfo = snapshot.mounts.iter().find(|line| line.device == device)?;
    Some(volume_of_mount(line, VolumeKind::Fuse, parents, snapshot.mounts_of(device)))
}
