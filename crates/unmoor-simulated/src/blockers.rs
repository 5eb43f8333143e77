//! Blockers of a simulated drive.

use crate::state::MachineState;
use std::collections::BTreeMap;
use std::path::PathBuf;
use unmoor::{
    Blocker, BlockerKind, BlockerScan, DriveId, Process, Role, SystemUse, Usage, UsageKind,
};

impl MachineState {
    /// Returns the drive's blockers: processes first, then swap, lock holders and mount namespaces.
    pub fn blockers(&self, id: DriveId) -> BlockerScan {
        let mut by_program: BTreeMap<u32, Vec<Usage>> = BTreeMap::new();
        for handle in self.handles.iter().filter(|h| h.device == id && !h.stale) {
            let path = self.full_path(id, &handle.volume, &handle.path);
            let used = Usage::new(UsageKind::OpenForWriting, handle.volume.as_str()).at(path);
            let mut used = used;
            used.fd = Some(handle.id.0);
            by_program.entry(handle.pid).or_default().push(used);
        }
        let name = self.device(id).map(|d| d.spec.name.clone()).unwrap_or_default();
        let mut readers = Vec::new();
        for (_, pid, writing) in self.raw_handles.iter().filter(|(drive, ..)| *drive == id) {
            let mut used = Usage::new(UsageKind::Device, &*name).at(&*name);
            used.writing = *writing;
            match writing {
                true => by_program.entry(*pid).or_default().push(used),
                false => readers.push(self.program(*pid, vec![used])),
            }
        }
        let mut blockers: Vec<Blocker> =
            by_program.into_iter().map(|(pid, uses)| self.program(pid, uses)).collect();
        for what in self.device(id).into_iter().flat_map(|d| &d.spec.system_uses) {
            if let SystemUse::Swap(_) = what {
                let blocker = Blocker::new(BlockerKind::Swap, what.to_string());
                blockers.push(blocker.with_remedy("switch it off: pass --swapoff", None));
            }
        }
        for volume in self.device(id).into_iter().flat_map(|d| &d.volumes) {
            let name = &volume.spec.name;
            if let Some((_, user)) = volume.busy_until.as_ref().filter(|(t, _)| *t > self.now) {
                let what = format!("{user} is closing its files on {name}");
                let blocker = Blocker::new(BlockerKind::Unknown, what);
                blockers.push(blocker.with_remedy("give it time: pass --wait 10s", None));
            }
            if let Some(owner) = &volume.foreign_namespace {
                let what = format!("{name} is mounted in another mount namespace ({owner})");
                let blocker = Blocker::new(BlockerKind::Namespace, what);
                blockers.push(blocker.with_remedy(format!("stop {owner}"), None));
            }
        }
        let mut scan = BlockerScan::complete(blockers);
        scan.readers = readers;
        scan
    }

    fn program(&self, pid: u32, uses: Vec<Usage>) -> Blocker {
        let program = self.program_of(pid);
        let name = &*program.name;
        let description = match uses.first().and_then(|u| u.path.as_ref()) {
            Some(path) => format!("{name} (pid {pid}) has {} open", path.display()),
            None => format!("{name} (pid {pid})"),
        };
        // The process is not a real one. A command that ends it would hit another process with that pid.
        let command =
            (program.role == Role::Service).then(|| format!("net stop simulated-{pid} /y"));
        let mut blocker = Blocker::new(BlockerKind::Process, description)
            .with_remedy(format!("close the file in {name}"), command);
        let mut process = Process::new(pid, name);
        process.command_line = vec![name.into()];
        process.user = Some("user".into());
        process.started = program.started;
        blocker.process = Some(process);
        blocker.role = program.role;
        blocker.uses = uses;
        blocker
    }

    fn full_path(&self, id: DriveId, volume: &str, path: &std::path::Path) -> PathBuf {
        let mount = self.device(id).and_then(|d| d.volume(volume)?.spec.mounts.first());
        let inside = path.strip_prefix("/").unwrap_or(path);
        mount.map_or_else(|| path.to_path_buf(), |m| m.path.join(inside))
    }
}
