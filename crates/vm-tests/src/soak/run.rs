//! Cycles of one medium.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cycle::{BACKGROUND_WRITERS, Cycle, Kind, Medium, Release, Stack, TargetName};
use super::stack::{self, Nodes, Volume};
use super::writer::{Comparison, Workload};
use crate::test_context::{TestContext, words};
use unmoor_rig::drives::{Drive, STICK};
use unmoor_rig::guest::Job;
use unmoor_rig::machine::Machine;
use unmoor_rig::media::{self, MIB, Partition};
use unmoor_rig::write_log;

/// Timeout of all cycles of a medium, which take less than a fifth of it.
pub const DEADLINE: Duration = Duration::from_secs(900);

/// Returns the size of the image, which is sparse.
fn size(stack: Stack) -> u64 {
    // btrfs makes no room for two copies, or two halves, in less.
    if stack == Stack::Btrfs { 256 * MIB } else { 128 * MIB }
}

const SOAK_STICK: Drive = Drive {
    id: "soak",
    device: "usb-storage,bus=xhci.0,port=3,removable=on,serial=RIGSOAK1",
    medium: None,
    sysfs_parts: &["0000:00:12.0", "-3:1.0"],
    ..STICK
};
const SOAK_DISK: Drive =
    Drive { device: "usb-storage,bus=xhci.0,port=3,removable=off,serial=RIGSOAK2", ..SOAK_STICK };
const SOAK_SCSI: Drive = Drive {
    device: "scsi-hd,bus=scsi0.0,scsi-id=4,lun=0,removable=on,serial=RIGSOAK3",
    sysfs_parts: &["0000:00:10.0", ":0:4:0/"],
    ..SOAK_STICK
};
fn drive(kind: Kind) -> &'static Drive {
    match kind {
        Kind::Stick => &SOAK_STICK,
        Kind::Disk => &SOAK_DISK,
        Kind::Scsi => &SOAK_SCSI,
    }
}

