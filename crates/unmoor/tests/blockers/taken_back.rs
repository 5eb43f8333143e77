//! A dismount that is refused on the way: what was unmounted is mounted again, as it was.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use unmoor::platform::linux::Linux;
use unmoor::{ErrorKind, Event, Hint, Opened, Options, Outcome, Report, Step, release};
use unmoor_test_support::{BTRFS, LOOP_DEVICES, LoopImage, OVERLAY, Test, ok, test};

pub const TESTS: &[Test] = &[
    test!(a_bind_mount_comes_back_with_its_options, LOOP_DEVICES),
    test!(a_file_open_for_a_moment_is_waited_for, LOOP_DEVICES),
    test!(a_claim_of_another_program_is_waited_for, LOOP_DEVICES),
    test!(a_frozen_file_system_stays_mounted_and_is_named, LOOP_DEVICES),
    test!(a_frozen_btrfs_stays_mounted_and_is_named, LOOP_DEVICES, BTRFS),
    test!(a_frozen_file_system_is_not_forced, LOOP_DEVICES),
    test!(a_file_system_that_is_thawed_is_waited_for, LOOP_DEVICES),
    test!(a_hidden_mount_refuses_before_the_first_dismount, LOOP_DEVICES, OVERLAY),
    test!(a_namespace_that_starts_meanwhile_is_no_hidden_mount, LOOP_DEVICES),
];

/// Returns the mounts below the directory of the image without their numbers, sorted.
fn mounts(image: &LoopImage) -> Vec<String> {
    let directory = image.mount.parent().unwrap();
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let lines = text.lines().filter(|line| line.contains(&*directory.to_string_lossy()));
    let mut lines: Vec<String> =
        lines.map(|line| line.split(' ').skip(2).collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    lines
}

fn mount(arguments: &[&str], path: &Path) {
    assert!(ok(Command::new("mount").args(arguments).arg(path)), "mount {arguments:?}");
}

/// Releases the image. Calls `act` once when the first dismount begins.
fn released(image: &LoopImage, wait: Duration, act: impl FnOnce() + Send) -> Report {
    let mut options = Options::default();
    options.wait = wait;
    let mut act = Some(act);
    release(&Linux::new(), &image.device.parse().unwrap(), &options, &mut |event| {
        if matches!(event, Event::Started(Step::Dismount))
            && let Some(act) = act.take()
        {
            act();
        }
    })
}

fn open(path: PathBuf) -> File {
    File::create(path).unwrap()
}

fn a_bind_mount_comes_back_with_its_options() {
    let image = LoopImage::new("unmoor-back");
    std::fs::create_dir(image.mount.join("photos")).unwrap();
    let (photos, source) = (image.beside("photos"), image.mount.join("photos"));
    mount(&["--bind", source.to_str().unwrap()], &photos);
    mount(&["-o", "remount,bind,ro,nosuid,nodev,noatime"], &photos);
    let before = mounts(&image);
    let mut file = None;
    let report = released(&image, Duration::ZERO, || file = Some(open(image.mount.join("late"))));
    assert_eq!(report.error_kind(), Some(ErrorKind::Busy), "{report:?}");
    assert_eq!(mounts(&image), before);
    assert_eq!(before.len(), 2);
    drop(file);
    assert_eq!(released(&image, Duration::ZERO, || {}).outcome, Outcome::Completed);
}

/// Claims the device as soon as nothing else does, and keeps the claim for this time.
fn claim_for(device: &str, time: Duration) {
    use rustix::fs::{Mode, OFlags, open};
    let claim = || open(device, OFlags::RDONLY | OFlags::EXCL, Mode::empty());
    let claimed = std::iter::repeat_with(claim).take(2_000_000).find_map(Result::ok);
    std::thread::sleep(time);
    assert!(claimed.is_some());
}

fn a_file_open_for_a_moment_is_waited_for() {
    let image = LoopImage::new("unmoor-back");
    let other = image.beside("other");
    image.mount_at(&other);
    let report = released(&image, Duration::from_secs(60), || {
        let file = open(image.mount.join("late"));
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(2));
            drop(file);
        });
    });
    assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
    assert!(mounts(&image).is_empty());
}

fn a_claim_of_another_program_is_waited_for() {
    let image = LoopImage::new("unmoor-back");
    let device = image.device.clone();
    let mut claim = None;
    let report = released(&image, Duration::from_secs(60), || {
        claim = Some(std::thread::spawn(move || claim_for(&device, Duration::from_secs(3))));
    });
    claim.unwrap().join().unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
    assert!(mounts(&image).is_empty() && !image.attached());
}

