//! Programs that carry a file system or a block device: servers of FUSE, nbd and ublk.
//!
//! What such a program serves is lost with it. Before Linux 6.17 the kernel does not tell which FUSE file system a
//! program serves. Then the mount point in its command line decides, else the type of the mount (`fuse.NAME`), else
//! what no other program serves.

mod command_line;
mod open_files;

use crate::platform::linux::inventory::servers::command_line::words_of;
use crate::platform::linux::inventory::servers::open_files::OpenFiles;
use crate::platform::linux::sys::fuse;
use crate::platform::linux::sys::mount_table::MountTable;
use crate::platform::linux::sys::mountinfo::{self, MountInfo};
use crate::platform::linux::sys::nbd;
use crate::platform::linux::sys::procfs::{Proc, Task, namespace_number};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Timeout for the search. A process whose memory is locked does not show its command line.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(2);

/// File systems of the desktop that carry more than one drive: gvfsd-fuse(1), xdg-document-portal(1).
const OF_THE_DESKTOP: [&str; 2] = ["fuse.gvfsd-fuse", "fuse.portal"];

/// Something that a program carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// A FUSE file system: its device number, and where it is mounted.
    FileSystem(u64, FusePlace),
    /// A block device: `nbd0`, `ublkb0`.
    Device(String),
}

/// Mount point of a FUSE file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FusePlace {
    /// Mount point; `None` if neither the program nor this process sees it.
    pub path: Option<PathBuf>,
    /// True if it is not in the mount namespace of this process.
    pub elsewhere: bool,
}

/// A program that serves something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Process ID.
    pub pid: u32,
    /// File systems and devices that it serves.
    pub serves: Vec<Served>,
    /// False if it may serve only some of that.
    pub certain: bool,
    /// Mounts that its open files and its working directory are on.
    pub open_mounts: Vec<u64>,
    /// Block devices that it has open.
    pub open_devices: Vec<u64>,
}

/// FUSE file systems and nbd devices of this machine.
struct ServedThings {
    /// FUSE mounts of this namespace, one for each file system.
    mounts: Vec<MountInfo>,
    /// Device numbers of all FUSE file systems, if the kernel tells.
    connections: Option<Vec<u64>>,
    /// Connected nbd devices, with their threads.
    nbds: Vec<(String, u32)>,
    namespace: Option<u64>,
}

/// A program with `/dev/fuse` open, and what is known of the file systems that it serves.
struct Candidate {
    server: Server,
    has_fuse: bool,
    /// File systems that the kernel names.
    exact: Vec<u64>,
    /// Those whose mount point is in its command line.
    by_path: Vec<u64>,
    /// Those whose type or source bears its name.
    by_name: Vec<u64>,
    /// FUSE mounts of its own namespace, if that is not this one.
    own_mounts: Vec<MountInfo>,
}

/// Finds the servers of nbd devices and of the FUSE mounts of this namespace.
///
/// Returns none if that takes too long.
pub fn find_all(table: &MountTable) -> Vec<Server> {
    let things = ServedThings::read(table);
    if things.mounts.iter().all(|mount| is_of_the_desktop(&mount.file_system))
        && things.nbds.is_empty()
    {
        return Vec::new();
    }
    search(move || things.all_servers()).unwrap_or_default()
}

/// Returns what these processes serve, or may serve.
///
/// `None` if that could not be found out in time.
pub fn find_among(table: &MountTable, pids: Vec<u32>) -> Option<Vec<Server>> {
    let things = ServedThings::read(table);
    match things.is_empty() || pids.is_empty() {
        true => Some(Vec::new()),
        false => search(move || things.servers_among(pids)),
    }
}

/// Runs a search on a thread that is left behind when it hangs.
fn search<T: Send + 'static>(find: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tx, rx) = channel();
    let thread = std::thread::Builder::new().spawn(move || {
        let _ = tx.send(find());
    });
    thread.ok().and_then(|_| rx.recv_timeout(SEARCH_TIMEOUT).ok())
}

/// Returns true if a program of this machine may serve something.
pub fn may_exist(table: &MountTable) -> bool {
    !ServedThings::read(table).is_empty()
}

/// Returns true if the process has one of these mounts or devices open.
pub fn has_open(pid: u32, mounts: &[u64], devices: &[u64]) -> bool {
    let mut open = OpenFiles::default();
    let Ok(task) = Proc::open().and_then(|proc| proc.task(pid)) else { return false };
    open.read(&task).is_some()
        && (open.mounts.iter().any(|mount| mounts.contains(mount))
            || open.devices.iter().any(|device| devices.contains(device)))
}

