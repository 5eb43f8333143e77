//! Grouping: which drives are released together, which one after the other, and which independently.

use crate::model::drive::Drive;
use crate::model::volume::Mount;

/// Drives that are released together, as indices.
pub(crate) type Group = Vec<usize>;

/// Sorts the drives into independent queues of groups.
///
/// - A **group** has the drives that one volume spans (an array, a volume group, a btrfs), and with
///   `whole_device` the drives of one device. It is released together.
/// - In a **queue**, a drive that is mounted on a directory of another, or whose image lies on it, goes
///   before it.
///
/// Otherwise drives keep their order.
pub(crate) fn order_groups(drives: &[&Drive], whole_device: bool) -> Vec<Vec<Group>> {
    let are_siblings =
        |a: &Drive, b: &Drive| a.siblings.contains(&b.name) || b.siblings.contains(&a.name);
    let stacks = connected_components(drives.len(), |a, b| {
        let (a, b) = (drives[a], drives[b]);
        shares_stack(a, b) || (whole_device && are_siblings(a, b))
    });
    let above = |high: &Group, low: &Group| {
        high.iter().any(|h| low.iter().any(|l| h != l && depends_on(drives[*h], drives[*l])))
    };
    let queues = connected_components(stacks.len(), |a, b| {
        above(&stacks[a], &stacks[b]) || above(&stacks[b], &stacks[a])
    });
    queues
        .into_iter()
        .map(|queue| {
            let mut left: Vec<Group> = queue.into_iter().map(|n| stacks[n].clone()).collect();
            let mut ordered = Vec::new();
            while !left.is_empty() {
                let free = (0..left.len()).find(|at| {
                    let others = left.iter().enumerate().filter(|(other, _)| other != at);
                    !others.into_iter().any(|(_, other)| above(other, &left[*at]))
                });
                // If two drives are each mounted on the other, no order is right.
                ordered.push(left.remove(free.unwrap_or(0)));
            }
            ordered
        })
        .collect()
}

/// Returns true if one volume lies on both drives.
fn shares_stack(a: &Drive, b: &Drive) -> bool {
    // An image on a drive is a drive of its own, and goes first.
    if depends_on(a, b) || depends_on(b, a) {
        return false;
    }
    let part_of =
        |drive: &Drive, name: &String| drive.name == *name || drive.volume(name).is_some();
    let reaches = |from: &Drive, to: &Drive| {
        from.volumes.iter().any(|volume| {
            to.volume(&volume.name).is_some()
                || volume.parents.iter().chain(&volume.other_members).any(|name| part_of(to, name))
        })
    };
    reaches(a, b) || reaches(b, a)
}

/// Returns true if `high` is mounted on a directory or a mount of `low`, or is an image on it.
fn depends_on(high: &Drive, low: &Drive) -> bool {
    let has = |drive: &Drive, id: u64| mounts(drive).any(|mount| mount.id == id);
    let hidden = |id: u64| mounts(low).any(|mount| mount.covered_by.contains(&id));
    low.volume(&high.name).is_some()
        || mounts(high).any(|mount| {
            let parent = mount.parent;
            // A mount that both have in common lies on neither.
            let lies_on = parent != 0 && has(low, parent) && !has(high, parent);
            (hidden(mount.id) || lies_on) && !has(low, mount.id)
        })
}

fn mounts(drive: &Drive) -> impl Iterator<Item = &Mount> {
    drive.volumes.iter().flat_map(|volume| &volume.mounts)
}

