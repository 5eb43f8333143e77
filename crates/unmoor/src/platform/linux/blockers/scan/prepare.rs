//! Preparation of a scan: mount tables, the kernel's lists, and the processes to look at.

use crate::model::blocker::Blocker;
use crate::platform::linux::blockers::kernel_users;
use crate::platform::linux::blockers::mounts::ns_members::{open_processes, processes};
use crate::platform::linux::blockers::mounts::scan::NamespaceWalk;
use crate::platform::linux::blockers::processes::bpf_scan::{self, BpfScan, Devices};
use crate::platform::linux::blockers::processes::sockets::{BoundSockets, Sockets};
use crate::platform::linux::blockers::scan::deadline::ScanDeadline;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::blockers::scan::{Scope, Search, Source, limitations};
use crate::platform::linux::sys::procfs::{Proc, Result, parse};
use std::sync::atomic::Ordering;

/// Smallest number of threads, those of the kernel included, that is worth the programs in the kernel.
///
/// Their preparation costs a millisecond, /proc seventy microseconds for a process with a dozen files and three for a
/// thread of the kernel.
const MIN_THREADS_FOR_BPF: usize = 128;

impl Search {
    /// Reads the mount tables and the kernel's lists, and decides what the processes are scanned for.
    pub(super) fn prepare(&self, deadline: &ScanDeadline) {
        let nodes = kernel_users::nodes_of(&self.drives);
        let mut sockets = BoundSockets::list(deadline);
        let mut walk = NamespaceWalk::begin(&self.proc, &nodes);
        if let (Scope::EveryNamespace, Ok(sockets)) = (self.scope, &mut sockets) {
            self.add_remote(sockets, &mut walk, deadline);
        }
        let few = !self.has_many_processes();
        // A process that this user may not inspect is visible to the kernel alone.
        let listed = few.then(|| open_processes(&self.proc).ok().flatten()).flatten();
        let wanted = listed.is_none() && (!few || self.source == Source::Fastest);
        let kernel = match wanted && limitations::sees_every_process(&self.proc) {
            true => self.ask_kernel(&nodes, &mut walk, &sockets, deadline),
            false => None,
        };
        let (pids, pids_complete) = match (&kernel, listed) {
            (Some(scan), _) if scan.has_mappings => (scan.suspects.keys().copied().collect(), true),
            (_, Some(listed)) => (listed, true),
            _ => processes(&self.proc).map_or((Vec::new(), false), |listed| (listed, true)),
        };
        let _ = self.total.set(pids.len());
        if kernel.is_none() {
            // The mount tables get half of the time, because the processes are the greater part of the answer.
            walk.read_of_processes(&pids, &deadline.half());
        }
        let mut mounts = walk.finish();
        let filter = DeviceFilter::new(&nodes, &mounts);
        let filter = filter.with_own_table(std::mem::take(&mut mounts.own_table));
        let identify = |pid| self.identify(pid);
        let blockers: Vec<Blocker> = match self.scope {
            Scope::Everything | Scope::EveryNamespace => {
                let of = |drive| kernel_users::blockers(drive, &mounts, &filter, identify);
                self.drives.iter().flat_map(of).collect()
            }
            Scope::Open => Vec::new(),
            Scope::Hidden => {
                kernel_users::invisible_users(&self.drives, &mounts, &self.names, identify)
            }
        };
        // The probe of our mounts does not show files that are mapped through a propagated copy of them.
        let is_copied = mounts.drive_mounts.iter().any(|mount| !mount.namespace.is_ours());
        if self.scope == Scope::Hidden && is_copied {
            self.all_maps.store(true, Ordering::Relaxed);
        }
        let mut notes = limitations::limitations(&self.proc, &mounts);
        let filter = match sockets {
            Ok(sockets) => {
                let on_drive = sockets.on(|socket| filter.socket_file(socket));
                filter.with_sockets(on_drive)
            }
            Err(errno) => {
                notes.push(format!("the sockets bound on it could not be listed: {errno}"));
                filter
            }
        };
        {
            // Published before anything slow, so that a timeout loses nothing of it.
            let mut state = self.state();
            state.scan.blockers.extend(blockers);
            state.scan.notes.extend(notes);
            state.mounts_complete = !mounts.timed_out && pids_complete;
        }
        if let (true, [drive]) = (self.scope.is_everything(), &*self.drives) {
            let blockers = kernel_users::kernel_file_blockers(drive, &filter);
            self.state().scan.blockers.extend(blockers);
        }
        if let Some(scan) = kernel {
            let _ = self.suspects.set(scan.suspects);
        }
        let _ = (self.filter.set(filter), self.pids.set(pids));
    }

    /// Adds the sockets of other network namespaces, and mount namespaces that only a descriptor keeps.
    fn add_remote(
        &self,
        sockets: &mut BoundSockets,
        walk: &mut NamespaceWalk<'_>,
        deadline: &ScanDeadline,
    ) {
        let pids = processes(&self.proc).unwrap_or_default();
        sockets.add_other_networks(&self.proc, &pids, deadline);
        walk.add_kept_by_descriptors(&pids, deadline);
    }

    /// Returns true if the programs in the kernel are worth their preparation.
    fn has_many_processes(&self) -> bool {
        match self.source {
            Source::Fastest => thread_count(&self.proc).is_some_and(|n| n >= MIN_THREADS_FOR_BPF),
            #[cfg(test)]
            Source::Kernel => true,
            #[cfg(test)]
            Source::Proc => false,
        }
    }

    /// Asks the kernel which processes may use the drive, where that is allowed.
    ///
    /// Reads the mount namespaces too. What is mounted there may add devices to look for.
    fn ask_kernel(
        &self,
        nodes: &[(u64, usize)],
        walk: &mut NamespaceWalk<'_>,
        sockets: &Result<BoundSockets>,
        deadline: &ScanDeadline,
    ) -> Option<BpfScan> {
        let devices = |walk: &NamespaceWalk<'_>| {
            let filter = DeviceFilter::new(nodes, walk.scan());
            let sockets = sockets.as_ref().ok();
            let on_drive = sockets.map_or_else(Sockets::default, |sockets| {
                let nested = |device| filter.is_nested(device).then_some(0);
                sockets
                    .on(|socket| filter.fs_device(socket.device).or_else(|| nested(socket.device)))
            });
            Devices::of(&filter.with_sockets(on_drive))
        };
        let mut wanted = devices(walk)?;
        loop {
            let scan = bpf_scan::run(&wanted, walk.own_namespace()?, deadline).ok()?;
            walk.read_namespaces(&scan.namespaces, &deadline.half());
            let now = devices(walk)?;
            if now == wanted {
                return Some(scan);
            }
            wanted = now;
        }
    }
}

/// Returns the number of threads, those of the kernel included (proc_loadavg(5)).
fn thread_count(proc: &Proc) -> Option<usize> {
    let mut text = [0; 64];
    let len = proc.read_prefix(c"loadavg", &mut text).ok()?;
    let fourth = text[..len].split(|b| *b == b' ').nth(3)?;
    parse(fourth.split(|b| *b == b'/').nth(1)?)
}
