//! Handles that scanned like pipes: the last to be asked, with little patience and many threads.
//!
//! `GetFileType` of a file that was opened for synchronous I/O waits for the request that the file is in.
//! A developer's desktop has hundreds of pipes that are in a read for hours. None of them is a file of the
//! drive, so those that do not answer are neither reported nor asked again while they hang.

use crate::platform::stuck_pool::{ThreadLimits, run_limited};
use crate::platform::win32_parse::{Handle, VolumeNames};
use crate::platform::windows::blockers::open_file::{OpenFile, open_file};
use std::os::windows::io::OwnedHandle;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Time for one handle to answer.
const PIPE_BUDGET: Duration = Duration::from_millis(100);
/// Threads for the questions. A thread reserves 2 MiB of address space.
const LIMITS: ThreadLimits =
    ThreadLimits { at_once: 16, total: if size_of::<usize>() == 8 { 400 } else { 100 } };

/// Handle that did not answer, and whether the answer came later.
struct Stuck {
    pid: u32,
    value: u64,
    answered: Arc<AtomicBool>,
}

/// Handles that threads of earlier scans hang in.
static STUCK: Mutex<Vec<Stuck>> = Mutex::new(Vec::new());

/// Returns true if a thread of an earlier scan still waits for this handle.
pub(crate) fn is_stuck(handle: &Handle) -> bool {
    let mut all = STUCK.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|stuck| !stuck.answered.load(Ordering::Acquire));
    all.iter().any(|stuck| (stuck.pid, stuck.value) == (handle.pid, handle.value))
}

/// Returns the files of the drive among these handles, and what was not asked, in words.
pub(crate) fn query_all(
    handles: Vec<(Arc<OwnedHandle>, Handle)>,
    places: &Arc<Vec<VolumeNames>>,
    go_on: impl FnMut() -> bool,
) -> (Vec<OpenFile>, Option<String>) {
    let questions: Vec<_> = handles
        .into_iter()
        .map(|(process, handle)| (process, handle, Arc::new(AtomicBool::new(false))))
        .collect();
    let marks: Vec<Stuck> = questions
        .iter()
        .map(|(_, handle, answered)| Stuck {
            pid: handle.pid,
            value: handle.value,
            answered: answered.clone(),
        })
        .collect();
    let places = places.clone();
    let asked = run_limited(questions, PIPE_BUDGET, LIMITS, go_on, move |question, _| {
        let (process, handle, answered) = question;
        let file = open_file(process, *handle, &places);
        answered.store(true, Ordering::Release);
        file
    });
    let mut stuck = asked.stuck.into_iter().peekable();
    let new = marks.into_iter().enumerate().filter_map(|(index, mark)| {
        stuck.next_if_eq(&index)?;
        Some(mark)
    });
    STUCK.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
    let missed = (asked.unasked > 0)
        .then(|| format!("the time ran out: {} open files were not looked at", asked.unasked));
    (asked.answers.into_iter().filter_map(|(_, file)| file).collect(), missed)
}