/// Result of a cycle.
#[derive(Debug, Default)]
pub struct Outcome {
    pub found: Comparison,
    /// Output of the checkers, by file system; empty if clean.
    pub checks: Vec<(&'static str, String)>,
    /// Number of writes that were not flushed when the command returned.
    pub unflushed: usize,
    /// Writes after the command had returned: first sector, and number of sectors.
    pub late: Vec<(u64, usize)>,
    /// Number of such writes to the first sector's mark of vfat and exfat, which stays writable.
    pub marks: usize,
    /// Exit code of `unmoor`.
    pub code: Option<i32>,
    pub said: String,
}

impl Outcome {
    /// Returns a description of each failure.
    pub fn failures(&self, medium: &Medium, cycle: &Cycle) -> Vec<String> {
        let mut all = Vec::new();
        if self.code != Some(0) {
            all.push(format!("exit code {:?}: {}", self.code, self.said.trim()));
        }
        if self.found.lost > 0 || !self.found.wrong.is_empty() {
            all.push(format!("{} bytes lost", self.found.lost));
            all.extend(self.found.wrong.iter().take(5).cloned());
        }
        if !self.late.is_empty() {
            let count = self.late.len();
            let first = &self.late[..count.min(8)];
            all.push(format!(
                "{count} writes after it had returned, to (sector, sectors): {first:?}"
            ));
        }
        if self.unflushed > 0 && !cycle.release.forced() {
            all.push(format!("{} writes not flushed when it returned", self.unflushed));
        }
        for ((name, said), file_system) in self.checks.iter().zip(&medium.file_systems) {
            // Without a journal, what was being written when it was cut off may be half there.
            if !said.is_empty() && (!cycle.release.forced() || file_system.replays()) {
                all.push(format!("{name}: the checker says: {said}"));
            }
        }
        all
    }
}

/// Files of a cycle.
struct Paths {
    /// Image that the drive writes to.
    image: PathBuf,
    log: PathBuf,
    /// Medium at the start of the cycle, then after the power cut.
    cut: PathBuf,
}

impl Paths {
    fn of(machine: &Machine) -> Self {
        let at = |name: &str| machine.directory().join(name);
        Self { image: at("soak.img"), log: at("soak.log"), cut: at("cut.img") }
    }
}

/// Keeps the files of a failed cycle and returns their folder.
pub fn keep(machine: &Machine, seed: u64, transcript: &str) -> Result<PathBuf> {
    let directory = xtask::paths::target().join(format!("soak/{seed}"));
    fs::create_dir_all(&directory)?;
    let paths = Paths::of(machine);
    for path in [&paths.image, &paths.log, &paths.cut] {
        if path.exists() {
            media::copy(path, &directory.join(path.file_name().unwrap_or_default()))?;
        }
    }
    fs::write(directory.join("transcript"), format!("{transcript}{}", machine.console()))?;
    Ok(directory)
}

/// Makes the medium and runs its cycles: writes, releases, cuts the power, checks, and goes on with the
/// result. `on_cycle` gets each result and returns whether to go on.
pub fn run_medium(
    ctx: &mut TestContext,
    medium: &Medium,
    told: &mut dyn FnMut(&Cycle, Outcome) -> bool,
) -> Result<()> {
    let paths = Paths::of(ctx.machine);
    let Some(first) = medium.cycles.first() else { return Ok(()) };
    // What a failure left.
    let _ = ctx.machine.yank(&SOAK_STICK);
    make_image(medium, &paths.image)?;
    media::copy(&paths.image, &paths.cut)?;
    let mut nodes = plug(ctx, medium, first.kind, &paths)?;
    ctx.sh(&stack::make(medium, &nodes)).context("making the stack")?;
    for (index, cycle) in medium.cycles.iter().enumerate() {
        let mut outcome = Outcome::default();
        let length = release(ctx, medium, cycle, &nodes, &paths.log, &mut outcome)?;
        pull(ctx, cycle.kind)?;
        let late = write_log::writes_after(&paths.log, length)?;
        let (marks, late) = late.into_iter().partition(|place| is_mark(medium, cycle, *place));
        (outcome.marks, outcome.late) = (Vec::len(&marks), late);
        let replayed = write_log::replay_first(&paths.log, length, &paths.cut)?;
        ctx.note(&format!("{replayed:?}"));
        outcome.unflushed = replayed.lost;
        media::copy(&paths.cut, &paths.image)?;
        let next = medium.cycles.get(index + 1);
        let kind = next.map_or(Kind::Scsi, |next| next.kind);
        nodes = plug(ctx, medium, kind, &paths)?;
        // All of its life, when it is over.
        let from = if next.is_none() { 0 } else { index };
        verify_medium(ctx, medium, &medium.cycles[from..=index], &nodes, &mut outcome)?;
        if !told(cycle, outcome) {
            return Ok(());
        }
        if next.is_none() {
            pull(ctx, kind)?;
        }
    }
    Ok(())
}

fn make_image(medium: &Medium, path: &Path) -> Result<()> {
    let size = size(medium.stack);
    let one = Partition { start: MIB, size: size - 2 * MIB };
    let half = Partition { start: MIB, size: size / 2 - MIB };
    let other = Partition { start: size / 2, size: size / 2 - MIB };
    match medium.stack.partitions() {
        0 => media::empty(path, size),
        1 => media::partitioned(path, size, &[(one, "83")]),
        _ => media::partitioned(path, size, &[(half, "83"), (other, "83")]),
    }
}

/// Plugs the image in and waits until the guest has found its partitions.
fn plug(ctx: &mut TestContext, medium: &Medium, kind: Kind, paths: &Paths) -> Result<Nodes> {
    let drive = drive(kind);
    ctx.machine.plug_image(drive, &paths.image, Some(&paths.log))?;
    let mut tries = 0;
    while ctx.machine.guest.find(drive.sysfs_parts)?.is_none() {
        tries += 1;
        ensure!(tries < 300, "the guest does not find the drive");
        std::thread::sleep(Duration::from_millis(100));
    }
    let count = medium.stack.partitions();
    if count > 0 {
        ctx.await_partitions(drive, count)?;
    }
    let node = ctx.node(drive)?;
    let parts = (1..=count).map(|number| ctx.partition(drive, number)).collect::<Result<_>>()?;
    Ok(Nodes { drive: node, parts })
}

/// Returns true if the write is to a mark that stays writable.
///
/// A shrunk partition can still be written at its very beginning, where vfat and exfat have their mark. An
/// array has that behind its own superblock (metadata 1.2, which every write updates). A whole drive cannot
/// be shrunk, and ext4 writes its superblock once more when the last handle is closed.
fn is_mark(medium: &Medium, cycle: &Cycle, place: (u64, usize)) -> bool {
    let marks = medium.file_systems.iter().any(|one| one.marks_first_sector());
    let starts = [MIB / 512, size(medium.stack) / 2 / 512];
    let at = |offsets: &[u64]| {
        starts.iter().any(|start| offsets.iter().any(|offset| place == (start + offset, 1)))
    };
    cycle.release.forced()
        && match medium.stack {
            Stack::Whole => place == (2, 2),
            Stack::Raid => marks && at(&[8, 2048]),
            _ => marks && at(&[0]),
        }
}

/// Kills the writers and unplugs the drive.
fn pull(ctx: &mut TestContext, kind: Kind) -> Result<()> {
    ctx.machine.guest.reset()?;
    ctx.machine.yank(drive(kind))
}

/// Returns the workloads of the processes of this cycle.
fn workloads(medium: &Medium, cycle: &Cycle) -> Vec<Workload> {
    let mut workloads = Vec::new();
    for directory in medium.directories() {
        for process in 0..cycle.processes {
            let root = format!("{directory}/u{}p{process}", cycle.number).into();
            let seed = cycle.seed.wrapping_add(workloads.len() as u64);
            workloads.push(Workload { seed, bytes: cycle.bytes, root });
        }
    }
    workloads
}

/// Returns the workload of the program that writes while the release waits.
fn late_workload(cycle: &Cycle) -> Option<Workload> {
    let root = format!("/mnt/v1/u{}late", cycle.number).into();
    let seed = cycle.seed.wrapping_add(1 << 32);
    (cycle.release == Release::Wait).then_some(Workload { seed, bytes: 300_000, root })
}

fn shown(workloads: &[Workload]) -> String {
    workloads.iter().map(Workload::to_string).collect::<Vec<_>>().join(" ")
}

/// Writes, releases at once, and returns the log's length when the command returned.
fn release(
    ctx: &mut TestContext,
    medium: &Medium,
    cycle: &Cycle,
    nodes: &Nodes,
    log: &Path,
    outcome: &mut Outcome,
) -> Result<u64> {
    let mut script = "await() { while ! test -e \"$1\"; do sleep 0.1; done; }; ".to_owned();
    if cycle.secret_cache {
        let name = nodes.drive.replace("/dev/", "");
        script.push_str(&format!("echo 'write through' >/sys/block/{name}/queue/write_cache; "));
    }
    // The names of the files that the processes wait for are this cycle's own.
    let sign = |what: &str| format!("/tmp/soak.{}.{what}", cycle.seed);
    let late: Option<Job> = match late_workload(cycle) {
        Some(workload) => Some(ctx.start_sh(&format!(
            "exec $AGENT guest-writer late {workload} --ready {} --go {}",
            sign("late"),
            sign("go")
        ))?),
        None => None,
    };
    if late.is_some() {
        script.push_str(&format!("await {}; ", sign("late")));
    }
    let directories = medium.directories();
    for directory in directories.iter().filter(|_| cycle.release.forced()) {
        for how in BACKGROUND_WRITERS {
            script.push_str(&format!(
                "$AGENT guest-writer background --file {directory}/background.{how} --how {how} --ready {} & ",
                sign(&format!("{}.{how}", directory.replace('/', "_")))
            ));
        }
    }
    let all = shown(&workloads(medium, cycle));
    script.push_str(&format!("$AGENT guest-writer write {all} || exit 99; "));
    for directory in directories.iter().filter(|_| cycle.release.forced()) {
        for how in BACKGROUND_WRITERS {
            let sign = sign(&format!("{}.{how}", directory.replace('/', "_")));
            script.push_str(&format!("await {sign}; "));
        }
    }
    let named = match cycle.named {
        _ if cycle.release == Release::Detached => &nodes.drive,
        TargetName::Drive => &nodes.drive,
        // The image on it would be a drive of its own.
        TargetName::Mount => directories.first().unwrap_or(&nodes.drive),
    };
    script.push_str(&format!("touch {}; ", sign("go")));
    if cycle.release == Release::Offline {
        script.push_str(&format!("unmoor eject --offline {named}; test $? = 7 || exit 98; "));
    }
    // The top of the stack: what it lies on is reached through other mounts.
    let top = directories.last().unwrap_or(&nodes.drive);
    let hold = match cycle.release {
        Release::Elsewhere => {
            "unshare -m --propagation private sh -c 'touch $1; exec sleep 1000' sh"
        }
        Release::Detached => "sh -c 'exec 8>>$2/open; touch $1; exec sleep 1000' sh",
        _ => "",
    };
    if !hold.is_empty() {
        let held = sign("held");
        let detach = match cycle.release {
            Release::Detached => format!("umount -l {top}; "),
            _ => String::new(),
        };
        script.push_str(&format!(
            "{hold} {held} {top} & await {held}; {detach}unmoor eject {named}; test $? = 3 || exit 98; \
             kill $!; wait $!; "
        ));
    }
    script.push_str(&format!("exec unmoor eject --verbose {} {named}", cycle.options()));
    let output = ctx.run(words(&["sh", "-c", &script]))?;
    // This is the moment: nothing that is recorded after it was due to the command.
    let length = fs::metadata(log)?.len();
    outcome.code = output.code;
    outcome.said = format!("{}{}", output.stdout, output.stderr);
    ensure!(output.code != Some(99), "a writer failed: {}", outcome.said);
    if let Some(late) = late {
        let output = ctx.wait(late)?;
        ensure!(output.code == Some(0), "the late writer failed: {}", output.stderr);
    }
    if cycle.release.forced() {
        ctx.sh("sync & sleep 1")?;
    }
    Ok(length)
}

/// Opens the stack after the power cut, checks and mounts each file system, and counts what is missing.
fn verify_medium(
    ctx: &mut TestContext,
    medium: &Medium,
    cycles: &[Cycle],
    nodes: &Nodes,
    outcome: &mut Outcome,
) -> Result<()> {
    let Some(last) = cycles.last() else { return Ok(()) };
    let mut script = format!("({}) 2>&1; echo \"@@$?\"; ", stack::open(medium, nodes));
    for Volume { file_system, device, directory } in stack::volumes(medium, nodes) {
        let mount = file_system.mount("$D", &directory);
        script.push_str(&format!("mkdir -p {directory}; D={device}; "));
        if last.release.forced() && file_system.replays() {
            script.push_str(&format!("{mount} && umount {directory}; "));
        }
        script.push_str(&format!(
            "{{ {}; }} 2>&1; echo \"@@$?\"; {mount} 2>&1; echo \"@@$?\"; ",
            file_system.check("$D")
        ));
    }
    let due: Vec<Workload> = cycles
        .iter()
        .flat_map(|cycle| workloads(medium, cycle).into_iter().chain(late_workload(cycle)))
        .collect();
    script.push_str(&format!("exec $AGENT guest-writer check {}", shown(&due)));
    let text = ctx.sh(&script)?;
    let mut parts = Parts(&text);
    if let Some(said) = parts.next_failure()? {
        outcome.found.wrong.push(format!("the stack cannot be opened: {said}"));
    }
    for (file_system, directory) in medium.file_systems.iter().zip(medium.directories()) {
        outcome.checks.push((file_system.name(), parts.next_failure()?.unwrap_or_default()));
        if let Some(said) = parts.next_failure()? {
            outcome.found.wrong.push(format!("{directory} cannot be mounted: {said}"));
        }
    }
    // What cannot be mounted is an empty directory: all of it is lost.
    let found: Comparison = serde_json::from_str(parts.0).with_context(|| text.clone())?;
    outcome.found.wrong.extend(found.wrong);
    outcome.found = Comparison { wrong: std::mem::take(&mut outcome.found.wrong), ..found };
    Ok(())
}

/// Output of several programs, one after the other, each followed by its exit code.
struct Parts<'t>(&'t str);

impl Parts<'_> {
    /// Returns the next program's output if it failed.
    fn next_failure(&mut self) -> Result<Option<String>> {
        let (said, rest) = self.0.split_once("@@").with_context(|| self.0.to_owned())?;
        let (code, rest) = rest.split_once('\n').with_context(|| rest.to_owned())?;
        self.0 = rest;
        Ok((code != "0").then(|| format!("{} ", said.trim())))
    }
}
