//! Attached loop devices, and the files behind them.
//!
//! `LOOP_GET_STATUS64` asks the file system of the image for its file (`vfs_getattr`), and does not return while
//! the server of that file system does not answer. sysfs has the path of the image alone, which may lead
//! elsewhere by now. So the helper makes the call, once for each image: the answer is kept under the `diskseq`,
//! which the kernel changes with the image.

use crate::deadline::Clock;
use crate::platform::linux::helper::pipeline::{DriveCall, Reply};
use crate::platform::linux::helper::request::Request;
use crate::platform::linux::helper::{CallResult, Helper};
use crate::platform::linux::inventory::superblock::StartProbe;
use crate::platform::linux::sys::clock::MonotonicClock;
use crate::platform::linux::sys::device_number;
use crate::platform::linux::sys::loop_ioctl::Backing;
use crate::platform::linux::sys::sysfs::{SysfsDir, VIRTUAL};
use crate::platform::linux::sys::udev::Database;
use std::cell::{OnceCell, RefCell};
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
    /// Device number, if it was read.
    pub device: Option<u64>,
    /// Sequence number of the image; none before Linux 5.15.
    pub diskseq: Option<u64>,
    /// Content, if it was asked for.
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
/// With `starts`, the start of each is read on the way, unless udev knows what is on it.
pub fn loop_devices(helper: &Helper, starts: bool) -> Vec<LoopDevice> {
    let Ok(directory) = SysfsDir::open(VIRTUAL) else { return Vec::new() };
    let names = directory.names_that(|name| name.starts_with("loop")).unwrap_or_default();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let search = Search {
        directory,
        database: starts.then(Database::open),
        before: known.take().unwrap_or_default(),
        now: MonotonicClock.now(),
    };
    let attached = search.run(names, helper, starts);
    *known =
        Some(attached.iter().filter_map(|one| Some((one.identity.clone(), one.answer?))).collect());
    attached.into_iter().map(Attached::into_device).collect()
}

/// A loop device with an image, as sysfs shows it.
struct Attached {
    identity: Identity,
    image: PathBuf,
    device: Option<u64>,
    probe: Option<StartProbe>,
    answer: Option<Known>,
}

impl Attached {
    /// Sets the answer, with the start if one was read.
    fn set(&mut self, result: CallResult<Reply<'_>>) {
        match result {
            Ok(Ok(([device, inode, failed, ..], start))) => {
                self.answer = Some(Known::Backing(Backing { device, inode }));
                if !start.is_empty() || failed != 0 {
                    self.probe = Some(StartProbe::at(start, failed != 0));
                }
            }
            Ok(Err(_)) => {}
            Err(_) => {
                self.probe = Some(StartProbe::Silent);
                self.answer = Some(Known::Silent(MonotonicClock.now() + SILENCE));
            }
        }
    }

    fn into_device(self) -> LoopDevice {
        let backing = match self.answer {
            Some(Known::Backing(backing)) => Some(backing),
            _ => None,
        };
        LoopDevice {
            name: self.identity.0,
            image: self.image,
            lies_on: backing.map_or(0, |b| b.device),
            inode: backing.map_or(0, |b| b.inode),
            device: self.device,
            diskseq: self.identity.1,
            probe: self.probe,
        }
    }
}

/// Search for loop devices with an image.
struct Search {
    directory: SysfsDir,
    /// udev's database, if the content is wanted.
    database: Option<Database>,
    before: HashMap<Identity, Known>,
    now: Duration,
}

impl Search {
    /// Returns the loop devices with an image, and asks those of which nothing is known.
    fn run(&self, names: Vec<String>, helper: &Helper, starts: bool) -> Vec<Attached> {
        let path = |name: &String| CString::new(format!("/dev/{name}"));
        // The kernel's names have no NUL.
        let paths: Vec<CString> = names.iter().map(|n| path(n).unwrap_or_default()).collect();
        let found: Vec<OnceCell<Option<RefCell<Attached>>>> =
            names.iter().map(|_| OnceCell::new()).collect();
        let one = |at: usize| {
            found[at].get_or_init(|| self.attached(&names[at]).map(RefCell::new)).as_ref()
        };
        let ask = |at: usize, start| {
            let request = Request::LoopBacking { path: &paths[at], start };
            DriveCall { drive: at, request }
        };
        let mut unknown = |at| {
            let one = one(at)?.borrow();
            one.answer.is_none().then(|| ask(at, starts && one.probe.is_none()))
        };
        let mut set = |at, result: CallResult<Reply<'_>>| {
            if let Some(one) = one(at) {
                one.borrow_mut().set(result);
            }
        };
        helper.call_each(names.len(), STATUS_TIMEOUT, &mut unknown, &mut set);
        // An image that cannot be read has a status all the same.
        let mut silent = |at| {
            let is_silent = one(at)?.borrow().probe == Some(StartProbe::Silent);
            (starts && is_silent).then(|| ask(at, false))
        };
        helper.call_each(names.len(), STATUS_TIMEOUT, &mut silent, &mut set);
        found.into_iter().filter_map(|one| Some(one.into_inner()??.into_inner())).collect()
    }

    fn attached(&self, name: &str) -> Option<Attached> {
        // One failed open is all that a loop device without an image costs.
        let image = PathBuf::from(self.directory.text(format!("{name}/loop/backing_file"))?);
        let identity = (name.to_owned(), self.directory.number(format!("{name}/diskseq")));
        let is_kept = |known: &Known| match known {
            Known::Silent(until) => *until > self.now,
            Known::Backing(_) => identity.1.is_some(),
        };
        let answer = self.before.get(&identity).copied().filter(is_kept);
        let is_there = self.database.as_ref().filter(|database| !database.is_empty());
        let number = || device_number::parse(&self.directory.text(format!("{name}/dev"))?);
        let device = is_there.and_then(|_| number());
        let content = is_there.zip(device).and_then(|(database, device)| database.content(device));
        let probe = content.map(|content| StartProbe::Known(content, false));
        Some(Attached { identity, image, device, probe, answer })
    }
}
