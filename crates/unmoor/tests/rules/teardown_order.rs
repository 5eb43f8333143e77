//! The order in which a stack is taken down, on random graphs.

use crate::run::target;
use crate::scenario::cases;
use proptest::prelude::*;
use std::collections::BTreeMap;
use unmoor::platform::Platform;
use unmoor::{Drive, Mount, TeardownStep, Volume, VolumeKind, teardown_order};
use unmoor_simulated::{DriveSetup, Semantics, Simulated};

/// A drive whose volumes lie on some of the volumes before them, and whose mounts lie on some of the
/// mounts before them, listed in any order.
fn graph() -> impl Strategy<Value = Drive> {
    let volume = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 0..3),
    );
    let volumes = prop::collection::vec(volume, 0..7);
    (volumes, any::<u64>()).prop_map(|(volumes, seed)| {
        let mut made: Vec<Volume> = Vec::new();
        let mut ids: Vec<u64> = Vec::new();
        for (n, (on, mounts)) in volumes.iter().enumerate() {
            let below = |index: &prop::sample::Index| match made.is_empty() {
                true => "sim:it".to_string(),
                false => made[index.index(made.len())].name.clone(),
            };
            let on = on.iter().map(below).collect();
            let mut here = Vec::new();
            for parent in mounts {
                let parent = match parent {
                    Some(index) if !ids.is_empty() => ids[index.index(ids.len())],
                    _ => 1,
                };
                let id = 10 + ids.len() as u64;
                ids.push(id);
                here.push(mount(id, parent));
            }
            made.push(volume_of(&format!("v{n}"), on, here));
        }
        shuffle(&mut made, seed);
        let machine = Simulated::new(Semantics::Linux);
        machine.plug(&DriveSetup::stick("it"));
        let mut drive = machine.resolve(&target()).unwrap();
        drive.volumes = made;
        drive
    })
}

fn mount(id: u64, parent: u64) -> Mount {
    let mut mount = Mount::new(format!("/{id}"), "ext4", id);
    mount.parent = parent;
    mount
}

fn volume_of(name: &str, on: Vec<String>, mounts: Vec<Mount>) -> Volume {
    let mut volume = Volume::new(name, name, VolumeKind::Mapping);
    volume.parents = on;
    volume.mounts = mounts;
    volume
}

/// Any order, by a small generator of its own.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for last in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, (seed >> 33) as usize % (last + 1));
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn everything_is_taken_down_once_and_after_what_lies_on_it(drive in graph()) {
        let mut place: BTreeMap<String, usize> = BTreeMap::new();
        for (n, undo) in teardown_order(&drive).iter().enumerate() {
            let name = match undo {
                TeardownStep::Unmount(volume, mount) => {
                    prop_assert!(volume.mounts.contains(mount));
                    mount.id.to_string()
                }
                TeardownStep::Dismount(volume) => volume.name.clone(),
                other => unreachable!("nothing here swaps: {other:?}"),
            };
            prop_assert_eq!(place.insert(name, n), None, "undone twice");
        }
        let all: usize = drive.volumes.iter().map(|v| 1 + v.mounts.len()).sum();
        prop_assert_eq!(place.len(), all);
        for volume in &drive.volumes {
            let own = place[&volume.name];
            for mount in &volume.mounts {
                prop_assert!(place[&mount.id.to_string()] < own, "a volume before its mount");
                if let Some(parent) = place.get(&mount.parent.to_string()) {
                    prop_assert!(place[&mount.id.to_string()] < *parent, "below a mount");
                }
            }
            for below in volume.parents.iter().filter_map(|name| drive.volume(name)) {
                prop_assert!(own < place[&below.name], "below a volume");
                for mount in &below.mounts {
                    prop_assert!(own < place[&mount.id.to_string()], "below a loop device");
                }
            }
        }
    }
}