impl Server {
    /// Returns true if a release may unmount or disconnect what the program serves.
    pub fn is_level(&self, served: &Served) -> bool {
        let here = match served {
            Served::FileSystem(_, place) => place.path.is_some() && !place.elsewhere,
            Served::Device(name) => name.starts_with("nbd"),
        };
        self.certain && here
    }
}

impl ServedThings {
    fn read(table: &MountTable) -> ServedThings {
        let is_shown = table.iter().any(|line| line.file_system == "fusectl");
        ServedThings {
            mounts: fuse_mounts(table),
            connections: is_shown.then(fuse::connections).flatten(),
            nbds: nbd::connected(),
            namespace: own_namespace(),
        }
    }

    fn is_empty(&self) -> bool {
        let loaded = |path| Path::new(path).exists();
        let fuse = match &self.connections {
            Some(connections) => !connections.is_empty(),
            None => loaded("/sys/fs/fuse"),
        };
        self.mounts.is_empty() && !fuse && self.nbds.is_empty() && !loaded("/sys/class/ublk-char")
    }

    /// Looks at the processes that bear the name or the mount point of a mount, then at all if that is not enough.
    ///
    /// One file of each process is read so, instead of a link for each of its descriptors.
    fn all_servers(&self) -> Vec<Server> {
        let Ok(proc) = Proc::open() else { return Vec::new() };
        let mut pids = Vec::new();
        let _ = proc.pids(|pid| pids.push(pid));
        let is_nbd = |pid: u32| self.nbds.iter().any(|(_, thread)| is_thread_of(*thread, pid));
        let is_likely = |pid: &u32| {
            let words = proc.task(*pid).map(|task| words_of(&task));
            is_nbd(*pid) || words.is_ok_and(|words| self.mounts.iter().any(|m| words.fit(m)))
        };
        let (likely, others): (Vec<u32>, Vec<u32>) = pids.into_iter().partition(is_likely);
        let read = |pids: Vec<u32>| pids.into_iter().filter_map(|pid| self.candidate(&proc, pid));
        let mut candidates: Vec<Candidate> = read(likely).collect();
        let is_found = |mount: &MountInfo| {
            is_of_the_desktop(&mount.file_system)
                || candidates.iter().any(|candidate| candidate.serves(mount.device))
        };
        if !self.mounts.iter().all(is_found) {
            candidates.extend(read(others));
        }
        (0..candidates.len()).filter_map(|at| self.server(&candidates, at)).collect()
    }

    fn servers_among(&self, pids: Vec<u32>) -> Vec<Server> {
        let Ok(proc) = Proc::open() else { return Vec::new() };
        let read = pids.into_iter().filter_map(|pid| self.candidate(&proc, pid));
        let candidates: Vec<Candidate> = read.collect();
        (0..candidates.len()).filter_map(|at| self.server(&candidates, at)).collect()
    }

    /// Reads the descriptors of a process.
    fn candidate(&self, proc: &Proc, pid: u32) -> Option<Candidate> {
        let task = proc.task(pid).ok()?;
        let mut open = OpenFiles::default();
        open.read(&task)?;
        let nbds = self.nbds.iter().filter(|(_, thread)| is_thread_of(*thread, pid));
        let mut devices: Vec<String> = nbds.map(|(name, _)| name.clone()).collect();
        let mut certain = true;
        devices.extend(open.ublk.iter().cloned());
        if devices.is_empty() && open.has_socket {
            devices.extend(self.nbds_without_server());
            certain = devices.is_empty();
        }
        if !open.has_fuse && devices.is_empty() {
            return None;
        }
        open.add_working_directory(&task);
        let serves = devices.into_iter().map(Served::Device).collect();
        let OpenFiles { mounts: open_mounts, devices: open_devices, has_fuse, exact, .. } = open;
        let server = Server { pid, serves, certain, open_mounts, open_devices };
        let own_mounts = self.mounts_of_its_namespace(&task, pid);
        let (mut by_path, mut by_name) = (Vec::new(), Vec::new());
        if has_fuse {
            let words = words_of(&task);
            for mount in self.mounts.iter().chain(&own_mounts) {
                if words.name_mount_point(mount) {
                    by_path.push(mount.device);
                }
                if words.is_name_of(mount) {
                    by_name.push(mount.device);
                }
            }
        }
        Some(Candidate { server, has_fuse, exact, by_path, by_name, own_mounts })
    }

