//! Routes: the program or service that takes each part of a drive down, and its permission of polkit.

use crate::model::drive::{Drive, DriveKind};
use crate::model::step::Action;
use crate::model::teardown::{TeardownStep, teardown_order};
use crate::model::volume::{Mount, Volume, VolumeKind};
use crate::platform::linux::sys::fuse::is_fuse;
use crate::platform::linux::sys::mountinfo::MountInfo;
use crate::platform::linux::udisks::mount_owner;

/// Program or service that unmounts a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmounter {
    /// `umount`: fstab lets users do it.
    Umount,
    /// `fusermount3`: a FUSE mount of this user.
    Fusermount,
    /// Filesystem.Unmount of udisks2.
    Udisks,
}

impl Unmounter {
    /// Returns what unmounts this mount, as `lines` (mountinfo), fstab and FUSE say.
    pub fn of(mount: &Mount, lines: &[MountInfo], uid: u32) -> Unmounter {
        let line = lines.iter().find(|line| line.id == mount.id);
        if is_fuse(&mount.file_system) && line.is_some_and(|line| is_own_fuse(line, uid)) {
            return Unmounter::Fusermount;
        }
        match mount_owner::is_user_mount(&mount.path) {
            true => Unmounter::Umount,
            false => Unmounter::Udisks,
        }
    }
}

/// Returns true if this user has mounted the FUSE file system (`user_id`, fuse.rst of the kernel).
fn is_own_fuse(line: &MountInfo, uid: u32) -> bool {
    let own = format!("user_id={uid}");
    line.super_options.split(|&b| b == b',').any(|option| option == own.as_bytes())
}

/// Returns what of this drive only root can take down, in words.
pub fn only_for_root(drive: &Drive) -> Option<String> {
    if drive.kind == DriveKind::Network {
        return Some("the network block device".into());
    }
    teardown_order(drive).iter().find_map(|step| match step {
        TeardownStep::SwapOff(_, path) => Some(format!("the swap on {}", path.display())),
        TeardownStep::Unmount(volume, mount) if volume.kind == VolumeKind::Overlay => {
            Some(format!("the overlay on {}", mount.path.display()))
        }
        TeardownStep::Dismount(volume) => match volume.kind {
            VolumeKind::Lvm => Some(format!("the logical volume {}", volume.name)),
            VolumeKind::Raid => Some(format!("the array {}", volume.name)),
            VolumeKind::Mapping => Some(format!("the mapping {}", volume.name)),
            VolumeKind::Nbd => Some(format!("the network block device {}", volume.name)),
            VolumeKind::Other => Some(format!("the stacked device {}", volume.name)),
            _ => None,
        },
        TeardownStep::Unmount(..) => None,
    })
}

/// Returns true if something of the drive is mounted or set up.
pub fn is_in_use(drive: &Drive) -> bool {
    let level = |volume: &Volume| {
        !matches!(volume.kind, VolumeKind::Disk | VolumeKind::Partition | VolumeKind::Overlay)
    };
    drive.is_mounted() || drive.volumes.iter().any(|v| level(v) || !v.swaps.is_empty())
}

/// Returns true if a level lies on a mounted file system of the drive.
pub fn lies_on_a_mount(drive: &Drive, volume: &Volume) -> bool {
    let mut below: Vec<&Volume> = vec![volume];
    let mut next = 0;
    while let Some(volume) = below.get(next).copied() {
        for parent in volume.parents.iter().filter_map(|name| drive.volume(name)) {
            if !parent.mounts.is_empty() {
                return true;
            }
            if !below.iter().any(|known| known.name == parent.name) {
                below.push(parent);
            }
        }
        next += 1;
    }
    false
}

/// Returns polkit's name of the last action, and what it is in words.
///
/// `None` for one that udisks2 permits to the owner. (data/org.freedesktop.UDisks2.policy.in of udisks2)
pub fn polkit_action(action: Action) -> Option<(&'static str, &'static str)> {
    match action {
        Action::Eject => Some(("org.freedesktop.udisks2.eject-media", "eject it")),
        Action::Stop | Action::PowerOff => {
            Some(("org.freedesktop.udisks2.power-off-drive", "power it off"))
        }
        Action::Detach | Action::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drive::tests::{drive, volume};
    use crate::platform::linux::sys::mountinfo;

    fn with(kind: VolumeKind) -> Drive {
        let mut drive = drive();
        drive.volumes = vec![volume("sdb1", "sdb"), Volume { kind, ..volume("top", "sdb1") }];
        drive
    }

    #[test]
    fn volumes_that_udisks_takes_down_need_no_root() {
        for kind in [VolumeKind::Partition, VolumeKind::Crypt, VolumeKind::Loop, VolumeKind::Fuse] {
            assert_eq!(only_for_root(&with(kind)), None, "{kind:?}");
        }
        use VolumeKind::{Lvm, Mapping, Nbd, Other, Raid};
        for kind in [Lvm, Raid, Mapping, Nbd, Other] {
            assert!(
                only_for_root(&with(kind)).is_some_and(|what| what.contains("top")),
                "{kind:?}"
            );
        }
        let mut swap = with(VolumeKind::Partition);
        swap.volumes[0].swaps.push("/dev/sdb1".into());
        assert_eq!(only_for_root(&swap).as_deref(), Some("the swap on /dev/sdb1"));
    }

    #[test]
    fn an_image_on_the_stick_goes_before_its_file_system_and_a_mapping_after_it() {
        let mut stick = with(VolumeKind::Crypt);
        assert!(!lies_on_a_mount(&stick, &stick.volumes[1]));
        stick.volumes[0].mounts.push(Mount::new("/media/stick", "ext4", 7));
        assert!(lies_on_a_mount(&stick, &stick.volumes[1]));
        // A description made while levels change may hold a cycle.
        stick.volumes[0].mounts.clear();
        stick.volumes[0].parents = vec!["top".into()];
        assert!(!lies_on_a_mount(&stick, &stick.volumes[1]));
    }

    #[test]
    fn only_the_mount_of_this_user_is_left_to_fusermount() {
        let text = b"40 1 0:50 / /home/ann/m rw - fuse.sshfs host: rw,user_id=1000,group_id=1000\n";
        let lines = mountinfo::parse(text);
        let mount = Mount::new("/home/ann/m", "fuse.sshfs", 40);
        assert_eq!(Unmounter::of(&mount, &lines, 1000), Unmounter::Fusermount);
        for uid in [0, 100, 10001] {
            assert_eq!(Unmounter::of(&mount, &lines, uid), Unmounter::Udisks, "{uid}");
        }
    }
}