/// A frozen file system, thawed when the test ends.
struct Frozen(PathBuf);

impl Frozen {
    fn new(image: &LoopImage) -> Frozen {
        assert!(ok(Command::new("fsfreeze").arg("--freeze").arg(&image.mount)));
        Frozen(image.mount.clone())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        ok(Command::new("fsfreeze").arg("--unfreeze").arg(&self.0));
    }
}

fn expect_refused_and_thawed(image: &LoopImage) {
    let frozen = Frozen::new(image);
    let report = released(image, Duration::ZERO, || panic!("nothing may be dismounted"));
    let mounted = mounts(image).len();
    let error = report.error().unwrap();
    let blockers = &error.scan().unwrap().blockers;
    let command = blockers.iter().find_map(|blocker| blocker.command.clone());
    assert_eq!((error.kind(), error.step(), mounted), (ErrorKind::Busy, Some(Step::Lock), 1));
    assert!(error.to_string().contains("is frozen"), "{error}");
    // Who is asked before gets the same answer.
    let target = image.device.parse().unwrap();
    let machine = Linux::new();
    let mut opened = Opened::new(&machine, &target, &Options::default()).unwrap();
    let named = opened.blockers().blockers.iter().any(|b| b.description.contains("is frozen"));
    drop(opened);
    let command = command.unwrap();
    assert!(ok(Command::new("sh").args(["-c", &command])), "{command}");
    assert!(named);
    drop(frozen);
    assert_eq!(released(image, Duration::ZERO, || {}).outcome, Outcome::Completed);
}

fn a_frozen_file_system_stays_mounted_and_is_named() {
    expect_refused_and_thawed(&LoopImage::new("unmoor-frozen"));
}

fn a_frozen_btrfs_stays_mounted_and_is_named() {
    expect_refused_and_thawed(&LoopImage::with_mkfs(&["mkfs.btrfs", "-q", "-f"]));
}

fn a_frozen_file_system_is_not_forced() {
    let image = LoopImage::new("unmoor-frozen");
    let frozen = Frozen::new(&image);
    let mut options = Options::default();
    options.force = true;
    let report = release(&Linux::new(), &image.device.parse().unwrap(), &options, &mut |_| {});
    let mounted = mounts(&image).len();
    drop(frozen);
    assert_eq!((report.error_kind(), mounted), (Some(ErrorKind::Busy), 1), "{report:?}");
}

fn a_file_system_that_is_thawed_is_waited_for() {
    let image = LoopImage::new("unmoor-frozen");
    let frozen = Frozen::new(&image);
    let thaw = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        drop(frozen);
    });
    let report = released(&image, Duration::from_secs(60), || {});
    thaw.join().unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
}

/// The layers were given by relative paths from a folder that nothing shows any more.
fn a_hidden_mount_refuses_before_the_first_dismount() {
    let image = LoopImage::new("unmoor-hidden");
    let (merged, folder) = (image.beside("merged"), image.mount.join("folder"));
    for name in ["l1", "l2"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    let mut overlay = Command::new("mount");
    overlay.args(["-t", "overlay", "unmoor", "-o", "lowerdir=l1:l2"]).arg(&merged);
    assert!(ok(overlay.current_dir(&folder)));
    let report = released(&image, Duration::ZERO, || panic!("nothing may be dismounted"));
    let error = report.error().unwrap();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Busy, Some(Step::Lock)), "{error}");
    assert!(error.to_string().contains("no mount table"), "{error}");
    assert_eq!(error.hint(), Some(&Hint::CloseOrWait), "force would not help");
    let mut options = Options::default();
    options.force = true;
    let before = mounts(&image);
    let report = release(&Linux::new(), &image.device.parse().unwrap(), &options, &mut |event| {
        assert!(!matches!(event, Event::Started(Step::Dismount)), "nothing may be dismounted");
    });
    assert_eq!((report.error_kind(), mounts(&image)), (Some(ErrorKind::Busy), before));
    assert!(ok(Command::new("umount").arg(&merged)));
    assert_eq!(released(&image, Duration::ZERO, || {}).outcome, Outcome::Completed);
}

/// Each new namespace has copies of all mounts before its process can be found.
fn a_namespace_that_starts_meanwhile_is_no_hidden_mount() {
    let image = LoopImage::new("unmoor-hidden");
    image.share();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                ok(Command::new("unshare").args(["-m", "--propagation", "slave", "true"]));
            }
        });
        let report = released(&image, Duration::from_secs(60), || {});
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
    });
}