/// Returns the numbers from 0 to `count` in groups that `related` connects, which is symmetric.
fn connected_components(count: usize, related: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for number in 0..count {
        let touches = |group: &Vec<usize>| group.iter().any(|other| related(*other, number));
        let (mut mine, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(touches);
        groups = others;
        let mut group: Vec<usize> = mine.drain(..).flatten().collect();
        group.push(number);
        group.sort_unstable();
        groups.push(group);
    }
    groups.sort_unstable();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::volume::Volume;
    use crate::model::volume::VolumeKind;

    fn drive(name: &str, volumes: Vec<Volume>) -> Drive {
        Drive { name: name.into(), volumes, ..crate::model::drive::tests::drive() }
    }

    fn volume(name: &str, on: &[&str], mounts: &[(u64, u64)]) -> Volume {
        Volume {
            name: name.into(),
            path: name.into(),
            device: 0,
            generation: 0,
            kind: VolumeKind::Partition,
            parents: on.iter().map(ToString::to_string).collect(),
            other_members: Vec::new(),
            servers: Vec::new(),
            swaps: Vec::new(),
            label: None,
            uuid: None,
            file_system: None,
            size: None,
            read_only: false,
            unwritten: None,
            mounts: mounts
                .iter()
                .map(|&(id, parent)| Mount {
                    path: format!("/{id}").into(),
                    root: "/".into(),
                    file_system: "ext4".into(),
                    read_only: false,
                    id,
                    parent,
                    covered_by: Vec::new(),
                })
                .collect(),
        }
    }

    fn arranged(drives: &[Drive], whole_device: bool) -> Vec<Vec<Group>> {
        order_groups(&drives.iter().collect::<Vec<_>>(), whole_device)
    }

    #[test]
    fn drives_by_themselves_have_nothing_to_do_with_each_other() {
        let a = drive("sdb", vec![volume("sdb1", &["sdb"], &[(10, 1)])]);
        let b = drive("sdc", vec![volume("sdc1", &["sdc"], &[(11, 1)])]);
        assert_eq!(arranged(&[a, b], true), [[[0]], [[1]]]);
    }

    #[test]
    fn members_of_one_array_are_one_stack() {
        let member = |name: &str| {
            let md = volume("md0", &["sdb", "sdc"], &[(10, 1)]);
            drive(name, vec![volume(name, &[name], &[]), md])
        };
        let other = drive("sdd", vec![]);
        assert_eq!(
            arranged(&[member("sdc"), other, member("sdb")], false),
            [vec![vec![0, 2]], vec![vec![1]]]
        );
    }

    #[test]
    fn a_file_system_over_two_drives_makes_them_one_stack() {
        let mut a = volume("sdb1", &["sdb"], &[(10, 1)]);
        a.other_members = vec!["sdc1".into()];
        let mut b = volume("sdc1", &["sdc"], &[(10, 1)]);
        b.other_members = vec!["sdb1".into()];
        assert_eq!(arranged(&[drive("sdb", vec![a]), drive("sdc", vec![b])], false), [[[0, 1]]]);
    }

    #[test]
    fn a_drive_mounted_on_another_is_released_before_it() {
        let low = drive("sdb", vec![volume("sdb1", &["sdb"], &[(10, 1)])]);
        let high = drive("sdc", vec![volume("sdc1", &["sdc"], &[(11, 10)])]);
        assert_eq!(arranged(&[low.clone(), high.clone()], false), [[[1], [0]]]);
        assert_eq!(arranged(&[high, low], false), [[[0], [1]]]);
    }

    #[test]
    fn an_image_goes_before_the_drive_that_it_lies_on() {
        let stick = drive(
            "sdb",
            vec![volume("sdb1", &["sdb"], &[(10, 1)]), volume("loop7", &["sdb1"], &[(11, 1)])],
        );
        let image = drive("loop7", vec![volume("loop7", &["loop7"], &[(11, 1)])]);
        assert_eq!(arranged(&[stick, image], false), [[[1], [0]]]);
    }

    #[test]
    fn slots_of_one_device_are_one_stack_only_when_the_device_leaves() {
        let slot = |name: &str, other: &str| Drive {
            siblings: vec![other.into()],
            ..drive(name, vec![volume(&format!("{name}1"), &[name], &[])])
        };
        let slots = [slot("sdb", "sdc"), slot("sdc", "sdb")];
        assert_eq!(arranged(&slots, true), [[[0, 1]]]);
        assert_eq!(arranged(&slots, false), [[[0]], [[1]]]);
    }

    #[test]
    fn drives_mounted_on_each_other_are_each_arranged_once() {
        let a = drive("sdb", vec![volume("sdb1", &["sdb"], &[(10, 1), (12, 11)])]);
        let b = drive("sdc", vec![volume("sdc1", &["sdc"], &[(11, 10)])]);
        assert_eq!(arranged(&[a, b], false), [[[0], [1]]]);
    }
}
