//! Mount table of one namespace, with an index by mount ID and by mount point.
//!
//! Systems with container engines have thousands of mounts, and each lookup has to cost the same there.

use crate::model::volume::Mount;
use crate::platform::linux::sys::mountinfo::{self, MountInfo};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Lines of a mountinfo file, in their order, with an index.
#[derive(Debug, Default)]
pub struct MountTable {
    lines: Vec<MountInfo>,
    /// Position of the first line with this mount ID.
    by_id: HashMap<u64, usize>,
    /// Positions of the mounts at this mount point.
    by_path: HashMap<PathBuf, Vec<usize>>,
}

impl Deref for MountTable {
    type Target = [MountInfo];

    fn deref(&self) -> &[MountInfo] {
        &self.lines
    }
}

impl MountTable {
    /// Reads the mount table of this process.
    ///
    /// # Errors
    /// Errors of open(2) and read(2) on `/proc/self/mountinfo`.
    pub fn read_self() -> Result<MountTable, Errno> {
        mountinfo::read_self().map(MountTable::new)
    }

    /// Builds the index of these lines.
    pub fn new(lines: Vec<MountInfo>) -> MountTable {
        let mut by_id = HashMap::with_capacity(lines.len());
        let mut by_path: HashMap<PathBuf, Vec<usize>> = HashMap::with_capacity(lines.len());
        for (position, line) in lines.iter().enumerate() {
            by_id.entry(line.id).or_insert(position);
            match by_path.get_mut(&line.path) {
                Some(positions) => positions.push(position),
                None => _ = by_path.insert(line.path.clone(), vec![position]),
            }
        }
        MountTable { lines, by_id, by_path }
    }

    /// Returns the position of the mount with this ID.
    pub fn position(&self, id: u64) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// Returns the mount with this ID.
    pub fn get(&self, id: u64) -> Option<&MountInfo> {
        Some(&self.lines[self.position(id)?])
    }

    /// Returns the mount of a path. That is the longest mount point; of equals, the last.
    pub fn mount_of(&self, path: &Path) -> Option<&MountInfo> {
        let positions = path.ancestors().find_map(|path| self.by_path.get(path))?;
        positions.last().map(|position| &self.lines[*position])
    }

    /// Returns the mounts that hide this one, in the order of the table.
    ///
    /// A mount is hidden by a mount on its root. It is also hidden if one of the mounts between it and the root of
    /// the namespace carries another mount at or above the mount point of the next.
    pub fn covered_by(&self, mount: &MountInfo) -> Vec<&MountInfo> {
        let mut positions: Vec<usize> = self.at_path(&mount.path, mount.id).collect();
        let (mut upper, mut seen) = (mount, HashSet::from([mount.id]));
        while let Some(lower) = self.get(upper.parent)
            && seen.insert(lower.id)
        {
            let ancestors = upper.path.ancestors().flat_map(|path| self.at_path(path, lower.id));
            positions.extend(ancestors.filter(|position| self.lines[*position].id != upper.id));
            upper = lower;
        }
        positions.sort_unstable();
        positions.into_iter().map(|position| &self.lines[position]).collect()
    }

    /// Returns the mounts at this mount point that lie on the mount with this ID.
    fn at_path(&self, path: &Path, parent: u64) -> impl Iterator<Item = usize> {
        let positions = self.by_path.get(path).map_or(&[][..], Vec::as_slice);
        positions.iter().copied().filter(move |position| self.lines[*position].parent == parent)
    }

