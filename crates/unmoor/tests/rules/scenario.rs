//! Random drives, volumes, stacks, open files, faults, options and accidents: plain data, so that a
//! failing one can be read and shrunk.

use proptest::option::weighted;
use proptest::prelude::*;
use std::time::Duration;
use unmoor::{Goal, Role};
use unmoor_simulated::{FaultKind, Op, Prevention, Semantics, SignalBehavior};

/// Returns the number of cases: enough to reach every outcome, few enough for a slow machine.
///
/// `PROPTEST_CASES` sets another number.
pub fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    // A failing case is printed whole and becomes an example of its own, so no seeds are kept.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

impl Scenario {
    /// Returns true if another program may mount the drive again before a forced eject.
    ///
    /// A forced release may have no claim (dead handles, or Windows).
    pub fn may_be_mounted_again_under_force(&self) -> bool {
        let mounts_it = self.accidents.iter().any(|(_, what)| *what == Accident::MountAgain);
        // Windows mounts a volume when a file on it is opened.
        let opens_late =
            self.semantics == Semantics::Windows && self.holders.iter().any(|h| h.from > 0);
        self.requested.force && (mounts_it || opens_late)
    }
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub semantics: Semantics,
    pub drive: DriveSpec,
    pub volumes: Vec<VolumeSpec>,
    pub holders: Vec<Holder>,
    /// The first volume is busy until then, without an open file.
    pub busy_until: Option<u64>,
    /// The first volume is mounted in another namespace too.
    pub elsewhere: bool,
    /// A file is opened on every volume just after they were found idle.
    pub comes_late: bool,
    /// A program has the device itself open, for writing if true.
    pub raw: Option<bool>,
    pub faults: Vec<FaultSpec>,
    pub accidents: Vec<(u64, Accident)>,
    /// Another drive takes its name when this step begins.
    pub replaced_at: Option<unmoor::Step>,
    pub requested: Requested,
    pub cancel_at: Option<u64>,
    /// The event handler panics at this event.
    pub panic_at: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Stick,
    Cd,
    Card,
    Disk,
    Image,
}

#[derive(Debug, Clone)]
pub struct DriveSpec {
    pub sort: Sort,
    pub motor: u64,
    pub silent: bool,
    pub prevention: Prevention,
    pub mib_per_second: u64,
}

#[derive(Debug, Clone)]
pub struct VolumeSpec {
    pub mounts: usize,
    /// Its first mount lies in the mount of the volume before.
    pub nested: bool,
    /// The volume lies on the one before (a mapping, or a loop device over a file there).
    pub stacked: bool,
    pub dirty_kib: u64,
}

/// A program with an open file.
#[derive(Debug, Clone)]
pub struct Holder {
    pub volume: prop::sample::Index,
    /// In milliseconds; from the start if 0.
    pub from: u64,
    /// Only for those from the start.
    pub until: Option<u64>,
    /// Time of another write.
    pub writes_at: Option<u64>,
    /// Role of the process.
    pub role: Role,
    /// Behavior when the process is signaled.
    pub behavior: SignalBehavior,
}