    /// Returns the devices that are connected to a server which the kernel does not name.
    fn nbds_without_server(&self) -> impl Iterator<Item = String> + '_ {
        // `nbd-client` carries a connection to another program.
        let is_unnamed = |thread: u32| {
            let comm = std::fs::read(format!("/proc/{thread}/comm")).unwrap_or_default();
            comm.is_empty() || comm.starts_with(b"nbd-client")
        };
        self.nbds
            .iter()
            .filter(move |(_, thread)| is_unnamed(*thread))
            .map(|(name, _)| name.clone())
    }

    fn mounts_of_its_namespace(&self, task: &Task, pid: u32) -> Vec<MountInfo> {
        let mut text = Vec::new();
        let namespace = task.link(c"ns/mnt", &mut text).ok().and_then(|()| namespace_number(&text));
        if namespace.is_none() || namespace == self.namespace {
            return Vec::new();
        }
        let table = std::fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        fuse_mounts(&MountTable::new(mountinfo::parse(&table)))
    }

    /// Decides what the candidate at this position serves.
    fn server(&self, candidates: &[Candidate], at: usize) -> Option<Server> {
        let candidate = &candidates[at];
        let mut server = candidate.server.clone();
        if candidate.has_fuse {
            let (systems, certain) = self.file_systems_of(candidates, at);
            server.certain &= certain;
            server.serves.extend(
                systems
                    .into_iter()
                    .map(|device| Served::FileSystem(device, self.place(candidate, device))),
            );
        }
        (!server.serves.is_empty()).then_some(server)
    }

    /// Returns the file systems that a candidate serves or may serve, and whether that is certain.
    fn file_systems_of(&self, candidates: &[Candidate], at: usize) -> (Vec<u64>, bool) {
        let candidate = &candidates[at];
        if !candidate.exact.is_empty() {
            return (candidate.exact.clone(), true);
        }
        if !candidate.by_path.is_empty() {
            return (sorted(candidate.by_path.clone()), true);
        }
        // Not those that other programs serve.
        let others = || candidates.iter().enumerate().filter(|(other, _)| *other != at);
        let claimed_by_path = |device: &u64| {
            others().any(|(_, o)| o.exact.contains(device) || o.by_path.contains(device))
        };
        let by_name: Vec<u64> =
            candidate.by_name.iter().copied().filter(|d| !claimed_by_path(d)).collect();
        if !by_name.is_empty() {
            let by_name = sorted(by_name);
            let alone = others().all(|(_, o)| o.by_name.iter().all(|d| !by_name.contains(d)));
            return (by_name.clone(), by_name.len() == 1 || alone);
        }
        let here = self.mounts.iter().map(|mount| mount.device);
        let own = candidate.own_mounts.iter().map(|mount| mount.device);
        let known: Vec<u64> = here.chain(own).collect();
        let all = self.connections.clone().unwrap_or_default().into_iter().chain(known.clone());
        let claimed = |device: &u64| {
            claimed_by_path(device) || others().any(|(_, o)| o.by_name.contains(device))
        };
        let rest = sorted(all.filter(|device| !claimed(device)).collect());
        let certain = rest.len() == 1 && self.connections.is_some() && known.contains(&rest[0]);
        (rest, certain)
    }

    fn place(&self, candidate: &Candidate, device: u64) -> FusePlace {
        let find = |mounts: &[MountInfo]| {
            mounts.iter().find(|mount| mount.device == device).map(|mount| mount.path.clone())
        };
        match find(&self.mounts) {
            Some(path) => FusePlace { path: Some(path), elsewhere: false },
            None => FusePlace { path: find(&candidate.own_mounts), elsewhere: true },
        }
    }
}

impl Candidate {
    /// Returns true if something tells that it serves the file system with this device number.
    fn serves(&self, device: u64) -> bool {
        self.has_fuse
            && [&self.exact, &self.by_path, &self.by_name].iter().any(|all| all.contains(&device))
    }
}

/// Returns the FUSE mounts of a table, one for each file system.
fn fuse_mounts(table: &MountTable) -> Vec<MountInfo> {
    let mut found: Vec<MountInfo> = Vec::new();
    for line in table.iter().filter(|line| fuse::is_fuse(&line.file_system)) {
        if !found.iter().any(|known| known.device == line.device) {
            found.push(line.clone());
        }
    }
    found
}

