//! Simulated drives in memory, with the semantics of Linux or Windows.
//!
//! They serve tests, demonstrations and programs that embed this library, on every system.
//!
//! A [`Simulated`] machine has drives with volumes, programs with open files, caches at three levels
//! (the machine's, the drive's, the medium), trays and motors that take their time, faults of any kind,
//! and a clock of its own. Sleeping costs no real time unless [`Simulated::with_real_clock`] is set.
//!
//! The machine reports its true state independently of any report: [`Simulated::journal`],
//! [`Simulated::medium`], [`Simulated::medium_contents`], [`Simulated::locks_held`] and others.
//!
//! ```
//! use unmoor::{ErrorKind, Options, release};
//! use unmoor_simulated::{DriveSetup, Semantics, Simulated, VolumeSetup};
//!
//! let machine = Simulated::new(Semantics::Linux);
//! let volume = VolumeSetup::partition("ext4").mounted("/media/photos");
//! let stick = machine.plug(&DriveSetup::stick("photos").volume(volume));
//! let file = machine.open_file(stick, "sim:photos1", 4312, "/letter.txt")?;
//! machine.write(file, b"Dear Ada")?;
//!
//! let target = "sim:photos".parse()?;
//! let report = release(&machine, &target, &Options::default(), &mut |_| {});
//! assert_eq!(report.error().unwrap().kind(), ErrorKind::Busy);
//! assert!(machine.is_mounted(stick));
//!
//! machine.close(file);
//! let report = release(&machine, &target, &Options::default(), &mut |_| {});
//! assert!(report.error().is_none());
//! assert_eq!(machine.medium_contents(stick), machine.written(stick));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub(crate) mod apply_event;
pub(crate) mod blockers;
pub(crate) mod cache;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod fault;
pub(crate) mod file_ops;
pub(crate) mod files;
pub(crate) mod hardware;
pub(crate) mod inspect;
pub(crate) mod journal;
pub(crate) mod machine;
pub(crate) mod platform;
pub(crate) mod port;
pub(crate) mod process_handle;
pub(crate) mod processes;
pub(crate) mod program;
pub(crate) mod scheduled_event;
pub(crate) mod semantics;
pub(crate) mod session;
pub(crate) mod setup;
pub(crate) mod state;
pub(crate) mod virtual_clock;
pub(crate) mod volume_ops;
pub(crate) mod worker_threads;

pub use crate::cache::Contents;
pub use crate::device::Prevention;
pub use crate::fault::{Fault, FaultKind, Op};
pub use crate::files::{FileError, HandleId};
pub use crate::journal::{Effect, JournalEntry};
pub use crate::machine::Simulated;
pub use crate::program::{SignalBehavior, SignalRecord};
pub use crate::scheduled_event::ScheduledEvent;
pub use crate::semantics::Semantics;
pub use crate::setup::{DriveSetup, VolumeSetup};
