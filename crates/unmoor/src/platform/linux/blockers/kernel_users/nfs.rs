//! NFS exports of the drive, and NFS clients with open files on it.

use crate::model::blocker::{Blocker, BlockerKind, Usage, UsageKind};
use crate::platform::linux::blockers::mounts::scan::MountScan;
use crate::platform::linux::blockers::mounts::types::DeviceIndex;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::blockers::shell_quote::{command_on, shell_command};
use crate::platform::linux::sys::exports::{self, Export};
use crate::platform::linux::sys::nfsd_clients;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

/// Returns a blocker for each export of the drive that the kernel has in use.
pub(super) fn exports<'d>(
    scan: &MountScan,
    filter: &DeviceFilter,
    name: &impl Fn(DeviceIndex) -> &'d str,
) -> Vec<Blocker> {
    let active = exports::active();
    if active.is_empty() {
        return Vec::new();
    }
    let drive_mounts: HashMap<u64, DeviceIndex> =
        scan.drive_mounts.iter().map(|mount| (mount.id, mount.index)).collect();
    let table = exports::table();
    let on_drive = active.iter().filter_map(|export| {
        let index = *drive_mounts.get(&filter.mount_of(&export.path)?)?;
        let description =
            format!("{} is exported over NFS to {}", export.path.display(), export.client);
        let (words, command) = end_export(export, &table);
        Some(
            Blocker::new(BlockerKind::Export, description)
                .with_usage(Usage::new(UsageKind::Kernel, name(index)).at(&export.path))
                .with_remedy(words, command),
        )
    });
    on_drive.collect()
}

/// Returns the words and the command that end an export.
///
/// With the option `crossmnt`, the export of a directory above includes the mounts below it (exports(5)). Only the export
/// that exportfs(8) knows can be ended.
fn end_export(export: &Export, table: &[Export]) -> (String, Option<String>) {
    let includes =
        |known: &&Export| known.client == export.client && export.path.starts_with(&known.path);
    let known = table.iter().filter(includes).max_by_key(|known| known.path.as_os_str().len());
    let words = match known {
        Some(known) if known.path == export.path => "end the export".into(),
        Some(known) => format!("end the export of {}, which includes it", known.path.display()),
        // The kernel keeps an export in its cache after exportfs(8) has ended it.
        None if !table.is_empty() => {
            return ("flush the exports".into(), Some("exportfs -f".into()));
        }
        None => "end the export".into(),
    };
    let mut argument = OsString::from(format!("{}:", export.client));
    argument.push(&known.unwrap_or(export).path);
    let command = command_on(&["exportfs", "-u"], Path::new(&argument));
    (words, command.map(|command| format!("{command} && exportfs -f")))
}

/// Returns a blocker for each NFSv4 client with an open file on the drive.
pub(super) fn clients<'d>(
    filter: &DeviceFilter,
    name: &impl Fn(DeviceIndex) -> &'d str,
) -> Vec<Blocker> {
    let on_drive = nfsd_clients::active().into_iter().filter_map(|client| {
        let mut files: Vec<(DeviceIndex, String)> = client
            .files
            .into_iter()
            .filter_map(|(device, file)| Some((filter.fs_device(device)?, file)))
            .collect();
        files.sort_unstable();
        files.dedup();
        let (first, _) = files.first()?;
        let address = client.address.unwrap_or_else(|| "an NFS client".into());
        let description = format!("{address} has files of {} open over NFS", name(*first));
        let command = shell_command([client.ctl.as_os_str()]);
        let blocker = Blocker::new(BlockerKind::Export, description)
            .with_remedy("expire the client", command.map(|ctl| format!("echo expire >{ctl}")));
        let usage = |(index, file): &(DeviceIndex, String)| {
            Usage::new(UsageKind::Kernel, name(*index)).at(file)
        };
        Some(files.iter().map(usage).fold(blocker, Blocker::with_usage))
    });
    on_drive.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_export_that_exportfs_knows_is_ended() {
        let export = |path: &str, client: &str| Export { path: path.into(), client: client.into() };
        let end = |table: &[Export]| end_export(&export("/mnt/ext", "*"), table).1.unwrap();
        let same = end(&[export("/mnt", "*"), export("/mnt/ext", "*")]);
        assert_eq!(same, "exportfs -u '*:/mnt/ext' && exportfs -f");
        let above = end(&[export("/", "*"), export("/mnt", "*"), export("/mnt/e", "*")]);
        assert_eq!(above, "exportfs -u '*:/mnt' && exportfs -f");
        assert_eq!(end(&[export("/mnt", "10.0.0.1")]), "exportfs -f");
        assert_eq!(end(&[]), same, "without a table of exportfs");
    }
}