/// Returns true if this file system of the desktop is never unmounted for one drive.
pub fn is_of_the_desktop(file_system: &str) -> bool {
    OF_THE_DESKTOP.contains(&file_system)
}

fn own_namespace() -> Option<u64> {
    let mut text = Vec::new();
    Proc::open().ok()?.link(c"self/ns/mnt", &mut text).ok()?;
    namespace_number(&text)
}

fn is_thread_of(thread: u32, pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/task/{thread}")).exists()
}

fn sorted(mut devices: Vec<u64>) -> Vec<u64> {
    devices.sort_unstable();
    devices.dedup();
    devices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::inventory::servers::command_line::Words;

    fn mount(device: u64, path: &str, file_system: &str) -> MountInfo {
        let line = format!("{device} 1 0:{device} / {path} rw - {file_system} source rw\n");
        mountinfo::parse(line.as_bytes()).remove(0)
    }

    fn machine(mounts: &[MountInfo], connections: Option<&[u64]>) -> ServedThings {
        ServedThings {
            mounts: mounts.to_vec(),
            connections: connections.map(<[u64]>::to_vec),
            nbds: Vec::new(),
            namespace: None,
        }
    }

    /// Returns a program with this command line, as it is recognised among the mounts.
    fn program(pid: u32, command: &str, mounts: &[MountInfo]) -> Candidate {
        let command: Vec<Vec<u8>> = command.split(' ').map(|word| word.into()).collect();
        let words = Words { name: command[0].clone(), command };
        let devices = |fits: &dyn Fn(&MountInfo) -> bool| {
            mounts.iter().filter(|mount| fits(mount)).map(|mount| mount.device).collect()
        };
        let server = Server {
            pid,
            serves: Vec::new(),
            certain: true,
            open_mounts: Vec::new(),
            open_devices: Vec::new(),
        };
        Candidate {
            server,
            has_fuse: true,
            exact: Vec::new(),
            by_path: devices(&|mount| words.name_mount_point(mount)),
            by_name: devices(&|mount| words.is_name_of(mount)),
            own_mounts: Vec::new(),
        }
    }

    fn served(things: &ServedThings, candidates: &[Candidate], at: usize) -> (Vec<u64>, bool) {
        things.file_systems_of(candidates, at)
    }

    #[test]
    fn the_mount_point_in_the_command_line_decides_before_the_name() {
        let mounts = [mount(40, "/mnt/a", "fuse.ntfs"), mount(41, "/mnt/b", "fuse.ntfs")];
        let it = machine(&mounts, None);
        let both = [program(7, "ntfs img /mnt/b", &mounts), program(8, "ntfs img a", &mounts)];
        assert_eq!(served(&it, &both, 0), (vec![41], true));
        assert_eq!(served(&it, &both, 1), (vec![40], true));
    }

    #[test]
    fn the_kernel_decides_where_it_tells() {
        let mounts = [mount(40, "/mnt/a", "fuse.x"), mount(41, "/mnt/b", "fuse.x")];
        let mut one = program(7, "x /mnt/a", &mounts);
        one.exact = vec![41];
        assert_eq!(served(&machine(&mounts, None), &[one], 0), (vec![41], true));
    }

    #[test]
    fn two_programs_of_the_name_of_a_mount_may_both_serve_it() {
        let mounts = [mount(40, "/tmp/aux1", "fuse.vc"), mount(41, "/tmp/aux2", "fuse.vc")];
        let both = [program(7, "vc one", &mounts), program(8, "vc two", &mounts)];
        assert_eq!(served(&machine(&mounts, None), &both, 0), (vec![40, 41], false));
        assert_eq!(served(&machine(&mounts, None), &both[..1], 0), (vec![40, 41], true));
    }

    #[test]
    fn the_rest_is_certain_only_if_no_connection_is_elsewhere() {
        let mounts = [mount(40, "/mnt/a", "fuse.x"), mount(41, "/mnt/b", "fuse.y")];
        let both = [program(7, "x", &mounts), program(8, "other", &mounts)];
        assert_eq!(served(&machine(&mounts, Some(&[40, 41])), &both, 1), (vec![41], true));
        assert_eq!(served(&machine(&mounts, Some(&[40, 41, 42])), &both, 1), (vec![41, 42], false));
        assert_eq!(served(&machine(&mounts, None), &both, 1), (vec![41], false));
    }

    #[test]
    fn a_mount_of_the_desktop_is_no_level() {
        assert!(is_of_the_desktop("fuse.portal") && !is_of_the_desktop("fuse.veracrypt"));
    }
}