#[derive(Debug, Clone)]
pub struct FaultSpec {
    pub at: Op,
    pub kind: FaultKind,
    pub after: u32,
    pub times: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accident {
    Yank,
    TakeMedium,
    Replace,
    MountAgain,
}

/// The requested [`unmoor::Options`], as data.
#[derive(Debug, Clone)]
pub struct Requested {
    pub goal: Goal,
    pub force: bool,
    pub discard: bool,
    pub wait: u64,
    pub timeout: Option<u64>,
    pub verify: bool,
    /// Ignored by systems without an offline state.
    pub offline: bool,
    pub kill: Option<KillSpec>,
}

/// The requested termination.
#[derive(Debug, Clone)]
pub struct KillSpec {
    pub grace: u64,
    /// Answer of the user and the time it takes; `None` if the user agreed beforehand.
    pub answer: Option<(bool, u64)>,
    /// Services are stopped too.
    pub services: bool,
}

/// Returns a scenario in which anything may happen.
pub fn anything() -> impl Strategy<Value = Scenario> {
    let troubles = (
        prop::collection::vec(fault(), 0..=2),
        prop::collection::vec((0..4000u64, accident()), 0..=1),
        weighted(0.15, 0..3000u64),
        weighted(0.1, 0..12usize),
    );
    (peaceful(), troubles).prop_map(|(scenario, (mut faults, accidents, cancel_at, panic_at))| {
        // On Windows, the removal of a device locks what this user may not lock (`windows_policy`).
        let waived = |f: &&mut FaultSpec| f.at == Op::Lock && f.kind == FaultKind::NotPermitted;
        if scenario.semantics == Semantics::Windows {
            faults.iter_mut().filter(waived).for_each(|fault| fault.kind = FaultKind::IoError);
        }
        Scenario { faults, accidents, cancel_at, panic_at, ..scenario }
    })
}

/// Returns a scenario in which programs come and go and nothing breaks.
pub fn peaceful() -> impl Strategy<Value = Scenario> {
    let machine = (
        prop_oneof![Just(Semantics::Linux), Just(Semantics::Windows)],
        drive(),
        prop::collection::vec(volume(), 0..=4),
        prop::collection::vec(holder(), 0..=2),
        weighted(0.2, 0..4000u64),
        (prop::bool::weighted(0.05), prop::bool::weighted(0.15)),
    );
    (machine, requested()).prop_map(
        |((semantics, drive, volumes, holders, busy_until, (elsewhere, comes_late)), requested)| {
            Scenario {
                semantics,
                drive,
                volumes,
                holders,
                busy_until,
                elsewhere,
                comes_late,
                raw: None,
                faults: Vec::new(),
                accidents: Vec::new(),
                replaced_at: None,
                requested,
                cancel_at: None,
                panic_at: None,
            }
        },
    )
}

fn drive() -> impl Strategy<Value = DriveSpec> {
    let sort = prop_oneof![
        3 => Just(Sort::Stick),
        2 => Just(Sort::Cd),
        1 => Just(Sort::Card),
        1 => Just(Sort::Disk),
        1 => Just(Sort::Image),
    ];
    let prevention = prop_oneof![
        8 => Just(Prevention::None),
        1 => Just(Prevention::Set),
        1 => Just(Prevention::Stuck),
    ];
    (sort, 0..3000u64, prop::bool::weighted(0.1), prevention, 1..16u64).prop_map(
        |(sort, motor, silent, prevention, mib_per_second)| DriveSpec {
            sort,
            motor,
            silent,
            prevention,
            mib_per_second,
        },
    )
}

fn volume() -> impl Strategy<Value = VolumeSpec> {
    let mounts = prop_oneof![1 => Just(0usize), 4 => Just(1usize), 2 => Just(2usize)];
    (mounts, prop::bool::weighted(0.3), prop::bool::weighted(0.3), 0..900u64).prop_map(
        |(mounts, nested, stacked, dirty_kib)| VolumeSpec { mounts, nested, stacked, dirty_kib },
    )
}

fn holder() -> impl Strategy<Value = Holder> {
    let from = prop_oneof![2 => Just(0u64), 1 => 1..2000u64];
    (any::<prop::sample::Index>(), from, weighted(0.6, 0..3000u64), weighted(0.5, 0..2000u64))
        .prop_flat_map(|(volume, from, until, writes_at)| {
            (role(), behavior()).prop_map(move |(role, behavior)| Holder {
                volume,
                from,
                until,
                writes_at,
                role,
                behavior,
            })
        })
}

fn role() -> impl Strategy<Value = Role> {
    let others = vec![
        Role::Service,
        Role::Container,
        Role::Manager,
        Role::Server,
        Role::Caller,
        Role::Kernel,
        Role::Unknown,
    ];
    prop_oneof![5 => Just(Role::Program), 1 => prop::sample::select(others)]
}

fn behavior() -> impl Strategy<Value = SignalBehavior> {
    prop_oneof![
        2 => Just(SignalBehavior::Obeys(Duration::ZERO)),
        2 => (1..4000u64).prop_map(|ms| SignalBehavior::Obeys(Duration::from_millis(ms))),
        1 => Just(SignalBehavior::Stubborn),
        1 => prop::sample::select(vec![
            SignalBehavior::Stuck,
            SignalBehavior::Foreign,
            SignalBehavior::Respawns,
            SignalBehavior::Replaced,
        ]),
    ]
}

fn kill() -> impl Strategy<Value = KillSpec> {
    (0..3000u64, weighted(0.5, (prop::bool::weighted(0.7), 0..2000u64)))
        .prop_map(|(grace, answer)| KillSpec { grace, answer, services: false })
}

fn fault() -> impl Strategy<Value = FaultSpec> {
    use FaultKind::{Hang, IoError, Lie, NoMedium, NotPermitted, NotSupported, Replaced, Yank};
    let op = prop::sample::select(vec![
        Op::Open,
        Op::Flush,
        Op::FlushDrive,
        Op::Lock,
        Op::Unmount,
        Op::Dismount,
        Op::Claim,
        Op::Offline,
        Op::Perform,
        Op::Presence,
        Op::Unlock,
        Op::Blockers,
    ]);
    let kind = prop::sample::select(vec![
        IoError,
        IoError,
        Hang,
        Yank,
        NoMedium,
        Replaced,
        NotPermitted,
        NotSupported,
        Lie,
    ]);
    // A drive that lies about a flush cannot be detected. Only an eject can be verified.
    (op, kind, 0..4u32, prop_oneof![Just(1u32), Just(u32::MAX)])
        .prop_filter("only what can be found out", |(op, kind, ..)| {
            *kind != Lie || *op == Op::Perform
        })
        .prop_map(|(at, kind, after, times)| FaultSpec { at, kind, after, times })
}

fn accident() -> impl Strategy<Value = Accident> {
    prop::sample::select(vec![
        Accident::Yank,
        Accident::TakeMedium,
        Accident::Replace,
        Accident::MountAgain,
    ])
}

fn requested() -> impl Strategy<Value = Requested> {
    let goal =
        prop_oneof![3 => Just(Goal::Eject), 1 => Just(Goal::Dismount), 1 => Just(Goal::PowerOff)];
    (
        goal,
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.3),
        prop_oneof![Just(0u64), 0..6000u64],
        weighted(0.3, 0..8000u64),
        (prop::bool::weighted(0.85), prop::bool::weighted(0.1), weighted(0.3, kill())),
    )
        .prop_map(|(goal, force, discard, wait, timeout, (verify, offline, kill))| Requested {
            goal,
            force,
            discard,
            wait,
            timeout,
            verify,
            offline,
            kill,
        })
}
