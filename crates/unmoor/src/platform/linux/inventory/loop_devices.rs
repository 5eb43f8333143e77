//! Attached loop devices, and the files behind them.
//!
//! `LOOP_GET_STATUS64` asks the file system of the image for its file (`vfs_getattr`), and does not return while
//! the server of that file system does not answer. sysfs has the path of the image alone, which may lead
//! elsewhere by now. So the helper makes the call, once for each image: the answer is kept under the `diskseq`,
//! which the kernel changes with the image.

use crate::deadline::Clock;
use crate::platform::linux::helper::Helper;
use crate::platform::linux::helper::pipeline::DriveCall;
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::inventory::superblock::StartProbe;
use crate::platform::linux::sys::clock::MonotonicClock;
use crate::platform::linux::sys::loop_ioctl::Backing;
use crate::platform::linux::sys::sysfs::{SysfsDir, VIRTUAL};
use std::collections::HashMap;
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Timeout for the answer of one loop device.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// Time during which a loop device that did not answer is not asked again.
const SILENCE: Duration = Duration::from_secs(30);

/// A loop device with an image behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopDevice {
    /// `loop7`.
    pub name: String,
    /// The image, or the block device, as the kernel names it.
    pub image: PathBuf,
    /// Device number of the image's file system, or of the block device.
    ///
    /// 0 if it is not known: this user may not ask, or the file system does not answer.
    pub lies_on: u64,
    /// Inode number of the image there; 0 for a block device.
    pub inode: u64,
    /// Sequence number of the image; none before Linux 5.15.
    pub diskseq: Option<u64>,
    /// Content, if the start of the device was asked for.
    pub probe: Option<StartProbe>,
}

/// Answer of a loop device.
#[derive(Debug, Clone, Copy)]
enum Known {
    Backing(Backing),
    /// No answer. The device is not asked again until this time.
    Silent(Duration),
}

/// Name of a loop device and its `diskseq`, which is never used twice. Before Linux 5.15 there is none.
type Identity = (String, Option<u64>);

/// Answers of loop devices, by their identity.
static KNOWN: Mutex<Option<HashMap<Identity, Known>>> = Mutex::new(None);

/// Lists the loop devices that have an image.
///
/// With `starts`, the start of each is read on the way.
pub fn loop_devices(helper: &Helper, starts: bool) -> Vec<LoopDevice> {
    let Ok(directory) = SysfsDir::open(VIRTUAL) else { return Vec::new() };
    let names = directory.names().unwrap_or_default();
    let loops = names.into_iter().filter(|name| name.starts_with("loop"));
    let attached: Vec<Attached> = loops.filter_map(|name| attached(&directory, name)).collect();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut attached = attached;
    let answers = answers(&mut attached, known.take().unwrap_or_default(), helper, starts);
    let found = attached.into_iter().map(|one| {
        let backing = match answers.get(&one.identity) {
            Some(Known::Backing(backing)) => Some(*backing),
            _ => None,
        };
        LoopDevice {
            name: one.identity.0,
            image: one.image,
            lies_on: backing.map_or(0, |b| b.device),
            inode: backing.map_or(0, |b| b.inode),
            diskseq: one.identity.1,
            probe: one.probe,
        }
    });
    let found = found.collect();
    *known = Some(answers);
    found
}

/// A loop device with an image, as sysfs shows it.
struct Attached {
    identity: Identity,
    image: PathBuf,
    probe: Option<StartProbe>,
}

fn attached(directory: &SysfsDir, name: String) -> Option<Attached> {
    // One failed open is all that a loop device without an image costs.
    let image = PathBuf::from(directory.text(format!("{name}/loop/backing_file"))?);
    let diskseq = directory.number(format!("{name}/diskseq"));
    Some(Attached { identity: (name, diskseq), image, probe: None })
}

/// Returns what is known of these devices, and asks those of which nothing is known.
fn answers(
    attached: &mut [Attached],
    before: HashMap<Identity, Known>,
    helper: &Helper,
    starts: bool,
) -> HashMap<Identity, Known> {
    let now = MonotonicClock.now();
    let is_known = |one: &Attached| match before.get(&one.identity) {
        Some(Known::Silent(until)) => *until > now,
        Some(Known::Backing(_)) => one.identity.1.is_some(),
        None => false,
    };
    let (known, mut unknown): (Vec<&mut Attached>, Vec<&mut Attached>) =
        attached.iter_mut().partition(|one| is_known(one));
    let kept = known.iter().map(|one| (one.identity.clone(), before[&one.identity]));
    let mut answers: HashMap<Identity, Known> = kept.collect();
    ask(&mut unknown, &mut answers, helper, starts);
    if starts {
        // An image that cannot be read has a status all the same.
        let is_silent =
            |one: &&mut Attached| matches!(answers.get(&one.identity), Some(Known::Silent(_)));
        let mut silent: Vec<&mut Attached> = unknown.into_iter().filter(is_silent).collect();
        ask(&mut silent, &mut answers, helper, false);
    }
    answers
}

fn ask(
    unknown: &mut [&mut Attached],
    answers: &mut HashMap<Identity, Known>,
    helper: &Helper,
    start: bool,
) {
    let path = |one: &&mut Attached| CString::new(format!("/dev/{}", one.identity.0));
    // The kernel's names have no NUL.
    let paths: Vec<CString> = unknown.iter().map(|one| path(one).unwrap_or_default()).collect();
    let requests = paths.iter().map(|path| Request::LoopBacking { path, start });
    let calls: Vec<DriveCall<'_>> =
        requests.enumerate().map(|(drive, request)| DriveCall { drive, request }).collect();
    helper.call_all(&calls, STATUS_TIMEOUT, |at, result| {
        let one = &mut *unknown[at];
        let answer = match result {
            Ok(Ok(([device, inode, failed, ..], content))) => {
                one.probe = start.then(|| StartProbe::at(content, failed != 0));
                Known::Backing(Backing { device, inode })
            }
            Ok(Err(_)) => return,
            Err(_) => {
                one.probe = Some(StartProbe::Silent);
                Known::Silent(MonotonicClock.now() + SILENCE)
            }
        };
        answers.insert(one.identity.clone(), answer);
    });
}
