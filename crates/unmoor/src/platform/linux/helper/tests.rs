use super::*;
use crate::deadline::{Cancel, Clock};
use crate::platform::linux::helper::pipeline::DriveCall;
use crate::platform::linux::helper::process::is_helper;
use crate::platform::linux::sys::affinity;
use crate::platform::linux::sys::clock::MonotonicClock;
use crate::platform::linux::sys::clock::timespec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{FileType, mknodat};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const LONG: Duration = Duration::from_secs(60);

/// The process of a helper that is idle.
fn pid(helper: &Helper) -> Option<u32> {
    helper.process().as_ref().map(|process| process.pid())
}

fn sleep(helper: &Helper, deadline: &mut Deadline<'_>) -> Error {
    helper.call(&Request::Sleep { seconds: 600 }, deadline).unwrap_err()
}

fn works(helper: &Helper) {
    let answer = within(LONG, |deadline| helper.call(&Request::Sleep { seconds: 0 }, deadline));
    assert_eq!(answer.unwrap(), Ok(Values::default()));
}

#[test]
fn a_call_returns_its_numbers_or_its_errno() {
    let helper = Helper::new();
    let stat = Request::Stat { path: c"/dev/null", directory: None };
    let none = Request::Stat { path: c"/dev/null/no", directory: None };
    within(LONG, |deadline| {
        let [mode, _, number, ..] = helper.call(&stat, deadline).unwrap().unwrap();
        assert_eq!((mode & u64::from(libc::S_IFMT), number), (libc::S_IFCHR.into(), 1 << 32 | 3));
        assert_eq!(helper.call(&none, deadline).unwrap(), Err(Errno::NOTDIR));
    });
}

#[test]
fn a_panic_in_the_helper_is_an_error_and_reaches_nothing_else() {
    let helper = Helper::new();
    let answer = within(LONG, |deadline| helper.call(&Request::Panic { index: 7 }, deadline));
    assert_eq!(answer.unwrap(), Err(Errno::INTR));
    assert!(!std::thread::panicking());
    works(&helper);
    // The calls behind it are made by another helper.
    let call = |drive, request| DriveCall { drive, request };
    let fine = Request::Sleep { seconds: 0 };
    let calls = [call(1, fine), call(2, Request::Panic { index: 7 }), call(3, fine)];
    let mut results = Vec::new();
    helper.call_all(&calls, LONG, &mut |_, answer| results.push(answer.unwrap().map(drop)));
    assert_eq!(results, [Ok(()), Err(Errno::INTR), Ok(())]);
}

/// Returns the processors that a helper may run on.
fn processors_of(process: &Process) -> CpuSet {
    sched_getaffinity(rustix::process::Pid::from_raw(process.pid().cast_signed())).unwrap()
}

#[test]
fn a_helper_runs_on_the_processor_of_its_thread_and_moves_with_it() {
    let allowed = sched_getaffinity(None).unwrap();
    let helper = Helper::new();
    for processor in (0..CpuSet::MAX_CPU).filter(|at| allowed.is_set(*at)) {
        affinity::set(None, processor).unwrap();
        works(&helper);
        let processors = helper.process().as_ref().map(processors_of);
        assert_eq!(processors, Some(sched_getaffinity(None).unwrap()));
    }
    sched_setaffinity(None, &allowed).unwrap();
    works(&helper);
    assert_eq!(helper.process().as_ref().map(|process| processors_of(process).count()), Some(1));
    assert_eq!(sched_getaffinity(None).unwrap(), allowed, "the thread is free again");
}

#[test]
fn a_helper_of_a_batch_runs_on_any_processor() {
    let process = Process::fork().unwrap().for_every_thread();
    assert_eq!(processors_of(&process), sched_getaffinity(None).unwrap());
}

#[test]
fn a_helper_that_was_killed_is_replaced() {
    let helper = Helper::new();
    works(&helper);
    let first = pid(&helper).unwrap();
    let killed = rustix::process::Pid::from_raw(first.cast_signed()).unwrap();
    rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
    let ends = |process: &Process| loop {
        match process.answer(LONG) {
            Received::NotYet => {}
            received => break matches!(received, Received::Closed),
        }
    };
    assert!(helper.process().as_ref().is_some_and(ends));
    works(&helper);
    assert_ne!(pid(&helper), Some(first));
}