    /// Converts a mount of this table for the model.
    pub fn to_mount(&self, line: &MountInfo) -> Mount {
        Mount {
            path: line.path.clone(),
            root: PathBuf::from(line.root.clone()),
            file_system: line.file_system.clone(),
            read_only: line.options.split(',').any(|o| o == "ro"),
            id: line.id,
            parent: line.parent,
            covered_by: self.covered_by(line).into_iter().map(|line| line.id).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::sys::mountinfo::parse;
    use proptest::prelude::*;

    fn table(text: &str) -> MountTable {
        MountTable::new(parse(text.as_bytes()))
    }

    #[test]
    fn the_longest_mount_point_holds_a_path_and_names_count_whole() {
        let table = table(
            "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /m rw - ext4 b rw\n3 1 8:3 / /m rw - ext4 c rw\n",
        );
        let mount = |path: &str| table.mount_of(Path::new(path)).map(|line| line.id);
        assert_eq!((mount("/m/x"), mount("/mm/x"), mount("m")), (Some(3), Some(1), None));
    }

    #[test]
    fn a_mount_is_hidden_by_mounts_on_it_or_above_it() {
        let table = table(
            "20 1 8:1 / / rw - ext4 /dev/sda1 rw
30 20 8:17 / /mnt/stick rw - ext4 /dev/sdb1 rw
31 30 8:18 / /mnt/stick/in rw - vfat /dev/sdb2 rw
32 30 0:40 / /mnt/stick rw - tmpfs over rw
33 20 0:41 / /mnt rw - tmpfs above rw
34 33 8:18 / /mnt/stick rw - vfat /dev/sdb2 rw
35 20 0:42 / /mnt/st rw - tmpfs beside rw
",
        );
        let hidden = |id: u64| -> Vec<u64> {
            table.covered_by(table.get(id).unwrap()).iter().map(|line| line.id).collect()
        };
        assert_eq!(hidden(30), [32, 33], "on it, and above it");
        assert_eq!(hidden(31), [32, 33], "as the mount that it lies on");
        assert_eq!(hidden(32), [33]);
        assert_eq!(hidden(34), [0; 0], "the mount below it hides others, not this one");
        assert_eq!(hidden(35), [33]);
        assert_eq!(hidden(20), [0; 0]);
    }

    #[test]
    fn a_cycle_of_mounts_ends() {
        let table = table("1 2 8:1 / /a rw - ext4 a rw\n2 1 8:1 / /b rw - ext4 b rw\n");
        assert!(table.covered_by(&table[0]).is_empty());
    }

    /// Returns a line for a mount of tmpfs.
    fn line(id: u64, parent: u64, path: &str) -> String {
        format!("{id} {parent} 0:{id} / {path} rw - tmpfs t rw\n")
    }

    /// A comparison of each mount with each other one would take hours.
    #[test]
    fn two_hundred_thousand_mounts_cost_a_lookup_each() {
        const COUNT: u64 = 200_000;
        let lines = (2..COUNT).map(|id| line(id, 1, &format!("/mnt/{id}")));
        let table = table(&std::iter::once(line(1, 0, "/")).chain(lines).collect::<String>());
        for mount in table.iter() {
            assert!(table.covered_by(mount).is_empty());
            assert_eq!(table.mount_of(&mount.path.join("file")).unwrap().id, mount.id);
            assert_eq!(table.get(mount.id), Some(mount));
        }
    }

    proptest! {
        #[test]
        fn the_index_gives_the_same_as_a_comparison_of_all_mounts(
            mounts in proptest::collection::vec(
                (1u64..9, 0u64..9, "(/[ab]){1,4}|/"), 1..9,
            ),
            path in "(/[ab]){0,5}",
        ) {
            let table =
                table(&mounts.iter().map(|(id, on, path)| line(*id, *on, path)).collect::<String>());
            let below = table.iter().filter(|line| Path::new(&path).starts_with(&line.path));
            let expected = below.max_by_key(|line| line.path.as_os_str().len());
            prop_assert_eq!(table.mount_of(Path::new(&path)), expected);
            for mount in table.iter() {
                prop_assert_eq!(table.covered_by(mount), compare_all(&table, mount));
            }
        }
    }

    /// Returns the mounts that hide this one, by comparing it with each.
    fn compare_all<'t>(table: &'t MountTable, mount: &'t MountInfo) -> Vec<&'t MountInfo> {
        let mut way = vec![mount];
        while let Some(parent) = table.iter().find(|line| line.id == way[way.len() - 1].parent)
            && !way.iter().any(|line| line.id == parent.id)
        {
            way.push(parent);
        }
        let hides = |line: &&MountInfo| {
            let position = way.iter().position(|on| on.id == line.parent);
            position.is_some_and(|position| match position.checked_sub(1).map(|next| way[next]) {
                Some(next) => next.id != line.id && next.path.starts_with(&line.path),
                None => line.path == mount.path,
            })
        };
        table.iter().filter(hides).collect()
    }
}
