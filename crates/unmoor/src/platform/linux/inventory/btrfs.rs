//! `/sys/fs/btrfs` (sysfs-fs-btrfs): which devices a mounted file system lies on.

use crate::platform::linux::sys::sysfs::SysfsDir;

/// One device of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `sdb1`, `dm-0`.
    pub name: String,
    /// Its device number.
    pub device: u64,
}

/// The devices of each mounted btrfs that has more than one.
pub fn mounted_over_several() -> Vec<Vec<Member>> {
    let Ok(all) = SysfsDir::open("/sys/fs/btrfs") else { return Vec::new() };
    let file_systems = all.names().unwrap_or_default();
    let members = |uuid: &String| {
        let names = all.names_in(&*format!("{uuid}/devices"));
        names.iter().filter_map(|name| member(name)).collect::<Vec<_>>()
    };
    file_systems.iter().map(members).filter(|members| members.len() > 1).collect()
}

fn member(name: &str) -> Option<Member> {
    let device = SysfsDir::open(format!("/sys/class/block/{name}")).ok()?.device()?;
    Some(Member { name: name.replace('!', "/"), device })
}