#[test]
fn a_call_that_hangs_is_left_behind_at_the_deadline_and_its_late_answer_is_not_taken_for_the_next()
{
    let helper = Helper::new();
    for _ in 0..3 {
        let late = Request::Sleep { seconds: 1 };
        let error =
            within(Duration::from_millis(50), |deadline| helper.call(&late, deadline).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let stat = Request::Stat { path: c"/dev/null/no", directory: None };
        let answer = within(LONG, |deadline| helper.call(&stat, deadline));
        assert_eq!(answer.unwrap(), Err(Errno::NOTDIR));
    }
}

#[test]
fn a_call_that_hangs_is_interrupted_by_the_cancel_flag() {
    let (cancel, clock, helper) = (Cancel::new(), MonotonicClock, Helper::new());
    let mut ignore = |_| {};
    let mut deadline = Deadline::until(&clock, clock.now() + LONG * 10, &cancel, &mut ignore);
    let request = Request::Sleep { seconds: 600 };
    let error = helper.call_with_progress(&request, &mut deadline, |_| cancel.cancel());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Interrupted);
}

#[test]
fn an_open_that_hangs_is_late_and_not_interrupted() {
    // Opening a FIFO for writing waits for a reader, and there is none.
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let helper = Helper::new();
    let error = within(Duration::from_millis(50), |deadline| {
        helper.open(&pipe, OFlags::WRONLY, deadline).unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn a_relative_path_begins_at_the_working_directory_of_the_parent() {
    let helper = Helper::new();
    works(&helper);
    let opened = within(LONG, |deadline| {
        helper.open(Path::new("Cargo.toml"), OFlags::RDONLY, deadline).unwrap()
    });
    let here = rustix::fs::stat("Cargo.toml").unwrap();
    assert_eq!(rustix::fs::fstat(opened.unwrap()).unwrap().st_ino, here.st_ino);
}

#[test]
fn the_helper_holds_nothing_and_hears_no_signal() {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let helper = Helper::new();
    let descriptor = write_end.as_raw_fd().unsigned_abs().into();
    let [closed, blocked, root, ..] = within(LONG, |deadline| {
        helper.call(&Request::Describe { descriptor }, deadline).unwrap().unwrap()
    });
    assert_eq!((closed, blocked, root), (1, 1, 1));
    drop(write_end);
    assert_eq!(rustix::io::read(&read_end, &mut [0; 1]), Ok(0), "no process writes to it any more");
}

#[test]
fn a_descriptor_is_held_during_its_request_alone() {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let helper = Helper::new();
    let stat = Request::Stat { path: c"/dev/null", directory: Some(write_end.as_fd()) };
    within(LONG, |deadline| helper.call(&stat, deadline).unwrap().unwrap());
    drop(write_end);
    // The end of the pipe: if the helper held it, this would wait for good.
    let mut end = [PollFd::new(&read_end, PollFlags::IN)];
    assert_eq!(poll(&mut end, Some(&timespec(LONG))), Ok(1));
    works(&helper);
}

#[test]
fn a_device_is_closed_by_the_helper() {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let helper = Helper::new();
    let device = Device::new(write_end, Values::default(), helper.clone());
    drop(device);
    assert_eq!(rustix::io::read(&read_end, &mut [0; 1]), Ok(0), "no process writes to it any more");
    works(&helper);
}

#[test]
fn a_device_is_closed_though_the_helper_has_hung_before() {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let helper = Helper::new();
    let device = Device::new(write_end, Values::default(), helper.clone());
    within(Duration::from_millis(50), |deadline| sleep(&helper, deadline));
    drop(device);
    assert_eq!(rustix::io::read(&read_end, &mut [0; 1]), Ok(0), "no process writes to it any more");
}

#[test]
fn a_helper_that_moves_to_another_thread_survives_the_thread_that_forked_it() {
    let helper = Helper::new();
    let moved = helper.clone();
    std::thread::spawn(move || works(&moved)).join().unwrap();
    works(&helper);
}

#[test]
fn the_end_of_a_helper_is_no_event_for_the_program() {
    let helper = Helper::new();
    works(&helper);
    let child = pid(&helper).expect("it is a child of this thread");
    drop(helper);
    assert!(!is_helper(child));
    assert!(!Path::new(&format!("/proc/{child}")).exists(), "it has been waited for");
}
